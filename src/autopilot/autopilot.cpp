#include <frugal/autopilot/autopilot.hpp>
#include <frugal/core/error.hpp>
#include <frugal/endpoint/cascade.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include "autopilot/pilot.hpp"
#include "core/caught.hpp"
#include "core/splitmix.hpp"

namespace frugal {

namespace {

AutopilotOptions checked(AutopilotOptions o) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw Error(Errc::invalid_argument, std::string("AutopilotOptions::") + what);
  };
  const auto share = [](double x) { return x > 0 && x <= 1; };
  require(o.tiers.size() >= 2, "tiers has fewer than two endpoints");
  require(std::count(o.tiers.begin(), o.tiers.end(), nullptr) == 0, "tiers holds a null");
  require(o.models.empty() || o.models.size() == o.tiers.size(), "models must have one entry for each tier");
  require(share(o.shadow_share), "shadow_share is not in (0, 1]");
  require(share(o.audit_share), "audit_share is not in (0, 1]: without audits nobody would see the bound break");
  require(o.control_share >= 0 && o.control_share < 1, "control_share is not in [0, 1)");
  require(o.reserve >= 0 && o.reserve < 1, "reserve is not in [0, 1)");
  require(o.false_alarm > 0 && o.false_alarm < 0.25, "false_alarm is not in (0, 0.25)");
  require(o.shadow_outcomes >= 20, "shadow_outcomes is below 20");
  require(o.most_outcomes >= o.shadow_outcomes, "most_outcomes is below shadow_outcomes");
  const Guarantee& g = o.fitted ? o.fitted->guarantee() : o.fit.guarantee;
  require(g.limit > 0 && g.limit < 1, "fit.guarantee.limit is not in (0, 1)");
  require(o.fit.router == Router::automatic, "fit.router needs embeddings, and an autopilot records none");
  return o;
}

}  // namespace

std::string_view to_string(PilotStage stage) noexcept {
  switch (stage) {
    case PilotStage::shadow:
      return "shadow";
    case PilotStage::on:
      return "on";
    case PilotStage::tightened:
      return "tightened";
    case PilotStage::off:
      break;
  }
  return "off";
}

Autopilot::Shared::Shared(AutopilotOptions o)
    : options(checked(std::move(o))), log(guarded_log(options.log, options.name + ": ")) {
  for (std::size_t t = 0; t < options.tiers.size(); ++t) {
    tiers.emplace_back(*options.tiers[t]);
    served.push_back({.name = std::string(options.tiers[t]->name()),
                      .model = options.models.empty() ? std::string() : options.models[t]});
    outcomes.tiers.push_back(served.back().name);
    outcomes.models.push_back(served.back().model);
  }
  wanted = options.shadow_outcomes;
  if (options.fitted) turn_on(*options.fitted);
}

bool Autopilot::Shared::is_chosen(std::uint64_t n, double share) const { return uniform_at(options.seed, n) < share; }

// Of a composite tier's attempts the name is followed by "/...".
std::optional<std::size_t> Autopilot::Shared::tier_named(std::string_view endpoint) const {
  for (std::size_t t = 0; t < served.size(); ++t) {
    const std::string& name = served[t].name;
    if (endpoint == name || (endpoint.starts_with(name) && endpoint[name.size()] == '/')) return t;
  }
  return std::nullopt;
}

bool Autopilot::Shared::bounds_loss() const {
  const std::lock_guard lock(mutex);
  return fitted && fitted->guarantee().kind == Guarantee::Kind::max_loss;
}

double Autopilot::Shared::price(const Finish& finish) const {
  if (options.cost) return options.cost(finish);
  return std::chrono::duration<double>(finish.timing.e2e).count();
}

std::optional<double> Autopilot::Shared::grade(const Request& request, std::string_view answer,
                                               std::string_view reference) const {
  if (!options.wrong) return same_answer(answer, reference) ? 0.0 : 1.0;
  try {
    const std::optional<double> wrong = options.wrong(request, answer, reference);
    if (!wrong || !std::isfinite(*wrong)) return std::nullopt;
    return std::clamp(*wrong, 0.0, 1.0);
  } catch (...) {
    say(LogLevel::warning, "AutopilotOptions::wrong threw: " + caught_text());
    return std::nullopt;
  }
}

void Autopilot::Shared::say(LogLevel level, const std::string& what) const {
  if (log) log(level, 0, what);
}

std::optional<std::uint64_t> Autopilot::Shared::count(bool accepted, bool audited, std::uint64_t began) {
  const std::lock_guard lock(mutex);
  ++stats.requests;
  if (accepted) ++stats.accepted;
  if (began != epoch || !account) return std::nullopt;
  if (accepted || fitted->guarantee().kind == Guarantee::Kind::max_loss) ++answers;
  if (!accepted || !audited) return std::nullopt;
  open_audits.push_back({.answers = answers});
  return first_open + open_audits.size() - 1;
}

