// The AVX-512 tables' own source over the instructions in software: this file's options put modelled/immintrin.h before
// the compiler's. What amx.cpp and amx_bf16.cpp write in assembler, the tile unit, is modelled_tiles.hpp.
#include "cpu/tables.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#define __AVX2__ 1
#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512VNNI__ 1
#define __AVX512BF16__ 1
#include "cpu/kernels/attend.hpp"
#include "cpu/kernels/attend_bf16.hpp"
#include "cpu/kernels/floats.hpp"
#include "cpu/kernels/tiles.hpp"
#include "cpu/kernels/vnni.hpp"
#include "cpu/modelled_tiles.hpp"

namespace frugal::cpu {
namespace {
#include "cpu/kernels/lanes.inc"
#include "cpu/kernels/vnni_panel.inc"

constexpr Kernels plain{"modelled avx512-vnni", false, rms_norm, quantize, residual,
                        multiply_panel,         place, silu_mul, attend,   store_head,
                        multiply_floats};
constexpr Kernels with_tiles = [] {
  Kernels k = plain;
  k.name = "modelled avx512-amx", k.wide = &Wide<ModelledTiles>::table, k.bf16 = &bf16_table<ModelledBf16Tiles>;
  return k;
}();
}  // namespace
}  // namespace frugal::cpu

const frugal::cpu::Kernels& frugal::testing::modelled_avx512() { return cpu::plain; }
const frugal::cpu::Kernels& frugal::testing::modelled_amx() { return cpu::with_tiles; }
