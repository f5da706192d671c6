// load_model on Hugging Face folders: config.json's dialects, one weight file or several, and what is refused.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <functional>

#include "model/architectures.hpp"
#include "model/loaders.hpp"
#include "model/rope_scaling.hpp"
#include "support/error_of.hpp"
#include "support/tiny_model.hpp"
#include "support/write_safetensors.hpp"

namespace frugal {
namespace {

using testing::Blob;
using testing::error_of;
using testing::mentions;
using testing::ScratchFolder;
using testing::TinyModelOptions;

TinyModelOptions hf_options(std::string_view architecture) {
  TinyModelOptions o;
  o.architecture = architecture, o.rope_layout = RopeLayout::halves, o.tokenizer = false;
  o.qkv_bias = architecture == "qwen2", o.qk_norm = architecture == "qwen3";
  o.attention = DType::bf16, o.feed_forward = DType::f16;
  return o;
}

void write_folder(const ScratchFolder& folder, const ModelParts& parts, std::string_view type,
                  std::string_view extra = "", std::size_t shift = 0) {
  testing::write_file(folder / "config.json", testing::hf_config(parts.spec, type, extra));
  testing::write_file(folder / "model.safetensors",
                      testing::safetensors_bytes(testing::hf_named(parts.tensors), shift));
}

void check_same_tensors(const Model& model, const ModelParts& parts) {
  REQUIRE(model.tensors().size() == parts.tensors.size());
  for (const Tensor& want : parts.tensors) {
    const Tensor* have = model.find(want.name);
    CAPTURE(want.name);
    REQUIRE(have != nullptr);
    CHECK((have->type == want.type && have->rows == want.rows && have->cols == want.cols));
    CHECK(std::equal(have->data.begin(), have->data.end(), want.data.begin(), want.data.end()));
  }
}

TEST_CASE("a folder of each family loads under GGUF's tensor names with halves rotated") {
  for (const auto& [type, architecture] :
       {std::pair{"llama", "llama"}, {"mistral", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"}}) {
    CAPTURE(type);
    const ScratchFolder folder;
    const ModelParts parts = testing::tiny_parts(hf_options(architecture));
    write_folder(folder, parts, type);
    const auto model = load_model(folder.path());
    check_same_tensors(*model, parts);
    CHECK(model->spec().architecture == architecture);
    CHECK(model->spec().rope_layout == RopeLayout::halves);
    CHECK(model->spec().qkv_bias == parts.spec.qkv_bias);
    CHECK(model->spec().qk_norm == parts.spec.qk_norm);
    CHECK(model->spec().tied_head);
    CHECK(model->spec().rope_theta == 10000.0);
    CHECK(model->spec().rms_eps == 1e-5F);
    CHECK(model->spec().context == 512);
    CHECK(model->fingerprint() == Model(testing::tiny_parts(hf_options(architecture))).fingerprint());
    CHECK(model->name() == folder.path().filename());
    CHECK(load_model(folder / "config.json")->fingerprint() == model->fingerprint());
    CHECK(load_model(folder / "model.safetensors")->fingerprint() == model->fingerprint());
  }
}

TEST_CASE("weights that lie unaligned in the file are aligned in the model") {
  const ScratchFolder folder;
  const ModelParts parts = testing::tiny_parts(hf_options("llama"));
  for (const std::size_t shift : {1U, 2U, 3U}) {
    write_folder(folder, parts, "llama", "", shift);
    const auto model = load_model(folder.path());
    check_same_tensors(*model, parts);
    for (const Tensor& t : model->tensors())
      CHECK(reinterpret_cast<std::uintptr_t>(t.data.data()) % block_shape(t.type).bytes == 0);
  }
}

TEST_CASE("shards load by their index, which cannot reach outside the folder") {
  const ScratchFolder folder;
  const ModelParts parts = testing::tiny_parts(hf_options("qwen2"));
  const std::vector<Tensor> tensors = testing::hf_named(parts.tensors);
  const std::size_t half = tensors.size() / 2;
  const auto at = tensors.begin() + static_cast<std::ptrdiff_t>(half);
  testing::write_file(folder / "config.json", testing::hf_config(parts.spec, "qwen2"));
  testing::write_file(folder / "a.safetensors", testing::safetensors_bytes({tensors.begin(), at}));
  testing::write_file(folder / "b.safetensors", testing::safetensors_bytes({at, tensors.end()}));
  const auto write_index = [&](const std::string& first_file) {
    std::string map;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      map += (i ? ",\"" : "\"") + tensors[i].name + "\":\"" +
             (i == 0     ? first_file
              : i < half ? "a.safetensors"
                         : "b.safetensors") +
             "\"";
    testing::write_file(folder / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  };
  write_index("a.safetensors");
  check_same_tensors(*load_model(folder.path()), parts);
  for (const char* escape : {"../a.safetensors", "/a.safetensors", "..", ""}) {
    write_index(escape);
    CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "is not a file name"));
  }
  write_index("b.safetensors");
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "token_embd.weight is missing"));
  write_index("c.safetensors");
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "c.safetensors: cannot open"));
}

