// Kernels for AVX-VNNI, the 256-bit vpdpbusd of processors without AVX-512.
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/vnni.hpp"

namespace frugal::cpu {
namespace {

#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"

}  // namespace

const Kernels& avxvnni_kernels() {
  static constexpr Kernels table{"avx-vnni", false,    rms_norm, quantize,   residual,       multiply_panel,
                                 place,      silu_mul, attend,   store_head, multiply_floats};
  return table;
}

}  // namespace frugal::cpu
