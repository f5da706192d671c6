#include "tools/process.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

using namespace frugal::test;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;

namespace {

const std::string model = FRUGAL_DEPS "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

void need_model() {
  if (!std::filesystem::exists(model)) SKIP("the default model is not in .deps/models");
}

/// The prompt of the golden figures: the default system prompt and "What is the capital of France?".
const std::string france = R"([{"role": "user", "content": "What is the capital of France?"}])";
const std::string france_ids =
    "[1,9690,198,2683,359,253,5356,5646,11173,3365,3511,308,34519,28,7018,411,407,19712,8182,2,198,1,4093,198,1780,314,"
    "260,3575,282,4649,47,2,198,1,520,9531,198]";

/// Row `row` of a float32 matrix in an .npy file of version 1.
std::vector<float> npy_row(const std::string& bytes, std::size_t row, std::size_t columns) {
  const std::size_t header =
      10 + static_cast<unsigned char>(bytes.at(8)) + 256U * static_cast<unsigned char>(bytes.at(9));
  std::vector<float> values(columns);
  const std::size_t offset = header + row * columns * sizeof(float);
  if (offset + columns * sizeof(float) <= bytes.size())
    std::memcpy(values.data(), bytes.data() + offset, columns * sizeof(float));
  return values;
}

}  // namespace

TEST_CASE("--help teaches with examples, for the program and for each command") {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{{"--help"},
                                                                                         {"tokenize", "--help"},
                                                                                         {"generate", "--help"},
                                                                                         {"batch", "--help"},
                                                                                         {"render", "--help"},
                                                                                         {"score", "--help"},
                                                                                         {"replay", "--help"},
                                                                                         {"advise", "--help"}}) {
    const Outcome help = frugal_program(arguments);
    CHECK(help.code == 0);
    CHECK_THAT(help.out, ContainsSubstring("Examples:") &&
                             ContainsSubstring("frugal " + (arguments.size() > 1 ? arguments[0] : "generate")));
    CHECK(help.err.empty());
  }
}

TEST_CASE("render prints the prompt that a conversation becomes, or its ids and the ranges of what users said") {
  need_model();
  const TempFolder folder;
  const std::string chat = folder.write("chat.json", france);
  const Outcome text = frugal_program({"render", "--model", model, "--messages", chat, "--quiet"});
  CHECK(text.code == 0);
  CHECK_THAT(text.out, ContainsSubstring("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"));
  const Outcome outcome = frugal_program({"render", "--model", model, "--messages", chat, "--quiet", "--json"});
  const json answer = json::parse(outcome.out);
  CHECK(answer["text"] == text.out);
  CHECK(answer["ids"].dump() == france_ids);
  REQUIRE(answer["content"].size() == 1);
  const std::size_t begin = answer["content"][0][0], end = answer["content"][0][1];
  CHECK(text.out.substr(begin, end - begin) == "What is the capital of France?");
  CHECK_THAT(frugal_program({"render", "--model", model, "--messages", chat, "--set", "x"}).err,
             ContainsSubstring("--set x: must be NAME=JSON"));
  CHECK_THAT(frugal_program({"render", "--model", model, "--messages", chat, "--set", "x={"}).err,
             ContainsSubstring("--set x: byte 1: the JSON ends too early"));
  CHECK_THAT(frugal_program({"render", "--model", model, "--messages", chat, "--template", "rag", "--quiet"}).err,
             ContainsSubstring("has no chat template named 'rag'"));
}

TEST_CASE("a wrong command line ends with code 2 and says what is wrong") {
  const auto error = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = frugal_program(arguments);
    CHECK(outcome.code == 2);
    CHECK(outcome.out.empty());
    return outcome.err;
  };
  CHECK_THAT(error({}), ContainsSubstring("subcommand"));
  CHECK_THAT(error({"dance"}), ContainsSubstring("dance"));
  CHECK_THAT(error({"tokenize", "--model", "m", "--colour"}), ContainsSubstring("--colour"));
  CHECK_THAT(error({"tokenize"}), ContainsSubstring("--model"));
  CHECK_THAT(error({"generate", "--model", "m"}), ContainsSubstring("--prompt-file"));
  CHECK_THAT(error({"generate", "--model", "m", "--prompt", "a", "--messages", "b"}),
             ContainsSubstring("--prompt-file"));
  CHECK_THAT(error({"generate", "--model", "m", "--prompt", "a", "--temperature", "-1"}),
             ContainsSubstring("--temperature"));
  CHECK_THAT(error({"generate", "--model", "m", "--prompt", "a", "--max-tokens", "x"}),
             ContainsSubstring("--max-tokens"));
}

