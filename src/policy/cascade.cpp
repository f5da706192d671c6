#include <frugal/policy/cascade.hpp>

#include "policy/wrapped.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace frugal {

CascadePolicy::~CascadePolicy() = default;

namespace {

// Nearest rank: the ceil(q n)-th smallest margin, the smallest for q = 0.
std::optional<double> margin_quantile(std::span<const TokenScore> scores, double quantile) {
  if (scores.empty()) return std::nullopt;
  std::vector<float> margins;
  margins.reserve(scores.size());
  for (const TokenScore& token : scores) margins.push_back(std::isnan(token.margin) ? 0.0F : token.margin);
  const double rank = std::ceil(quantile * static_cast<double>(margins.size()));
  const auto nth = margins.begin() + std::max<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(rank) - 1, 0);
  std::nth_element(margins.begin(), nth, margins.end());
  return static_cast<double>(*nth);
}

void check_margins(const std::string& policy, double threshold, double quantile) {
  const auto share = [](double x) { return x >= 0 && x <= 1; };  // false for NaN
  if (!share(threshold)) throw Error(Errc::invalid_argument, policy + ": the threshold is not in [0, 1]");
  if (!share(quantile)) throw Error(Errc::invalid_argument, policy + ": the quantile is not in [0, 1]");
}

class MarginThreshold final : public CascadePolicy {
 public:
  MarginThreshold(double threshold, double quantile, bool abandon)
      : threshold_(threshold), quantile_(quantile), abandon_(abandon) {
    check_margins("margin_threshold", threshold, quantile);
  }
  std::string_view name() const override { return "margin_threshold"; }
  std::size_t first(const RequestView&, std::size_t) override { return 0; }
  Verdict judge(const AttemptView& attempt) override {
    const std::optional<double> measured = margin_quantile(attempt.scores, quantile_);
    const bool whole = attempt.finish != FinishReason::error && attempt.finish != FinishReason::refused;
    const bool good = whole && !attempt.text.empty() && measured && *measured >= threshold_;
    if (good || attempt.endpoint + 1 >= attempt.endpoints) return {.score = measured};
    return {.next = attempt.endpoint + 1, .score = measured};
  }

  bool judges_running() const override { return abandon_; }
  // An answer of n tokens is rejected where at least max(1, ceil(q n)) margins are below the threshold; the longest one
  // needs most.
  Verdict judge_running(const AttemptView& attempt) override {
    const std::uint32_t most = attempt.request.max_tokens;
    if (attempt.endpoint + 1 >= attempt.endpoints || (most == 0 && quantile_ > 0)) return {};
    const double needed = std::max(1.0, std::ceil(quantile_ * static_cast<double>(most)));
    const auto bad = std::count_if(attempt.scores.begin(), attempt.scores.end(), [&](const TokenScore& token) {
      return !(static_cast<double>(token.margin) >= threshold_) && threshold_ > 0;
    });
    if (static_cast<double>(bad) < needed) return {};
    return {.next = attempt.endpoint + 1, .score = margin_quantile(attempt.scores, quantile_)};
  }

 private:
  double threshold_, quantile_;
  bool abandon_;
};

class CommitAfter final : public CascadePolicy {
 public:
  CommitAfter(std::shared_ptr<CascadePolicy> inner, std::size_t tokens, double threshold, double quantile)
      : inner_(std::move(inner)), tokens_(tokens), threshold_(threshold), quantile_(quantile) {
    check_margins("commit_after", threshold, quantile);
    if (tokens == 0) throw Error(Errc::invalid_argument, "commit_after: no tokens to judge by");
  }
  std::string_view name() const override { return inner_->name(); }
  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    return inner_->first(request, endpoints);
  }
  Verdict judge(const AttemptView& attempt) override { return inner_->judge(attempt); }
  bool judges_running() const override { return true; }
  Verdict judge_running(const AttemptView& attempt) override {
    Verdict verdict = inner_->judges_running() ? inner_->judge_running(attempt) : Verdict{};
    if (verdict.next || attempt.scores.size() < tokens_) return verdict;
    const std::optional<double> measured = margin_quantile(attempt.scores.first(tokens_), quantile_);
    if (!(*measured >= threshold_)) return verdict;
    return {.score = measured, .commit = true};
  }
  void learn(const CascadeOutcome& outcome) override { inner_->learn(outcome); }

 private:
  std::shared_ptr<CascadePolicy> inner_;
  std::size_t tokens_;
  double threshold_, quantile_;
};

