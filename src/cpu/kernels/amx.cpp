// Kernels for AMX int8: the AVX-512 VNNI ones, and tiles for steps of more than 8 rows.
#include "cpu/kernels/tile_config.hpp"
#include "cpu/kernels/tiles.hpp"

namespace frugal::cpu {
namespace {

struct NativeTiles {
  static void begin() {
    static constexpr TileConfig config = tile_config();
    asm volatile("ldtilecfg %0" ::"m"(config));  // gcc 12's intrinsic does not say that it reads all 64 bytes
  }
  static void end() { asm volatile("tilerelease"); }
  // gcc's intrinsics want literal tile numbers.
  template <int Tile, std::size_t Stride, std::size_t Bytes>
  [[gnu::always_inline]] static void load(const void* p) {
    using Region = const char[Bytes];
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(Stride), "i"(Tile), "m"(*static_cast<Region*>(p)));
  }
  [[gnu::always_inline]] static void load_rows(const std::uint8_t* q) { load<rows_tile, 32, 512>(q); }
  [[gnu::always_inline]] static void load_weights(const std::uint8_t* w) { load<weights_tile, 64, 512>(w); }
  /// Every row of the tile from the same line.
  template <int Tile>
  [[gnu::always_inline]] static void start() {
    alignas(64) static constexpr float line[16] = {tile_zero, tile_zero, tile_zero, tile_zero, tile_zero, tile_zero,
                                                   tile_zero, tile_zero, tile_zero, tile_zero, tile_zero, tile_zero,
                                                   tile_zero, tile_zero, tile_zero, tile_zero};
    load<Tile, 0, 64>(line);
  }
  template <int Sums, bool Signed>
  [[gnu::always_inline]] static void multiply() {
    if constexpr (Signed)
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(rows_tile), "i"(weights_tile));
    else
      asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(rows_tile), "i"(weights_tile));
  }
  template <int Tile>
  [[gnu::always_inline]] static void keep(float* to) {
    using Region = float[tile_words];
    asm volatile("tilestored %%tmm%c3, (%1,%2,1)"
                 : "=m"(*reinterpret_cast<Region*>(to))
                 : "r"(to), "r"(std::size_t{64}), "i"(Tile));
  }
};

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = [] {
    Kernels k = avx512_kernels();
    k.name = "avx512-amx", k.wide = &Wide<NativeTiles>::table, k.bf16 = &amx_bf16_kernels();
    return k;
  }();
  return table;
}

}  // namespace frugal::cpu
