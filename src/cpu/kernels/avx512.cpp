// Kernels for AVX-512 with VNNI.
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/vnni.hpp"

namespace frugal::cpu {
namespace {

#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"

}  // namespace

const Kernels& avx512_kernels() {
  static constexpr Kernels table{"avx512-vnni", false,    rms_norm, quantize,   residual,       multiply_panel,
                                 place,         silu_mul, attend,   store_head, multiply_floats};
  return table;
}

}  // namespace frugal::cpu