class When final : public CascadePolicy {
 public:
  When(std::function<bool(const RequestView&)> predicate, std::shared_ptr<CascadePolicy> then,
       std::shared_ptr<CascadePolicy> otherwise)
      : predicate_(std::move(predicate)), then_(std::move(then)), otherwise_(std::move(otherwise)) {}
  std::string_view name() const override { return then_->name(); }
  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    if (CascadePolicy* const inner = asked(request)) return inner->first(request, endpoints);
    return endpoints == 0 ? 0 : endpoints - 1;
  }
  Verdict judge(const AttemptView& attempt) override {
    CascadePolicy* const inner = asked(attempt.request);
    return inner ? inner->judge(attempt) : Verdict{};
  }
  bool judges_running() const override {
    return then_->judges_running() || (otherwise_ && otherwise_->judges_running());
  }
  Verdict judge_running(const AttemptView& attempt) override {
    CascadePolicy* const inner = asked(attempt.request);
    return inner != nullptr && inner->judges_running() ? inner->judge_running(attempt) : Verdict{};
  }
  void learn(const CascadeOutcome& outcome) override {
    if (CascadePolicy* const inner = asked(outcome.request)) inner->learn(outcome);
  }

 private:
  CascadePolicy* asked(const RequestView& request) const {
    return predicate_(request) ? then_.get() : otherwise_.get();
  }

  std::function<bool(const RequestView&)> predicate_;
  std::shared_ptr<CascadePolicy> then_, otherwise_;
};

class Limited final : public CascadePolicy {
 public:
  Limited(std::shared_ptr<CascadePolicy> inner, std::size_t most) : inner_(std::move(inner)), most_(most) {}
  std::string_view name() const override { return inner_->name(); }
  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    return inner_->first(request, endpoints);
  }
  Verdict judge(const AttemptView& attempt) override {
    Verdict verdict = inner_->judge(attempt);
    if (attempt.attempt >= most_) verdict.next.reset();
    return verdict;
  }
  bool judges_running() const override { return inner_->judges_running(); }
  Verdict judge_running(const AttemptView& attempt) override {
    return attempt.attempt >= most_ ? Verdict{} : inner_->judge_running(attempt);
  }
  void learn(const CascadeOutcome& outcome) override { inner_->learn(outcome); }

 private:
  std::shared_ptr<CascadePolicy> inner_;
  std::size_t most_;
};

}  // namespace

std::shared_ptr<CascadePolicy> margin_threshold(double threshold, double quantile, bool abandon) {
  return std::make_shared<MarginThreshold>(threshold, quantile, abandon);
}

std::shared_ptr<CascadePolicy> when(std::function<bool(const RequestView&)> predicate,
                                    std::shared_ptr<CascadePolicy> then, std::shared_ptr<CascadePolicy> otherwise) {
  return std::make_shared<When>(present(std::move(predicate), "when"), present(std::move(then), "when"),
                                std::move(otherwise));
}

std::shared_ptr<CascadePolicy> commit_after(std::shared_ptr<CascadePolicy> inner, std::size_t tokens, double threshold,
                                            double quantile) {
  return std::make_shared<CommitAfter>(present(std::move(inner), "commit_after"), tokens, threshold, quantile);
}

std::shared_ptr<CascadePolicy> limited(std::shared_ptr<CascadePolicy> inner, std::size_t most) {
  return std::make_shared<Limited>(present(std::move(inner), "limited"), most);
}

}  // namespace frugal
