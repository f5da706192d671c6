// Writes the seeds the model readers' fuzzers start from: small valid files of every kind, and a few that lie.
// make_corpus tests/fuzz/corpus
#include <cstdio>
#include <filesystem>

#include "support/switches.hpp"
#include "support/tiny_model.hpp"
#include "support/write_gguf.hpp"
#include "support/write_safetensors.hpp"

namespace {

using namespace frugal;
using testing::Blob;
using testing::TinyModelOptions;
namespace fs = std::filesystem;

TinyModelOptions smallest(std::string_view architecture) {
  TinyModelOptions o;
  o.layers = 1, o.heads = 2, o.kv_heads = 1, o.d_ff = 32, o.vocab = 4, o.context = 16, o.tokenizer = false;
  o.architecture = architecture;
  o.qkv_bias = architecture.starts_with("qwen2"), o.qk_norm = architecture == "qwen3" || architecture == "gemma3";
  if (architecture == "gemma2") o.spec = testing::like_gemma2;
  if (architecture == "gemma3") o.spec = testing::like_gemma3;
  if (architecture == "qwen2moe") o.spec = testing::like_qwen2moe;
  o.embedding = o.attention = o.feed_forward = DType::q4_0;
  if (architecture == "qwen2moe") o.feed_forward = DType::f16;
  return o;
}

BpeVocabulary small_vocabulary() {
  BpeVocabulary v;
  v.tokens = {"H", "e", "He", "<|im_end|>"};
  v.kinds = {BpeVocabulary::Kind::normal, BpeVocabulary::Kind::normal, BpeVocabulary::Kind::normal,
             BpeVocabulary::Kind::control};
  v.merges = {{"H", "e"}};
  v.eos = 3;
  return v;
}

void write_gguf_seeds(const fs::path& folder) {
  const BpeVocabulary small = small_vocabulary(), bytes = testing::byte_vocabulary();
  for (const char* architecture : {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "qwen2moe", "phi3"}) {
    ModelParts parts = testing::tiny_parts(smallest(architecture));
    parts.chat_template = "{{ messages[0]['content'] }}";
    testing::write_gguf(folder / (std::string(architecture) + ".gguf"), parts, &small);
  }
  testing::GgufWriter vocabulary;
  vocabulary.add("tokenizer.ggml.model", "gpt2")
      .add("tokenizer.ggml.pre", "gpt-2")
      .add("tokenizer.ggml.tokens", bytes.tokens);
  vocabulary.add("tokenizer.ggml.merges", std::vector<std::string>{});
  testing::write_file(folder / "vocabulary.gguf", vocabulary.bytes());
  testing::GgufWriter pieces;
  pieces.add("tokenizer.ggml.model", "llama")
      .add("tokenizer.ggml.tokens",
           std::vector<std::string>{"<unk>", "<s>", "</s>", "<0x41>", "\xE2\x96\x81", "H", "\xE2\x96\x81H"});
  pieces.add("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, 0, -1, -2, -3});
  pieces.add("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 6, 1, 1, 1});
  pieces.add("tokenizer.ggml.bos_token_id", 1U).add("tokenizer.ggml.eos_token_id", 2U);
  testing::write_file(folder / "pieces.gguf", pieces.bytes());
  for (int id = 0; id <= static_cast<int>(DType::iq1_m); ++id) {
    const auto type = static_cast<DType>(id);
    const std::uint64_t cols = block_shape(type).values;
    const Blob data = testing::random_blocks(type, cols, 1.0F, 1);
    testing::GgufWriter out;
    out.add(Tensor{"t", type, 1, cols, data});
    testing::write_file(folder / ("type_" + std::string(to_string(type)) + ".gguf"), out.bytes());
  }
  testing::GgufWriter lies;
  lies.add_raw("k", 9, Blob(12, std::byte{8})).add_raw_tensor("t", 0, {1ULL << 62, 4}, Blob(4));
  testing::write_file(folder / "lies.gguf", lies.bytes());
}

void write_safetensors_seeds(const fs::path& folder) {
  TinyModelOptions options = smallest("llama");
  options.embedding = DType::f16, options.attention = DType::bf16, options.feed_forward = DType::f16;
  std::vector<Tensor> tensors = testing::hf_named(testing::tiny_parts(options).tensors);
  tensors.resize(4);
  testing::write_file(folder / "plain.safetensors", testing::safetensors_bytes(tensors));
  testing::write_file(folder / "unaligned.safetensors", testing::safetensors_bytes(tensors, 3));
  testing::write_file(
      folder / "lies.safetensors",
      testing::safetensors_blob(R"({"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", {}));
  testing::write_file(folder / "deep.safetensors", testing::safetensors_blob(std::string(2000, '['), {}));
}

void write_config_seeds(const fs::path& folder) {
  const DecoderSpec spec = testing::tiny_parts().spec;
  testing::write_file(
      folder / "llama3.json",
      testing::hf_config(spec, "llama",
                         R"(,"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,)"
                         R"("original_max_position_embeddings":8192})"));
  testing::write_file(folder / "mistral.json", testing::hf_config(spec, "mistral", R"(,"sliding_window":64)"));
  testing::write_file(
      folder / "qwen2.json",
      testing::hf_config(spec, "qwen2", R"(,"use_sliding_window":true,"max_window_layers":0,"sliding_window":64)"));
  const auto seed = [&](const char* type, const char* extra) {
    testing::write_file(folder / (std::string(type) + ".json"), testing::hf_config(spec, type, extra));
  };
  seed(
      "gemma2",
      R"(,"hidden_activation":"gelu_pytorch_tanh","attn_logit_softcapping":50.0,"final_logit_softcapping":30.0,"query_pre_attn_scalar":8,"sliding_window":16)");
  seed("gemma3_text",
       R"(,"sliding_window":16,"layer_types":["sliding_attention","full_attention"],"rope_local_base_freq":1e4)");
  seed(
      "phi3",
      R"(,"original_max_position_embeddings":128,"rope_scaling":{"type":"longrope","long_factor":[1,2,3,4],"short_factor":[1,1,1,1]})");
  seed("mixtral", R"(,"num_local_experts":4,"num_experts_per_tok":2)");
  seed(
      "qwen2_moe",
      R"(,"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,"shared_expert_intermediate_size":64,"norm_topk_prob":false,"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":128})");
  testing::write_file(folder / "qwen3.json",
                      testing::hf_config(spec, "qwen3", R"(,"rope_parameters":{"rope_type":"linear","factor":2})"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: make_corpus FOLDER\n"), 2;
  const fs::path root = argv[1];
  for (const char* name : {"gguf", "safetensors", "hf_config"}) fs::create_directories(root / name);
  write_gguf_seeds(root / "gguf");
  write_safetensors_seeds(root / "safetensors");
  write_config_seeds(root / "hf_config");
}