DecoderSpec spec_with(std::string_view type, std::string_view extra, std::uint32_t head_dim = 8) {
  TinyModelOptions options;
  options.head_dim = head_dim, options.tokenizer = false;
  return model::spec_from_hf_config(testing::hf_config(testing::tiny_parts(options).spec, type, extra), "config.json");
}

TEST_CASE("rope scaling is read in its old and new spelling") {
  const auto fours = std::vector<float>(4, 4.0F);
  CHECK(spec_with("llama", R"(,"rope_scaling":{"type":"linear","factor":4.0})").rope_divisors == fours);
  CHECK(spec_with("llama", R"(,"rope_scaling":{"rope_type":"linear","factor":4})").rope_divisors == fours);
  CHECK(spec_with("llama", R"(,"rope_parameters":{"rope_type":"linear","factor":4,"rope_theta":5e5})").rope_theta ==
        5e5);
  CHECK(spec_with("llama", R"(,"rope_scaling":{"rope_type":"default"})").rope_divisors.empty());
  CHECK(spec_with("llama", R"(,"rope_scaling":null)").rope_divisors.empty());
}

TEST_CASE("llama3 scaling keeps the high frequencies, divides the low ones and blends between") {
  // Llama 3.2: theta 5e5, head 64, factor 32, bands 1 and 4, context 8192. Wavelengths below 2048 stay, those past 8192
  // are divided by 32.
  const std::string extra =
      R"(,"rope_scaling":{"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192},"rope_parameters":null)";
  DecoderSpec spec = spec_with("llama", extra, 64);
  CHECK(spec.rope_theta == 10000.0);
  REQUIRE(spec.rope_divisors.size() == 32);
  spec.rope_theta = 5e5;
  const std::vector<float> d = model::llama3_divisors(spec, {32, 1, 4, 8192});
  for (std::size_t i = 0; i <= 14; ++i) CHECK(d[i] == 1.0F);
  for (std::size_t i = 18; i < 32; ++i) CHECK(d[i] == 32.0F);
  // i = 15: wavelength 2 pi 5e5^(30/64) = 2948.3; smooth = (8192/2948.3 - 1)/3 = 0.592848; 1 / ((1 - s)/32 + s)
  // = 1.651354
  CHECK(std::abs(d[15] - 1.651354F) < 1e-3F);
  CHECK((d[16] > d[15] && d[17] > d[16] && d[17] < 32.0F));
}

TEST_CASE("a sliding window counts where its family uses it") {
  CHECK(spec_with("mistral", R"(,"sliding_window":64)").sliding_window == 64);
  CHECK(spec_with("mistral", R"(,"sliding_window":null)").sliding_window == 0);
  CHECK(spec_with("qwen2", R"(,"sliding_window":64,"use_sliding_window":false,"max_window_layers":0)").sliding_window ==
        0);
  CHECK(spec_with("qwen2", R"(,"sliding_window":64,"use_sliding_window":true,"max_window_layers":0)").sliding_window ==
        64);
  CHECK(spec_with("qwen2", R"(,"sliding_window":64,"use_sliding_window":true,"max_window_layers":2)").sliding_window ==
        0);
  const DecoderSpec later =
      spec_with("qwen2", R"(,"sliding_window":64,"use_sliding_window":true,"max_window_layers":1)");
  CHECK((later.window(0) == 0 && later.window(1) == 64));
  CHECK(spec_with("llama", R"(,"sliding_window":64)").sliding_window == 0);
}

