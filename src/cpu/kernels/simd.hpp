// Sixteen fp32 lanes, four times: AVX-512, two AVX2 halves, four NEON quarters, or an array. The including file's compile
// flags decide. Each operation is one IEEE operation per lane, and `sum` and `greatest` are the same tree everywhere, so
// all agree bit for bit. Everything is in an unnamed namespace, and no inline function of the standard library is called:
// code compiled for one instruction set must never be merged by the linker into a path for another.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(FRUGAL_NEON)
#include <arm_neon.h>
#else
#include <cmath>
#include "model/half.hpp"
#endif

namespace frugal::cpu {
namespace {

#if defined(__AVX512F__)

using Vec = __m512;
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec splat(float x) { return _mm512_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec divide(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec greater(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec smaller(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec magnitude(Vec a) { return _mm512_abs_ps(a); }
inline Vec nearest(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// x where x >= limit, else 0.
inline Vec zero_below(Vec x, Vec test, Vec limit) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(test, limit, _CMP_GE_OQ), x);
}
/// x * 2^n for whole n in [-126, 127].
inline Vec scale_by_power(Vec x, Vec n) {
  return mul(
      x, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23)));
}
inline float sum(Vec v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float greatest(Vec v) { return _mm512_reduce_max_ps(v); }
inline Vec load_half(const std::uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// Lane i from the lower half of word i of 8, lane i + 8 from its upper half: no shuffle is needed.
inline Vec load_bf16(const std::uint8_t* p) {
  const __m512i twice = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  const __m512i up = _mm512_setr_epi32(16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_sllv_epi32(twice, up), _mm512_set1_epi32(-0x10000)));
}
inline void store_half(std::uint8_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline Vec load_bytes(const std::uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
/// Whole values in [-127, 127] to bytes.
inline void store_bytes(std::uint8_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

#elif defined(__AVX2__)

struct Vec {
  __m256 a, b;
};
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v.a), _mm256_storeu_ps(p + 8, v.b); }
inline Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec add(Vec x, Vec y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Vec sub(Vec x, Vec y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Vec mul(Vec x, Vec y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Vec divide(Vec x, Vec y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline Vec greater(Vec x, Vec y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Vec smaller(Vec x, Vec y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Vec magnitude(Vec x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline Vec nearest(Vec x) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
inline Vec zero_below(Vec x, Vec test, Vec limit) {
  return {_mm256_and_ps(x.a, _mm256_cmp_ps(test.a, limit.a, _CMP_GE_OQ)),
          _mm256_and_ps(x.b, _mm256_cmp_ps(test.b, limit.b, _CMP_GE_OQ))};
}
inline __m256 power_of_two(__m256 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
inline Vec scale_by_power(Vec x, Vec n) { return mul(x, {power_of_two(n.a), power_of_two(n.b)}); }
inline float sum(Vec v) {
  const __m256 a = _mm256_add_ps(v.a, v.b);
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float greatest(Vec v) {
  const __m256 a = _mm256_max_ps(v.a, v.b);
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
inline __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline Vec load_half(const std::uint8_t* p) { return {_mm256_cvtph_ps(load16(p)), _mm256_cvtph_ps(load16(p + 16))}; }
inline Vec load_bf16(const std::uint8_t* p) {
  const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)),
          _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-0x10000)))};
}
inline void store_half(std::uint8_t* p, Vec v) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v.a, mode));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16), _mm256_cvtps_ph(v.b, mode));
}
inline Vec load_bytes(const std::uint8_t* p) {
  const __m128i v = load16(p);
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
inline void store_bytes(std::uint8_t* p, Vec v) {
  const __m256i w = _mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
  const __m256i ordered = _mm256_permute4x64_epi64(w, 0xD8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

#elif defined(FRUGAL_NEON)

struct Vec {
  float32x4_t v[4];
};
#define FRUGAL_LANES for (int i = 0; i < 4; ++i)
inline Vec load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}}; }
inline void store(float* p, Vec x) { FRUGAL_LANES vst1q_f32(p + 4 * i, x.v[i]); }
inline Vec splat(float x) {
  const float32x4_t all = vdupq_n_f32(x);
  return {{all, all, all, all}};
}
inline Vec add(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vaddq_f32(a.v[i], b.v[i]);
  return a;
}
inline Vec sub(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vsubq_f32(a.v[i], b.v[i]);
  return a;
}
inline Vec mul(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vmulq_f32(a.v[i], b.v[i]);
  return a;
}
inline Vec divide(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vdivq_f32(a.v[i], b.v[i]);
  return a;
}
inline Vec fma(Vec a, Vec b, Vec c) {
  FRUGAL_LANES a.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
  return a;
}
// By comparison, not by vmaxq: where a is NaN the result is b, as on the other paths.
inline Vec greater(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
  return a;
}
inline Vec smaller(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
  return a;
}
inline Vec magnitude(Vec a) {
  FRUGAL_LANES a.v[i] = vabsq_f32(a.v[i]);
  return a;
}
inline Vec nearest(Vec a) {
  FRUGAL_LANES a.v[i] = vrndnq_f32(a.v[i]);
  return a;
}
inline Vec zero_below(Vec x, Vec test, Vec limit) {
  FRUGAL_LANES x.v[i] =
      vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x.v[i]), vcgeq_f32(test.v[i], limit.v[i])));
  return x;
}
inline Vec scale_by_power(Vec x, Vec n) {
  FRUGAL_LANES {
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23);
    x.v[i] = vmulq_f32(x.v[i], vreinterpretq_f32_s32(power));
  }
  return x;
}
inline float sum(Vec x) {
  const float32x4_t a = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
  const float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
  return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
inline float greatest(Vec x) {
  const Vec a = greater(x, {{x.v[2], x.v[3], x.v[2], x.v[3]}});
  float lanes[8];
  vst1q_f32(lanes, a.v[0]), vst1q_f32(lanes + 4, a.v[1]);
  for (int width = 4; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}
inline Vec load_half(const std::uint8_t* p) {
  Vec r;
  FRUGAL_LANES r.v[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i)));
  return r;
}
inline Vec load_bf16(const std::uint8_t* p) {
  const uint32x4_t low = vreinterpretq_u32_u8(vld1q_u8(p)), high = vreinterpretq_u32_u8(vld1q_u8(p + 16));
  const uint32x4_t upper = vdupq_n_u32(0xFFFF0000U);
  return {{vreinterpretq_f32_u32(vshlq_n_u32(low, 16)), vreinterpretq_f32_u32(vshlq_n_u32(high, 16)),
           vreinterpretq_f32_u32(vandq_u32(low, upper)), vreinterpretq_f32_u32(vandq_u32(high, upper))}};
}
inline void store_half(std::uint8_t* p, Vec x) {
  FRUGAL_LANES vst1_u8(p + 8 * i, vreinterpret_u8_f16(vcvt_f16_f32(x.v[i])));
}
inline Vec load_bytes(const std::uint8_t* p) {
  const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
/// Whole values in [-127, 127] to bytes.
inline void store_bytes(std::uint8_t* p, Vec x) {
  int16x4_t words[4];
  FRUGAL_LANES words[i] = vmovn_s32(vcvtnq_s32_f32(x.v[i]));
  const int8x8_t low = vmovn_s16(vcombine_s16(words[0], words[1])), high = vmovn_s16(vcombine_s16(words[2], words[3]));
  vst1q_u8(p, vreinterpretq_u8_s8(vcombine_s8(low, high)));
}
#undef FRUGAL_LANES

#else

struct Vec {
  float v[16];
};
#define FRUGAL_LANES for (int i = 0; i < 16; ++i)
inline Vec load(const float* p) {
  Vec r;
  FRUGAL_LANES r.v[i] = p[i];
  return r;
}
inline void store(float* p, Vec x) { FRUGAL_LANES p[i] = x.v[i]; }
inline Vec splat(float x) {
  Vec r;
  FRUGAL_LANES r.v[i] = x;
  return r;
}
inline Vec add(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] + b.v[i];
  return a;
}
inline Vec sub(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] - b.v[i];
  return a;
}
inline Vec mul(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] * b.v[i];
  return a;
}
inline Vec divide(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] / b.v[i];
  return a;
}
inline Vec fma(Vec a, Vec b, Vec c) {
  FRUGAL_LANES a.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return a;
}
inline Vec greater(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline Vec smaller(Vec a, Vec b) {
  FRUGAL_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline Vec magnitude(Vec a) {
  FRUGAL_LANES a.v[i] = std::fabs(a.v[i]);
  return a;
}
inline Vec nearest(Vec a) {
  FRUGAL_LANES a.v[i] = std::nearbyint(a.v[i]);
  return a;
}
inline Vec zero_below(Vec x, Vec test, Vec limit) {
  FRUGAL_LANES x.v[i] = test.v[i] >= limit.v[i] ? x.v[i] : 0.0F;
  return x;
}
inline Vec scale_by_power(Vec x, Vec n) {
  FRUGAL_LANES x.v[i] *= std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<int>(n.v[i]) + 127) << 23);
  return x;
}
inline float sum(Vec x) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) x.v[i] = x.v[i] + x.v[i + width];
  return x.v[0];
}
inline float greatest(Vec x) {
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) x.v[i] = x.v[i] > x.v[i + width] ? x.v[i] : x.v[i + width];
  return x.v[0];
}
inline Vec load_half(const std::uint8_t* p) {
  Vec r;
  FRUGAL_LANES r.v[i] = model::half_to_float(static_cast<std::uint16_t>(p[2 * i] | p[2 * i + 1] << 8));
  return r;
}
inline Vec load_bf16(const std::uint8_t* p) {
  Vec r;
  FRUGAL_LANES {
    const std::uint8_t* at = p + i % 8 * 4 + i / 8 * 2;
    r.v[i] = model::bf16_to_float(static_cast<std::uint16_t>(at[0] | at[1] << 8));
  }
  return r;
}
inline void store_half(std::uint8_t* p, Vec x) {
  FRUGAL_LANES {
    const std::uint16_t h = model::float_to_half(x.v[i]);
    p[2 * i] = static_cast<std::uint8_t>(h), p[2 * i + 1] = static_cast<std::uint8_t>(h >> 8);
  }
}
inline Vec load_bytes(const std::uint8_t* p) {
  Vec r;
  FRUGAL_LANES r.v[i] = static_cast<float>(static_cast<std::int8_t>(p[i]));
  return r;
}
inline void store_bytes(std::uint8_t* p, Vec x) {
  FRUGAL_LANES p[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(x.v[i]));
}
#undef FRUGAL_LANES

