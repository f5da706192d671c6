// Kernels for 64-bit ARM with the dot products of ARMv8.2: Neoverse N1 and later, Apple M1 and later.
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/vnni.hpp"

namespace frugal::cpu {
namespace {

#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"

}  // namespace

const Kernels& neon_kernels() {
  static constexpr Kernels table{"neon", false,    rms_norm, quantize,   residual,       multiply_panel,
                                 place,  silu_mul, attend,   store_head, multiply_floats};
  return table;
}

}  // namespace frugal::cpu