void Autopilot::Shared::Costs::add(double cost) {
  if (!std::isfinite(cost)) return;
  const double off = cost - mean;
  mean += off / static_cast<double>(++n);
  squares += off * (cost - mean);
}

PilotCost Autopilot::Shared::Costs::seen() const {
  return {n, mean, n < 2 ? 0 : std::sqrt(squares / static_cast<double>(n - 1))};
}

void Autopilot::Shared::spent(const Finish& finish, bool control) {
  const double cost = price(finish);
  const std::lock_guard lock(mutex);
  (control ? control_costs : policy_costs).add(cost);
}

bool Autopilot::Shared::is_control(RequestId id) const {
  constexpr std::uint64_t other_sequence = 0x636f6e74726f6cULL;  // than that of the audits
  return uniform_at(options.seed ^ other_sequence, id.value) < options.control_share;
}

void Autopilot::Shared::failed(const Usage& usage) {
  const std::lock_guard lock(mutex);
  stats.audit_usage += usage;
  ++stats.audits_failed;
}

std::string Autopilot::Shared::audits_so_far() const {
  return std::to_string(counted) + " audits, mean error " +
         std::to_string(counted == 0 ? 0 : wrong_sum / static_cast<double>(counted)) + ", p-value " +
         std::to_string(drift->p_value());
}

void Autopilot::Shared::audited(const Audit& audit, const Usage& usage) {
  const std::lock_guard lock(mutex);
  stats.audit_usage += usage;
  if (!audit.wrong) ++stats.audits_failed;
  if (audit.epoch != epoch || !drift) return;
  if (audit.wrong) {
    ++stats.audits;
    ++counted;
    wrong_sum += *audit.wrong;
    drift->add(*audit.wrong);
    const double p = drift->p_value();
    if (p <= options.false_alarm) return turn_off("the audits show that the bound is broken: " + audits_so_far());
    if (p <= 4 * options.false_alarm && stage.load() == PilotStage::on) {
      ++stats.tightened;
      set_stage(PilotStage::tightened, "the audits raise doubt about the bound: " + audits_so_far());
    }
  }
  settle(audit);
}

void Autopilot::Shared::settle(const Audit& audit) {
  if (!audit.number || *audit.number < first_open) return;
  Open& own = open_audits[*audit.number - first_open];
  own.ended = true;
  own.wrong = audit.wrong;
  while (!open_audits.empty() && open_audits.front().ended) {
    const Open oldest = open_audits.front();
    open_audits.pop_front();
    ++first_open;
    if (!oldest.wrong) continue;
    account->add(*oldest.wrong);
    if (!promised_from) continue;
    const double most = promised * static_cast<double>(std::max(oldest.answers, *promised_from));
    if (account->wrong_at_most() > most)
      return turn_off("wrong answers that got through may be more than the limit allows: at most " +
                      std::to_string(account->wrong_at_most()) + " of " + std::to_string(oldest.answers) + "; " +
                      audits_so_far());
  }
}

void Autopilot::Shared::turn_off(const std::string& why) {
  ++stats.turned_off;
  drift.reset();
  account.reset();
  open_audits.clear();
  set_stage(PilotStage::off, why);
}

void Autopilot::Shared::recorded(Outcome outcome, const Usage& usage, std::uint64_t began) {
  const std::lock_guard lock(mutex);
  stats.audit_usage += usage;
  if (began != epoch || stage.load() != PilotStage::shadow || outcomes.rows.size() >= options.most_outcomes) return;
  outcome.id = std::to_string(outcomes.rows.size());
  outcomes.rows.push_back(std::move(outcome));
  if (outcomes.rows.size() == wanted) say(LogLevel::info, std::to_string(wanted) + " outcomes recorded: a fit is due");
}

void Autopilot::Shared::turn_on(FittedCascade policy) {
  open = policy.policy(served);
  tight = policy.tightened(served);
  const Guarantee& certified = policy.guarantee();
  drift.emplace(certified.limit);
  account.emplace(options.audit_share, 1 - certified.confidence);
  const Guarantee& wanted_of_all = options.fit.guarantee;
  promised = wanted_of_all.kind == certified.kind ? std::max(wanted_of_all.limit, certified.limit) : certified.limit;
  promised_from = account->enough(certified.limit, promised);
  answers = first_open = 0;
  policy_costs = control_costs = {};
  open_audits.clear();
  fitted = std::move(policy);
  wrong_sum = 0;
  counted = 0;
  ++epoch;
  set_stage(PilotStage::on, "a certificate is feasible: " + fitted->method());
}

void Autopilot::Shared::set_stage(PilotStage next_stage, const std::string& why) {
  stage.store(next_stage);
  say(next_stage == PilotStage::tightened || next_stage == PilotStage::off ? LogLevel::warning : LogLevel::info,
      "stage " + std::string(to_string(next_stage)) + ": " + why);
}