TEST_CASE("a prompt of which the tokenizer knows no byte is not called empty") {
  need_model();
  const TempFolder folder;
  const std::string bytes = folder.write("bytes.txt", "\xFF\xFE");
  const Outcome outcome = frugal_program({"generate", "--model", model, "--prompt-file", bytes, "--quiet"});
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("the model's tokenizer knows none of its bytes"));
}

TEST_CASE("a model file that is missing or is none is named") {
  const Outcome missing = frugal_program({"tokenize", "--model", "/nonexistent/m.gguf"}, "a");
  CHECK(missing.code == 2);
  CHECK_THAT(missing.err, ContainsSubstring("frugal tokenize") && ContainsSubstring("/nonexistent/m.gguf"));
  const TempFolder folder;
  const std::string path = folder.write("m.gguf", "this is no model at all");
  const Outcome wrong = frugal_program({"generate", "--model", path, "--prompt", "a"});
  CHECK(wrong.code == 2);
  CHECK(wrong.out.empty());
  CHECK_THAT(wrong.err, ContainsSubstring("frugal generate") && ContainsSubstring(path));
}

TEST_CASE("tokenize turns text into ids and back, with special tokens unless told otherwise") {
  need_model();
  const auto tokenize = [](const std::string& input, std::vector<std::string> more) {
    std::vector<std::string> arguments{"tokenize", "--model", model, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = frugal_program(arguments, input);
    CHECK(outcome.code == 0);
    CHECK(outcome.err.empty());
    return outcome.out;
  };
  CHECK(tokenize("Hello there", {}) == "[19556,665]\n");
  CHECK(tokenize("", {}) == "[]\n");
  CHECK(tokenize("<|im_start|>", {}) == "[1]\n");
  CHECK(json::parse(tokenize("<|im_start|>", {"--no-special"})).size() > 1);
  const std::string hard = "caf\xC3\xA9 \xF0\x9F\x99\x82\n\tx  <|im_end|>12345";
  CHECK(tokenize(tokenize(hard, {}), {"--decode"}) == hard);
}

TEST_CASE("decoding an id outside the vocabulary is an error") {
  need_model();
  const Outcome outcome = frugal_program({"tokenize", "--model", model, "--decode"}, "[1, 999999]");
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("999999"));
}

TEST_CASE("generate answers a conversation as JSON, with the golden tokens") {
  need_model();
  const TempFolder folder;
  const Outcome outcome = frugal_program({"generate", "--model", model, "--messages", folder.write("m.json", france),
                                          "--max-tokens", "16", "--logprobs", "5", "--json", "--backend", "reference"});
  REQUIRE(outcome.code == 0);
  CHECK_THAT(outcome.err, ContainsSubstring("loading"));
  const json object = json::parse(outcome.out);
  CHECK_THAT(object["text"].get<std::string>(), ContainsSubstring("Paris"));
  CHECK(object["finish"] == "stop");
  CHECK(object["usage"]["input"] == 37);
  CHECK(object["usage"]["output"] == object["ids"].size());
  CHECK(object["timing"]["ttft_ms"].get<double>() > 0);
  CHECK(object["timing"]["tpot_ms"].get<double>() > 0);
  CHECK(object["ledger"]["total"]["prompt_computed"] == 37);
  REQUIRE(object["logprobs"].size() == object["ids"].size());
  CHECK(object["logprobs"][0]["top"].size() == 5);
  CHECK(std::abs(object["logprobs"][0]["top"][0]["logprob"].get<double>() - -1.883) < 0.15);
}

TEST_CASE("without --json the answer itself is printed, and a prompt file is a raw prompt") {
  need_model();
  const TempFolder folder;
  const Outcome outcome =
      frugal_program({"generate", "--model", model, "--prompt-file",
                      folder.write("p", "The days of the week are Monday, Tuesday,"), "--max-tokens", "2", "--quiet"});
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("Wednesday"));
  CHECK(outcome.err.empty());
}

TEST_CASE("the same seed gives the same sampled answer") {
  need_model();
  const std::vector<std::string> arguments{
      "generate",      "--model", model,    "--prompt", "Once upon a time", "--max-tokens", "8",
      "--temperature", "1.0",     "--seed", "7",        "--quiet"};
  const Outcome first = frugal_program(arguments), second = frugal_program(arguments);
  REQUIRE(first.code == 0);
  CHECK(first.out.size() > 1);
  CHECK(first.out == second.out);
}

