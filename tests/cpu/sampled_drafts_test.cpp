// Speculative sampling end to end on real weights: SmolLM2 drafts for itself with its first layers, at random, and the
// answers are draws of the distribution that the model has without drafts. The same test sees two wrong acceptance
// rules, put between engine and backend.
#include "backend/acceptance_oracle.hpp"
#include "cpu/identity.hpp"

#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/prefix_cache.hpp>
#include <frugal/policy/speculation.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

using namespace frugal;
using testing::Fit;
using testing::full_run;

namespace {

using ModelPtr = std::shared_ptr<const Model>;

constexpr std::uint32_t kept = 4;

/// Which token of the answer may be what: the top `kept` after each beginning, best first, and their probabilities.
struct Branch {
  std::array<Token, kept> tokens{};
  std::array<double, kept> p{};
};

Request request_for(std::vector<Token> prompt, std::uint32_t tokens) {
  Request r{TokenPrompt{std::move(prompt)}};
  r.max_tokens = tokens;
  return r;
}

std::vector<Token> prompt_of(const Model& model) {
  return model.tokenizer()->encode("Once upon a time there was a small village by the sea. One day, the");
}

/// From the log-probabilities that the engine reports without drafts.
Branch branch_after(Engine& engine, const std::vector<Token>& tokens) {
  Request r = request_for(tokens, 1);
  r.logprobs = kept;
  const Answer answer = engine.run(r);
  Branch branch;
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    branch.tokens[i] = answer.scores[0].top[i].token;
    total += branch.p[i] = std::exp(static_cast<double>(answer.scores[0].top[i].logprob));
  }
  for (double& p : branch.p) p /= total;
  return branch;
}

/// All answers of `tokens` tokens, with their probabilities.
struct Tree {
  std::uint32_t tokens;
  std::vector<Branch> branches{};  // the root, then by first token, then by the first two
  std::vector<double> p{};         // by answer

  std::size_t cell_of(const std::vector<Token>& answer) const {
    std::size_t node = 0, cell = 0;
    for (const Token t : answer) {
      const auto& may = branches[node].tokens;
      const auto at = static_cast<std::size_t>(std::find(may.begin(), may.end(), t) - may.begin());
      if (at == kept) return p.size();
      cell = cell * kept + at, node = node * kept + at + 1;
    }
    return cell;
  }
};

Tree tree_of(const ModelPtr& model, std::uint32_t length) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = 2});
  o.models = {{"m", model}};
  o.prefix_cache = lru();
  Engine engine(std::move(o));
  const std::vector<Token> prompt = prompt_of(*model);
  Tree tree{length};
  std::vector<std::pair<std::vector<Token>, double>> level{{prompt, 1.0}};
  for (std::uint32_t depth = 0; depth < length; ++depth) {
    std::vector<std::pair<std::vector<Token>, double>> next;
    for (const auto& [tokens, p] : level) {
      const Branch& branch = tree.branches.emplace_back(branch_after(engine, tokens));
      for (std::size_t i = 0; i < kept; ++i) {
        next.emplace_back(tokens, p * branch.p[i]);
        next.back().first.push_back(branch.tokens[i]);
      }
    }
    level = std::move(next);
  }
  for (const auto& [tokens, p] : level) tree.p.push_back(p);
  return tree;
}

/// Another verdict on drafts that were drawn at random than the backend's.
class WrongRule final : public BackendWrapper {
 public:
  enum class Kind { all_stand, resampled_from_p };
  WrongRule(std::shared_ptr<Backend> inner, Kind kind) : BackendWrapper(std::move(inner)), kind_(kind) {}
  ModelId add_model(std::shared_ptr<const Model> model) override {
    vocab_ = model->spec().vocab;
    return BackendWrapper::add_model(std::move(model));
  }
  void forward(const Batch& batch) override {
    std::vector<Segment> segments(batch.segments.begin(), batch.segments.end());
    std::vector<std::vector<float>> logits;
    for (Segment& s : segments) {
      if (!s.logits.empty()) continue;
      s.logits = logits.emplace_back(s.draws.size() * vocab_);
    }
    BackendWrapper::forward({batch.model, segments, batch.drawn});
    std::size_t next = 0;
    for (const Segment& s : segments)
      for (std::size_t i = 0; i < s.draws.size(); ++i) judge(s, i, batch.drawn[next++]);
  }

