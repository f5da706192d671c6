// policy_times [rounds]: how long cascade policies hold up the thread that asks them: first(), judge() and learn() of
// fitted, logistic and isotonic, of stay_with_tier, and a whole request through an Autopilot whose tiers cost nothing.
// Microseconds of the thread's own time a call, so that neighbours do not count: median, 99.9 % and the longest.
// docs/cascades.md promises less than 1000.
#include <frugal/autopilot/autopilot.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

using namespace frugal;

namespace {

double microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

class Times {
 public:
  explicit Times(std::string what) : what_(std::move(what)) {}
  template <class F>
  void take(const F& f) {
    const double start = microseconds();
    f();
    all_.push_back(microseconds() - start);
  }
  ~Times() {
    std::sort(all_.begin(), all_.end());
    const auto at = [&](double share) { return all_[static_cast<std::size_t>(share * double(all_.size() - 1))]; };
    std::printf("%-58s %8zu calls  p50 %8.1f  p99.9 %8.1f  max %8.1f us\n", what_.c_str(), all_.size(), at(0.5),
                at(0.999), all_.back());
  }

 private:
  std::string what_;
  std::vector<double> all_;
};

// Outcomes whose cheap answers are right as their margin says; `types` request types.
Outcomes outcomes(std::size_t n, std::size_t types) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform;
  Outcomes out;
  out.tiers = {"small", "big"};
  for (std::size_t i = 0; i < n; ++i) {
    Outcome row;
    row.id = std::to_string(i);
    row.type = "type" + std::to_string(i % types);
    row.prompt = std::string(20 + random() % 400, 'x');
    TierOutcome small, big;
    const double margin = uniform(random);
    small.quality = uniform(random) < 0.4 + 0.6 * margin ? 1 : 0;
    for (const char* q : {"margin.q00", "margin.q10", "margin.q25", "margin.q50", "margin.mean"})
      small.features.emplace_back(q, margin);
    small.output = "left", big.output = "left";
    small.cost = 0.1, big.cost = 1, big.quality = 1;
    row.attempts = {small, big};
    out.rows.push_back(std::move(row));
  }
  return out;
}

FittedCascade fitted(std::size_t types) {
  FitOptions o;
  o.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.2};
  return fit_cascade(outcomes(5000, types), o).value();
}

void time_fitted(int rounds, std::size_t types, std::size_t bytes, std::size_t tokens) {
  const std::vector<std::string> tiers{"small", "big"};
  const auto policy = fitted(types).policy(tiers);
  const std::string prompt(bytes, 'p'), text(bytes, 'a'), type = "type" + std::to_string(types - 1);
  const std::vector<TokenScore> scores(tokens, {.token = 1, .logprob = -0.5F, .margin = 0.5F});
  RequestView request;
  request.type = type, request.text = prompt;
  const AttemptView attempt{
      .request = request, .endpoints = 2, .text = text, .scores = scores, .finish = FinishReason::stop};
  const std::vector<TryOutcome> tries{{.text = text}};
  const std::string what = "fitted, " + std::to_string(types) + " types, " + std::to_string(bytes) + " bytes, " +
                           std::to_string(tokens) + " tokens: ";
  Times first(what + "first"), judge(what + "judge"), learn(what + "learn");
  for (int i = 0; i < rounds; ++i) {
    first.take([&] { (void)policy->first(request, 2); });
    judge.take([&] { (void)policy->judge(attempt); });
    learn.take([&] { policy->learn({request, 2, tries, 0, FinishReason::stop}); });
  }
}

void time_stay(int rounds) {
  const auto policy = stay_with_tier(margin_threshold(0.5), {.prices = {{1, 0.1, 4}, {4, 0.4, 16}}});
  Times first("stay_with_tier, 4096 conversations: first"), learn("stay_with_tier, 4096 conversations: learn");
  std::mt19937_64 random(1);
  for (int i = 0; i < 20 * rounds; ++i) {
    const std::string name = "conversation " + std::to_string(random() % 8192);
    RequestView request;
    request.conversation = name;
    const std::vector<TryOutcome> tries{{.endpoint = 1, .usage = {.input = 500, .output = 20}}};
    first.take([&] { (void)policy->first(request, 2); });
    learn.take([&] { policy->learn({request, 2, tries, 0, FinishReason::stop}); });
  }
}

// Answers inside start().
class Instant final : public Endpoint {
 public:
  explicit Instant(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  Progress step() override { return Progress::idle; }
  Call start(Request request, std::shared_ptr<Sink> sink) override {
    Delta delta{.text = "left", .tokens = {0}, .scores = {}};
    if (request.scores) delta.scores.push_back({0, -0.1F, static_cast<float>(random_() % 1000) / 1000.0F, {}});
    sink->on_delta(std::move(delta));
    Finish end;
    end.model = name_;
    end.usage = {.input = 10, .output = 1};
    end.ledger.attempts.push_back({.endpoint = name_, .model = name_, .usage = end.usage});
    sink->on_finish(std::move(end));
    return {};
  }

 private:
  std::string name_;
  std::mt19937_64 random_{1};
};

void time_autopilot(int rounds) {
  Instant small("small"), big("big");
  AutopilotOptions o;
  o.tiers = {&small, &big};
  o.fit.guarantee = {.kind = Guarantee::Kind::max_error, .limit = 0.2};
  o.fitted = fitted(4);
  o.audit_share = 0.25;
  Autopilot service(o);
  Times all("autopilot, a quarter audited: a whole request");
  for (int i = 0; i < 20 * rounds; ++i) {
    Request request{Chat{.messages = {{.role = "user", .content = "Where is it, left or west?"}}}};
    request.type = "type1";
    all.take([&] { (void)service.run(std::move(request)); });
  }
  std::printf("  (%llu requests, %llu accepted, %llu audits, stage %s)\n",
              static_cast<unsigned long long>(service.stats().requests),
              static_cast<unsigned long long>(service.stats().accepted),
              static_cast<unsigned long long>(service.stats().audits),
              std::string(to_string(service.stats().stage)).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  try {
    time_fitted(rounds, 4, 200, 20);
    time_fitted(rounds, 60, 4000, 500);
    time_fitted(rounds, 4, 1 << 20, 100000);
    time_stay(rounds);
    time_autopilot(rounds);
  } catch (const Error& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 2;
  }
}
