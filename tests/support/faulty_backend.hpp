// faulty_backend: forwards to another backend and fails the k-th call of a kind. A failing forward may first do its
// whole work, as a device may.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/core/error.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace frugal::testing {

class FaultyBackend final : public BackendWrapper {
 public:
  enum class When { before, after };  ///< throw before the inner call, or after it has written pages and draws

  explicit FaultyBackend(std::shared_ptr<Backend> inner) : BackendWrapper(std::move(inner)) {}

  /// The k-th forward from now fails, 1 = the next; with `lasting`, every one after it too.
  void fail_forward(std::uint64_t k, Errc code, When when = When::before, bool lasting = false) {
    forward_ = Fault{forwards_ + k, code, when, lasting};
  }
  void fail_copy(std::uint64_t k, Errc code, When when = When::before, bool lasting = false) {
    copy_ = Fault{copies_ + k, code, when, lasting};
  }
  void heal() { forward_.reset(), copy_.reset(); }

  std::uint64_t forwards() const { return forwards_; }  ///< calls so far, failed ones included
  std::uint64_t copies() const { return copies_; }
  std::uint64_t thrown() const { return thrown_; }

  void copy_pages(std::span<const PageCopy> copies) override;
  void forward(const Batch& batch) override;

 private:
  struct Fault {
    std::uint64_t at;
    Errc code;
    When when;
    bool lasting;
    bool hits(std::uint64_t call) const { return call == at || (lasting && call > at); }
  };
  template <class Call>
  void run(const std::optional<Fault>& fault, std::uint64_t call, const char* what, Call inner_call);

  std::optional<Fault> forward_, copy_;
  std::uint64_t forwards_ = 0, copies_ = 0, thrown_ = 0;
};

}  // namespace frugal::testing