 private:
  void judge(const Segment& s, std::size_t i, TokenScore& drawn) const {
    DrawSpec spec = s.draws[i];
    if (spec.draft_distribution.empty() || drawn.token == spec.drafted) return;
    if (kind_ == Kind::all_stand) {
      drawn.token = spec.drafted;
    } else {
      spec.draft_distribution = {};
      drawn.token = draw(s.logits.subspan(i * vocab_, vocab_), spec).token;
    }
  }
  Kind kind_;
  std::uint32_t vocab_ = 0;
};

struct Drawn {
  std::vector<std::uint64_t> seen;
  std::uint64_t elsewhere = 0;  ///< answers that cannot be
  DraftLedger drafts{};
  Fit fit(const Tree& tree) const {
    std::uint64_t n = 0;
    for (const std::uint64_t x : seen) n += x;
    Fit fit = testing::fit_of(seen, tree.p, n);
    fit.impossible += elsewhere;
    return fit;
  }
};

/// `draws` answers, 64 at once. `layers` 0 = without drafts.
Drawn draw_many(const ModelPtr& model, const Tree& tree, std::uint32_t draws, std::uint32_t layers,
                std::shared_ptr<Backend> backend) {
  EngineOptions o;
  o.backend = std::move(backend);
  o.models = {{"m", model}};
  o.prefix_cache = lru();
  o.max_running = 64;
  if (layers > 0) {
    o.speculation = fixed_drafts(tree.tokens - 1);  // the prompt is 16 cached tokens and one: drafts from the start
    o.draft_models = {{.target = {}, .model = first_layers(model, layers), .name = "first layers", .sampled = true}};
  }
  Engine engine(std::move(o));
  Request r = request_for(prompt_of(*model), tree.tokens);
  r.sampling.temperature = 1.0F, r.sampling.top_k = kept;
  engine.run(r);  // the prompt is in the index
  Drawn out{std::vector<std::uint64_t>(tree.p.size())};
  for (std::uint32_t at = 0; at < draws; at += 64) {
    std::vector<Stream> streams;
    for (std::uint32_t i = at; i < std::min(draws, at + 64); ++i) streams.push_back(engine.submit(r));
    for (Stream& s : streams) {
      const Answer answer = s.wait();
      REQUIRE_FALSE(answer.finish.error);
      const std::size_t cell = tree.cell_of(answer.tokens);
      cell < tree.p.size() ? ++out.seen[cell] : ++out.elsewhere;
      out.drafts += answer.finish.ledger.drafts();
    }
  }
  return out;
}

/// Two samples, by chi-square over the cells that hold at least 10 of both together.
Fit difference(const Drawn& a, const Drawn& b) {
  Fit fit;
  double used = 0;
  for (std::size_t i = 0; i < a.seen.size(); ++i) {
    const double x = static_cast<double>(a.seen[i]), y = static_cast<double>(b.seen[i]);
    if (x + y < 10) continue;
    fit.chi_square += (x - y) * (x - y) / (x + y), used += 1;
  }
  fit.limit = testing::chi_square_limit(std::max(used - 1, 1.0));
  return fit;
}

constexpr std::uint32_t draft_layers = 29;  // of 30: about a quarter of its drafts stand here

}  // namespace

TEST_CASE(
    "answers drafted at random by a real model are draws of the target's own distribution; a wrong rule's are not") {
  const ModelPtr model = testing::smollm2();
  const Tree tree = tree_of(model, full_run() ? 3 : 2);
  const std::uint32_t draws = full_run() ? 8000 : 512;
  const auto backend = [] { return std::shared_ptr<Backend>(cpu_backend({.threads = 2})); };

  const Drawn drafted = draw_many(model, tree, draws, draft_layers, backend());
  const Fit fit = drafted.fit(tree);
  CAPTURE(fit.text(), drafted.drafts.accepted, drafted.drafts.verified);
  CHECK(fit.good());
  CHECK(drafted.drafts.verified * 10 > draws * 9);
  CHECK(drafted.drafts.accepted * 10 > drafted.drafts.verified);
  CHECK(drafted.drafts.accepted * 10 < drafted.drafts.verified * 9);

  const Drawn plain = draw_many(model, tree, draws, 0, backend());
  CHECK(plain.fit(tree).good());
  CHECK(plain.drafts == DraftLedger{});
  CHECK(difference(drafted, plain).good());

  for (const auto kind : {WrongRule::Kind::all_stand, WrongRule::Kind::resampled_from_p}) {
    const Drawn wrong = draw_many(model, tree, draws, draft_layers, std::make_shared<WrongRule>(backend(), kind));
    CAPTURE(static_cast<int>(kind), wrong.fit(tree).text());
    CHECK_FALSE(wrong.fit(tree).good());
  }
  if (full_run()) WARN(std::to_string(draws) + " draws: " + fit.text());
}
