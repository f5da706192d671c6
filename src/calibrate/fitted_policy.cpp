// The fitted rule as a CascadePolicy.
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/features.hpp"
#include "calibrate/fitted.hpp"

namespace frugal {

namespace {

using calibrate::Mode;
using calibrate::Sight;

class FittedPolicy final : public CascadePolicy {
 public:
  FittedPolicy(std::shared_ptr<const FittedCascade::Impl> rule, Embedder embedder, bool tight)
      : rule_(std::move(rule)), embedder_(std::move(embedder)), tight_(tight) {}
  std::string_view name() const override { return tight_ ? "fitted, tightened" : "fitted"; }

  std::size_t first(const RequestView& request, std::size_t /*endpoints*/) override {
    const std::size_t last = rule_->tiers.size() - 1;
    if (!rule_->type_number(request.type)) return last;  // the certificate does not speak of this type
    if (rule_->mode == Mode::judge) return 0;
    const std::optional<Sight> seen = sight(request, {});
    for (std::size_t t = 0; seen && t < last; ++t)
      if (accepts(t, *seen)) return t;
    return last;
  }

  Verdict judge(const AttemptView& attempt) override {
    const std::size_t last = rule_->tiers.size() - 1;
    if (attempt.endpoint >= last) return {};
    const bool whole = attempt.finish && *attempt.finish != FinishReason::error &&
                       *attempt.finish != FinishReason::refused && !attempt.text.empty();
    if (rule_->mode != Mode::judge) return whole ? Verdict{} : Verdict{.next = last};
    const std::optional<Sight> seen = whole ? sight(attempt.request, answer(attempt)) : std::nullopt;
    if (!seen) return {.next = last};
    const double good = 1 - rule_->risk(attempt.endpoint, *seen);
    if (accepts(attempt.endpoint, *seen)) return {.score = good};
    return {.next = attempt.endpoint + 1, .score = good};
  }

 private:
  bool accepts(std::size_t tier, const Sight& seen) const {
    const std::size_t type = seen.example.type;
    return rule_->score(tier, seen) <= (tight_ ? rule_->tight_of(type) : rule_->threshold_of(type));
  }

  static std::vector<Feature> answer(const AttemptView& attempt) {
    std::vector<Feature> all = calibrate::answer_features(attempt.text);
    const std::vector<Feature> scores = calibrate::score_features(attempt.scores);
    all.insert(all.end(), scores.begin(), scores.end());
    const std::vector<Feature> end = calibrate::finish_features(attempt.finish.value_or(FinishReason::stop));
    all.insert(all.end(), end.begin(), end.end());
    return all;
  }

  std::optional<Sight> sight(const RequestView& request, std::vector<Feature> measured) const {
    const std::optional<std::size_t> type = rule_->type_number(request.type);
    const std::vector<Feature> prompt = calibrate::prompt_features(request.text);
    measured.insert(measured.end(), prompt.begin(), prompt.end());
    std::optional<std::vector<double>> features = rule_->pick(measured);
    const bool needs_text = rule_->weigh_cost || !rule_->features.empty() || rule_->neighbours;
    if (!type || !features || (needs_text && request.text.empty())) return std::nullopt;
    Sight out{{std::move(*features), *type}, static_cast<double>(request.text.size()), {}};
    if (!rule_->neighbours) return out;
    const std::vector<float> at = calibrate::unit(embedder_.embed(request.text));
    if (at.size() != rule_->neighbours->width) return std::nullopt;
    out.shares = rule_->neighbours->shares(at);
    return out;
  }

  std::shared_ptr<const FittedCascade::Impl> rule_;
  Embedder embedder_;
  bool tight_;
};

std::string joined(std::span<const std::string> names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "\"" : ", \"") + name + "\"";
  return out;
}

}  // namespace

const std::vector<std::string>& FittedCascade::tiers() const noexcept { return impl_->tiers; }
const std::vector<std::string>& FittedCascade::models() const noexcept { return impl_->own_models; }
const Guarantee& FittedCascade::guarantee() const noexcept { return impl_->guarantee; }
const FitFacts& FittedCascade::facts() const noexcept { return impl_->facts; }
std::string FittedCascade::method() const { return calibrate::name_of(impl_->mode); }
const std::string& FittedCascade::embedder() const noexcept { return impl_->embedder; }

namespace {

void check_embedder(const FittedCascade::Impl& rule, const Embedder& embedder) {
  if (!rule.neighbours || (embedder.embed && embedder.identity == rule.embedder)) return;
  throw Error(Errc::invalid_argument,
              "this cascade policy looks for similar requests by the embeddings of \"" + rule.embedder + "\", and is " +
                  (embedder.embed ? "handed those of \"" + embedder.identity + "\"" : "handed no embedder"));
}

void check_tiers(const FittedCascade::Impl& rule, std::span<const ServedTier> endpoints) {
  std::vector<std::string> names;
  for (const ServedTier& tier : endpoints) names.push_back(tier.name);
  if (names != rule.tiers)
    throw Error(Errc::invalid_argument, "this cascade policy was fitted for the tiers " + joined(rule.tiers) +
                                            ", and is asked to serve " + joined(names));
  for (std::size_t t = 0; t < endpoints.size(); ++t) {
    const std::string& known = t < rule.own_models.size() ? rule.own_models[t] : std::string();
    if (known == endpoints[t].model) continue;
    throw Error(Errc::invalid_argument,
                "this cascade policy was fitted on outcomes of tier \"" + names[t] + "\" as " +
                    (known.empty() ? "a model that was not recorded" : "the model " + known) +
                    ", and is asked to serve " +
                    (endpoints[t].model.empty() ? "a model that is not named" : "the model " + endpoints[t].model));
  }
  for (const std::string& name : rule.features)
    if (!calibrate::is_measured(name))
      throw Error(Errc::unsupported,
                  "this cascade policy judges by the feature \"" + name + "\", which only the recorded outcomes have");
}

}  // namespace

std::shared_ptr<CascadePolicy> FittedCascade::policy(std::span<const ServedTier> endpoints, Embedder embedder) const {
  check_tiers(*impl_, endpoints);
  check_embedder(*impl_, embedder);
  return std::make_shared<FittedPolicy>(impl_, std::move(embedder), false);
}

std::shared_ptr<CascadePolicy> FittedCascade::policy(std::span<const std::string> endpoints, Embedder embedder) const {
  std::vector<ServedTier> tiers;
  for (const std::string& name : endpoints) tiers.push_back({.name = name});
  return policy(tiers, std::move(embedder));
}

std::shared_ptr<CascadePolicy> FittedCascade::tightened(std::span<const ServedTier> endpoints,
                                                        Embedder embedder) const {
  check_tiers(*impl_, endpoints);
  check_embedder(*impl_, embedder);
  return std::make_shared<FittedPolicy>(impl_, std::move(embedder), true);
}

}  // namespace frugal
