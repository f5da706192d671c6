// Block: how a kernel of this room is written, so that the same source runs on a device and, thread after thread, on the
// host, where it is tested. A kernel is a function over a Block and memory that the block shares; it is made of phases:
//   block.each([&](std::uint32_t thread) { ... });
// A phase runs once for every thread, in any order, and all of it is done before the next one begins. What a thread keeps
// from phase to phase lies in shared memory. Between phases every thread of a device takes the same way: conditions
// around a phase may depend on shared memory only.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define FRUGAL_DEVICE __host__ __device__ inline
#else
#define FRUGAL_DEVICE inline
#endif

/// Before a loop whose arrays are to lie in registers on a device; before one whose copies would find too few of them.
#if defined(__CUDA_ARCH__)
#define FRUGAL_UNROLLED _Pragma("unroll")
#define FRUGAL_ROLLED _Pragma("unroll 1")
#else
#define FRUGAL_UNROLLED
#define FRUGAL_ROLLED
#endif

namespace frugal::cuda {

inline constexpr std::uint32_t warp = 32;

struct Block {
  std::uint32_t threads;  ///< a multiple of `warp`

  template <class Phase>
  FRUGAL_DEVICE void each(Phase phase) const {
#if defined(__CUDA_ARCH__)
    phase(threadIdx.x);
    __syncthreads();
#else
    for (std::uint32_t t = 0; t < threads; ++t) phase(t);
#endif
  }
};

// Single IEEE operations: a device would otherwise fuse a product with the sum after it.
FRUGAL_DEVICE float multiplied(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
FRUGAL_DEVICE float added(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

/// a * b + c, rounded once.
FRUGAL_DEVICE float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
FRUGAL_DEVICE float divided(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
FRUGAL_DEVICE float root(float a) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(a);
#else
  return __builtin_sqrtf(a);
#endif
}

FRUGAL_DEVICE std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
FRUGAL_DEVICE float float_of(std::uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// Adds to a shared or global number that other threads add to as well.
FRUGAL_DEVICE void add_shared(unsigned long long& to, unsigned long long value) {
#if defined(__CUDA_ARCH__)
  atomicAdd(&to, value);
#else
  to += value;
#endif
}

/// The value of a shared counter, which then goes up by one.
FRUGAL_DEVICE std::uint32_t next_of(std::uint32_t& counter) {
#if defined(__CUDA_ARCH__)
  return atomicAdd(&counter, 1U);
#else
  return counter++;
#endif
}

}  // namespace frugal::cuda
