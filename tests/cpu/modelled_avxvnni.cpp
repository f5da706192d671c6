// The AVX-VNNI table's own source over the instructions in software, as in modelled_avx512.cpp.
#include "cpu/tables.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#define __AVX2__ 1
#define __AVXVNNI__ 1
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/vnni.hpp"

namespace frugal::cpu {
namespace {
#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"

constexpr Kernels table{"modelled avx-vnni", false, rms_norm, quantize, residual,
                        multiply_panel,      place, silu_mul, attend,   store_head,
                        multiply_floats};
}  // namespace
}  // namespace frugal::cpu

const frugal::cpu::Kernels& frugal::testing::modelled_avxvnni() { return cpu::table; }
