// Rounds of drafts on the pretend device: the tokens of as many passes one after the other, with one wait for all of them,
// recorded or not; and engines that draft by them.
#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/switches.hpp"
#include "torch/pretend_recorder.hpp"
#include "torch/pretend_rig.hpp"

namespace frugal::testing {
namespace {

/// Sequences of different lengths whose next tokens a model drafts.
class Drafting {
 public:
  Drafting(bool graphs, const std::shared_ptr<const Model>& model, std::size_t sequences)
      : rig(on_pretend(true, graphs)(), {model}), tokens_(some_tokens(64)) {
    for (std::size_t i = 0; i < sequences; ++i) {
      pages_.push_back(rig.pages(64));
      starts_.push_back(static_cast<std::uint32_t>(14 + i));
      rig.run(std::span(tokens_).first(starts_.back()), 0, pages_.back());
    }
  }

  /// Where every other sequence begins with `rows` rows; the others with one.
  Batch first(std::size_t rows, std::uint32_t steps, const Sampling& sampling) {
    const std::size_t n = pages_.size();
    segments_.clear(), draws_.assign(n, {});
    for (std::size_t i = 0; i < n; ++i) {
      const auto mine = std::span(tokens_).subspan(starts_[i], i % 2 == 0 ? rows : 1);
      draws_[i] = {
          .sampling = &sampling, .seed = 7 + i, .position = starts_[i] + static_cast<std::uint32_t>(mine.size())};
      draws_[i].scores = true, draws_[i].purpose = DrawPurpose::draft, draws_[i].keep_distribution = true;
      segments_.push_back({.tokens = mine, .start = starts_[i], .pages = pages_[i], .draws = {&draws_[i], 1}});
    }
    drawn_.assign(n * steps, {});
    return {.model = ModelId{0}, .segments = segments_, .drawn = drawn_};
  }

  /// In one go.
  std::vector<TokenScore> round(std::size_t rows, std::uint32_t steps, const Sampling& sampling) {
    ticket = rig.backend->draft({first(rows, steps, sampling), steps});
    report = rig.backend->wait(ticket);
    return drawn_;
  }
  /// Pass after pass, each with the tokens of the one before.
  std::vector<TokenScore> passes(std::size_t rows, std::uint32_t steps, const Sampling& sampling) {
    std::vector<TokenScore> all;
    Batch batch = first(rows, 1, sampling);
    std::vector<DrawRef> from(pages_.size());
    for (std::uint32_t k = 0; k < steps; ++k) {
      ticket = rig.backend->submit(batch);
      rig.backend->wait(ticket);
      all.insert(all.end(), drawn_.begin(), drawn_.end());
      for (std::size_t i = 0; i < pages_.size(); ++i) {
        Segment& s = segments_[i];
        s.start += static_cast<std::uint32_t>(s.tokens.size());
        s.tokens = std::span(tokens_).first(1);
        from[i] = {ticket, static_cast<std::uint32_t>(i)};
        s.from = std::span(from).subspan(i, 1);
        ++draws_[i].position;
      }
    }
    return all;
  }

  /// What becomes of a draft of the second sequence.
  Token judged(DrawRef draft) {
    const Batch batch = first(1, 1, *draws_.at(1).sampling);
    draws_[1].draft = draft;
    rig.backend->wait(rig.backend->submit(batch));
    return drawn_[1].token;
  }

  Rig rig;
  Ticket ticket{};
  PassReport report;

