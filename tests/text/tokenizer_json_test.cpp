#include "text/small_vocabulary.hpp"

#include <catch2/catch_test_macros.hpp>
#include <frugal/core/error.hpp>

#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace frugal;
using namespace frugal::test;

namespace {

/// A folder that goes away with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("frugal_tokenizer_json_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

const std::string kGpt2 = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
const std::string kModel = R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]})";

struct Parts {
  std::string model = kModel, pre = kGpt2, more{};
};

std::string json(const Parts& parts) {
  return R"({"model":)" + parts.model + R"(,"pre_tokenizer":)" + parts.pre + parts.more + "}";
}

/// The error of loading `text`: code and message without the path, or "none".
std::string failure(const std::string& text) {
  const Folder folder;
  const auto file = folder.write("tokenizer.json", text);
  try {
    load_tokenizer_json(file);
  } catch (const Error& error) {
    REQUIRE(error.message().starts_with(file.string() + ": "));
    return std::string(to_string(error.code())) + ": " + error.message().substr(file.string().size() + 2);
  }
  return "none";
}

Tokenizer load(const std::string& text, const std::string& config = {}, const std::string& generation = {}) {
  const Folder folder;
  if (!generation.empty()) folder.write("generation_config.json", generation);
  if (!config.empty()) folder.write("tokenizer_config.json", config);
  return load_tokenizer_json(folder.write("tokenizer.json", text));
}

}  // namespace

TEST_CASE("both spellings of merges load") {
  const std::string pairs = R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]})";
  CHECK(load(json({})).encode("ab") == Ids{2});
  CHECK(load(json({.model = pairs})).encode("ab") == Ids{2});
  CHECK(load(json({})).fingerprint() == load(json({.model = pairs})).fingerprint());
}

TEST_CASE("added tokens bring their kind and flags, ids may leave gaps") {
  const Tokenizer tokenizer = load(json({.more = R"(,"added_tokens":[
      {"id":5,"content":"<s>","special":true,"lstrip":true}, {"id":3,"content":"<t>","special":false}])"}));
  CHECK(tokenizer.size() == 6);
  CHECK(tokenizer.encode("a <s>b<t>") == Ids{0, 5, 1, 3});
  CHECK(tokenizer.is_control(5));
  CHECK(tokenizer.is_special(3));
  CHECK_FALSE(tokenizer.is_control(3));
  CHECK(tokenizer.bytes(4).empty());
}

TEST_CASE("the post-processor says whether bos comes first, the config which tokens are bos and eos") {
  const std::string added =
      R"(,"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":4,"content":"</s>","special":true}])";
  const std::string post = R"(,"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}]})";
  const std::string config = R"({"bos_token":{"content":"<s>"},"eos_token":"</s>","pad_token":null})";
  const Tokenizer plain = load(json({.more = added}), config);
  CHECK(plain.bos() == 3);
  CHECK(plain.eos() == 4);
  CHECK(plain.is_end(4));
  CHECK(plain.encode("a") == Ids{0});
  CHECK(load(json({.more = added + post})).encode("a") == Ids{3, 0});
  CHECK(failure(json({.more = post})).starts_with("bad_file: the token that post_processor adds, \"<s>\""));
}

TEST_CASE("generation_config.json names further tokens that end an answer") {
  const auto ends = [](const std::string& generation) { return load(json({}), "", generation); };
  CHECK(ends(R"({"eos_token_id":2})").is_end(2));
  const Tokenizer both = ends(R"({"eos_token_id":[2,1],"temperature":0.7})");
  CHECK((both.is_end(2) && both.is_end(1) && !both.is_end(0)));
  CHECK_FALSE(ends(R"({"eos_token_id":null})").is_end(2));
  for (const std::string bad : {"-1", "3", "[0,\"b\"]", "1.5"})
    CHECK_THROWS_AS(ends("{\"eos_token_id\":" + bad + "}"), Error);
}

TEST_CASE("config.json, special_tokens_map.json and well-known names tell of ends too") {
  const Folder folder;
  folder.write("config.json", R"({"eos_token_id":[1,2]})");
  CHECK(load_tokenizer_json(folder.write("tokenizer.json", json({}))).is_end(1));
  folder.write("config.json", R"({"eos_token_id":3})");
  CHECK_THROWS_AS(load_tokenizer_json(folder.write("tokenizer.json", json({}))), Error);
  folder.write("config.json", "{}");
  folder.write("special_tokens_map.json", R"({"eos_token":{"content":"b"}})");
  const Tokenizer mapped = load_tokenizer_json(folder.write("tokenizer.json", json({})));
  CHECK(mapped.is_end(1));
  CHECK(mapped.eos() == 1);
  for (const std::string name : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "</s>"})
    for (const std::string special : {"true", "false"})
      CHECK(load(json({.more =
                           ",\"added_tokens\":[{\"id\":5,\"content\":\"" + name + "\",\"special\":" + special + "}]"}))
                .is_end(5));
}

TEST_CASE("add_bos_token and add_eos_token are obeyed where the tokenizer's class does") {
  const std::string added =
      R"(,"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":4,"content":"</s>","special":true}])";
  const std::string post = R"(,"post_processor":{"type":"TemplateProcessing","single":[
      {"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}]})";
  const auto with = [&](const std::string& more, const std::string& flags, const std::string& type) {
    return load(json({.more = added + more}),
                R"({"bos_token":"<s>","eos_token":"</s>","tokenizer_class":")" + type + "\"" + flags + "}")
        .encode("a");
  };
  CHECK(with("", "", "LlamaTokenizerFast") == Ids{3, 0});
  CHECK(with("", R"(,"add_bos_token":true)", "LlamaTokenizer") == Ids{3, 0});
  CHECK(with(post, R"(,"add_bos_token":false)", "LlamaTokenizerFast") == Ids{0});
  CHECK(with("", R"(,"add_bos_token":false,"add_eos_token":true)", "GemmaTokenizerFast") == Ids{0, 4});
  CHECK(with(post, "", "PreTrainedTokenizerFast") == Ids{3, 0, 4});
  CHECK(with(post, R"(,"add_bos_token":false)", "PreTrainedTokenizerFast") == Ids{3, 0, 4});
  CHECK(with("", R"(,"add_bos_token":true)", "Qwen2Tokenizer") == Ids{0});
}