TEST_CASE("layer_types decide which layers have the window, whatever else the file says") {
  const auto windows = [](const DecoderSpec& spec) { return std::pair{spec.window(0), spec.window(1)}; };
  const std::string mixed = R"(,"sliding_window":64,"layer_types":["full_attention","sliding_attention"])";
  CHECK(windows(spec_with("mistral", mixed)) == std::pair{0U, 64U});
  CHECK(windows(spec_with("qwen2", mixed + R"(,"use_sliding_window":false,"max_window_layers":2)")) ==
        std::pair{0U, 64U});
  const std::string full = R"(,"sliding_window":64,"layer_types":["full_attention","full_attention"])";
  CHECK(spec_with("mistral", full).sliding_window == 0);
  CHECK(spec_with("llama", R"(,"layer_types":["full_attention","full_attention"])").sliding_window == 0);
  for (const char* bad :
       {R"(,"layer_types":["full_attention"])", R"(,"layer_types":["chunked_attention","full_attention"])",
        R"(,"layer_types":["sliding_attention","full_attention"])", R"(,"layer_types":7)"})
    CHECK(mentions(error_of([&] { (void)spec_with("llama", bad); }), "'layer_types'"));
}

TEST_CASE("each key that changes a family's arithmetic is obeyed") {
  CHECK(spec_with("llama", R"(,"partial_rotary_factor":0.5)").rope_dims == 4);
  CHECK(spec_with("gemma2", "").activation == Activation::gelu_tanh);
  CHECK(spec_with("gemma2", "").tied_head);
  CHECK(spec_with("gemma2", "").attention_softcap == 50.0F);
  CHECK(spec_with("gemma2", R"(,"attn_logit_softcapping":20,"final_logit_softcapping":null)").attention_softcap ==
        20.0F);
  CHECK(spec_with("gemma2", R"(,"attn_logit_softcapping":20,"final_logit_softcapping":null)").logit_softcap == 0.0F);
  CHECK(spec_with("gemma2", R"(,"query_pre_attn_scalar":144)").attention_scale == 1.0F / 12.0F);
  CHECK(spec_with("gemma3_text", R"(,"rope_local_base_freq":5000)").local_rope_theta == 5000.0);
  const DecoderSpec nested = spec_with("gemma3_text", R"(,"rope_parameters":{"sliding_attention":{"rope_theta":7000,
      "rope_type":"default"},"full_attention":{"rope_theta":9e5,"rope_type":"linear","factor":8}})");
  CHECK((nested.local_rope_theta == 7000.0 && nested.rope_theta == 9e5));
  CHECK(nested.rope_divisors == std::vector<float>(4, 8.0F));
  const DecoderSpec two = spec_with("gemma3_text", R"(,"sliding_window":16,"sliding_window_pattern":2)");
  CHECK((two.window(0) == 16 && two.window(1) == 0));
  CHECK(spec_with("gemma2", R"(,"hidden_activation":"silu")").activation == Activation::silu);
  const DecoderSpec experts =
      spec_with("qwen2_moe", R"(,"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,
      "shared_expert_intermediate_size":48,"norm_topk_prob":true)");
  CHECK((experts.experts.count == 4 && experts.experts.used == 2 && experts.experts.d_ff == 32));
  CHECK((experts.experts.shared_d_ff == 48 && experts.experts.renormalise));
  CHECK_FALSE(spec_with("qwen2_moe", R"(,"num_experts":4,"num_experts_per_tok":2)").experts.renormalise);
  CHECK(spec_with("mixtral", R"(,"num_local_experts":4,"num_experts_per_tok":2)").experts.renormalise);
}

