// Byte identity under real constraints on real weights: eight requests, each with another kind of grammar and another
// thing that reads tokens one by one, give the same tokens, text and log-probabilities with and without forced tokens,
// with every drafter, cold, behind cached prefixes and after preemption, alone and in a batch, greedy and seeded. By
// default a part in which every setup meets every state; with FRUGAL_IDENTITY=full in the environment all of it.
#include "cpu/identity.hpp"
#include "support/tiny_model.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <utility>

using namespace frugal;
using testing::bits_of;
using testing::full_run;

namespace {

using ModelPtr = std::shared_ptr<const Model>;
using SourcePtr = std::shared_ptr<const ConstraintSource>;

constexpr std::uint32_t page_tokens = 16;

/// The same constraint, but it tells of no forced tokens.
class Silent final : public ConstraintSource {
 public:
  explicit Silent(SourcePtr inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer& tokenizer) const override {
    expected<std::unique_ptr<Constraint>> running = inner_->open(tokenizer);
    if (!running) return running;
    return std::unique_ptr<Constraint>(std::make_unique<Running>(std::move(*running)));
  }

 private:
  class Running final : public Constraint {
   public:
    explicit Running(std::unique_ptr<Constraint> inner) : inner_(std::move(inner)) {}
    void mask(std::span<std::uint32_t> words) override { inner_->mask(words); }
    bool advance(Token token) override { return inner_->advance(token); }
    void rollback(std::size_t tokens) override { inner_->rollback(tokens); }
    ConstraintState state() const override { return inner_->state(); }

   private:
    std::unique_ptr<Constraint> inner_;
  };
  SourcePtr inner_;
};

std::vector<SourcePtr> sources() {
  const std::string person =
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":1,"maximum":120},)"
      R"("city":{"enum":["Rome","Paris","Oslo"]},"member":{"type":"boolean"}},"required":["name","age","city","member"],)"
      R"("additionalProperties":false})";
  return {
      grammar::json_schema(
          person, {.whitespace = grammar::Whitespace::compact, .order = grammar::Order::schema, .lenient = {}}),
      grammar::json_schema(person),
      grammar::json_schema(
          R"({"type":"array","minItems":2,"maxItems":3,"uniqueItems":true,"items":{"type":"object","properties":{"id":{"type":"integer"},)"
          R"("tags":{"type":"array","items":{"type":"string","maxLength":6},"maxItems":2}},"required":["id","tags"],"additionalProperties":false}})",
          {.whitespace = grammar::Whitespace::compact, .order = grammar::Order::any, .lenient = {}}),
      grammar::regex("Date: 20[0-9]{2}-[01][0-9]-[0-3][0-9]; reference: [A-Z]{3}-[0-9]{4}"),
      grammar::choice({"refund the customer", "refund the order", "call the customer back", "do nothing"}),
      grammar::ebnf("root ::= \"(\" term (\" + \" term)* \")\"\nterm ::= [0-9]+ | root\n"),
      grammar::ebnf("start: \"SELECT \" NAME (\", \" NAME)* \" FROM \" NAME \";\"\nNAME: /[a-z]{1,9}/\n"),
      grammar::tools({{"get_weather", R"({"type":"object","properties":{"city":{"type":"string","maxLength":10}},)"
                                      R"("required":["city"],"additionalProperties":false})"},
                      {"get_time", R"({"type":"object","properties":{},"additionalProperties":false})"}}),
  };
}

std::vector<Request> workload(const Model& model, bool seeded, bool forced) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  const std::vector<SourcePtr> constraints = sources();
  std::vector<Request> all;
  for (std::uint32_t i = 0; i < constraints.size(); ++i) {
    std::vector<Token> prompt(ids.begin(), ids.begin() + page_tokens);
    prompt.insert(prompt.end(), ids.begin() + 90 + 37 * i, ids.begin() + 110 + 37 * i);
    Request r{TokenPrompt{std::move(prompt)}};
    r.max_tokens = 30, r.logprobs = 2;
    r.constraint = forced ? constraints[i] : std::make_shared<Silent>(constraints[i]);
    if (seeded) r.sampling.temperature = 1.0F, r.sampling.seed = 100 + i;
    all.push_back(std::move(r));
  }
  all[0].max_tokens = 60;
  all[1].stop = {"\"city\"", "Paris"};
  all[2].sampling.repetition_penalty = 1.1F;
  all[3].scores = true, all[3].logprobs.reset();
  all[5].type = "capped";
  all[6].sampling.top_k = 5;
  all[7].sampling.logit_bias = {{ids[90], 2.0F}};
  return all;
}

