#include "support/worlds.hpp"

#include "support/dice.hpp"
#include "support/interleaved_world.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace frugal::test {

namespace {

constexpr double per_cached = 0.1, per_output = 5;

/// What the machines of a world do with tokens.
struct Speed {
  double base_ms = 60, prefill_ms = 0.05, decode_ms = 20, jitter = 0.15;

  static Speed drawn(Dice& dice) {
    return {dice.uniform(30, 120), dice.uniform(0.03, 0.1), dice.uniform(12, 30), dice.uniform(0.05, 0.25)};
  }
  double ttft(Dice& dice, double computed) const { return dice.lognormal(base_ms + prefill_ms * computed, jitter); }
  double decode(Dice& dice, double tokens) const {
    return dice.lognormal(decode_ms, jitter / 3) * std::max(0.0, tokens - 1);
  }
};

/// One world: draws requests one after the other. Each draw takes its randomness from the request's own dice, so that
/// pulling a lever does not change what the next request asks.
class Service : public World {
 public:
  Period period(std::uint64_t number, const LeverAdvice* pulled) const override {
    Dice clock(seed_, number * 1000003 + 7);
    Period result;
    double at = 1.7e9 + static_cast<double>(number) * 1e6;
    start(number);
    for (std::size_t i = 0; i < requests_; ++i) {
      at += clock.exponential(gap_s_);
      Dice dice(seed_ ^ 0x5851F42D4C957F2DU, number * 1000003 + 101 + i);
      TraceRecord r;
      r.timestamp = at, r.model = "house-model";
      const double cost = serve(dice, i, pulled, r);
      result.cost += cost, result.ttft += *r.ttft_ms, result.e2e += *r.e2e_ms;
      result.trace.push_back(std::move(r));
    }
    return result;
  }

 protected:
  explicit Service(std::uint64_t seed) : seed_(seed), hidden_(seed, 0), speed_(Speed::drawn(hidden_)) {}
  virtual void start(std::uint64_t /*number*/) const {}
  /// Fills the record, times included; returns what it costs.
  virtual double serve(Dice& dice, std::size_t index, const LeverAdvice* pulled, TraceRecord& r) const = 0;

  double finish(Dice& dice, TraceRecord& r, double decode_factor = 1) const {
    const auto cached = static_cast<double>(r.cached_tokens.value_or(0));
    const double computed = static_cast<double>(r.prompt_tokens) - cached;
    if (!r.cached_tokens) r.cached_tokens = 0;
    r.ttft_ms = speed_.ttft(dice, computed);
    r.e2e_ms = *r.ttft_ms + speed_.decode(dice, static_cast<double>(r.output_tokens)) * decode_factor;
    return computed + per_cached * cached + per_output * static_cast<double>(r.output_tokens);
  }

  std::uint64_t seed_;
  mutable Dice hidden_;
  Speed speed_;
  std::size_t requests_ = 1200;
  double gap_s_ = 2;
};

/// A few long system prompts, each request with a question of its own.
class Resent : public Service {
 public:
  explicit Resent(std::uint64_t seed) : Service(seed) {
    for (std::uint64_t i = 0, n = hidden_.whole(1, 5); i < n; ++i) prompts_.push_back(hidden_.whole(1500, 6000));
    question_ = hidden_.uniform(30, 150), answer_ = hidden_.uniform(40, 150);
  }

 protected:
  void start(std::uint64_t) const override { seen_.clear(); }
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    const std::uint64_t which = dice.whole(0, static_cast<double>(prompts_.size()) - 1.001);
    const std::uint64_t shared = prompts_[which];
    r.type = "desk" + std::to_string(which);
    r.prompt_tokens = shared + dice.length(question_, 0.5, 4), r.output_tokens = answer(dice);
    r.prefix_blocks = blocks(dice, seed_ * 16 + which, shared, r.prompt_tokens);
    const bool warm = !seen_.insert(which).second;
    if (pulled != nullptr && pulled->lever == Lever::prefix_cache && warm) r.cached_tokens = shared / 16 * 16;
    return finish(dice, r);
  }
  virtual std::uint64_t answer(Dice& dice) const { return dice.length(answer_, 0.6); }

  std::vector<std::uint64_t> prompts_{};
  double question_ = 0, answer_ = 0;
  mutable std::set<std::uint64_t> seen_{};
};

/// The same with some answers that run away: the cap helps less than the cache.
class ResentWithRunaways : public Resent {
 public:
  using Resent::Resent;

 protected:
  std::uint64_t answer(Dice& dice) const override { return dice.chance(0.02) ? 1024 : Resent::answer(dice); }
};

