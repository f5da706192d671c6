// Draws on a device with its own memory are what draw() makes of the same logits, bit for bit: lists, distributions, and
// drafts that were drawn at random. Only what was asked for comes to the host.
#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <optional>
#include <string>
#include <vector>

#include "torch/pretend_rig.hpp"

namespace frugal::testing {
namespace {

constexpr std::uint32_t rows = 5, prompt = 6;

/// A sequence whose rows after the prompt all draw and bring their logits.
struct Chain {
  Rig rig{on_pretend(true)(), {tiny_model()}};
  std::uint32_t vocab = rig.models[0]->spec().vocab;
  std::vector<Granule> pages = rig.pages(48);
  std::vector<Token> tokens = some_tokens(prompt + rows);
  std::vector<float> logits = std::vector<float>(rows * std::size_t{vocab});
  std::vector<TokenScore> drawn = std::vector<TokenScore>(rows);

  Chain() { rig.run(std::span(tokens).first(prompt), 0, pages); }

  Ticket submit(const std::vector<DrawSpec>& draws, bool with_logits = true) {
    Segment s{.tokens = std::span(tokens).subspan(prompt), .start = prompt, .pages = pages, .draws = draws};
    if (with_logits) s.logits = logits;
    drawn.assign(draws.size(), {});
    return rig.backend->submit({.model = ModelId{0}, .segments = {&s, 1}, .drawn = drawn});
  }
  std::span<const float> row(std::size_t i) const { return std::span(logits).subspan(i * vocab, vocab); }
};

void equal(const TokenScore& got, const TokenScore& want) {
  CHECK(got.token == want.token);
  CHECK(got.logprob == want.logprob);
  CHECK(got.margin == want.margin);
  REQUIRE(got.top.size() == want.top.size());
  for (std::size_t i = 0; i < got.top.size(); ++i) {
    CHECK(got.top[i].token == want.top[i].token);
    CHECK(got.top[i].logprob == want.top[i].logprob);
  }
}

TEST_CASE("draws on a device give lists and distributions as draw() does, and a bias that stands twice") {
  Chain chain;
  const Sampling hot{.temperature = 0.9F, .top_p = 0.9F};
  const Sampling biased{
      .temperature = 0.7F, .repetition_penalty = 1.3F, .logit_bias = {{7, 0.1F}, {7, 0.7F}, {9, -1.0F}}};
  std::vector<std::vector<float>> got(rows), want(rows);
  std::vector<DrawSpec> draws;
  for (std::uint32_t i = 0; i < rows; ++i) {
    DrawSpec d{.sampling = i % 2 == 0 ? &hot : &biased, .prompt = chain.tokens, .seed = 4, .position = 9 + i};
    d.scores = i != 1, d.top_logprobs = i, d.distribution = i != 2 ? &got[i] : nullptr;
    draws.push_back(d);
  }
  chain.rig.backend->wait(chain.submit(draws));
  for (std::uint32_t i = 0; i < rows; ++i) {
    INFO("row " << i);
    if (draws[i].distribution != nullptr) draws[i].distribution = &want[i];
    equal(chain.drawn[i], draw(chain.row(i), draws[i]));
    CHECK(got[i] == want[i]);
  }
}

/// What judging each row's draft gives on the host: `drafts` were drawn from `q`.
std::vector<TokenScore> judged(const Chain& chain, std::vector<DrawSpec> specs,
                               const std::vector<std::vector<float>>& q, const std::vector<Token>& drafts) {
  std::vector<TokenScore> out;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    specs[i].draft = {}, specs[i].draft_distribution = q[i], specs[i].drafted = drafts[i];
    out.push_back(draw(chain.row(i), specs[i]));
  }
  return out;
}

TEST_CASE("drafts are judged on the device by distributions that never left it, or by those of the host") {
  int accepted = 0, fallen = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    INFO("seed " << seed);
    Chain chain;
    const Sampling flat{.temperature = 1.6F}, hot{.temperature = 0.9F, .top_k = 60};
    std::vector<DrawSpec> drafts, verify;
    std::vector<std::vector<float>> q(rows);
    for (std::uint32_t i = 0; i < rows; ++i) {
      drafts.push_back({.sampling = &flat, .seed = seed, .position = 9 + i, .purpose = DrawPurpose::draft});
      drafts.back().keep_distribution = true;
      if (i % 2 == 0) drafts.back().distribution = &q[i];  // to the host as well
      verify.push_back({.sampling = &hot, .seed = seed, .position = 9 + i, .scores = true});
    }
    const Ticket first = chain.submit(drafts);
    chain.rig.backend->wait(first);
    std::vector<Token> tokens;
    for (std::uint32_t i = 0; i < rows; ++i) {
      tokens.push_back(chain.drawn[i].token);
      const std::vector<float> p = draw_distribution(chain.row(i), drafts[i]);
      if (i % 2 == 0) CHECK(q[i] == p);
      q[i] = p;
      verify[i].draft = {first, i};
    }
    pretend().reset_counts();
    chain.rig.backend->wait(chain.submit(verify));
    const auto want = judged(chain, verify, q, tokens);
    for (std::uint32_t i = 0; i < rows; ++i) {
      equal(chain.drawn[i], want[i]);
      ++(chain.drawn[i].token == tokens[i] ? accepted : fallen);
      verify[i].draft = {}, verify[i].draft_distribution = q[i], verify[i].drafted = tokens[i];
    }
    chain.rig.backend->wait(chain.submit(verify));
    for (std::uint32_t i = 0; i < rows; ++i) equal(chain.drawn[i], want[i]);
  }
  CHECK(accepted > 20);
  CHECK(fallen > 20);
}

