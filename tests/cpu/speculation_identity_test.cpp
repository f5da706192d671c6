// Byte identity of speculation on real weights: eight requests, each with another thing that reads tokens one by one,
// give the same tokens, text and log-probabilities with every drafter as without, cold, behind cached prefixes and
// after preemption, alone and in a batch, greedy and seeded. By default every pair of these meets somewhere, and single
// requests are two of the eight; with FRUGAL_IDENTITY=full in the environment all of it runs.
#include "cpu/identity.hpp"
#include "support/tiny_model.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>

using namespace frugal;
using testing::Bits;
using testing::bits_of;
using testing::full_run;

namespace {

using ModelPtr = std::shared_ptr<const Model>;

constexpr std::uint32_t requests = 8, answer_tokens = 14, page_tokens = 16;

struct Setup {
  std::string name;
  std::function<void(EngineOptions&)> apply;
  bool text = false;  ///< the requests bring a draft
};

enum class State { cold, prefix_hit, preempted };

struct Cell {
  std::size_t setup;
  State state;
  std::uint32_t batch;
  bool seeded;
};

std::vector<Setup> setups(const ModelPtr& model) {
  const auto drafters = [](std::uint32_t tokens, std::vector<std::shared_ptr<Drafter>> chain) {
    return [=](EngineOptions& o) { o.speculation = fixed_drafts(tokens), o.drafters = chain; };
  };
  const auto with_model = [](const auto& before, const ModelPtr& draft, bool sampled = false) {
    return [=](EngineOptions& o) {
      before(o);
      o.draft_models = {{.target = {}, .model = draft, .name = "draft", .sampled = sampled}};
    };
  };
  const auto few = first_layers(model, 10);
  const auto chain = drafters(5, {prompt_lookup({.shortest_match = 3}), suffix_drafter()});
  const auto adaptive = [=](EngineOptions& o) { chain(o), o.speculation = adaptive_drafts({.probe_share = 0.5}); };
  testing::TinyModelOptions tiny;
  tiny.vocab = 288;
  return {
      {"prompt lookup", drafters(4, {prompt_lookup()})},
      {"suffixes and past answers", drafters(7, {suffix_drafter()})},
      {"given text", drafters(6, {}), true},
      {"first layers", with_model(drafters(3, {}), few)},
      {"another vocabulary", with_model(drafters(3, {}), testing::tiny_model(tiny))},
      {"chain", with_model(chain, few), true},
      {"first layers, sampled", with_model(drafters(2, {}), few, true)},  // from here on in the whole matrix only
      {"chain, adaptive", with_model(adaptive, few), true},
  };
}

/// A passage and its beginning again: an answer that goes on with it can be drafted.
std::vector<Request> workload(const Model& model, bool seeded) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  std::vector<Request> all;
  for (std::uint32_t i = 0; i < requests; ++i) {
    std::vector<Token> prompt(ids.begin(), ids.begin() + page_tokens);
    const auto passage = ids.begin() + 90 + 37 * i;
    prompt.insert(prompt.end(), passage, passage + 14);
    prompt.insert(prompt.end(), passage, passage + 4 + i % 3);
    Request r{TokenPrompt{std::move(prompt)}};
    r.max_tokens = answer_tokens, r.logprobs = 2;
    if (seeded) r.sampling.temperature = 0.8F, r.sampling.seed = 100 + i;
    all.push_back(std::move(r));
  }
  all[1].stop = {"\n", "the", "er"};
  all[2].type = "capped";
  all[3].sampling.repetition_penalty = 1.1F;
  all[3].sampling.presence_penalty = 0.3F;
  all[3].sampling.frequency_penalty = 0.2F;
  all[4].sampling.logit_bias = {{ids[90], 2.0F}, {*model.tokenizer()->eos(), 6.0F}};
  all[4].logprobs = 5;
  all[5].sampling.top_k = 5;
  all[5].scores = true, all[5].logprobs.reset();
  all[6].type = "looping";
  all[7].sampling.top_p = 0.8F;
  all[7].sampling.min_p = 0.02F;
  all[7].stop = {"never in it"};
  return all;
}

/// Arrives first, grows, and never ends early: where pages are short, the others give way to it.
Request grower(const Model& model) {
  const std::vector<Token> ids = testing::tokens_of_text(model);
  Request r{TokenPrompt{{ids.begin() + 500, ids.begin() + 556}}};
  r.max_tokens = 44;
  for (std::size_t t = 0; t < model.tokenizer()->size(); ++t)
    if (model.tokenizer()->is_end(static_cast<Token>(t)))
      r.sampling.logit_bias.emplace_back(static_cast<Token>(t), -100.0F);
  return r;
}

EngineOptions options_for(const ModelPtr& model) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = 2});
  o.models = {{"m", model}};
  o.page_tokens = page_tokens;
  o.prefill_chunk = 24;
  o.output = first_of({for_type("capped", max_tokens(13)),
                       for_type("looping", repeat_guard({.max_period = 8, .repeats = 2, .min_tokens = 4}))});
  return o;
}

std::size_t bytes_of_pages(const Model& model, std::size_t pages) {
  const DecoderSpec& s = model.spec();
  return pages * page_tokens * s.layers * s.kv_heads * s.head_dim * 2 * 2;  // keys and values in fp16
}

struct Sums {
  std::uint64_t answers = 0, verified = 0, accepted = 0, preemptions = 0, cached = 0;
  Sums& operator+=(const Sums& o) {
    answers += o.answers, verified += o.verified, accepted += o.accepted;
    preemptions += o.preemptions, cached += o.cached;
    return *this;
  }
};

