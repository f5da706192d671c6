// Which kernel tables this machine can run. The only place that asks the processor.
#include "cpu/kernels/kernels.hpp"

#include <array>

namespace frugal::cpu {
namespace {

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

struct Found {
  std::array<const Kernels*, 3> tables{};
  std::size_t count = 0;

  Found() {
#if defined(__x86_64__)
    if (has_avx512()) tables[count++] = &avx512_kernels();
    if (has_avx2()) tables[count++] = &avx2_kernels();
#endif
    tables[count++] = &portable_kernels();
  }
};

}  // namespace

std::span<const Kernels* const> available_kernels() {
  static const Found found;
  return {found.tables.data(), found.count};
}

}  // namespace frugal::cpu
