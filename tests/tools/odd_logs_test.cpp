// `frugal advise` and `frugal replay` on what people really pass them: a clear error that names file, line and reason,
// or advice with what cannot be known.
#include "tools/process.hpp"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace frugal::test;
using Catch::Matchers::ContainsSubstring;
using nlohmann::json;

namespace {

std::string line(int i, const std::string& more = "") {
  return R"({"timestamp":)" + std::to_string(100 + i) + R"(,"type":"t","prompt_tokens":)" + std::to_string(100 + i) +
         R"(,"output_tokens":20,"cached_tokens":0,"ttft_ms":50,"e2e_ms":500,"prefix_blocks":[0,1,2,3,4,5])" + more +
         "}";
}

std::vector<std::string> lines(int n = 40) {
  std::vector<std::string> out;
  for (int i = 0; i < n; ++i) out.push_back(line(i));
  return out;
}

std::string joined(const std::vector<std::string>& list, const std::string& end = "\n") {
  std::string text;
  for (const std::string& one : list) text += one + end;
  return text;
}

/// Both forms: the JSON is one whole object, the words are there.
json advice(const std::string& text, std::string* err = nullptr) {
  const TempFolder folder;
  const std::string path = folder.write("log.jsonl", text);
  const Outcome outcome = frugal_program({"advise", path, "--json", "--quiet"});
  REQUIRE(outcome.code == 0);
  if (err != nullptr) *err = outcome.err;
  const Outcome words = frugal_program({"advise", path, "--quiet"});
  CHECK(words.code == 0);
  CHECK_THAT(words.out, ContainsSubstring("Bound by"));
  CHECK(frugal_program({"replay", path, "--quiet"}).code == 0);
  return json::parse(outcome.out);
}

std::string refusal(const std::string& text) {
  const TempFolder folder;
  const std::string path = folder.write("log.jsonl", text);
  for (const char* command : {"replay", "advise"}) {
    const Outcome outcome = frugal_program({command, path, "--quiet"});
    CHECK(outcome.code == 2);
    CHECK(outcome.out.empty());
    CHECK_THAT(outcome.err, ContainsSubstring(path));
    if (std::string(command) == "advise") return outcome.err;
  }
  return {};
}

}  // namespace

TEST_CASE("a log without a request, a folder, a packed file and a missing one are refused by name") {
  CHECK_THAT(refusal(""), ContainsSubstring("no request in it"));
  CHECK_THAT(refusal("\n \r\n\n"), ContainsSubstring("no request in it"));
  CHECK_THAT(refusal("\x1F\x8B\x08\x08 packed"), ContainsSubstring("gzip"));
  CHECK_THAT(refusal("prompt_tokens,output_tokens\n3,4\n"), ContainsSubstring(":1:1: expected an object"));
  CHECK_THAT(refusal("[" + line(0) + "]\n"), ContainsSubstring(":1:1: expected an object"));
  const TempFolder folder;
  for (const std::string& path : {folder.path(""), folder.path("nowhere.jsonl")}) {
    const Outcome outcome = frugal_program({"advise", path, "--json", "--quiet"});
    CHECK(outcome.code == 2);
    CHECK_THAT(outcome.err,
               ContainsSubstring(path) && (ContainsSubstring("folder") || ContainsSubstring("cannot open")));
  }
}

TEST_CASE("one line is a log: nothing is worth it, and what is unknown is said") {
  std::string err;
  const json one = advice(R"({"prompt_tokens":7,"output_tokens":0})", &err);
  CHECK(one["levers"].empty());
  for (const char* field : {"timestamp", "type", "model", "ttft_ms", "e2e_ms"})
    CHECK_THAT(err, ContainsSubstring(std::string(field) + " is not recorded"));
}

TEST_CASE("line ends of any kind and any order of lines give the same advice") {
  const std::vector<std::string> ordered = lines();
  std::vector<std::string> backwards(ordered.rbegin(), ordered.rend());
  const json plain = advice(joined(ordered));
  CHECK(plain["levers"].at(0)["lever"] == "prefix_cache");
  CHECK(advice(joined(ordered, "\r\n")) == plain);
  CHECK(advice("\xEF\xBB\xBF" + joined(ordered)) == plain);
  CHECK(advice(joined(backwards)) == plain);
}

TEST_CASE("a line that ends too early, or says what cannot be, is named and left out") {
  std::string text = joined(lines()), err;
  text += line(40).substr(0, 100);
  CHECK(advice(text, &err)["slices"][0]["requests"] == 40);
  CHECK_THAT(err, ContainsSubstring("log.jsonl:41:") && ContainsSubstring("1 lines could not be read"));
  for (const auto& [more, said] :
       std::vector<std::pair<std::string, std::string>>{{R"(,"e2e_ms":-5)", "a time below zero"},
                                                        {R"(,"prompt_tokens":-1)", "'-1' is not a whole number"},
                                                        {R"(,"prompt_tokens":3.5)", "'3.5' is not a whole number"},
                                                        {R"(,"prompt_tokens":"3")", "expected a number"},
                                                        {R"(,"timestamp":Infinity)", "expected a number"},
                                                        {R"(,"ttft_ms":1e999)", "not a number"},
                                                        {R"(,"cached_tokens":900)", "cached_tokens is 900"},
                                                        {R"(,"timestamp":1e20)", "beyond the year 5000"}}) {
    INFO(more);
    CHECK(advice(joined(lines()) + line(1, more) + "\n", &err)["slices"][0]["requests"] == 40);
    CHECK_THAT(err, ContainsSubstring("log.jsonl:41:") && ContainsSubstring(said));
    const TempFolder folder;
    const Outcome strict =
        frugal_program({"advise", folder.write("log.jsonl", line(0) + "\n" + line(1, more)), "--strict", "--quiet"});
    CHECK(strict.code == 2);
    CHECK_THAT(strict.err, ContainsSubstring("log.jsonl:2:"));
  }
}

TEST_CASE("NaN is a value that was not recorded, as Python writes it") {
  std::string err;
  CHECK(advice(joined(lines()) + line(1, R"(,"ttft_ms":NaN,"timestamp":NaN)") + "\n", &err)["slices"][0]["requests"] ==
        41);
  CHECK(err.find("left out:") == std::string::npos);
}

TEST_CASE("requests without an answer, and requests that all failed, leave nothing to advise") {
  std::vector<std::string> silent, failed;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(R"({"timestamp":1,"prompt_tokens":0,"output_tokens":0,"ttft_ms":1,"e2e_ms":2})");
    failed.push_back(line(i, R"(,"finish":"error")"));
  }
  std::string err;
  CHECK(advice(joined(silent))["levers"].empty());
  CHECK(advice(joined(failed), &err)["levers"].empty());
  CHECK_THAT(err, ContainsSubstring("no answered request"));
}