 private:
  std::vector<Token> tokens_;
  std::vector<std::vector<Granule>> pages_;
  std::vector<std::uint32_t> starts_;
  std::vector<Segment> segments_;
  std::vector<DrawSpec> draws_;
  std::vector<TokenScore> drawn_;
};

const Sampling& hot() {
  static const Sampling s{.temperature = 0.8F, .top_p = 0.9F};
  return s;
}

void equal_tokens(const std::vector<TokenScore>& got, const std::vector<TokenScore>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("draw " << i);
    CHECK(got[i].token == want[i].token);
    CHECK(std::abs(got[i].logprob - want[i].logprob) < 1e-3F);
  }
}

TEST_CASE("a round of drafts draws what as many passes do, for any sequences, steps and first rows, recorded or not") {
  for (const bool graphs : {false, true}) {
    for (const std::size_t sequences : {1U, 2U, 5U}) {
      Drafting rounds(graphs, tiny_model(), sequences), passes(false, tiny_model(), sequences);
      for (const std::uint32_t steps : {1U, 2U, 5U, 5U, 5U}) {
        for (const std::size_t rows : {1U, 2U}) {
          INFO((graphs ? "recorded, " : "") << sequences << " sequences, " << steps << " steps, " << rows << " rows");
          equal_tokens(rounds.round(rows, steps, hot()), passes.passes(rows, steps, hot()));
          CHECK(rounds.report.gave_up.empty());
        }
      }
      CHECK(rounds.report.replayed == graphs);
    }
  }
}

TEST_CASE("a round of drafts draws what as many passes do under every switch and with quantised weights") {
  std::vector<std::pair<std::string, TinyModelOptions>> all = switches();
  for (const auto& format : formats())
    if (format.first == "q8_0" || format.first == "q4_1") all.push_back(format);
  for (const auto& [name, options] : all) {
    INFO(name);
    const auto model = tiny_model(options);
    Drafting rounds(true, model, 3), passes(false, model, 3);
    for (int i = 0; i < 3; ++i) equal_tokens(rounds.round(2, 4, hot()), passes.passes(2, 4, hot()));
  }
}

TEST_CASE("a round of drafts is one copy up, one down and one wait, whatever its steps, and takes no memory") {
  for (const bool graphs : {false, true}) {
    Drafting drafting(graphs, tiny_model(), 5);
    for (int i = 0; i < 3; ++i) drafting.round(2, 6, hot());
    pretend().reset_counts();
    drafting.round(2, 6, hot());
    check_steady(pretend().counts());
    CHECK(pretend().counts().replays == (graphs ? 1 : 0));
    CHECK(drafting.report.device_time);
  }
}

TEST_CASE("later passes judge the drafts of a round by the distributions that it kept") {
  Drafting rounds(false, tiny_model(), 3), passes(false, tiny_model(), 3);
  rounds.round(1, 3, hot());
  const Ticket round = rounds.ticket;
  passes.passes(1, 3, hot());
  const Ticket last = passes.ticket;
  CHECK(rounds.judged({round, 2 * 3 + 1}) == passes.judged({last, 1}));
}

TEST_CASE("a round for which the device has no memory at once runs step after step") {
  Drafting rounds(false, tiny_model({.d_ff = 4096}), 5), passes(false, tiny_model({.d_ff = 4096}), 5);
  const auto want = passes.passes(2, 4, hot());
  const std::size_t in_use = pretend().bytes_in_use();
  std::size_t more = 0;
  const auto ended = [&] {
    pretend().limit_memory(in_use + (more += 2048));
    try {
      equal_tokens(rounds.round(2, 4, hot()), want);
      return true;
    } catch (const Error& e) {
      CHECK(e.code() == Errc::out_of_memory);
      return false;
    }
  };
  while (!ended()) REQUIRE(more < std::size_t{1} << 24);
  CHECK(more > 2048);
  pretend().limit_memory(std::size_t{1} << 32);
}

TEST_CASE("what a round of drafts cannot give is refused by name, and other backends take none") {
  Drafting drafting(false, tiny_model(), 2);
  std::vector<float> logits(drafting.rig.models[0]->spec().vocab);
  std::vector<float> distribution;
  const auto refusal = [&](std::uint32_t steps, const std::function<void(Segment&, DrawSpec&)>& change) -> std::string {
    Batch batch = drafting.first(1, 3, hot());
    std::vector<Segment> segments(batch.segments.begin(), batch.segments.end());
    DrawSpec draw = segments[1].draws[0];
    segments[1].draws = {&draw, 1};
    change(segments[1], draw);
    batch.segments = segments;
    try {
      drafting.rig.backend->wait(drafting.rig.backend->draft({batch, steps}));
    } catch (const Error& e) {
      CHECK(e.code() == Errc::invalid_argument);
      return e.what();
    }
    return "";
  };
  const auto none = [](Segment&, DrawSpec&) {};
  CHECK(refusal(3, none).empty());
  CHECK(refusal(2, none).find("has draws") != std::string::npos);
  CHECK(refusal(0, none).find("without steps") != std::string::npos);
  CHECK(refusal(3, [&](Segment& s, DrawSpec&) { s.logits = logits; }).find("logits") != std::string::npos);
  CHECK(refusal(3, [](Segment& s, DrawSpec&) { s.draws = {}; }).find("0 draws") != std::string::npos);
  CHECK(refusal(3, [&](Segment&, DrawSpec& d) { d.distribution = &distribution; }).find("distribution") !=
        std::string::npos);
  CHECK(refusal(3, [](Segment& s, DrawSpec&) { s.pages = s.pages.first(1); }).find("block table") != std::string::npos);

  Rig other(on_pretend(false)(), {tiny_model()});
  CHECK(other.backend->traits().draft_rounds == 0);
  try {
    other.backend->wait(other.backend->draft({}));
    FAIL("drafts were taken");
  } catch (const Error& e) {
    CHECK(e.code() == Errc::unsupported);
  }
}

/// What an engine with a draft model answers, and the waits that took.
struct Drafted {
  std::vector<std::vector<Token>> answers;
  std::uint64_t accepted = 0, waits = 0;
};

Drafted drafted(std::shared_ptr<Backend> backend, const Sampling& sampling, bool random) {
  EngineOptions options;
  options.backend = std::move(backend);
  options.models = {{"a", tiny_model({.logit_scale = 4.0F})}};
  options.draft_models = {
      {.target = "a", .model = tiny_model({.layers = 1, .logit_scale = 4.0F}), .name = "d", .sampled = random}};
  options.speculation = fixed_drafts(4);
  options.kv_bytes = std::size_t{8} << 20;
  Engine engine(std::move(options));
  pretend().reset_counts();
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 4; ++i) {
    Request request{TokenPrompt{some_tokens(20 + i)}};
    request.max_tokens = 12 + i, request.sampling = sampling;
    if (!random) request.sampling.seed = i;
    streams.push_back(engine.submit(std::move(request)));
  }
  Drafted out;
  for (Stream& s : streams) {
    const Answer answer = s.wait();
    CHECK(!answer.finish.error);
    out.answers.push_back(answer.tokens);
    out.accepted += answer.finish.ledger.drafts().accepted;
  }
  out.waits = pretend().counts().waits;
  engine.check_integrity();
  return out;
}

