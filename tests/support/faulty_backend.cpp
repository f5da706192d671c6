#include "support/faulty_backend.hpp"

#include <string>

namespace frugal::testing {

template <class Call>
void FaultyBackend::run(const std::optional<Fault>& fault, std::uint64_t call, const char* what, Call inner_call) {
  const bool fails = fault && fault->hits(call);
  if (!fails || fault->when == When::after) inner_call();
  if (!fails) return;
  ++thrown_;
  throw Error(fault->code, std::string("injected: ") + what + " " + std::to_string(call));
}

void FaultyBackend::copy_pages(std::span<const PageCopy> copies) {
  run(copy_, ++copies_, "copy_pages", [&] { inner().copy_pages(copies); });
}

void FaultyBackend::forward(const Batch& batch) {
  run(forward_, ++forwards_, "forward", [&] { inner().forward(batch); });
}

}  // namespace frugal::testing
