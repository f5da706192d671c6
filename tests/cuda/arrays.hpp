// Arrays for tests of kernels: of any element type, filled at random; and ranges of addresses that are larger than the
// memory, of which only what is touched is there.
#pragma once

#include <catch2/catch_test_macros.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda/kernels.hpp"

namespace frugal::cuda::testing {

template <class T>
inline constexpr Element element_of = Element::f32;
template <>
inline constexpr Element element_of<Bf16> = Element::bf16;
template <>
inline constexpr Element element_of<Half> = Element::f16;

inline std::uint32_t bits_of_element(float x) { return bits_of(x); }
inline std::uint32_t bits_of_element(Bf16 x) { return x.bits; }
inline std::uint32_t bits_of_element(Half x) { return x.bits; }

template <class T>
std::vector<T> random_elements(std::size_t n, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0F, 1.5F);
  std::vector<T> out(n);
  for (T& x : out) x = rounded<T>(normal(random));
  return out;
}

inline std::size_t any_of(std::mt19937_64& random, std::size_t low, std::size_t high) {
  return low + random() % (high - low + 1);
}

/// `bytes` of addresses, zero where nothing was written; memory is taken page by page as it is touched.
class Vast {
 public:
  explicit Vast(std::size_t bytes) : bytes_(bytes) {
    at_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at_ == MAP_FAILED) SKIP("this system gives no range of " << (bytes >> 30) << " GiB");
  }
  ~Vast() { munmap(at_, bytes_); }
  Vast(const Vast&) = delete;
  Vast& operator=(const Vast&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(at_);
  }

 private:
  void* at_;
  std::size_t bytes_;
};

}  // namespace frugal::cuda::testing