/// Arrives first and grows: where pages are short, the others give way to it.
Request grower(const Model& model) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  Request r{TokenPrompt{{ids.begin() + 500, ids.begin() + 556}}};
  r.max_tokens = 60;
  r.constraint = grammar::regex("[a-z ]{400}");
  return r;
}

EngineOptions options_for(const ModelPtr& model) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = 2});
  o.models = {{"m", model}};
  o.page_tokens = page_tokens;
  o.prefill_chunk = 24;
  o.output = for_type("capped", max_tokens(13));
  return o;
}

struct Setup {
  std::string name;
  std::function<void(EngineOptions&)> apply;
  bool text = false;  ///< the requests bring a draft
};

std::vector<Setup> setups(const ModelPtr& model) {
  testing::TinyModelOptions tiny;
  tiny.vocab = 288;
  const auto foreign = testing::tiny_model(tiny);
  return {
      {"no drafts", [](EngineOptions&) {}},
      {"prompt lookup", [](EngineOptions& o) { o.speculation = fixed_drafts(4), o.drafters = {prompt_lookup()}; }},
      {"given text", [](EngineOptions& o) { o.speculation = fixed_drafts(6); }, true},
      {"first layers",
       [few = first_layers(model, 10)](EngineOptions& o) {
         o.speculation = fixed_drafts(3);
         o.draft_models = {{.target = {}, .model = few, .name = "draft", .sampled = false}};
       }},
      {"another vocabulary",
       [foreign](EngineOptions& o) {
         o.speculation = fixed_drafts(3);
         o.draft_models = {{.target = {}, .model = foreign, .name = "draft", .sampled = false}};
       }},
  };
}

enum class State { cold, prefix_hit, preempted };
constexpr std::array states{State::cold, State::prefix_hit, State::preempted};

struct Cell {
  std::size_t setup;
  State state;
  std::size_t batch;
  bool seeded, forced;
};

std::vector<Cell> cells(std::size_t count, bool whole) {
  std::vector<Cell> out;
  for (std::size_t setup = 0; setup < count; ++setup)
    for (std::size_t s = 0; s < states.size(); ++s)
      for (const std::size_t batch : {1, 8})
        for (const bool seeded : {false, true})
          for (const bool forced : {false, true})
            if (whole || ((setup + s) % 2 == (batch == 1) && (setup / 2 + s) % 2 == seeded && (forced || setup == 3)))
              out.push_back({setup, states[s], batch, seeded, forced});
  return out;
}

struct Sums {
  std::uint64_t forced = 0, accepted = 0, preemptions = 0, cached = 0, passes = 0;
};

class Identity {
 public:
  explicit Identity(ModelPtr model) : model_(std::move(model)), setups_(setups(model_)) {
    for (const bool seeded : {false, true}) {
      Engine engine(options_for(model_));
      for (const Request& r : workload(*model_, seeded, false)) plain_[seeded].push_back(engine.run(r));
    }
  }
  const std::vector<Setup>& all() const { return setups_; }
  const std::vector<Answer>& plain(bool seeded) const { return plain_[seeded]; }

