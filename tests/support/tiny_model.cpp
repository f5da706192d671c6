#include "support/tiny_model.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "model/half.hpp"
#include "model/validate.hpp"

namespace frugal::testing {
namespace {

/// splitmix64: the sequence is the same with every standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
  }
  float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24F; }
  /// Mean 0, deviation 1: the sum of three uniforms.
  float bell() { return (uniform() + uniform() + uniform() - 1.5F) * 2.0F; }

 private:
  std::uint64_t state_;
};

void put_half(std::byte* at, float value) {
  const std::uint16_t h = model::float_to_half(value);
  std::memcpy(at, &h, sizeof h);
}

/// In the upper nibbles of four words, the lowest first.
void put_spread_half(std::byte* at, float value) {
  const std::uint32_t h = model::float_to_half(value);
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::byte& upper = at[2 * i + 1];
    upper = (upper & std::byte{15}) | static_cast<std::byte>((h >> 4 * i & 15) << 4);
  }
}

/// Where a quantised block keeps its scale and minimum (-1: none), what deviation random quants have at scale 1, and
/// the minimum that centres them.
struct BlockStats {
  int scale_at, min_at;
  float deviation, centre;
};

BlockStats stats_of(DType type) {
  switch (type) {
    case DType::q4_0:
      return {0, -1, 4.6F, 0};
    case DType::q4_1:
      return {0, 2, 4.6F, -7.5F};
    case DType::q5_0:
      return {0, -1, 9.2F, 0};
    case DType::q5_1:
      return {0, 2, 9.2F, -15.5F};
    case DType::q8_0:
      return {0, -1, 74.0F, 0};
    case DType::q2_k:
      return {80, 82, 13.9F, 1.5F};
    case DType::q3_k:
      return {108, -1, 43.0F, 0};
    case DType::q4_k:
      return {0, 2, 258.0F, 7.5F};
    case DType::q5_k:
      return {0, 2, 540.0F, 15.5F};
    case DType::q6_k:
      return {208, -1, 170.0F, 0};
    case DType::iq4_nl:
      return {0, -1, 70.0F, 0};
    case DType::iq4_xs:
      return {0, -1, 1290.0F, 0};
    case DType::iq2_xxs:
    case DType::iq2_xs:
    case DType::iq2_s:
      return {0, -1, 55.0F, 0};
    case DType::iq3_xxs:
    case DType::iq3_s:
      return {0, -1, 141.0F, 0};
    case DType::iq1_s:
    case DType::iq1_m:
      return {0, -1, 7.2F, 0};
    default:
      return {-1, -1, 1, 0};
  }
}

void fill_float(DType type, std::byte* at, float value) {
  if (type == DType::f32) std::memcpy(at, &value, sizeof value);
  if (type == DType::f16) put_half(at, value);
  if (type == DType::bf16) {
    const auto h = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
    std::memcpy(at, &h, sizeof h);
  }
}

void fill_block(DType type, std::byte* at, float deviation, Random& random) {
  const BlockShape shape = block_shape(type);
  if (shape.values == 1) return fill_float(type, at, random.bell() * deviation);
  for (std::uint32_t i = 0; i < shape.bytes; ++i) at[i] = static_cast<std::byte>(random.bits() & 0xFF);
  if (type == DType::q6_k)  // signed scales of -16..15 keep d a normal half
    for (int i = 192; i < 208; ++i) at[i] = static_cast<std::byte>(static_cast<int>(random.bits() & 31) - 16);
  const BlockStats stats = stats_of(type);
  const float d = deviation / stats.deviation * (0.5F + random.uniform());
  type == DType::iq1_m ? put_spread_half(at + 48, d) : put_half(at + stats.scale_at, d);
  if (stats.min_at >= 0) put_half(at + stats.min_at, d * stats.centre);
}

void fill(DType type, std::span<std::byte> data, float deviation, Random& random) {
  const BlockShape shape = block_shape(type);
  for (std::size_t at = 0; at < data.size(); at += shape.bytes) fill_block(type, data.data() + at, deviation, random);
}

bool contains_any(std::string_view name, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts)
    if (name.find(part) != std::string_view::npos) return true;
  return false;
}

DType type_of(const TinyModelOptions& o, const model::Wanted& want) {
  DType type = DType::f32;  // norms and biases
  if (want.name == "token_embd.weight") type = o.embedding;
  if (want.name == "output.weight") type = o.head;
  if (want.rows > 1 && contains_any(want.name, {".attn_"})) type = o.attention;
  if (want.rows > 1 && contains_any(want.name, {".ffn_"})) type = o.feed_forward;
  return o.dtype ? o.dtype(want.name, type) : type;
}

