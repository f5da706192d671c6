#include "support/write_gguf.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace frugal::testing {
namespace {

void put(Blob& out, const void* data, std::size_t size) {
  if (size == 0) return;
  const std::size_t at = out.size();
  out.resize(at + size);  // not insert: g++ 12 sees overflows in it that are none
  std::memcpy(out.data() + at, data, size);
}
template <class T>
void put(Blob& out, T value) {
  put(out, &value, sizeof value);
}
void put_text(Blob& out, std::string_view text) {
  put(out, std::uint64_t{text.size()});
  put(out, text.data(), text.size());
}
void pad(Blob& out, std::uint64_t alignment) { out.resize((out.size() + alignment - 1) / alignment * alignment); }

}  // namespace

Blob& GgufWriter::key(std::string_view name, std::uint32_t type) {
  ++metadata_count_;
  put_text(metadata_, name);
  put(metadata_, type);
  return metadata_;
}

GgufWriter& GgufWriter::add(std::string_view name, std::string_view text) {
  return put_text(key(name, 8), text), *this;
}
GgufWriter& GgufWriter::add(std::string_view name, std::uint32_t value) { return put(key(name, 4), value), *this; }
GgufWriter& GgufWriter::add(std::string_view name, std::uint16_t value) { return put(key(name, 2), value), *this; }
GgufWriter& GgufWriter::add(std::string_view name, std::int32_t value) { return put(key(name, 5), value), *this; }
GgufWriter& GgufWriter::add(std::string_view name, float value) { return put(key(name, 6), value), *this; }
GgufWriter& GgufWriter::add(std::string_view name, bool value) { return put(key(name, 7), std::uint8_t{value}), *this; }

GgufWriter& GgufWriter::add(std::string_view name, const std::vector<std::string>& texts) {
  Blob& out = key(name, 9);
  put(out, std::uint32_t{8});
  put(out, std::uint64_t{texts.size()});
  for (const std::string& text : texts) put_text(out, text);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view name, const std::vector<float>& values) {
  Blob& out = key(name, 9);
  put(out, std::uint32_t{6});
  put(out, std::uint64_t{values.size()});
  put(out, values.data(), values.size() * sizeof(float));
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view name, const std::vector<std::int32_t>& values) {
  Blob& out = key(name, 9);
  put(out, std::uint32_t{5});
  put(out, std::uint64_t{values.size()});
  put(out, values.data(), values.size() * sizeof(std::int32_t));
  return *this;
}

GgufWriter& GgufWriter::add_raw(std::string_view name, std::uint32_t type, const Blob& payload) {
  put(key(name, type), payload.data(), payload.size());
  return *this;
}

GgufWriter& GgufWriter::add(const Tensor& t) {
  std::vector<std::uint64_t> dims{t.cols};
  if (t.rows != 1) dims.push_back(t.rows);
  return add_raw_tensor(t.name, gguf_type_id(t.type), dims, Blob(t.data.begin(), t.data.end()));
}

GgufWriter& GgufWriter::add_raw_tensor(std::string_view name, std::uint32_t type,
                                       const std::vector<std::uint64_t>& dims, const Blob& data) {
  tensors_.push_back({std::string(name), type, dims, data});
  return *this;
}

Blob GgufWriter::bytes() const {
  Blob out;
  put(out, "GGUF", 4);
  put(out, version);
  put(out, std::uint64_t{tensors_.size()});
  put(out, metadata_count_);
  put(out, metadata_.data(), metadata_.size());
  std::uint64_t offset = 0;
  for (const Entry& t : tensors_) {
    put_text(out, t.name);
    put(out, static_cast<std::uint32_t>(t.dims.size()));
    for (const std::uint64_t d : t.dims) put(out, d);
    put(out, t.type);
    put(out, offset);
    offset += (t.data.size() + alignment - 1) / alignment * alignment;
  }
  for (const Entry& t : tensors_) {
    pad(out, alignment);
    put(out, t.data.data(), t.data.size());
  }
  return out;
}

std::uint32_t gguf_type_id(DType type) {
  switch (type) {
    case DType::f32:
      return 0;
    case DType::f16:
      return 1;
    case DType::bf16:
      return 30;
    case DType::q4_0:
      return 2;
    case DType::q4_1:
      return 3;
    case DType::q5_0:
      return 6;
    case DType::q5_1:
      return 7;
    case DType::q8_0:
      return 8;
    case DType::q2_k:
      return 10;
    case DType::q3_k:
      return 11;
    case DType::q4_k:
      return 12;
    case DType::q5_k:
      return 13;
    case DType::q6_k:
      return 14;
    case DType::iq4_nl:
      return 20;
    case DType::iq4_xs:
      return 23;
    case DType::iq2_xxs:
      return 16;
    case DType::iq2_xs:
      return 17;
    case DType::iq2_s:
      return 22;
    case DType::iq3_xxs:
      return 18;
    case DType::iq3_s:
      return 21;
    case DType::iq1_s:
      return 19;
    case DType::iq1_m:
      return 29;
  }
  return 0xFFFF;
}

