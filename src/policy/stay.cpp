// stay_with_tier: a conversation goes on where its prefix is cached, as long as moving it would cost more.
#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <algorithm>
#include <cmath>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/wrapped.hpp"

namespace frugal {

namespace {

constexpr double bytes_a_token = 4;  // of new text, before it is tokenised

StayOptions checked(StayOptions o) {
  const auto refuse = [](const std::string& what) { throw Error(Errc::invalid_argument, "stay_with_tier: " + what); };
  if (o.prices.size() < 2) refuse("prices of at least two endpoints are needed");
  for (const TierPrice& p : o.prices)
    for (const double x : {p.input, p.cached, p.output})
      if (!(x >= 0) || !std::isfinite(x)) refuse("a price is negative or not finite");
  if (o.keep <= Duration::zero()) refuse("keep must be above 0");
  if (o.most_conversations == 0) refuse("most_conversations is 0");
  return o;
}

class StayWithTier final : public CascadePolicy {
 public:
  StayWithTier(std::shared_ptr<CascadePolicy> inner, StayOptions options)
      : inner_(std::move(inner)), options_(checked(std::move(options))), begun_(options_.prices.size()) {}

  std::string_view name() const override { return inner_->name(); }
  Verdict judge(const AttemptView& attempt) override { return inner_->judge(attempt); }
  bool judges_running() const override { return inner_->judges_running(); }
  Verdict judge_running(const AttemptView& attempt) override { return inner_->judge_running(attempt); }

  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    const std::size_t wanted = inner_->first(request, endpoints);
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(std::string(request.conversation));
    if (request.conversation.empty() || found == places_.end()) return wanted;
    const Talk& talk = *found->second;
    if (talk.tier <= wanted || talk.tier >= std::min(endpoints, options_.prices.size())) return wanted;
    const double tokens = talk.tokens + static_cast<double>(request.text.size()) / bytes_a_token;
    const double stay = cost(talk, talk.tier, tokens, request.now);
    const Begun& begun = begun_[wanted];
    const double escalates = (begun.escalated + 1) / (begun.all + 2);
    return stay < cost(talk, wanted, tokens, request.now) + escalates * stay ? talk.tier : wanted;
  }

  void learn(const CascadeOutcome& outcome) override {
    note(outcome);
    inner_->learn(outcome);
  }

 private:
  struct Kept {
    double tokens = 0;  // of the conversation, that the tier has computed
    TimePoint when{};
  };
  struct Talk {
    std::string name{};
    std::size_t tier = 0;           // that answered last
    double tokens = 0, answer = 0;  // of the conversation so far, and of its last answer
    std::vector<Kept> kept{};       // [endpoints]
  };
  struct Begun {
    double all = 0, escalated = 0;
  };

  double cost(const Talk& talk, std::size_t tier, double tokens, TimePoint now) const {
    const TierPrice& p = options_.prices[tier];
    const Kept& kept = talk.kept[tier];
    const double cached = kept.tokens > 0 && now - kept.when < options_.keep ? std::min(kept.tokens, tokens) : 0;
    return p.cached * cached + p.input * (tokens - cached) + p.output * talk.answer;
  }

  void note(const CascadeOutcome& outcome) {
    if (outcome.tries.empty() || !outcome.given) return;
    const std::lock_guard lock(mutex_);
    const std::size_t begun = outcome.tries.front().endpoint;
    if (begun < begun_.size()) {
      begun_[begun].all += 1;
      if (outcome.tries.size() > 1) begun_[begun].escalated += 1;
    }
    if (outcome.request.conversation.empty()) return;
    Talk& talk = talk_of(outcome.request.conversation);
    const TryOutcome& given = outcome.tries[*outcome.given];
    talk.tier = given.endpoint;
    talk.answer = static_cast<double>(given.usage.output);
    talk.tokens = static_cast<double>(given.usage.input + given.usage.output);
    for (const TryOutcome& t : outcome.tries)
      if (t.endpoint < talk.kept.size() && t.usage.input > 0)
        talk.kept[t.endpoint] = {static_cast<double>(t.usage.input + (&t == &given ? t.usage.output : 0)),
                                 outcome.request.now};
  }

  // The newest comes first; the oldest is forgotten where there are too many.
  Talk& talk_of(std::string_view name) {
    const auto found = places_.find(std::string(name));
    if (found != places_.end()) {
      talks_.splice(talks_.begin(), talks_, found->second);
      return talks_.front();
    }
    if (talks_.size() >= options_.most_conversations) {
      places_.erase(talks_.back().name);
      talks_.pop_back();
    }
    talks_.push_front({.name = std::string(name), .kept = std::vector<Kept>(options_.prices.size())});
    places_[talks_.front().name] = talks_.begin();
    return talks_.front();
  }

  const std::shared_ptr<CascadePolicy> inner_;
  const StayOptions options_;
  std::mutex mutex_;  // guards the rest
  std::vector<Begun> begun_;
  std::list<Talk> talks_{};
  std::unordered_map<std::string, std::list<Talk>::iterator> places_{};
};

}  // namespace

std::shared_ptr<CascadePolicy> stay_with_tier(std::shared_ptr<CascadePolicy> inner, StayOptions options) {
  return std::make_shared<StayWithTier>(present(std::move(inner), "stay_with_tier"), std::move(options));
}

}  // namespace frugal