TEST_CASE("LongRoPE takes its short factors where no more than the original context is wanted") {
  const std::string extra = R"(,"max_position_embeddings":4096,"original_max_position_embeddings":1024,
      "rope_scaling":{"type":"longrope","long_factor":[5,6,7,8],"short_factor":[1,2,3,4]})";
  TinyModelOptions options;
  options.tokenizer = false;
  const std::string json = testing::hf_config(testing::tiny_parts(options).spec, "phi3", extra);
  const auto spec = [&](std::uint32_t context) { return model::spec_from_hf_config(json, "config.json", context); };
  CHECK(spec(0).rope_divisors == std::vector<float>{5, 6, 7, 8});
  CHECK(spec(0).context == 4096);
  CHECK(spec(1024).rope_divisors == std::vector<float>{1, 2, 3, 4});
  CHECK(spec(1024).context == 1024);
  CHECK(spec(1025).rope_divisors == std::vector<float>{5, 6, 7, 8});
  CHECK(std::abs(spec(0).rope_scale - 1.0954451F) < 1e-6F);  // sqrt(1 + ln 4 / ln 1024) = sqrt(1.2)
  CHECK(spec(1024).rope_scale == spec(0).rope_scale);
}

TEST_CASE("YaRN divides the low frequencies, keeps the high ones and scales") {
  const DecoderSpec spec = spec_with("qwen2", R"(,"rope_scaling":{"type":"yarn","factor":4,
      "original_max_position_embeddings":32768})",
                                     64);
  REQUIRE(spec.rope_divisors.size() == 32);
  CHECK(spec.rope_divisors.front() == 1.0F);
  CHECK(spec.rope_divisors.back() == 4.0F);
  CHECK(std::is_sorted(spec.rope_divisors.begin(), spec.rope_divisors.end()));
  CHECK(std::abs(spec.rope_scale - 1.1386294F) < 1e-6F);  // 0.1 ln 4 + 1
}

TEST_CASE("a config we cannot honour is refused by its field") {
  struct Case {
    std::string type, extra;
    Errc code;
    const char* reason;
  };
  const std::vector<Case> cases{
      {"gpt2", "", Errc::unsupported, "'model_type' is 'gpt2'"},
      {"llama", R"(,"hidden_act":"gelu")", Errc::unsupported, "'hidden_act'"},
      {"llama", R"(,"mlp_bias":true)", Errc::unsupported, "'mlp_bias'"},
      {"llama", R"(,"quantization_config":{"bits":4})", Errc::unsupported, "'quantization_config'"},
      {"llama", R"(,"rope_scaling":{"rope_type":"dynamic","factor":4})", Errc::unsupported,
       "'rope_scaling.rope_type' is 'dynamic'"},
      {"llama", R"(,"rope_scaling":{"rope_type":"yarn"})", Errc::bad_model, "'rope_scaling.factor'"},
      {"qwen2", R"(,"rope_scaling":{"rope_type":"yarn","factor":4,"mscale":0.7})", Errc::unsupported, "mscale"},
      {"phi3", R"(,"rope_scaling":{"rope_type":"longrope"})", Errc::bad_model,
       "'rope_scaling.short_factor' is missing"},
      {"llama", R"(,"clip_qkv":8)", Errc::unsupported, "'clip_qkv'"},
      {"llama", R"(,"use_qk_norm":true)", Errc::unsupported, "'use_qk_norm'"},
      {"llama", R"(,"embedding_multiplier":12)", Errc::unsupported, "'embedding_multiplier'"},
      {"llama", R"(,"residual_multiplier":0.22)", Errc::unsupported, "'residual_multiplier'"},
      {"llama", R"(,"attention_multiplier":0.01)", Errc::unsupported, "'attention_multiplier'"},
      {"llama", R"(,"logits_scaling":8)", Errc::unsupported, "'logits_scaling'"},
      {"llama", R"(,"scale_emb":12)", Errc::unsupported, "'scale_emb'"},
      {"llama", R"(,"no_rope_layers":[1,0])", Errc::unsupported, "'no_rope_layers'"},
      {"llama", R"(,"attention_chunk_size":8192)", Errc::unsupported, "'attention_chunk_size'"},
      {"llama", R"(,"partial_rotary_factor":0)", Errc::bad_model, "'partial_rotary_factor'"},
      {"gemma3_text", R"(,"use_bidirectional_attention":true)", Errc::unsupported, "'use_bidirectional_attention'"},
      {"gemma2", R"(,"query_pre_attn_scalar":0)", Errc::bad_model, "'query_pre_attn_scalar'"},
      {"mixtral", R"(,"num_local_experts":4)", Errc::bad_model, "'num_experts_per_tok' is missing"},
      {"qwen3_moe", R"(,"num_experts":4,"num_experts_per_tok":2,"decoder_sparse_step":2)", Errc::unsupported,
       "'decoder_sparse_step'"},
      {"qwen3_moe", R"(,"num_experts":4,"num_experts_per_tok":2,"mlp_only_layers":[1])", Errc::unsupported,
       "'mlp_only_layers'"},
      {"llama", R"(,"rope_scaling":{"rope_type":"llama3"})", Errc::bad_model, "'rope_scaling.factor'"},
      {"llama", R"(,"rope_scaling":"linear")", Errc::bad_file, "'rope_scaling' must be an object"},
      {"llama", R"(,"hidden_size":-1)", Errc::bad_file, "'hidden_size' must be a whole number"},
      {"llama", R"(,"hidden_size":null)", Errc::bad_model, "'hidden_size' is missing"},
      {"llama", R"(,"rms_norm_eps":"x")", Errc::bad_file, "'rms_norm_eps' must be a number"},
      {"llama", R"(,"rope_theta":1e999)", Errc::bad_file, "out of range"},
      {"llama", ",", Errc::bad_file, "config.json: byte 279: not valid JSON"},
  };
  for (const Case& c : cases) {
    const Error error = error_of([&] { (void)spec_with(c.type, c.extra); });
    CAPTURE(error.message());
    CHECK(error.code() == c.code);
    CHECK(mentions(error, c.reason));
    CHECK(mentions(error, "config.json"));
  }
}

