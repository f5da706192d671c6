// cpu_backend: the embedded default. Own quantised kernels, no dependency, threads only as the caller says; identical
// bits for a row whatever the batch, chunk, thread count or page size.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <memory>

namespace frugal {

enum class KvType : std::uint8_t { fp16, fp32, int8 };

struct CpuOptions {
  unsigned threads =
      1;  ///< computing threads, the caller's own included; threads - 1 are started, at construction only
  KvType kv = KvType::fp16;  ///< element type of keys and values in the arena
  /// 16-bit activations before every matrix: the file's own fp32 logits to three decimals, at half the prefill speed.
  /// Off: 8-bit ones but before the key and value matrices, where 16 cost little and matter most.
  bool fine = false;
};

/// Throws Error(unsupported) where the machine lacks what every path needs, Error(invalid_argument) for threads = 0.
FRUGAL_API std::unique_ptr<Backend> cpu_backend(const CpuOptions& options = {});

}  // namespace frugal
