// Kernels for AMX bf16: products and attention of prompt rows.
#include "cpu/kernels/attend_bf16.hpp"
#include "cpu/kernels/tile_config.hpp"

namespace frugal::cpu {
namespace {

struct NativeBf16Tiles {
  static void begin() {
    static constexpr TileConfig config = bf16_tile_config();
    asm volatile("ldtilecfg %0" ::"m"(config));  // see amx.cpp
  }
  static void end() { asm volatile("tilerelease"); }
  /// 16 lines of 64 bytes. What they hold is not told to the compiler, which orders them by the memory clobber.
  template <int Tile>
  [[gnu::always_inline]] static void load(const void* p, std::size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Sums, int Rows, int Weights>
  [[gnu::always_inline]] static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(Rows), "i"(Weights));
  }
  template <int Tile>
  [[gnu::always_inline]] static void clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
  }
  template <int Tile>
  [[gnu::always_inline]] static void keep(float* to, std::size_t stride = 64) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(Tile) : "memory");
  }
};

}  // namespace

const Bf16Kernels& amx_bf16_kernels() { return bf16_table<NativeBf16Tiles>; }

}  // namespace frugal::cpu