/// The cache is on already.
class Tuned : public Resent {
 public:
  using Resent::Resent;

 protected:
  double serve(Dice& dice, std::size_t index, const LeverAdvice*, TraceRecord& r) const override {
    LeverAdvice on;
    on.lever = Lever::prefix_cache;
    return Resent::serve(dice, index, &on, r);
  }
};

/// A pool of questions, asked by popularity; the same question has the same answer.
class Repeats : public Service {
 public:
  Repeats(std::uint64_t seed, bool hashes) : Service(seed), hashes_(hashes) {
    pool_ = hidden_.uniform(60, 500), skew_ = hidden_.uniform(1.5, 3);
    prompt_ = hidden_.uniform(80, 400), answer_ = hidden_.uniform(60, 250);
  }

 protected:
  void start(std::uint64_t) const override { seen_.clear(); }
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    const auto which = static_cast<std::uint64_t>(pool_ * std::pow(dice.uniform(), skew_));
    Dice question(seed_ ^ 0x1234567, which);
    r.type = "faq";
    r.prompt_tokens = question.length(prompt_, 0.4, 20), r.output_tokens = question.length(answer_, 0.5, 2);
    r.prefix_blocks = blocks(question, seed_ + which, 0, r.prompt_tokens);
    if (hashes_) r.prompt_hash = question.hash(), r.answer_hash = question.hash();
    const bool again = !seen_.insert(which).second;
    const double cost = finish(dice, r);
    if (pulled == nullptr || !again) return cost;
    r.ttft_ms = r.e2e_ms = 0;
    return 0;
  }

 private:
  bool hashes_;
  double pool_ = 0, skew_ = 0, prompt_ = 0, answer_ = 0;
  mutable std::set<std::uint64_t> seen_{};
};

/// Short answers, but some run to the limit.
class Runaways : public Service {
 public:
  Runaways(std::uint64_t seed, bool finish_known) : Service(seed), finish_known_(finish_known) {
    share_ = hidden_.uniform(0.05, 0.25), answer_ = hidden_.uniform(40, 150), limit_ = hidden_.whole(2000, 4096);
    again_ = hidden_.uniform(0, finish_known ? 0.15 : 0.3);
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    const bool runs = dice.chance(share_);
    r.type = "report", r.prompt_tokens = dice.length(250, 0.5, 20);
    r.output_tokens = runs ? limit_ : dice.length(answer_, 0.4);
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    if (finish_known_) r.finish = runs ? FinishReason::length : FinishReason::stop;
    const bool wanted = dice.chance(again_);
    Dice times = dice, more = dice;
    if (pulled == nullptr) return finish(times, r);
    const auto cap = static_cast<std::uint64_t>(pulled->settings.at(0).value);
    const std::uint64_t whole = r.output_tokens;
    const bool cut = whole > cap;
    r.output_tokens = std::min(whole, cap);
    double cost = finish(times, r);
    if (!cut || !wanted) return cost;
    TraceRecord second = r;  // asked again without a cap
    second.output_tokens = whole;
    cost += finish(more, second);
    r.e2e_ms = *r.e2e_ms + *second.e2e_ms;
    return cost;
  }

 private:
  bool finish_known_;
  double share_ = 0, answer_ = 0, again_ = 0;
  std::uint64_t limit_ = 0;
};

/// Long answers, read as they come. `shadow`: a twentieth of the traffic drafts already, so acceptance is on record.
class LongAnswers : public Service {
 public:
  LongAnswers(std::uint64_t seed, bool shadow, std::uint64_t shared) : Service(seed), shadow_(shadow), shared_(shared) {
    requests_ = 400, gap_s_ = 120;  // one at a time
    answer_ = hidden_.uniform(1200, 4000);
    acceptance_ = hidden_.uniform(0.45, 0.8), draft_ = hidden_.uniform(0, 0.15), row_ = hidden_.uniform(0.02, 0.15);
    if (shadow) draft_ = 0.05, row_ = 0.06;
  }

 protected:
  double serve(Dice& dice, std::size_t index, const LeverAdvice* pulled, TraceRecord& r) const override {
    r.type = "draft", r.prompt_tokens = shared_ + dice.length(150, 0.5, 20),
    r.output_tokens = dice.length(answer_, 0.15);
    r.prefix_blocks = blocks(dice, seed_, shared_, r.prompt_tokens);
    Dice times = dice;
    const bool drafts = pulled != nullptr || (shadow_ && index % 20 == 0);
    return finish(times, r, drafts ? draft_answer(dice, r) : 1);
  }