TEST_CASE("malformed files end in an error with file and reason") {
  CHECK(failure("").starts_with("bad_file: byte 0"));
  CHECK(failure(R"({"model": )").starts_with("bad_file: byte 10"));
  CHECK(failure("[]") == "bad_file: byte 0: not a JSON object");
  CHECK(failure("{}") == "bad_file: \"model\" is not an object");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":[],"merges":[]})"})) ==
        "bad_file: model.vocab is not an object with tokens");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":-1},"merges":[]})"})) ==
        "bad_file: the id -1 of token \"a\" is out of range");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":4000000000},"merges":[]})"})) ==
        "bad_file: the id 4000000000 of token \"a\" is out of range");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":"x"},"merges":[]})"})) ==
        "bad_file: the id of token \"a\" is not an integer");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":0,"b":0},"merges":[]})"})) ==
        "bad_file: tokens \"a\" and \"b\" share the id 0");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":0},"merges":["a a a"]})"})) ==
        "bad_file: model.merges[0] is not a pair of tokens");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":0},"merges":[["a"]]})"})) ==
        "bad_file: model.merges[0] is not a pair of tokens");
  CHECK(failure(json({.model = R"({"type":"BPE","vocab":{"a":0},"merges":["a z"]})"})) ==
        "bad_model: tokenizer: merge 0 needs the token \"z\", which is missing");
  CHECK(failure(json({.more = R"(,"added_tokens":[{"id":9,"content":"a"}])"})) ==
        "bad_file: added_tokens[0]: token \"a\" has two ids, 0 and 9");
  CHECK(failure(json({.more = R"(,"added_tokens":[{"id":9}])"})) == "bad_file: added_tokens[0] has no content");
  CHECK(failure(json({.pre = R"({"type":7})"})).starts_with("bad_file: "));
}

TEST_CASE("a missing file is named") { CHECK_THROWS_AS(load_tokenizer_json("/no/such/tokenizer.json"), Error); }

TEST_CASE("what is lacking is named") {
  const auto lacks = [](const Parts& parts, const std::string& what) {
    CHECK(failure(json(parts)) == "unsupported: " + what + " is not supported");
  };
  lacks({.pre = "null"}, "a tokenizer without a pre-tokenizer");
  lacks({.pre = R"({"type":"Whitespace"})"}, "pre-tokenizer Whitespace");
  lacks({.pre = R"({"type":"Metaspace","replacement":"_"})"},
        "pre-tokenizer Metaspace with another character than U+2581");
  lacks({.pre = R"({"type":"ByteLevel"})"}, "pre-tokenizer ByteLevel with add_prefix_space");
  lacks({.pre = R"({"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"})"},
        "pre-tokenizer Split with the regex x");
  lacks({.pre = R"({"type":"Split","pattern":{"String":" "},"behavior":"Isolated"})"},
        "pre-tokenizer Split without a regex");
  lacks({.more = R"(,"normalizer":{"type":"NFKC"})"}, "normalizer NFKC");
  lacks({.more = R"(,"decoder":{"type":"Metaspace"})"}, "decoder Metaspace");
  lacks({.more = R"(,"post_processor":{"type":"BertProcessing"})"}, "post-processor BertProcessing");
  lacks({.model = R"({"type":"BPE","vocab":{"a":0},"merges":[],"byte_fallback":true})"},
        "a byte-level BPE model with byte_fallback");
  lacks({.model = R"({"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"})"},
        "a BPE model with end_of_word_suffix");
  CHECK(failure(json({.model = R"({"type":"Unigram"})"})) ==
        "unsupported: tokenizer model \"Unigram\" is not supported, only \"BPE\"");
}

TEST_CASE("GGUF names of pre-tokenizers are known or none") {
  CHECK(pre_tokenizer_from_gguf_name("gpt-2") == PreTokenizer::gpt2);
  CHECK(pre_tokenizer_from_gguf_name("smollm") == PreTokenizer::smollm);
  CHECK(pre_tokenizer_from_gguf_name("qwen2") == PreTokenizer::qwen2);
  CHECK(pre_tokenizer_from_gguf_name("llama-bpe") == PreTokenizer::llama3);
  CHECK(pre_tokenizer_from_gguf_name("tekken") == PreTokenizer::tekken);
  CHECK_FALSE(pre_tokenizer_from_gguf_name("default"));
}

TEST_CASE("values nested beyond all need end in an error, wherever a file of the tokenizer holds them") {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  CHECK(failure(json({.more = R"(,"added_tokens":)" + deep})) == "bad_file: JSON nested deeper than 200");
  CHECK(failure(json({.model = R"({"type":)" + deep + "}"})) == "bad_file: JSON nested deeper than 200");
  CHECK(failure(json({.pre = deep})) == "bad_file: JSON nested deeper than 200");
  const std::string allowed = std::string(150, '[') + std::string(150, ']');
  CHECK(failure(json({.model = R"({"type":)" + allowed + "}"})).size() < 200);  // the excerpt is short
}