class Identity {
 public:
  explicit Identity(ModelPtr model) : model_(std::move(model)), setups_(setups(model_)) {
    for (const bool seeded : {false, true}) {
      Engine engine(options_for(model_));
      for (const Request& r : work(seeded)) plain_[seeded].push_back(engine.run(r));
    }
  }

  const std::vector<Setup>& all() const { return setups_; }

  /// `chosen` of the eight requests, in batches of cell.batch.
  Sums check(const Cell& cell, const std::vector<std::uint32_t>& chosen) const {
    const Setup& setup = setups_[cell.setup];
    CAPTURE(setup.name, static_cast<int>(cell.state), cell.batch, cell.seeded);
    EngineOptions options = options_for(model_);
    if (cell.state == State::prefix_hit) options.prefix_cache = lru();
    if (cell.state == State::preempted) options.kv_bytes = bytes_of_pages(*model_, cell.batch == 1 ? 7 : 26);
    setup.apply(options);
    Engine engine(std::move(options));
    Sums sums;
    for (int turn = 0; turn < (cell.state == State::prefix_hit ? 2 : 1); ++turn)
      for (std::size_t at = 0; at < chosen.size(); at += cell.batch)
        sums +=
            check(engine, cell, std::span(chosen).subspan(at, std::min<std::size_t>(cell.batch, chosen.size() - at)));
    sums.preemptions = engine.stats().preemptions;
    engine.check_integrity();
    return sums;
  }

 private:
  std::vector<Request> work(bool seeded) const { return workload(*model_, seeded); }

  /// Right to begin with, then wrong once.
  Request request(const Cell& cell, std::uint32_t i) const {
    Request r = work(cell.seeded)[i];
    if (!setups_[cell.setup].text) return r;
    r.draft.tokens = plain_[cell.seeded][i].tokens;
    if (r.draft.tokens.size() > 7) r.draft.tokens[7] += 1;
    return r;
  }

  Sums check(Engine& engine, const Cell& cell, std::span<const std::uint32_t> now) const {
    std::vector<Stream> streams;
    if (cell.state == State::preempted) streams.push_back(engine.submit(grower(*model_)));
    for (const std::uint32_t i : now) streams.push_back(engine.submit(request(cell, i)));
    std::vector<Answer> answers;
    for (Stream& s : streams) answers.push_back(s.wait());
    answers.erase(answers.begin(), answers.end() - static_cast<std::ptrdiff_t>(now.size()));
    Sums sums;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const Answer &got = answers[i], &want = plain_[cell.seeded][now[i]];
      CAPTURE(now[i], got.text, want.text, got.finish.error ? got.finish.error->what() : "");
      REQUIRE(bits_of(got) == bits_of(want));
      REQUIRE(got.finish.detail == want.finish.detail);
      REQUIRE(got.finish.ledger.consistent());
      const DraftLedger drafts = got.finish.ledger.drafts();
      sums += {1, drafts.verified, drafts.accepted, 0, got.finish.usage.cached_read};
    }
    return sums;
  }

  ModelPtr model_;
  std::vector<Setup> setups_;
  std::array<std::vector<Answer>, 2> plain_;
};

constexpr std::array states{State::cold, State::prefix_hit, State::preempted};

/// Everything, or a part in which every setup meets every state, both batch sizes and both ways to draw, and every
/// state meets both of each.
std::vector<Cell> cells(std::size_t count, bool whole) {
  std::vector<Cell> out;
  if (!whole) count -= 2;
  for (std::size_t setup = 0; setup < count; ++setup)
    for (std::size_t s = 0; s < states.size(); ++s)
      for (const std::uint32_t batch : {1U, requests})
        for (const bool seeded : {false, true})
          if (whole || ((setup + s) % 2 == (batch == 1) && (setup / 2 + s) % 2 == seeded))
            out.push_back({setup, states[s], batch, seeded});
  return out;
}

/// Two of the eight alone, others each time, or all.
std::vector<std::uint32_t> chosen(const Cell& cell, std::size_t number, bool whole) {
  std::vector<std::uint32_t> out;
  const std::uint32_t count = whole || cell.batch > 1 ? requests : 2;
  for (std::uint32_t i = 0; i < count; ++i) out.push_back((static_cast<std::uint32_t>(number) * 2 + i) % requests);
  return out;
}

}  // namespace

TEST_CASE("no answer of SmolLM2 changes by speculation, to the last bit of its log-probabilities") {
  const Identity identity(testing::smollm2());
  const std::vector<Cell> matrix = cells(identity.all().size(), full_run());
  std::vector<Sums> by_setup(identity.all().size());
  std::map<State, Sums> by_state;
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    const Sums sums = identity.check(matrix[i], chosen(matrix[i], i, full_run()));
    by_setup[matrix[i].setup] += sums, by_state[matrix[i].state] += sums;
  }
  std::string report;
  for (std::size_t i = 0; i < by_setup.size(); ++i) {
    const Sums& s = by_setup[i];
    if (s.answers == 0) continue;
    report += identity.all()[i].name + ": " + std::to_string(s.answers) + " answers, " + std::to_string(s.accepted) +
              " of " + std::to_string(s.verified) + " drafts accepted, " + std::to_string(s.preemptions) +
              " preemptions\n";
    CAPTURE(report);
    CHECK(s.verified > s.accepted);  // both ways to go were gone
    CHECK(s.verified > 20);
    if (identity.all()[i].name != "another vocabulary") CHECK(s.accepted > 5);
  }
  CHECK(by_state[State::prefix_hit].cached > 1000);
  CHECK(by_state[State::preempted].preemptions > (full_run() ? 30 : 3));
  CHECK(by_state[State::cold].preemptions == 0);
  if (full_run()) WARN(report);
}
