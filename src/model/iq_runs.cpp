#include "model/iq_runs.hpp"

#include <bit>

#include "model/half.hpp"
#include "model/iq_grids.hpp"

namespace frugal::model {
namespace {

using Bytes = const std::uint8_t*;

std::uint32_t u16(Bytes p) { return p[0] | std::uint32_t{p[1]} << 8; }
std::uint32_t u32(Bytes p) { return u16(p) | u16(p + 2) << 16; }
float half_at(Bytes p) { return half_to_float(static_cast<std::uint16_t>(u16(p))); }
std::uint32_t nibble(Bytes p, std::size_t i) { return p[i / 2] >> (i % 2 * 4) & 15U; }

constexpr std::array<std::int8_t, 4> iq2_values{8, 25, 43, 0};
constexpr std::array<std::int8_t, 8> iq3_xxs_values{4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<std::int8_t, 8> iq3_s_values{1, 3, 5, 7, 9, 11, 13, 15};

/// Bit i: value i is negative. Seven bits are stored; the eighth makes their number even.
std::uint32_t even_signs(std::uint32_t seven) {
  return seven | static_cast<std::uint32_t>(std::popcount(seven) & 1) << 7;
}

template <std::size_t values>
void place(std::uint32_t point, const std::array<std::int8_t, values>& of, std::uint32_t signs, std::int8_t* q) {
  constexpr std::uint32_t bits = values == 8 ? 3 : 2, count = values == 8 ? 4 : 8;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::int8_t v = of[point >> bits * i & (values - 1)];
    q[i] = static_cast<std::int8_t>((signs >> i & 1) != 0 ? -v : v);
  }
}

void set_scales(GridRun& out, float first, float second) { out.scale[0] = first, out.scale[1] = second; }

float iq2_scale(float d, std::uint32_t code) { return d * (0.5F + static_cast<float>(code)) * 0.25F; }

// d; 8 runs of: 4 indices, then 4 times 7 signs and a 4-bit scale
void iq2_xxs(Bytes b, std::size_t run, GridRun& out) {
  Bytes at = b + 2 + 8 * run;
  const std::uint32_t rest = u32(at + 4);
  for (std::size_t i = 0; i < 4; ++i)
    place(iq2_xxs_grid[at[i]], iq2_values, even_signs(rest >> 7 * i & 127), out.q + 8 * i);
  const float scale = iq2_scale(half_at(b), rest >> 28);
  set_scales(out, scale, scale);
}

// d; 32 times 9 bits of index and 7 signs; 16 4-bit scales
void iq2_xs(Bytes b, std::size_t run, GridRun& out) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t code = u16(b + 2 + 2 * (4 * run + i));
    place(iq2_xs_grid[code & 511], iq2_values, even_signs(code >> 9), out.q + 8 * i);
  }
  const std::uint8_t scales = b[66 + run];
  set_scales(out, iq2_scale(half_at(b), scales & 15U), iq2_scale(half_at(b), scales >> 4));
}

// d; 32 low bytes of indices; 32 bytes of signs; 32 upper pairs of bits; 16 4-bit scales
void iq2_s(Bytes b, std::size_t run, GridRun& out) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t index = b[2 + 4 * run + i] | (b[66 + run] >> 2 * i & 3U) << 8;
    place(iq2_s_grid[index], iq2_values, b[34 + 4 * run + i], out.q + 8 * i);
  }
  const std::uint8_t scales = b[74 + run];
  set_scales(out, iq2_scale(half_at(b), scales & 15U), iq2_scale(half_at(b), scales >> 4));
}

// d; 64 indices; 8 times 4 times 7 signs and a 4-bit scale
void iq3_xxs(Bytes b, std::size_t run, GridRun& out) {
  const std::uint32_t rest = u32(b + 66 + 4 * run);
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint32_t signs = even_signs(rest >> 7 * (i / 2) & 127) >> 4 * (i % 2);
    place(iq3_xxs_grid[b[2 + 8 * run + i]], iq3_xxs_values, signs, out.q + 4 * i);
  }
  const float scale = half_at(b) * (0.5F + static_cast<float>(rest >> 28)) * 0.5F;
  set_scales(out, scale, scale);
}

// d; 64 low bytes of indices; 64 ninth bits; 32 bytes of signs; 8 4-bit scales
void iq3_s(Bytes b, std::size_t run, GridRun& out) {
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint32_t index = b[2 + 8 * run + i] | (b[66 + run] >> i & 1U) << 8;
    place(iq3_s_grid[index], iq3_s_values, std::uint32_t{b[74 + 4 * run + i / 2]} >> 4 * (i % 2), out.q + 4 * i);
  }
  const float scale = half_at(b) * static_cast<float>(1 + 2 * nibble(b + 106, run));
  set_scales(out, scale, scale);
}

/// -1, 0 or 1, and an eighth more or less. Times eight: the scale is an eighth.
void place_shifted(std::uint32_t point, bool less, std::int8_t* q) {
  for (std::uint32_t i = 0; i < 8; ++i) {
    const int value = static_cast<int>(point >> 2 * i & 3) - 1;
    q[i] = static_cast<std::int8_t>(8 * value + (less ? -1 : 1));
  }
}

float iq1_scale(float d, std::uint32_t code) { return d * static_cast<float>(2 * code + 1) * 0.125F; }

// d; 32 low bytes of indices; 8 times: 4 upper triples of bits, a 3-bit scale, the sign of the eighth
void iq1_s(Bytes b, std::size_t run, GridRun& out) {
  const std::uint32_t high = u16(b + 34 + 2 * run);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t index = b[2 + 4 * run + i] | (high >> 3 * i & 7) << 8;
    place_shifted(iq1_grid[index], high >> 15 != 0, out.q + 8 * i);
  }
  const float scale = iq1_scale(half_at(b), high >> 12 & 7);
  set_scales(out, scale, scale);
}

// 32 low bytes of indices; 32 nibbles: upper triple of bits, sign of the eighth; 4 times: 4 3-bit scales, a nibble of d
void iq1_m(Bytes b, std::size_t run, GridRun& out) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t high = nibble(b + 32, 4 * run + i);
    place_shifted(iq1_grid[b[4 * run + i] | (high & 7) << 8], (high & 8) != 0, out.q + 8 * i);
  }
  std::uint32_t d = 0;
  for (std::size_t i = 0; i < 4; ++i) d |= u16(b + 48 + 2 * i) >> 12 << 4 * i;
  const float whole = half_to_float(static_cast<std::uint16_t>(d));
  const auto code = [&](std::size_t group) { return u16(b + 48 + 2 * (group / 4)) >> 3 * (group % 4) & 7; };
  set_scales(out, iq1_scale(whole, code(2 * run)), iq1_scale(whole, code(2 * run + 1)));
}

}  // namespace

bool has_grid(DType type) noexcept { return type >= DType::iq2_xxs && type <= DType::iq1_m; }

void read_grid_run(DType type, const std::uint8_t* block, std::size_t run, GridRun& out) {
  switch (type) {
    case DType::iq2_xxs:
      return iq2_xxs(block, run, out);
    case DType::iq2_xs:
      return iq2_xs(block, run, out);
    case DType::iq2_s:
      return iq2_s(block, run, out);
    case DType::iq3_xxs:
      return iq3_xxs(block, run, out);
    case DType::iq3_s:
      return iq3_s(block, run, out);
    case DType::iq1_s:
      return iq1_s(block, run, out);
    default:
      return iq1_m(block, run, out);
  }
}

}  // namespace frugal::model