  Sums check(const Cell& cell, bool whole) const {
    CAPTURE(setups_[cell.setup].name, static_cast<int>(cell.state), cell.batch, cell.seeded, cell.forced);
    EngineOptions options = options_for(model_);
    if (cell.state == State::prefix_hit) options.prefix_cache = lru();
    const DecoderSpec& s = model_->spec();
    if (cell.state == State::preempted)
      options.kv_bytes = (cell.batch == 1 ? 9 : 22) * page_tokens * s.layers * s.kv_heads * s.head_dim * 4;
    setups_[cell.setup].apply(options);
    Engine engine(std::move(options));
    Sums sums;
    const std::size_t count = whole || cell.batch > 1 ? 8 : 3, first = cell.batch > 1 ? 0 : cell.setup;
    for (int turn = 0; turn < (cell.state == State::prefix_hit ? 2 : 1); ++turn)
      for (std::size_t at = 0; at < count; at += cell.batch) run(engine, cell, first + at, sums);
    sums.preemptions = engine.stats().preemptions;
    engine.check_integrity();
    return sums;
  }

 private:
  void run(Engine& engine, const Cell& cell, std::size_t first, Sums& sums) const {
    const std::vector<Answer>& plain = plain_[cell.seeded];
    std::vector<Request> requests = workload(*model_, cell.seeded, cell.forced);
    std::vector<Stream> streams;
    if (cell.state == State::preempted) streams.push_back(engine.submit(grower(*model_)));
    std::vector<std::size_t> now;
    for (std::size_t k = 0; k < cell.batch; ++k) {
      now.push_back((first + k) % requests.size());
      Request& r = requests[now.back()];
      if (setups_[cell.setup].text) {  // right to begin with, then wrong once
        r.draft.tokens = plain[now.back()].tokens;
        if (r.draft.tokens.size() > 7) r.draft.tokens[7] += 1;
      }
      streams.push_back(engine.submit(r));
    }
    std::vector<Answer> answers;
    for (Stream& s : streams) answers.push_back(s.wait());
    answers.erase(answers.begin(), answers.end() - static_cast<std::ptrdiff_t>(now.size()));
    for (std::size_t k = 0; k < now.size(); ++k) {
      const Answer &got = answers[k], &want = plain[now[k]];
      CAPTURE(now[k], got.text, want.text, got.finish.error ? got.finish.error->what() : "");
      REQUIRE(bits_of(got) == bits_of(want));
      REQUIRE(got.finish.ledger.consistent());
      const TokenLedger total = got.finish.ledger.total();
      sums.forced += total.forced, sums.accepted += total.accepted, sums.passes += total.passes;
      sums.cached += got.finish.usage.cached_read;
    }
  }

  ModelPtr model_;
  std::vector<Setup> setups_;
  std::array<std::vector<Answer>, 2> plain_;
};

}  // namespace

TEST_CASE("no answer of SmolLM2 under a grammar changes by forced tokens, drafts, prefix hits, preemption or batch") {
  const Identity identity(testing::smollm2());
  for (const bool seeded : {false, true}) {
    const std::vector<Answer>& plain = identity.plain(seeded);
    for (const Answer& a : plain) CHECK_FALSE(a.finish.error);
    CHECK(plain[0].finish.reason == FinishReason::stop);
    CHECK(std::regex_match(plain[3].text,
                           std::regex("Date: 20[0-9]{2}-[01][0-9]-[0-3][0-9]; reference: [A-Z]{3}-[0-9]{4}")));
    CHECK(plain[4].finish.reason == FinishReason::stop);
  }
  Sums silent, telling;
  std::map<State, Sums> by_state;
  for (const Cell& cell : cells(identity.all().size(), full_run())) {
    const Sums s = identity.check(cell, full_run());
    Sums& mine = cell.forced ? telling : silent;
    mine.forced += s.forced, mine.accepted += s.accepted;
    by_state[cell.state].preemptions += s.preemptions, by_state[cell.state].cached += s.cached;
  }
  CAPTURE(telling.forced, telling.accepted, silent.accepted);
  CHECK(silent.forced == 0);
  CHECK(telling.forced > 300);
  CHECK(telling.accepted > 20);  // of other drafts beside forced ones
  CHECK(by_state[State::prefix_hit].cached > 500);
  CHECK(by_state[State::preempted].preemptions > 2);
  if (full_run()) WARN(telling.forced << " forced, " << telling.accepted << " and " << silent.accepted << " drafted");
}
