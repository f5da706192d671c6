// 16-bit floats as the kernels read and store them.
#include "cuda/numbers.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <random>

#include "model/half.hpp"

namespace frugal::cuda {
namespace {

bool is_nan(float x) { return std::isnan(x); }

TEST_CASE("every 16-bit float is read as it is everywhere else, and stored as itself") {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto h = static_cast<std::uint16_t>(bits);
    const float half = to_float(Half{h}), bf16 = to_float(Bf16{h});
    REQUIRE(bits_of(half) == bits_of(model::half_to_float(h)));
    REQUIRE(bits_of(bf16) == bits_of(model::bf16_to_float(h)));
    REQUIRE((is_nan(half) ? is_nan(to_float(rounded<Half>(half))) : rounded<Half>(half).bits == h));
    REQUIRE((is_nan(bf16) ? is_nan(to_float(rounded<Bf16>(bf16))) : rounded<Bf16>(bf16).bits == h));
  }
}

/// Nearest of two neighbours, the even one where both are as near.
template <class T>
void rounds_to_nearest(float x, float largest) {
  const T got = rounded<T>(x);
  const double error = std::abs(static_cast<double>(to_float(got)) - static_cast<double>(x));
  for (const int step : {-1, 1}) {
    const T other{static_cast<std::uint16_t>(got.bits + step)};
    const double value = static_cast<double>(to_float(other));
    if (!(std::abs(value) <= static_cast<double>(largest))) continue;
    const double theirs = std::abs(value - static_cast<double>(x));
    REQUIRE(error <= theirs);
    if (error == theirs) REQUIRE(got.bits % 2 == 0);
  }
}

TEST_CASE("floats are stored as the nearest 16-bit float, ties to even") {
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    const float x = float_of(static_cast<std::uint32_t>(random()));
    if (!std::isfinite(x)) continue;
    if (std::abs(x) < 65504.0F) rounds_to_nearest<Half>(x, 65504.0F);
    if (std::abs(x) < 3e38F) rounds_to_nearest<Bf16>(x, 3.38e38F);
  }
  for (std::uint32_t bits = 0x3800U; bits < 0x7BFFU; ++bits) {  // halfway between neighbours
    const float a = model::half_to_float(static_cast<std::uint16_t>(bits));
    const float b = model::half_to_float(static_cast<std::uint16_t>(bits + 1));
    REQUIRE(rounded<Half>(a + (b - a) / 2).bits == (bits + bits % 2));
  }
  CHECK(rounded<Half>(65519.0F).bits == 0x7BFFU);
  CHECK(rounded<Half>(65520.0F).bits == 0x7C00U);
  CHECK(rounded<Bf16>(float_of(0x7F7FFFFFU)).bits == 0x7F80U);
}

}  // namespace
}  // namespace frugal::cuda
