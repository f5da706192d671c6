// close_when_short on real passes: random weights say anything, and every document ends within its cap, with every lever
// on, the same tokens as alone.
#include "cpu/identity.hpp"
#include "support/tiny_model.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace frugal;
using testing::bits_of;
using testing::full_run;

namespace {

constexpr const char* schemas[] = {
    "{}",
    R"({"type":"string","minLength":4})",
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"tags":{"type":"array"}},"required":["name","age"]})",
    R"({"type":"object","properties":{"kind":{"enum":["circle","square"]},"note":{"type":"string"}},"required":["kind","note"],"additionalProperties":false,"x-order":"schema"})",
    R"({"type":"array","uniqueItems":true,"minItems":3,"items":{"type":["string","integer"]}})",
    R"({"type":"array","items":{"type":"object","properties":{"id":{"type":"integer","minimum":100},"deep":{"type":"array","minItems":1}},"required":["id","deep"]},"minItems":1})",
    R"({"type":"object","additionalProperties":{"type":"boolean"},"minProperties":2})",
    R"({"anyOf":[{"type":"object","required":["type","text"],"properties":{"type":{"const":"long"},"text":{"type":"string","minLength":9}}},{"type":"null"}]})",
    R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["next"],"additionalProperties":false}}})",
    R"({"allOf":[{"properties":{"a":{"type":"number"}}},{"anyOf":[{"required":["a"]},{"required":["b"]}]}],"type":"object","unevaluatedProperties":{"type":"string"}})"};

std::shared_ptr<const ConstraintSource> source_of(std::size_t schema) {
  return grammar::json_schema(
      schemas[schema], {.whitespace = schema % 3 == 0 ? grammar::Whitespace::flexible : grammar::Whitespace::compact});
}

std::uint32_t shortest_document(const Model& model, std::size_t schema) {
  const auto constraint = source_of(schema)->open(*model.tokenizer()).value();
  std::vector<Token> way;
  REQUIRE(constraint->closes(1'000, &way));
  return static_cast<std::uint32_t>(way.size());
}

struct Asked {
  std::size_t schema;
  std::uint32_t shortest;
  Request request;
};

std::vector<Asked> workload(const Model& model, std::uint64_t seeds) {
  std::vector<Asked> all;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    for (std::size_t schema = 0; schema < std::size(schemas); ++schema) {
      Asked one{schema, shortest_document(model, schema), {}};
      one.request.prompt = RawPrompt{.text = "make up document " + std::to_string(seed)};
      one.request.constraint = source_of(schema);
      one.request.close_when_short = true;
      constexpr std::uint32_t kMore[] = {0, 1, 2, 4, 7, 12, 25, 60};
      one.request.max_tokens = one.shortest + kMore[(seed + schema) % std::size(kMore)];
      if (seed % 4 != 3) one.request.sampling.temperature = seed % 2 == 0 ? 1.0F : 3.0F;
      one.request.sampling.seed = seed;
      all.push_back(std::move(one));
    }
  }
  return all;
}

EngineOptions options_for(const std::shared_ptr<const Model>& model) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = 1});
  o.models = {{"m", model}};
  o.page_tokens = 16;
  return o;
}

}  // namespace

TEST_CASE(
    "every document of random weights ends within its cap and is valid, alone, in a batch and with every drafter") {
  testing::TinyModelOptions tiny;
  tiny.context = 400;
  const auto model = testing::tiny_model(tiny);
  const std::vector<Asked> asked = workload(*model, full_run() ? 64 : 8);
  std::vector<Answer> plain;
  std::size_t closing = 0;
  {
    Engine engine(options_for(model));
    for (const Asked& one : asked) {
      plain.push_back(engine.run(one.request));
      const Answer& a = plain.back();
      CAPTURE(schemas[one.schema], one.shortest, one.request.max_tokens, a.text,
              a.finish.error ? a.finish.error->message() : "");
      REQUIRE(a.finish.document);
      CHECK(a.finish.document->complete);
      CHECK(a.tokens.size() <= one.request.max_tokens);
      const grammar::SchemaCheck check = grammar::check_json_schema(schemas[one.schema], {a.text});
      CHECK(check.valid == std::vector<bool>{true});
      closing += a.finish.document->closing_tokens > 0 ? 1 : 0;
      Request less = one.request;
      less.max_tokens = one.shortest - 1;
      if (less.max_tokens > 0) CHECK(engine.run(less).finish.reason == FinishReason::refused);
    }
  }
  CHECK(closing > asked.size() / 2);
  for (int setup = 0; setup < 3; ++setup) {
    EngineOptions options = options_for(model);
    if (setup > 0) options.speculation = fixed_drafts(4);
    if (setup == 1) options.drafters = {prompt_lookup()};
    if (setup == 2)
      options.draft_models = {{.target = {}, .model = first_layers(model, 1), .name = "draft", .sampled = false}};
    options.prefix_cache = lru();
    Engine engine(std::move(options));
    std::vector<Stream> streams;
    for (const Asked& one : asked) streams.push_back(engine.submit(one.request));
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const Answer a = streams[i].wait();
      CAPTURE(setup, i, schemas[asked[i].schema], asked[i].request.max_tokens, a.text, plain[i].text);
      REQUIRE(bits_of(a) == bits_of(plain[i]));
      CHECK(a.finish.document->closing_tokens == plain[i].finish.document->closing_tokens);
      CHECK(a.finish.ledger.consistent());
    }
    engine.check_integrity();
  }
}
