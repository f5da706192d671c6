// tiny_model: a seeded random decoder of any shape and storage format, small enough to run a hundred times in a test.
// Same seed, same bytes on every machine. The default has a byte-level tokenizer: id b is byte b, then <|im_start|>
// 256, <|im_end|> 257 (eos), <|endoftext|> 258.
#pragma once

#include <frugal/model/model.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace frugal::testing {

struct TinyModelOptions {
  std::uint32_t layers = 2;
  std::uint32_t d_model = 32;  ///< a multiple of the block size of the dtypes below (32, or 256 for k-quants)
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 2;
  std::uint32_t head_dim = 0;  ///< 0 = d_model / heads
  std::uint32_t d_ff = 64;
  std::uint32_t vocab = 272;  ///< at least 259 with a tokenizer
  std::uint32_t context = 512;

  DType embedding = DType::f32;
  DType attention = DType::f32;     ///< q, k, v, output
  DType feed_forward = DType::f32;  ///< gate, up, down
  DType head = DType::f32;          ///< where it is not tied
  /// Asked last, with the tensor's name and the type chosen above, where set.
  std::function<DType(std::string_view name, DType chosen)> dtype{};

  std::string_view architecture = "llama";
  RopeLayout rope_layout = RopeLayout::adjacent;
  std::vector<float> rope_divisors{};
  bool qkv_bias = false;
  bool qk_norm = false;
  bool tied_head = true;
  std::uint32_t sliding_window = 0;
  std::function<void(DecoderSpec&)> spec{};  ///< changes the finished description, where set

  bool tokenizer = true;     ///< byte-level, with a ChatML template
  float logit_scale = 1.0F;  ///< of the output norm: larger = more peaked distributions
  std::uint64_t seed = 1;
};

std::shared_ptr<const Model> tiny_model(const TinyModelOptions& options = {});

/// The same before it becomes a Model, to be damaged or written to a file.
ModelParts tiny_parts(const TinyModelOptions& options = {});

/// The vocabulary of the tiny models.
BpeVocabulary byte_vocabulary();

/// Random whole blocks whose values have about the given standard deviation, for tests of one tensor.
std::vector<std::byte> random_blocks(DType type, std::uint64_t values, float deviation, std::uint64_t seed);

}  // namespace frugal::testing