namespace {

void add_spec(GgufWriter& out, const DecoderSpec& s) {
  const std::string a = s.architecture + ".";
  out.add("general.architecture", s.architecture);
  out.add(a + "block_count", s.layers).add(a + "context_length", s.context);
  out.add(a + "embedding_length", s.d_model).add(a + "feed_forward_length", s.d_ff);
  out.add(a + "attention.head_count", s.heads).add(a + "attention.head_count_kv", s.kv_heads);
  out.add(a + "attention.key_length", s.head_dim).add(a + "attention.value_length", s.head_dim);
  out.add(a + "attention.layer_norm_rms_epsilon", s.rms_eps);
  out.add(a + "rope.freq_base", static_cast<float>(s.rope_theta)).add(a + "rope.dimension_count", s.rope_dims);
  if (s.sliding_window != 0) out.add(a + "attention.sliding_window", s.sliding_window);
  if (s.attention_softcap != 0) out.add(a + "attn_logit_softcapping", s.attention_softcap);
  if (s.logit_softcap != 0) out.add(a + "final_logit_softcapping", s.logit_softcap);
  if (s.experts.count == 0) return;
  out.add(a + "expert_count", s.experts.count).add(a + "expert_used_count", s.experts.used);
  out.add(a + "expert_feed_forward_length", s.experts.d_ff);
  if (s.experts.shared_d_ff != 0) out.add(a + "expert_shared_feed_forward_length", s.experts.shared_d_ff);
}

std::string_view pre_name(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::gpt2:
      return "gpt-2";
    case PreTokenizer::smollm:
      return "smollm";
    case PreTokenizer::qwen2:
      return "qwen2";
    case PreTokenizer::llama3:
      return "llama-bpe";
    case PreTokenizer::tekken:
      return "tekken";
  }
  return "";
}

/// GGUF's numbers for BpeVocabulary::Kind, in its order.
constexpr std::int32_t kind_ids[] = {1, 3, 4, 5, 6};

void add_vocabulary(GgufWriter& out, const BpeVocabulary& v) {
  const std::string t = "tokenizer.ggml.";
  const bool characters = v.alphabet == BpeVocabulary::Alphabet::characters;
  out.add(t + "model", characters ? "llama" : "gpt2").add(t + "pre", characters ? "default" : pre_name(v.pre));
  out.add(t + "tokens", v.tokens);
  if (!v.kinds.empty()) {
    std::vector<std::int32_t> kinds;
    for (const auto kind : v.kinds) kinds.push_back(kind_ids[static_cast<std::size_t>(kind)]);
    out.add(t + "token_type", kinds);
  }
  std::vector<std::string> merges;
  for (const auto& [a, b] : v.merges) merges.push_back(a + " " + b);
  if (characters)
    out.add(t + "scores", v.scores)
        .add(t + "add_space_prefix", v.spaces.prefix != BpeVocabulary::Spaces::Prefix::never);
  else
    out.add(t + "merges", merges);
  out.add(t + "add_bos_token", v.add_bos).add(t + "add_eos_token", v.add_eos);
  const std::pair<const char*, std::optional<Token>> ids[] = {
      {"bos", v.bos}, {"eos", v.eos}, {"eot", v.eot}, {"padding", v.pad}, {"unknown", v.unknown}};
  for (const auto& [name, id] : ids)
    if (id) out.add(t + name + "_token_id", static_cast<std::uint32_t>(*id));
}

}  // namespace

GgufWriter gguf_header(const ModelParts& parts, const BpeVocabulary* vocabulary) {
  GgufWriter out;
  out.add("general.name", parts.name);
  add_spec(out, parts.spec);
  if (vocabulary) add_vocabulary(out, *vocabulary);
  if (parts.chat_template) out.add("tokenizer.chat_template", *parts.chat_template);
  return out;
}

Blob gguf_bytes(const ModelParts& parts, const BpeVocabulary* vocabulary) {
  GgufWriter out = gguf_header(parts, vocabulary);
  for (const Tensor& t : parts.tensors) out.add(t);
  if (const auto& d = parts.spec.rope_divisors; !d.empty())
    out.add(Tensor{"rope_freqs.weight", DType::f32, 1, d.size(), std::as_bytes(std::span(d))});
  return out.bytes();
}

void write_gguf(const std::filesystem::path& path, const ModelParts& parts, const BpeVocabulary* vocabulary) {
  write_file(path, gguf_bytes(parts, vocabulary));
}

void write_file(const std::filesystem::path& path, const Blob& bytes) {
  write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

Blob read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "frugal-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a folder like " + pattern);
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace frugal::testing