 private:
  /// Simulates every step; returns the time relative to plain decoding.
  double draft_answer(Dice& dice, TraceRecord& r) const {
    const int k = best_k();
    TraceAttempt attempt{.endpoint = "engine", .model = r.model};
    attempt.usage.input = r.prompt_tokens, attempt.usage.output = r.output_tokens;
    TokenLedger& tokens = attempt.tokens.emplace();
    std::uint64_t made = 0, steps = 0;
    for (; made < r.output_tokens; ++steps) {
      int kept = 0;
      while (kept < k && dice.chance(acceptance_)) ++kept;
      tokens.accepted += static_cast<std::uint64_t>(kept);
      tokens.wasted_drafts += static_cast<std::uint64_t>(k - kept);
      ++tokens.decoded;
      made += static_cast<std::uint64_t>(kept) + 1;
    }
    r.attempts.push_back(attempt);
    return static_cast<double>(steps) * step(k) / static_cast<double>(r.output_tokens);
  }
  double step(int k) const { return k * draft_ + 1 + row_ * k; }
  int best_k() const {
    int best = 1;
    const auto speed = [&](int k) { return (1 - std::pow(acceptance_, k + 1)) / (1 - acceptance_) / step(k); };
    for (int k = 2; k <= 8; ++k)
      if (speed(k) > speed(best)) best = k;
    return best;
  }

  bool shadow_;
  std::uint64_t shared_;
  double answer_ = 0, acceptance_ = 0, draft_ = 0, row_ = 0;
};

/// Every answer was also asked of a model at a tenth to a quarter of the price, and scored.
class Scored : public Service {
 public:
  explicit Scored(std::uint64_t seed) : Service(seed) {
    good_ = hidden_.uniform(0.5, 0.85), price_ = hidden_.uniform(0.05, 0.25);
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    r.type = dice.chance(0.5) ? "ask" : "explain", r.prompt_tokens = dice.length(300, 0.5, 20),
    r.output_tokens = dice.length(120, 0.5);
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    const double score = dice.chance(good_) ? dice.uniform(0.5, 1) : dice.uniform(0, 0.4999);
    const double big = finish(dice, r), small = big * price_;
    const bool keep = pulled != nullptr && score >= pulled->settings.at(0).value;
    TraceAttempt first{.endpoint = "small", .model = r.model, .score = score, .accepted = keep};
    // A model of a lower price is written as fewer tokens of the same model: the trace has one price list.
    first.usage.input = static_cast<std::uint64_t>(small), first.usage.output = 0;
    TraceAttempt last{.endpoint = "big", .model = r.model};
    last.usage.input = r.prompt_tokens, last.usage.output = r.output_tokens;
    r.attempts = {first};
    if (!keep) r.attempts.push_back(last);
    return std::floor(small) + (keep ? 0 : big);
  }

 private:
  double good_ = 0, price_ = 0;
};

/// Most requests want one of a few labels; the rest is chat.
class Labels : public Service {
 public:
  explicit Labels(std::uint64_t seed) : Service(seed) {
    share_ = hidden_.uniform(0.6, 0.95), alone_ = hidden_.uniform(0.6, 0.95), price_ = hidden_.uniform(0.03, 0.25);
    labels_ = hidden_.uniform(2, 12), known_ = hidden_.chance(0.5);
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    const bool label = dice.chance(share_);
    r.type = label ? "classify" : "chat";
    r.prompt_tokens = dice.length(400, 0.4, 20), r.output_tokens = label ? dice.whole(1, 5) : dice.length(100, 0.5);
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    if (known_) r.answer_hash = label ? dice.whole(1, labels_) : dice.hash();
    const double cost = finish(dice, r);
    if (pulled == nullptr || !label) return cost;
    return cost * price_ + (dice.chance(alone_) ? 0 : cost);
  }

 private:
  double share_ = 0, alone_ = 0, price_ = 0, labels_ = 0;
  bool known_ = false;
};

/// Jobs that come a few hundred at a time in the night, beside people by day.
class Nightly : public Service {
 public:
  explicit Nightly(std::uint64_t seed) : Service(seed) {
    share_ = hidden_.uniform(0.5, 0.9), waits_ = hidden_.uniform(0.8, 1);
  }
  Period period(std::uint64_t number, const LeverAdvice* pulled) const override {
    Period p = Service::period(number, pulled);
    Dice clock(seed_, number * 77 + 3);
    constexpr double day = 86400;
    double night = *p.trace.front().timestamp, people = night;
    std::size_t jobs = 0;
    for (TraceRecord& r : p.trace) {
      if (r.type == "digest")
        night += jobs++ % 250 == 249 ? day : clock.exponential(0.05), r.timestamp = night;
      else
        people += clock.exponential(600), r.timestamp = people;
    }
    std::stable_sort(p.trace.begin(), p.trace.end(), [](auto& a, auto& b) { return *a.timestamp < *b.timestamp; });
    return p;
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    const bool job = dice.chance(share_);
    r.type = job ? "digest" : "ask", r.prompt_tokens = dice.length(500, 0.4, 20),
    r.output_tokens = dice.length(200, 0.4);
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    const double cost = finish(dice, r);
    return pulled != nullptr && job && dice.chance(waits_) ? cost / 2 : cost;
  }