/// The same engine, pass by pass and in rounds.
void equal_answers(const Sampling& sampling, bool graphs, bool rounds_save_waits) {
  const auto passes = drafted(std::make_shared<BackendWrapper>(on_pretend(true, graphs)()), sampling, false);
  const auto rounds = drafted(on_pretend(true, graphs)(), sampling, false);
  CHECK(rounds.answers == passes.answers);
  CHECK(rounds.accepted == passes.accepted);
  CHECK(rounds.accepted > 0);
  if (rounds_save_waits)
    CHECK(rounds.waits * 3 < passes.waits * 2);
  else
    CHECK(rounds.waits == passes.waits);
}

TEST_CASE("an engine drafts in rounds with the answers of drafts made pass by pass, and waits less") {
  equal_answers({}, false, true);
  equal_answers({.temperature = 0.8F}, true, true);
  equal_answers({.temperature = 0.8F, .presence_penalty = 0.5F}, false,
                false);  // a draft changes what the next is drawn from
}

TEST_CASE("an engine whose draft model draws at random drafts in rounds") {
  const auto rounds = drafted(on_pretend(true)(), {.temperature = 0.8F}, true);
  const auto passes = drafted(std::make_shared<BackendWrapper>(on_pretend(true)()), {.temperature = 0.8F}, true);
  CHECK(rounds.accepted > 0);
  CHECK(rounds.waits * 3 < passes.waits * 2);
}

}  // namespace
}  // namespace frugal::testing
