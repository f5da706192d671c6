// Which kernel tables this machine can run. The only place that asks the processor.
#include "cpu/kernels/kernels.hpp"

#include <array>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

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

/// Leaf 7 of the processor's description: EDX of sub-leaf 0, EAX of sub-leaf 1.
bool has_feature(unsigned sub_leaf, unsigned bit) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, sub_leaf, &a, &b, &c, &d) == 0) return false;
  return ((sub_leaf == 0 ? d : a) >> bit & 1U) != 0;
}
bool has_avxvnni() { return has_avx2() && has_feature(1, 4); }
/// Tiles of int8 and of bf16, and AVX-512 with bf16: all there or none on every processor so far.
bool has_amx() {
  return has_avx512() && has_feature(0, 24) && has_feature(0, 25) && has_feature(0, 22) && has_feature(1, 5);
}

/// The system saves the tiles of a process's threads only once the process has asked for it.
bool granted_amx() {
#if defined(__linux__)
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

#if defined(__aarch64__)
bool has_dot_products() {
#if defined(__APPLE__)
  return true;  // every Apple processor of this kind
#elif defined(__linux__)
  constexpr unsigned long asimd_dp = 1UL << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & asimd_dp) != 0;
#else
  return false;
#endif
}
#endif

struct Found {
  std::array<const Kernels*, 5> tables{};
  std::size_t count = 0;
  std::string_view refused;

  Found() {
#if defined(__x86_64__)
    if (has_amx() && granted_amx())
      tables[count++] = &amx_kernels();
    else if (has_amx())
      refused = "AMX: the system does not grant it";
    if (has_avx512()) tables[count++] = &avx512_kernels();
    if (has_avxvnni()) tables[count++] = &avxvnni_kernels();
    if (has_avx2()) tables[count++] = &avx2_kernels();
#endif
#if defined(__aarch64__)
    if (has_dot_products()) tables[count++] = &neon_kernels();
#endif
    tables[count++] = &portable_kernels();
  }
};

const Found& found() {
  static const Found all;
  return all;
}

}  // namespace

std::span<const Kernels* const> available_kernels() { return {found().tables.data(), found().count}; }

std::string_view refused_kernels() { return found().refused; }

}  // namespace frugal::cpu
