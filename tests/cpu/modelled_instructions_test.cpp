// The instructions in software against the processor's own, where it has them: each of random and of odd numbers.
#include "model/half.hpp"

#include <catch2/catch_test_macros.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "cpu/modelled/immintrin.h"

// What steps.inc is written in. It is compiled twice: with the compiler's intrinsics and with the model's.
#define F(p) _mm256_loadu_ps(p)
#define I(p) _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
#define FS(p) _mm_loadu_ps(p)
#define IS(p) _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))
#define PUT_F(v) _mm256_storeu_ps(out, v)
#define PUT_I(v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), v)
#define PUT_IS(v) _mm_storeu_si128(reinterpret_cast<__m128i*>(out), v)
#define PUT_FS(v) PUT_F(_mm256_insertf128_ps(F(a), v, 0))
#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define W(p) _mm512_loadu_ps(p)
#define WI(p) _mm512_load_si512(p)
#define PUT_W(v) _mm512_storeu_ps(out, v)
#define PUT_WI(v) _mm512_store_si512(out, v)

namespace {

/// The same step twice.
struct Step {
  const char* name;
  void (*native)(const float* a, const float* b, const float* c, float* out);
  void (*modelled)(const float* a, const float* b, const float* c, float* out);
};

struct alignas(64) Numbers {
  float x[16];
};

/// Random words; with `finite` numbers whose products and sums stay so.
Numbers random_numbers(std::mt19937& random, bool finite) {
  static constexpr float odd[] = {0.0F,           -0.0F, 1e-40F, -1e-45F, 65504.0F, 65520.0F, 5.9e-8F, 2147483520.0F,
                                  -2147483648.0F, 0.5F,  1.5F,   2.5F,    -0.5F,    3e38F,    6.1e-5F, -1e10F};
  Numbers n;
  for (float& x : n.x) {
    const auto word = static_cast<std::uint32_t>(random());
    x = random() % 4 == 0 ? odd[random() % 16] : std::bit_cast<float>(word);
    if (finite && (!std::isfinite(x) || std::fabs(x) > 1e18F || std::fabs(x) < 1e-18F))
      x = std::bit_cast<float>(0x3F800000U | (word & 0x807FFFFFU));
  }
  return n;
}

[[maybe_unused]] void compare(const std::vector<Step>& steps, bool finite) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    const Numbers a = random_numbers(random, finite), b = random_numbers(random, finite),
                  c = random_numbers(random, finite);
    for (const Step& step : steps) {
      Numbers native{}, modelled{};
      step.native(a.x, b.x, c.x, native.x), step.modelled(a.x, b.x, c.x, modelled.x);
      CAPTURE(std::string(step.name), i);
      REQUIRE(std::memcmp(&native, &modelled, sizeof native) == 0);
    }
  }
}

}  // namespace

#define ARGUMENTS                                                                                    \
  [[maybe_unused]] const float *a, [[maybe_unused]] const float *b, [[maybe_unused]] const float *c, \
      [[maybe_unused]] float *out
namespace frugal::cpu {
namespace {
namespace modelled {
#define FINITE_256(name, step) \
  [[maybe_unused]] void name(ARGUMENTS) { step; }
#define ANY_256 FINITE_256
#define FINITE_512(name, step) FINITE_256(wide_##name, step)
#define ANY_512 FINITE_512
#include "cpu/modelled/steps.inc"
#undef FINITE_256
#undef FINITE_512
}  // namespace modelled
}  // namespace
}  // namespace frugal::cpu

#if defined(__x86_64__)
namespace {
namespace native {
#define FINITE_256(name, step) \
  [[gnu::target("avx2,fma,f16c")]] void name(ARGUMENTS) { step; }
#define FINITE_512(name, step)                                                                                \
  [[gnu::target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]] void wide_##name( \
      ARGUMENTS) {                                                                                            \
    step;                                                                                                     \
  }
#include "cpu/modelled/steps.inc"
#undef FINITE_256
#undef FINITE_512
#undef ANY_256
#undef ANY_512
}  // namespace native

std::vector<Step> steps(int bits, bool finite) {
  std::vector<Step> chosen;
  const auto add = [&](bool take, Step step) {
    if (take) chosen.push_back(step);
  };
#define FINITE_256(name, step) add(bits == 256 && finite, {#name, native::name, frugal::cpu::modelled::name});
#define ANY_256(name, step) add(bits == 256 && !finite, {#name, native::name, frugal::cpu::modelled::name});
#define FINITE_512(name, step) \
  add(bits == 512 && finite, {#name, native::wide_##name, frugal::cpu::modelled::wide_##name});
#define ANY_512(name, step) \
  add(bits == 512 && !finite, {#name, native::wide_##name, frugal::cpu::modelled::wide_##name});
#include "cpu/modelled/steps.inc"
  return chosen;
}

void compare_all(int bits) {
  for (const bool finite : {true, false}) compare(steps(bits, finite), finite);
}
}  // namespace

TEST_CASE("Every modelled instruction of 128 and 256 bits gives the processor's bits") {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
    SKIP("this processor has no AVX2");
  compare_all(256);
}

TEST_CASE("Every modelled instruction of 512 bits gives the processor's bits") {
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bf16"))
    SKIP("this processor has no AVX-512 with VNNI and bf16");
  compare_all(512);
}
#endif

TEST_CASE("The modelled conversions of fp16 and bf16 are the file formats' own, for every half and both neighbours") {
  using namespace frugal::cpu;
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const auto half = static_cast<std::uint16_t>(h);
    const float x = half_number(half);
    if (std::isnan(x)) continue;
    REQUIRE(std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(frugal::model::half_to_float(half)));
    REQUIRE(half_of(x) == half);
    for (const float near : {std::nextafter(x, 1e38F), std::nextafter(x, -1e38F), x * 1.00048828125F})
      REQUIRE(half_of(near) == frugal::model::float_to_half(near));
    const float wide = frugal::model::bf16_to_float(half);
    if (std::fabs(wide) >= 1.17549435e-38F && std::isfinite(wide)) REQUIRE(bf16_number(wide) == half);
  }
}