TEST_CASE("a verify chain brings 24 bytes a draw to the host and carries no distribution") {
  Chain chain;
  const Sampling hot{.temperature = 0.9F};
  std::vector<DrawSpec> drafts(rows), verify(rows);
  for (std::uint32_t i = 0; i < rows; ++i) {
    drafts[i].sampling = verify[i].sampling = &hot;
    drafts[i].keep_distribution = true;
  }
  const Ticket first = chain.submit(drafts, false);
  chain.rig.backend->wait(first);
  for (std::uint32_t i = 0; i < rows; ++i) verify[i].draft = {first, i};
  pretend().reset_counts();
  chain.rig.backend->wait(chain.submit(verify, false));
  CHECK(pretend().counts().bytes_down == rows * 24);
  CHECK(pretend().counts().bytes_up < chain.vocab * sizeof(float) * 3);
  CHECK(pretend().counts().waits == 1);
}

TEST_CASE("a draft whose distribution the device has not is refused, with what is missing") {
  Chain chain;
  const Sampling hot{.temperature = 0.9F};
  const std::vector<DrawSpec> plain{{.sampling = &hot}};
  const auto refusal = [&](const DrawSpec& spec) -> std::string {
    try {
      chain.rig.backend->wait(chain.submit({spec}));
    } catch (const Error& e) {
      CHECK(e.code() == Errc::invalid_argument);
      return e.what();
    }
    return "";
  };
  const Ticket first = chain.submit(plain);
  chain.rig.backend->wait(first);
  CHECK(refusal({.sampling = &hot, .draft = {first, 0}}).find("did not keep") != std::string::npos);
  CHECK(refusal({.sampling = &hot, .draft = {first, 1}}).find("has 1 draws") != std::string::npos);
  const std::vector<float> q(chain.vocab, 0.0F);
  CHECK(refusal({.sampling = &hot, .draft_distribution = q, .drafted = 3}).find("no probability") != std::string::npos);
  CHECK(refusal({}).find("sampling is null") != std::string::npos);
  CHECK(chain.rig.backend->healthy());
}

TEST_CASE("the device holds the distributions of so many draws, and then the oldest go: no more memory is taken") {
  Chain chain;
  const std::uint32_t most = *chain.rig.backend->traits().kept_distributions;
  const Sampling hot{.temperature = 0.9F};
  const std::vector<DrawSpec> drafts(rows, {.sampling = &hot, .keep_distribution = true});
  const auto pass = [&] {
    const Ticket t = chain.submit(drafts, false);
    chain.rig.backend->wait(t);
    return t;
  };
  const auto refusal = [&](DrawRef draft) -> std::string {
    try {
      chain.rig.backend->wait(chain.submit({{.sampling = &hot, .draft = draft}}, false));
      return "";
    } catch (const Error& e) {
      CHECK(e.code() == Errc::invalid_argument);
      return e.what();
    }
  };
  const Ticket first = pass();
  const std::size_t before = pretend().bytes_in_use();
  for (std::uint32_t kept = rows; kept + rows <= most; kept += rows) pass();
  CHECK(pretend().bytes_in_use() == before);
  CHECK(refusal({first, most % rows}).empty());
  pass();
  CHECK(refusal({first, rows - most % rows - 1}).find("256 were kept since") != std::string::npos);
  CHECK(pretend().bytes_in_use() == before);
}

TEST_CASE("a pass that keeps more distributions than there is room for is refused") {
  Rig rig(on_pretend(true)(), {tiny_model()});
  const std::uint32_t most = *rig.backend->traits().kept_distributions;
  const Sampling hot{.temperature = 0.9F};
  const auto tokens = some_tokens(most + 1);
  const auto pages = rig.pages(most + 1);
  const std::vector<DrawSpec> draws(most + 1, {.sampling = &hot, .keep_distribution = true});
  const auto run = [&](std::uint32_t n) {
    std::vector<TokenScore> drawn(n);
    const Segment s{.tokens = std::span(tokens).first(n), .pages = pages, .draws = std::span(draws).first(n)};
    rig.backend->wait(rig.backend->submit({.model = ModelId{0}, .segments = {&s, 1}, .drawn = drawn}));
  };
  CHECK_NOTHROW(run(most));
  CHECK_THROWS_AS(run(most + 1), Error);
  CHECK_NOTHROW(run(1));
}