#endif

struct ByteSums {
  std::int32_t low, high;
};

/// Rounds 32 values in [-127, 127] to the nearest whole ones, as bytes at `to`; the sums of the first and last 16.
inline ByteSums store_rounded(std::uint8_t* to, Vec low, Vec high) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m512i a = _mm512_cvtps_epi32(low), b = _mm512_cvtps_epi32(high);
  const __m256i bytes = _mm256_setr_m128i(_mm512_cvtepi32_epi8(a), _mm512_cvtepi32_epi8(b));
#else
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(low.a), _mm256_cvtps_epi32(low.b));
  const __m256i more = _mm256_packs_epi32(_mm256_cvtps_epi32(high.a), _mm256_cvtps_epi32(high.b));
  const __m256i bytes =
      _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
  // Differences to -128 summed eight at a time.
  const __m256i sums = _mm256_sad_epu8(_mm256_xor_si256(bytes, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
  const __m256i halves = _mm256_add_epi32(sums, _mm256_unpackhi_epi64(sums, sums));
  return {_mm_cvtsi128_si32(_mm256_castsi256_si128(halves)) - 16 * 128,
          _mm_cvtsi128_si32(_mm256_extracti128_si256(halves, 1)) - 16 * 128};
#elif defined(FRUGAL_NEON)
  store_bytes(to, nearest(low)), store_bytes(to + 16, nearest(high));
  return {vaddlvq_s8(vreinterpretq_s8_u8(vld1q_u8(to))), vaddlvq_s8(vreinterpretq_s8_u8(vld1q_u8(to + 16)))};
#else
  store_bytes(to, nearest(low)), store_bytes(to + 16, nearest(high));
  ByteSums sums{0, 0};
  for (int i = 0; i < 16; ++i)
    sums.low += static_cast<std::int8_t>(to[i]), sums.high += static_cast<std::int8_t>(to[16 + i]);
  return sums;
#endif
}

/// to[c, r] = from[r, c] for 8 x 8.
inline void transpose(const float* from, std::size_t from_stride, float* to, std::size_t to_stride) {
#if defined(__AVX2__)
  for (int c = 0; c < 8; c += 4) {
    __m256 rows[4];  // rows[r]: columns c to c + 3 of row r, then of row r + 4
    for (int r = 0; r < 4; ++r)
      rows[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + r * from_stride + c)),
                                     _mm_loadu_ps(from + (r + 4) * from_stride + c), 1);
    const __m256 a = _mm256_unpacklo_ps(rows[0], rows[1]), b = _mm256_unpackhi_ps(rows[0], rows[1]);
    const __m256 d = _mm256_unpacklo_ps(rows[2], rows[3]), e = _mm256_unpackhi_ps(rows[2], rows[3]);
    _mm256_storeu_ps(to + c * to_stride, _mm256_shuffle_ps(a, d, 0x44));
    _mm256_storeu_ps(to + (c + 1) * to_stride, _mm256_shuffle_ps(a, d, 0xEE));
    _mm256_storeu_ps(to + (c + 2) * to_stride, _mm256_shuffle_ps(b, e, 0x44));
    _mm256_storeu_ps(to + (c + 3) * to_stride, _mm256_shuffle_ps(b, e, 0xEE));
  }
#else
  for (std::size_t r = 0; r < 8; ++r)
    for (std::size_t c = 0; c < 8; ++c) to[c * to_stride + r] = from[r * from_stride + c];
#endif
}

}  // namespace
}  // namespace frugal::cpu