TEST_CASE("a folder whose weights do not fit its config is refused by the tensor") {
  const ScratchFolder folder;
  ModelParts parts = testing::tiny_parts(hf_options("llama"));
  const ModelParts whole = parts;
  const auto refused = [&](std::string_view extra = "") {
    write_folder(folder, parts, "llama", extra);
    return error_of([&] { (void)load_model(folder.path()); });
  };
  parts.tensors.push_back({"blk.0.attn_output.bias", DType::f32, 1, 32, parts.tensors[1].data.first(128)});
  CHECK(mentions(refused(), "blk.0.attn_output.bias is not used"));
  parts = whole;
  std::erase_if(parts.tensors, [](const Tensor& t) { return t.name == "blk.1.ffn_up.weight"; });
  CHECK(mentions(refused(), "blk.1.ffn_up.weight is missing"));
  parts = whole;
  CHECK(mentions(refused(R"(,"tie_word_embeddings":false)"), "output.weight is missing"));
  CHECK(mentions(refused(R"(,"vocab_size":99)"), "vocab_size is 99"));
  parts.spec.d_ff = 128;
  CHECK(mentions(refused(), "expected [128, 32]"));
}

TEST_CASE("an integer weight is refused by name, one nobody wants is not") {
  const ScratchFolder folder;
  const ModelParts parts = testing::tiny_parts(hf_options("llama"));
  testing::write_file(folder / "config.json", testing::hf_config(parts.spec, "llama"));
  const auto with = [&](const std::string& name) {
    Blob bytes = testing::safetensors_bytes(testing::hf_named(parts.tensors));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    std::string header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
    Blob data(bytes.begin() + 8 + static_cast<std::ptrdiff_t>(length), bytes.end());
    const std::string range = std::to_string(data.size()) + "," + std::to_string(data.size() + 8);
    header.insert(1, "\"" + name + R"(":{"dtype":"I8","shape":[8],"data_offsets":[)" + range + "]},");
    data.resize(data.size() + 8);
    testing::write_file(folder / "model.safetensors", testing::safetensors_blob(header, data));
  };
  with("model.embed_positions");
  check_same_tensors(*load_model(folder.path()), parts);
  with("model.layers.5.mlp.up_proj.weight");
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "up_proj.weight is stored as I8"));
}

