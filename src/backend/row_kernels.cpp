// Which tables this machine can run.
#include "backend/row_kernels.hpp"

#include <array>

namespace frugal::backend {
namespace {

struct Found {
  std::array<const RowKernels*, 3> tables{};
  std::size_t count = 0;

  Found() {
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
      tables[count++] = &avx512_row_kernels();
    if (avx2) tables[count++] = &avx2_row_kernels();
#endif
    tables[count++] = &portable_row_kernels();
  }
};

}  // namespace

std::span<const RowKernels* const> available_row_kernels() {
  static const Found found;
  return {found.tables.data(), found.count};
}

}  // namespace frugal::backend