TEST_CASE("a pass in halves keeps the distributions of all its draws") {
  Chain chain, whole;
  const Sampling hot{.temperature = 0.9F};
  std::vector<DrawSpec> drafts(rows), verify(rows);
  for (std::uint32_t i = 0; i < rows; ++i) {
    drafts[i].sampling = verify[i].sampling = &hot;
    drafts[i].seed = i, drafts[i].keep_distribution = true;
  }
  const auto draft = [&](Chain& c, std::size_t more) -> std::optional<Ticket> {
    pretend().limit_memory(pretend().bytes_in_use() + more);
    const Ticket ticket = c.submit(drafts, false);
    pretend().limit_memory(std::size_t{1} << 32);
    try {
      c.rig.backend->wait(ticket);
      return ticket;
    } catch (const Error& e) {
      CHECK(e.code() == Errc::out_of_memory);
      return std::nullopt;
    }
  };
  const auto tokens = [&](Chain& c, Ticket first) {
    for (std::uint32_t i = 0; i < rows; ++i) verify[i].draft = {first, i};
    c.rig.backend->wait(c.submit(verify, false));
    std::vector<Token> all;
    for (const TokenScore& s : c.drawn) all.push_back(s.token);
    return all;
  };
  std::optional<Ticket> halves;
  std::size_t more = 0;
  while (!halves) halves = draft(chain, more += 512);  // the least with which it ends: single rows, or nearly
  CHECK(more > 512);
  CHECK(tokens(chain, *halves) == tokens(whole, *draft(whole, std::size_t{1} << 30)));
}

/// Holds few distributions, and counts those that drafts of a step keep.
class Short final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  BackendTraits traits() const override {
    BackendTraits t = BackendWrapper::traits();
    t.kept_distributions = 7;
    return t;
  }
  void forward(const Batch& batch) override {
    if (batch.model == ModelId{0}) kept = 0;
    for (const Segment& s : batch.segments) {
      for (const DrawSpec& d : s.draws) kept += d.keep_distribution ? 1 : 0;
      with_logits += s.logits.empty() ? 0 : 1;
    }
    most_kept = std::max(most_kept, kept);
    BackendWrapper::forward(batch);
  }
  int kept = 0, most_kept = 0, with_logits = 0;
};

/// Four requests with three drafts each, drawn at random by a model of the same vocabulary.
std::vector<Stream> drafted_at_random(Engine& engine) {
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 4; ++i) {
    Request request{TokenPrompt{some_tokens(20 + i)}};
    request.max_tokens = 24, request.sampling.temperature = 0.8F;
    streams.push_back(engine.submit(std::move(request)));
  }
  return streams;
}

EngineOptions with_random_drafts(std::shared_ptr<Backend> backend) {
  EngineOptions options;
  options.backend = std::move(backend);
  options.models = {{"a", tiny_model({.logit_scale = 4.0F})}};
  options.draft_models = {
      {.target = "a", .model = tiny_model({.layers = 1, .logit_scale = 4.0F}), .name = "d", .sampled = true}};
  options.speculation = fixed_drafts(3);
  options.kv_bytes = std::size_t{8} << 20;
  return options;
}

TEST_CASE("an engine keeps no more distributions at the device than it holds, and draws the other drafts itself") {
  const auto backend = std::make_shared<Short>(on_pretend(true)());
  Engine engine(with_random_drafts(backend));
  auto streams = drafted_at_random(engine);
  for (Stream& s : streams) {
    const Answer answer = s.wait();
    CHECK(!answer.finish.error);
    CHECK(answer.tokens.size() == 24);
  }
  CHECK(backend->most_kept > 0);
  CHECK(backend->most_kept <= 7);
  CHECK(backend->with_logits > 0);
}

TEST_CASE("an engine whose draft model draws at random takes 24 bytes a draw from the device, and no row of logits") {
  Engine engine(with_random_drafts(on_pretend(true)()));
  pretend().reset_counts();
  auto streams = drafted_at_random(engine);
  std::uint64_t verified = 0, accepted = 0;
  for (Stream& s : streams) {
    const Answer answer = s.wait();
    CHECK(!answer.finish.error);
    CHECK(answer.tokens.size() == 24);
    verified += answer.finish.ledger.drafts().verified, accepted += answer.finish.ledger.drafts().accepted;
  }
  CHECK(verified > 20);
  CHECK(accepted > 0);
  CHECK(accepted < verified);
  const PretendCounts counts = pretend().counts();
  CHECK(counts.blocking_copies == 0);
  CHECK(counts.bytes_down % 24 == 0);
  const std::uint64_t passes = counts.queued_copies / 2, row = tiny_model()->spec().vocab * sizeof(float);
  CHECK(counts.bytes_down < passes * row / 2);
  CHECK(counts.bytes_up < passes * row * 8);
  engine.check_integrity();
}

}  // namespace
}  // namespace frugal::testing
