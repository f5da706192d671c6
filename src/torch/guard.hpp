// guarded: the one place where LibTorch's exceptions are caught and renamed. Everything that calls ATen runs inside it,
// in inference mode.
#pragma once

#include <frugal/core/error.hpp>

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

namespace frugal::aten {

/// The first line of what LibTorch says; the rest is its own call stack.
inline std::string first_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

/// The CPU allocator has no exception of its own, so its message decides.
inline Errc code_of(std::string_view text, bool on_device) {
  if (text.find("not enough memory") != text.npos || text.find("can't allocate memory") != text.npos) {
    return Errc::out_of_memory;
  }
  return on_device ? Errc::device : Errc::internal;
}

/// Runs f; whatever it throws leaves as frugal::Error. `what` begins the message.
template <class F>
decltype(auto) guarded(const char* what, bool on_device, F&& f) {
  const auto fail = [what](Errc code, std::string_view text) {
    return Error(code, std::string(what) + ": " + first_line(text));
  };
  try {
    const c10::InferenceMode mode;
    return f();
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError& e) {
    throw fail(Errc::out_of_memory, e.what_without_backtrace());
  } catch (const c10::NotImplementedError& e) {
    throw fail(Errc::unsupported, e.what_without_backtrace());
  } catch (const c10::AcceleratorError& e) {
    throw fail(Errc::device, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    throw fail(code_of(e.what_without_backtrace(), on_device), e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    throw fail(Errc::out_of_memory, "not enough memory");
  } catch (const std::length_error& e) {
    throw fail(Errc::out_of_memory, e.what());
  } catch (const std::exception& e) {
    throw fail(code_of(e.what(), on_device), e.what());
  }
}

}  // namespace frugal::aten