struct Autopilot::Impl {
  explicit Impl(AutopilotOptions o)
      : shared(std::make_shared<Shared>(std::move(o))),
        cascade({.name = shared->options.name,
                 .tiers = shared->options.tiers,
                 .policy = pilot_policy(shared),
                 .clock = shared->options.clock,
                 .log = shared->options.log}) {}

  std::shared_ptr<Shared> shared;
  Cascade cascade;
};

Autopilot::Autopilot(AutopilotOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Autopilot::~Autopilot() {
  retire();
  impl_.reset();
}

std::string_view Autopilot::name() const { return impl_->shared->options.name; }

Call Autopilot::start(Request request, std::shared_ptr<Sink> sink) {
  std::shared_ptr<Sink> own = pilot_sink(impl_->shared, request, std::move(sink));
  return impl_->cascade.start(std::move(request), std::move(own));
}

Progress Autopilot::step() { return impl_->cascade.step(); }
void Autopilot::watch(Waker& waker, bool every_step) { impl_->cascade.watch(waker, every_step); }
void Autopilot::unwatch(Waker& waker) { impl_->cascade.unwatch(waker); }
void Autopilot::wake() { impl_->cascade.wake(); }
std::optional<TimePoint> Autopilot::next_deadline() const { return impl_->cascade.next_deadline(); }
Load Autopilot::load() const { return impl_->cascade.load(); }
std::vector<std::string> Autopilot::may_answer(std::string_view model) const {
  return impl_->cascade.may_answer(model);
}

AutopilotStats Autopilot::stats() const {
  const Shared& s = *impl_->shared;
  const std::lock_guard lock(s.mutex);
  AutopilotStats out = s.stats;
  out.stage = s.stage.load();
  out.recorded = s.outcomes.rows.size();
  if (s.counted > 0) out.audited_error = s.wrong_sum / static_cast<double>(s.counted);
  out.policy_cost = s.policy_costs.seen();
  out.control_cost = s.control_costs.seen();
  if (s.drift) out.p_value = s.drift->p_value();
  if (s.account) out.wrong_at_most = s.account->wrong_at_most();
  if (s.account) out.promised_from = s.promised_from;
  return out;
}

bool Autopilot::fit_due() const {
  const Shared& s = *impl_->shared;
  const std::lock_guard lock(s.mutex);
  return s.stage.load() == PilotStage::shadow && !s.fitting && s.outcomes.rows.size() >= s.wanted;
}

bool Autopilot::maintain() {
  Shared& s = *impl_->shared;
  Outcomes outcomes;
  std::uint64_t began = 0;
  {
    const std::lock_guard lock(s.mutex);
    if (s.stage.load() != PilotStage::shadow || s.fitting || s.outcomes.rows.size() < s.wanted) return false;
    s.fitting = true;
    began = s.epoch;
    outcomes = s.outcomes;
  }
  std::optional<FittedCascade> found;
  std::string why;
  try {
    FitOptions options = s.options.fit;
    options.guarantee.limit *= 1 - s.options.reserve;
    expected<FittedCascade> fit = fit_cascade(outcomes, options);
    if (fit)
      found = std::move(*fit);
    else
      why = fit.error().message();
  } catch (...) {  // outcomes that cannot be fitted: as good as infeasible
    why = caught_text();
  }
  const std::lock_guard lock(s.mutex);
  s.fitting = false;
  if (began != s.epoch) return false;  // restarted meanwhile
  ++s.stats.fits;
  if (found) {
    try {
      s.turn_on(std::move(*found));
      s.outcomes.rows.clear();
      return true;
    } catch (...) {
      why = caught_text();
    }
  }
  ++s.stats.infeasible;
  s.wanted = s.outcomes.rows.size() >= s.options.most_outcomes ? s.options.most_outcomes + 1
                                                               : std::min(s.wanted * 2, s.options.most_outcomes);
  s.say(LogLevel::info, "stays in shadow: " + why);
  return false;
}

void Autopilot::restart() {
  Shared& s = *impl_->shared;
  const std::lock_guard lock(s.mutex);
  ++s.epoch;
  s.outcomes.rows.clear();
  s.wanted = s.options.shadow_outcomes;
  s.fitted.reset();
  s.drift.reset();
  s.account.reset();
  s.open_audits.clear();
  s.set_stage(PilotStage::shadow, "restarted");
}

std::optional<FittedCascade> Autopilot::fitted() const {
  const Shared& s = *impl_->shared;
  const std::lock_guard lock(s.mutex);
  const PilotStage stage = s.stage.load();
  return stage == PilotStage::on || stage == PilotStage::tightened ? s.fitted : std::nullopt;
}

}  // namespace frugal