 private:
  double share_ = 0, waits_ = 0;
};

/// Thousands of tokens that are fetched for one question each.
class Stuffed : public Service {
 public:
  explicit Stuffed(std::uint64_t seed) : Service(seed) {
    requests_ = 600, prompt_ = hidden_.uniform(4000, 9000), cut_ = hidden_.uniform(0.1, 0.6),
    answer_ = hidden_.uniform(50, 150);
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice* pulled, TraceRecord& r) const override {
    r.type = "search", r.prompt_tokens = dice.length(prompt_, 0.3, 500), r.output_tokens = dice.length(answer_, 0.5);
    if (pulled != nullptr) r.prompt_tokens -= static_cast<std::uint64_t>(cut_ * static_cast<double>(r.prompt_tokens));
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    return finish(dice, r);
  }

 private:
  double prompt_ = 0, cut_ = 0, answer_ = 0;
};

/// Short questions, each asked once; answers of a usual spread.
class Chat : public Service {
 public:
  explicit Chat(std::uint64_t seed) : Service(seed) {
    prompt_ = hidden_.uniform(60, 400), answer_ = hidden_.uniform(60, 150), spread_ = hidden_.uniform(0.2, 0.5);
  }

 protected:
  double serve(Dice& dice, std::size_t, const LeverAdvice*, TraceRecord& r) const override {
    r.type = dice.chance(0.4) ? "talk" : "help", r.prompt_tokens = dice.length(prompt_, 0.5, 8);
    r.output_tokens = dice.length(answer_, spread_);
    r.prefix_blocks = blocks(dice, 0, 0, r.prompt_tokens);
    return finish(dice, r);
  }

 private:
  double prompt_ = 0, answer_ = 0, spread_ = 0;
};

template <class Kind, auto... arguments>
WorldKind kind(std::string name, std::optional<Lever> best) {
  return {std::move(name), best, [](std::uint64_t seed) { return std::make_unique<Kind>(seed, arguments...); }, {}};
}

/// The same machine asked about its tokens after the first, and what its log says of stalls.
WorldKind interleaved(std::string name, bool recorded) {
  return {std::move(name),
          Lever::prefix_cache,
          [recorded](std::uint64_t seed) { return make_interleaved(seed, recorded); },
          {.bound = Bound::tpot}};
}

}  // namespace

const std::vector<WorldKind>& world_kinds() {
  static const std::vector<WorldKind> kinds{
      kind<Resent>("re-sent prompts", Lever::prefix_cache),
      kind<Scored>("a scored smaller model", Lever::cascade),
      kind<Labels>("a frequent type with few answers", Lever::task_model),
      kind<LongAnswers, false, std::uint64_t{0}>("long answers", Lever::speculation),
      kind<Runaways, false>("runaway answers", Lever::cap),
      kind<Nightly>("nightly jobs", Lever::batch),
      kind<Repeats, true>("repeated questions", Lever::answer_cache),
      kind<Stuffed>("stuffed contexts", Lever::context),
      kind<Chat>("short chat", std::nullopt),
      kind<Tuned>("a cache at work", std::nullopt),
      kind<ResentWithRunaways>("mixed: re-sent prompts, some runaways", Lever::prefix_cache),
      kind<LongAnswers, true, std::uint64_t{800}>("mixed: long answers on a shared prompt, some drafted",
                                                  Lever::speculation),
      kind<Repeats, false>("mixed: repeats seen by their blocks alone", Lever::answer_cache),
      kind<Runaways, true>("mixed: runaways that say how they ended", Lever::cap),
      interleaved("prompts between tokens, stalls recorded", true),
      interleaved("prompts between tokens, stalls unknown", false),
  };
  return kinds;
}

Workload observed(const Period& period) {
  WorkloadOptions options;
  options.prices = PriceBook();
  Workload workload(std::move(options));
  for (const TraceRecord& record : period.trace) workload.add(record);
  workload.finish();
  return workload;
}

}  // namespace frugal::test
