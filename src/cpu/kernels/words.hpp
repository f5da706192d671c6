// Sixteen 32-bit lanes of four bytes each, four times: AVX-512 VNNI, two halves of AVX-VNNI, four quarters of NEON with
// dot products, or an array. The array is the software model: it lets the kernels written over these words run, in tests,
// on a machine that has none of these instructions. The including file's compile flags decide, and everything is in an unnamed namespace, as in simd.hpp.
#pragma once

#include "cpu/kernels/simd.hpp"

#include <cstring>

// The kernels over words are straight-line code after unrolling. Of the model that would be minutes of compiling.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(FRUGAL_NEON)
#define FRUGAL_HOT [[gnu::always_inline]] inline
#define FRUGAL_PRAGMA(x) _Pragma(#x)
#define FRUGAL_UNROLL(n) FRUGAL_PRAGMA(GCC unroll n)
#else
#define FRUGAL_HOT inline
#define FRUGAL_UNROLL(n)
#endif

namespace frugal::cpu {
namespace {

/// add_products takes its first bytes as signed. All sums are whole numbers, so the result is the same either way.
#if defined(FRUGAL_NEON)
inline constexpr bool signed_products = true;
#else
inline constexpr bool signed_products = false;
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

using Words = __m512i;
inline Words words_at(const std::uint8_t* p) { return _mm512_load_si512(p); }
inline void store_words(void* p, Words w) { _mm512_store_si512(p, w); }
inline Words splat_word(std::int32_t x) { return _mm512_set1_epi32(x); }
inline Words add_words(Words a, Words b) { return _mm512_add_epi32(a, b); }
inline Words either(Words a, Words b) { return _mm512_or_si512(a, b); }
inline Words differ(Words a, Words b) { return _mm512_xor_si512(a, b); }
/// Bits of each byte that are set in `mask`, after all bits of each 16 moved down or up.
template <int Down>
inline Words moved(Words w, std::uint8_t mask) {
  const Words m = _mm512_set1_epi8(static_cast<char>(mask));
  if constexpr (Down > 0) return _mm512_and_si512(_mm512_srli_epi16(w, Down), m);
  if constexpr (Down < 0) return _mm512_and_si512(_mm512_slli_epi16(w, -Down), m);
  return _mm512_and_si512(w, m);
}
/// sum + the products of each lane's 4 unsigned bytes with the 4 signed bytes at q.
inline Words add_products(Words sum, Words w, const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}
inline Vec floats_of(Words w) { return _mm512_cvtepi32_ps(w); }

#elif defined(__AVXVNNI__)

struct Words {
  __m256i a, b;
};
inline Words words_at(const std::uint8_t* p) {
  const auto* at = reinterpret_cast<const __m256i*>(p);
  return {_mm256_load_si256(at), _mm256_load_si256(at + 1)};
}
inline void store_words(void* p, Words w) {
  auto* to = static_cast<__m256i*>(p);
  _mm256_store_si256(to, w.a), _mm256_store_si256(to + 1, w.b);
}
inline Words splat_word(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Words add_words(Words x, Words y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline Words either(Words x, Words y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
inline Words differ(Words x, Words y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
template <int Down>
inline Words moved(Words w, std::uint8_t mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
  if constexpr (Down > 0)
    return {_mm256_and_si256(_mm256_srli_epi16(w.a, Down), m), _mm256_and_si256(_mm256_srli_epi16(w.b, Down), m)};
  if constexpr (Down < 0)
    return {_mm256_and_si256(_mm256_slli_epi16(w.a, -Down), m), _mm256_and_si256(_mm256_slli_epi16(w.b, -Down), m)};
  return {_mm256_and_si256(w.a, m), _mm256_and_si256(w.b, m)};
}
inline Words add_products(Words sum, Words w, const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  const __m256i x = _mm256_set1_epi32(four);
  return {_mm256_dpbusd_avx_epi32(sum.a, w.a, x), _mm256_dpbusd_avx_epi32(sum.b, w.b, x)};
}
inline Vec floats_of(Words w) { return {_mm256_cvtepi32_ps(w.a), _mm256_cvtepi32_ps(w.b)}; }

#elif defined(FRUGAL_NEON)

struct Words {
  int32x4_t v[4];
};
#define FRUGAL_LANES for (int i = 0; i < 4; ++i)
inline Words words_at(const std::uint8_t* p) {
  Words w;
  FRUGAL_LANES w.v[i] = vreinterpretq_s32_u8(vld1q_u8(p + 16 * i));
  return w;
}
inline void store_words(void* p, Words w) {
  FRUGAL_LANES vst1q_u8(static_cast<std::uint8_t*>(p) + 16 * i, vreinterpretq_u8_s32(w.v[i]));
}
inline Words splat_word(std::int32_t x) {
  const int32x4_t all = vdupq_n_s32(x);
  return {{all, all, all, all}};
}
inline Words add_words(Words a, Words b) {
  FRUGAL_LANES a.v[i] = vaddq_s32(a.v[i], b.v[i]);
  return a;
}
inline Words either(Words a, Words b) {
  FRUGAL_LANES a.v[i] = vorrq_s32(a.v[i], b.v[i]);
  return a;
}
inline Words differ(Words a, Words b) {
  FRUGAL_LANES a.v[i] = veorq_s32(a.v[i], b.v[i]);
  return a;
}
template <int Down>
inline Words moved(Words w, std::uint8_t mask) {
  const uint8x16_t m = vdupq_n_u8(mask);
  FRUGAL_LANES {
    uint16x8_t x = vreinterpretq_u16_s32(w.v[i]);
    if constexpr (Down > 0) x = vshrq_n_u16(x, Down);
    if constexpr (Down < 0) x = vshlq_n_u16(x, -Down);
    w.v[i] = vreinterpretq_s32_u8(vandq_u8(vreinterpretq_u8_u16(x), m));
  }
  return w;
}
/// As above with signed bytes in w: sdot, which every processor with dot products has.
inline Words add_products(Words sum, Words w, const std::uint8_t* q) {
  std::int32_t four;
  std::memcpy(&four, q, 4);
  const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
  FRUGAL_LANES sum.v[i] = vdotq_s32(sum.v[i], vreinterpretq_s8_s32(w.v[i]), x);
  return sum;
}
inline Vec floats_of(Words w) {
  Vec r;
  FRUGAL_LANES r.v[i] = vcvtq_f32_s32(w.v[i]);
  return r;
}
#undef FRUGAL_LANES

#else

struct Words {
  std::uint8_t bytes[64];
};
inline std::int32_t lane_of(const Words& w, int lane) {
  std::int32_t x;
  std::memcpy(&x, w.bytes + 4 * lane, 4);
  return x;
}
inline void set_lane(Words& w, int lane, std::int32_t x) { std::memcpy(w.bytes + 4 * lane, &x, 4); }
inline Words words_at(const std::uint8_t* p) {
  Words w;
  std::memcpy(w.bytes, p, 64);
  return w;
}
inline void store_words(void* p, const Words& w) { std::memcpy(p, w.bytes, 64); }
inline Words splat_word(std::int32_t x) {
  Words w;
  for (int i = 0; i < 16; ++i) set_lane(w, i, x);
  return w;
}
inline Words add_words(Words a, const Words& b) {
  for (int i = 0; i < 16; ++i) set_lane(a, i, lane_of(a, i) + lane_of(b, i));
  return a;
}
inline Words either(Words a, const Words& b) {
  for (int i = 0; i < 64; ++i) a.bytes[i] = a.bytes[i] | b.bytes[i];
  return a;
}
inline Words differ(Words a, const Words& b) {
  for (int i = 0; i < 64; ++i) a.bytes[i] = a.bytes[i] ^ b.bytes[i];
  return a;
}
template <int Down>
inline Words moved(Words w, std::uint8_t mask) {
  for (int i = 0; i < 64; i += 2) {
    const unsigned both = w.bytes[i] | w.bytes[i + 1] << 8U;
    const unsigned shifted = Down >= 0 ? both >> (Down > 0 ? Down : 0) : both << (Down < 0 ? -Down : 0);
    w.bytes[i] = static_cast<std::uint8_t>(shifted & mask);
    w.bytes[i + 1] = static_cast<std::uint8_t>(shifted >> 8U & mask);
  }
  return w;
}
inline Words add_products(Words sum, const Words& w, const std::uint8_t* q) {
  for (int i = 0; i < 16; ++i) {
    std::int32_t total = lane_of(sum, i);
    for (int k = 0; k < 4; ++k) total += w.bytes[4 * i + k] * static_cast<std::int8_t>(q[k]);
    set_lane(sum, i, total);
  }
  return sum;
}
inline Vec floats_of(const Words& w) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<float>(lane_of(w, i));
  return load(lanes);
}

#endif

}  // namespace
}  // namespace frugal::cpu
