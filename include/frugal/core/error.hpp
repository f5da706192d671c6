// Error: what went wrong, in a stable code and a sentence that names the file, option or request.
//
// Set-up (constructors, loaders, factories) throws Error. Serving never throws because of a request: the
// same Error is then a value, inside a Finish or an `expected`. Copyable; thread-safe once constructed.
#pragma once

#include <frugal/config.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace frugal {

/// Stable codes. Numbers are never reused; new codes are appended.
enum class Errc {
  invalid_argument,  ///< an option or a request field is out of range or contradicts another
  bad_file,          ///< a file is missing, truncated, malformed or lies about itself
  bad_model,         ///< the file is well formed but not a model we can run (missing tensor, wrong shape)
  unsupported,       ///< well formed and known, but not implemented (architecture, quantisation, template)
  too_large,         ///< a prompt longer than the context, a request larger than the arena
  out_of_memory,     ///< an allocation failed
  busy,              ///< the waiting queue is full; retry later
  device,            ///< the device or its driver failed
  policy,            ///< a policy threw; the message names it
  unavailable,       ///< a component, device or endpoint is not present here
  cancelled,         ///< the caller gave up
  internal,          ///< a broken invariant of ours: a bug
  over_budget,       ///< a budget is used up, or the request does not fit what is left of it
  denied,            ///< a provider refused key, account or address (401 to 404), or is no such API: a person mends it
};

/// The enumerator's name, e.g. "bad_file".
FRUGAL_API std::string_view to_string(Errc code) noexcept;

/// True where the same call may succeed later without a change by the caller (busy, device, out_of_memory).
FRUGAL_API bool is_retryable(Errc code) noexcept;

class FRUGAL_API Error : public std::exception {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}
  ~Error() override;  // out of line: one vtable and one type_info, also across shared libraries
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  Error(Error&&) = default;
  Error& operator=(Error&&) = default;

  Errc code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  Errc code_;
  std::string message_;
};

}  // namespace frugal