TEST_CASE("the chat template comes from its own file or from the tokenizer's config") {
  const ScratchFolder folder;
  write_folder(folder, testing::tiny_parts(hf_options("llama")), "llama");
  CHECK(load_model(folder.path())->chat_template() == nullptr);
  const auto fingerprint_with = [&](const char* file, const char* text) {
    testing::write_file(folder / file, text);
    const auto model = load_model(folder.path());
    CHECK(model->chat_template() != nullptr);
    return model->fingerprint();
  };
  const auto direct = fingerprint_with("tokenizer_config.json", R"({"chat_template":"one"})");
  CHECK(fingerprint_with(
            "tokenizer_config.json",
            R"({"chat_template":[{"name":"tools","template":"two"},{"name":"default","template":"one"}]})") != direct);
  CHECK(fingerprint_with("tokenizer_config.json", R"({"chat_template":[{"name":"default","template":"one"}]})") ==
        direct);
  CHECK(fingerprint_with("chat_template.jinja", "two") != direct);
}

TEST_CASE("named chat templates come from the list in tokenizer_config.json and from a folder of files") {
  const ScratchFolder folder;
  write_folder(folder, testing::tiny_parts(hf_options("llama")), "llama");
  testing::write_file(
      folder / "tokenizer_config.json",
      R"({"chat_template":[{"name":"tool_use","template":"TOOLS {{ tools }}"},{"name":"default","template":"usual"}]})");
  std::filesystem::create_directory(folder / "additional_chat_templates");
  testing::write_file(folder / "additional_chat_templates/rag.jinja", "from a file");
  const auto model = load_model(folder.path());
  const Chat chat{.messages = {{"user", "Hi"}}};
  CHECK(model->chat_template()->render(chat).value().text == "usual");
  CHECK(model->chat_template("default") == model->chat_template());
  CHECK(model->chat_template("rag")->render(chat).value().text == "from a file");
  CHECK(model->chat_template("tool_use")->render(chat).value().text == "TOOLS None");
  CHECK(model->chat_template("other") == nullptr);
  testing::write_file(folder / "tokenizer_config.json", R"({"chat_template":[{"name":"default"}]})");
  CHECK(mentions(error_of([&] { (void)load_model(folder.path()); }), "list of objects with name and template"));
}

TEST_CASE("tensor names translate, others do not") {
  CHECK(model::gguf_tensor_name("model.layers.12.self_attn.q_proj.bias") == "blk.12.attn_q.bias");
  CHECK(model::gguf_tensor_name("lm_head.weight") == "output.weight");
  CHECK(model::gguf_tensor_name("model.layers.2.post_attention_layernorm.weight") == "blk.2.ffn_norm.weight");
  CHECK(model::gguf_tensor_name("model.layers.2.post_attention_layernorm.weight", true) ==
        "blk.2.post_attention_norm.weight");
  CHECK(model::gguf_tensor_name("model.layers.2.mlp.experts.11.down_proj.weight") == "blk.2.ffn_down.11.weight");
  CHECK(model::gguf_tensor_name("model.layers.2.block_sparse_moe.experts.0.w3.weight") == "blk.2.ffn_up.0.weight");
  for (const char* name :
       {"", "weight", "model.layers.", "model.layers.x.mlp.up_proj.weight", "model.layers.1", "model.layers.1.weight",
        "model.layers.1x.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.scales", "lm_head.qweight",
        "model.layers.9999999.mlp.up_proj.weight", "model.layers.1.mlp.experts..up_proj.weight",
        "model.layers.1.mlp.experts.x.up_proj.weight", "model.layers.1.mlp.experts.12345.up_proj.weight",
        "model.layers.1.mlp.experts.1"})
    CHECK(model::gguf_tensor_name(name).empty());
}

}  // namespace
}  // namespace frugal