DecoderSpec spec_of(const TinyModelOptions& o) {
  DecoderSpec spec;
  spec.architecture = o.architecture;
  spec.layers = o.layers, spec.d_model = o.d_model, spec.d_ff = o.d_ff;
  spec.heads = o.heads, spec.kv_heads = o.kv_heads;
  spec.head_dim = o.head_dim != 0 ? o.head_dim : o.d_model / o.heads;
  spec.vocab = o.vocab, spec.context = o.context;
  spec.rope_layout = o.rope_layout, spec.rope_dims = spec.head_dim, spec.rope_divisors = o.rope_divisors;
  spec.qkv_bias = o.qkv_bias, spec.qk_norm = o.qk_norm, spec.tied_head = o.tied_head,
  spec.sliding_window = o.sliding_window;
  if (o.spec) o.spec(spec);
  return spec;
}

/// One 64-byte aligned buffer for all tensors, as a mapped file would be.
struct Storage {
  explicit Storage(std::size_t n) : bytes(static_cast<std::byte*>(::operator new (n, std::align_val_t{64}))), size(n) {}
  ~Storage() { ::operator delete (bytes, std::align_val_t{64}); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* bytes;
  std::size_t size;
};

std::size_t round_up(std::size_t n) { return (n + 63) / 64 * 64; }

/// Norm weights are near 1 (times logit_scale for the last), matrices keep the deviation of what flows through them.
void fill_tensor(const TinyModelOptions& o, const Tensor& t, std::span<std::byte> data, Random& random) {
  if (t.name.find("norm") != std::string::npos && block_shape(t.type).values == 1) {
    const float scale = t.name == "output_norm.weight" ? o.logit_scale : 1.0F;
    const std::size_t width = block_shape(t.type).bytes;
    for (std::size_t at = 0; at < data.size(); at += width)
      fill_float(t.type, data.data() + at, scale * (1.0F + 0.1F * random.bell()));
    return;
  }
  const bool bias = t.name.ends_with(".bias");
  fill(t.type, data, bias ? 0.1F : 1.0F / std::sqrt(static_cast<float>(t.cols)), random);
}

}  // namespace

std::vector<std::byte> random_blocks(DType type, std::uint64_t values, float deviation, std::uint64_t seed) {
  std::vector<std::byte> data(values / block_shape(type).values * block_shape(type).bytes);
  Random random(seed);
  fill(type, data, deviation, random);
  return data;
}

BpeVocabulary byte_vocabulary() {
  BpeVocabulary v;
  int next = 256;
  for (int b = 0; b < 256;
       ++b) {  // GPT-2's alphabet: printable Latin-1 stands for itself, the rest moves to U+0100 and up
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const int c = printable ? b : next++;
    v.tokens.push_back(c < 128 ? std::string(1, static_cast<char>(c))
                               : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))});
  }
  v.kinds.assign(256, BpeVocabulary::Kind::normal);
  for (const char* special : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    v.tokens.emplace_back(special);
    v.kinds.push_back(BpeVocabulary::Kind::control);
  }
  v.bos = 256, v.eos = 257, v.eot = 257, v.end_tokens = {257, 258};
  return v;
}

ModelParts tiny_parts(const TinyModelOptions& o) {
  ModelParts parts;
  parts.name = "tiny-" + std::to_string(o.seed);
  parts.spec = spec_of(o);
  std::size_t size = 0;
  for (const model::Wanted& want : model::wanted_tensors(parts.spec)) {
    Tensor& t = parts.tensors.emplace_back(Tensor{want.name, type_of(o, want), want.rows, want.cols, {}});
    size += round_up(t.rows * t.row_bytes());
  }
  const auto storage = std::make_shared<Storage>(size);
  std::size_t at = 0;
  Random random(o.seed);
  for (Tensor& t : parts.tensors) {
    const std::span data(storage->bytes + at, t.rows * t.row_bytes());
    fill_tensor(o, t, data, random);
    t.data = data;
    at += round_up(data.size());
  }
  parts.storage = storage;
  if (o.tokenizer) {
    parts.tokenizer = std::make_shared<const Tokenizer>(byte_vocabulary());
    parts.chat_template = std::string(ChatTemplate::chatml());
  }
  return parts;
}

std::shared_ptr<const Model> tiny_model(const TinyModelOptions& options) {
  return std::make_shared<const Model>(tiny_parts(options));
}

}  // namespace frugal::testing