TEST_CASE("--speculate changes what an answer costs, never what it says") {
  need_model();
  const TempFolder folder;
  const std::string prompt = folder.write("p", "One, two, three, four. One, two, three, four. One, two, three,");
  const auto answer = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"generate",     "--model", model,    "--prompt-file", prompt,
                                       "--max-tokens", "40",      "--json", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = frugal_program(arguments);
    REQUIRE(outcome.code == 0);
    return json::parse(outcome.out);
  };
  const json plain = answer({});
  CHECK_FALSE(plain["ledger"].contains("drafts"));
  const json suffix = answer({"--speculate", "suffix"});
  CHECK(suffix["ledger"]["drafts"]["accepted"] > 0);
  CHECK(suffix["ledger"]["total"]["passes"] < plain["ledger"]["total"]["passes"]);
  for (const json& drafted : {suffix, answer({"--speculate", "prompt_lookup", "--speculate", "layers:20"}),
                              answer({"--speculate", "draft:" + model})}) {
    CHECK(drafted["ids"] == plain["ids"]);
    CHECK(drafted["text"] == plain["text"]);
  }
}

TEST_CASE("a drafter that does not exist is named, with those that do") {
  need_model();
  for (const char* wrong :
       {"oracle", "draft", "draft:", "layers:", "layers:two", "layers:0", "layers:31", "suffix:3"}) {
    const Outcome outcome =
        frugal_program({"generate", "--model", model, "--prompt", "a", "--quiet", "--speculate", wrong});
    INFO(wrong);
    CHECK(outcome.code == 2);
    CHECK_THAT(outcome.err,
               ContainsSubstring(std::string("--speculate ") + wrong) || ContainsSubstring("first_layers"));
  }
}

TEST_CASE("what only the cpu backend does is refused with another one, by its name") {
  need_model();
  for (const char* flag : {"--bf16-prompts", "--repack-floats"}) {
    const Outcome outcome =
        frugal_program({"generate", "--model", model, "--prompt", "a", "--quiet", "--backend", "reference", flag});
    INFO(flag);
    CHECK(outcome.code == 2);
    CHECK_THAT(outcome.err, ContainsSubstring(std::string(flag) + ": only the cpu backend"));
  }
}

TEST_CASE("a prompt longer than the context is refused with an error") {
  need_model();
  const TempFolder folder;
  std::string words;
  for (int i = 0; i < 9000; ++i) words += " word";
  const Outcome outcome = frugal_program({"generate", "--model", model, "--prompt-file", folder.write("p", words)});
  CHECK(outcome.code == 2);
  CHECK_THAT(outcome.err, ContainsSubstring("too_large"));
}

TEST_CASE("score writes the logits of every position, the same in any chunk") {
  need_model();
  constexpr std::size_t vocab = 49152, n = 37;
  const TempFolder folder;
  const std::string ids = folder.write("ids.json", france_ids);
  const auto score = [&](const std::string& chunk) {
    const std::string out = folder.path("x" + chunk + ".npy");
    REQUIRE(frugal_program({"score", "--model", model, "--ids-file", ids, "--out", out, "--chunk", chunk, "--backend",
                            "reference"})
                .code == 0);
    return read_file(out);
  };
  const std::string whole = score("64"), pieces = score("5");
  CHECK_THAT(whole.substr(0, 128), ContainsSubstring("(37, 49152)"));
  REQUIRE(whole.size() == pieces.size());
  for (const std::size_t row : {std::size_t{0}, std::size_t{4}, std::size_t{5}, n - 1}) {
    const std::vector<float> a = npy_row(whole, row, vocab), b = npy_row(pieces, row, vocab);
    float most = 0;
    for (std::size_t i = 0; i < vocab; ++i) most = std::max(most, std::abs(a[i] - b[i]));
    CHECK(most < 0.01F);
  }
  const std::vector<float> last = npy_row(whole, n - 1, vocab);
  CHECK(std::max_element(last.begin(), last.end()) - last.begin() == 504);  // "The", as the golden answer begins
}

TEST_CASE("score rejects ids that the model does not have") {
  need_model();
  const TempFolder folder;
  const auto error = [&](const char* ids) {
    const Outcome outcome = frugal_program(
        {"score", "--model", model, "--ids-file", folder.write("ids.json", ids), "--out", folder.path("x.npy")});
    CHECK(outcome.code == 2);
    CHECK_FALSE(std::filesystem::exists(folder.path("x.npy")));
    return outcome.err;
  };
  CHECK_THAT(error("[1, 49152]"), ContainsSubstring("entry 1 is 49152") && ContainsSubstring("49151"));
  CHECK_THAT(error("[]"), ContainsSubstring("holds no token id"));
}
