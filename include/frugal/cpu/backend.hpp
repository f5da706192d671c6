// cpu_backend: the embedded default. Own quantised kernels, no dependency, threads only as the caller says; identical
// bits for a row whatever the batch, chunk, thread count or page size.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <memory>

namespace frugal {

enum class KvType : std::uint8_t { fp16, fp32, int8 };

/// In which numbers the rows of prompts meet the weights.
enum class PromptArithmetic : std::uint8_t {
  exact,  ///< as all other rows: a token has the same bits in a prompt and in an answer
  /// bf16, by the tile unit of processors that have one (AMX): prompts take about half the time. Chunks, cached
  /// prefixes and the batch still change no bits, and neither do drafts. But a token's keys and values have other bits
  /// where it came in a prompt than where it was generated: so a conversation that goes on over the cached pages of its
  /// own answers is not bit for bit the one that computes them anew. On other processors the same as exact;
  /// BackendTraits::device tells.
  bf16,
};

/// What becomes of weights that nobody quantised: F16, BF16 and F32.
enum class FloatWeights : std::uint8_t {
  kept,  ///< they are computed as they are, in fp32, and take the memory that they take in the file
  /// They are quantised to 8-bit blocks of 32 under one scale, as a Q8_0 file holds them: half or a quarter of the memory,
  /// and a token takes that part of the time. The answers are then those of another file. BackendTraits::device says so.
  repacked,
};

struct CpuOptions {
  unsigned threads =
      1;  ///< computing threads, the caller's own included; threads - 1 are started, at construction only
  KvType kv = KvType::fp16;  ///< element type of keys and values in the arena
  /// 16-bit activations before every quantised matrix: the file's own fp32 logits to three decimals, at half the prefill speed.
  /// Off: 8-bit ones but before the key and value matrices, where 16 cost little and matter most.
  bool fine = false;
  PromptArithmetic prompts = PromptArithmetic::exact;
  FloatWeights float_weights = FloatWeights::kept;
};

/// Throws Error(unsupported) where the machine lacks what every path needs, Error(invalid_argument) for threads = 0 and
/// for `fine` with prompts in bf16.
FRUGAL_API std::unique_ptr<Backend> cpu_backend(const CpuOptions& options = {});

}  // namespace frugal
