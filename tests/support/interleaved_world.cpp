#include "support/interleaved_world.hpp"

#include "support/dice.hpp"

#include <set>

namespace frugal::test {

namespace {

constexpr double per_cached = 0.1, per_output = 5;

class Interleaved final : public World {
 public:
  Interleaved(std::uint64_t seed, bool recorded) : seed_(seed), recorded_(recorded) {
    Dice hidden(seed, 0);
    for (std::uint64_t i = 0, n = hidden.whole(1, 3); i < n; ++i) prompts_.push_back(hidden.whole(1500, 4000));
    question_ = hidden.uniform(30, 120), answer_ = hidden.uniform(60, 150);
    step_ms_ = hidden.uniform(12, 25), row_ = hidden.uniform(0.01, 0.05), prompt_ms_ = hidden.uniform(0.1, 0.3);
    chunk_ = 256 * hidden.whole(1, 2);
    double mean = 0;
    for (const std::uint64_t p : prompts_) mean += static_cast<double>(p) / static_cast<double>(prompts_.size());
    // The prompts' share of the machine's time, with a row of answers in each of their passes.
    gap_ms_ = (mean + question_) * (prompt_ms_ + step_ms_ / static_cast<double>(chunk_)) / hidden.uniform(0.35, 0.65);
  }

  Period period(std::uint64_t number, const LeverAdvice* pulled) const override {
    std::vector<Job> jobs = demand(number, pulled != nullptr && pulled->lever == Lever::prefix_cache);
    simulate(jobs, number);
    Period result;
    for (Job& job : jobs) {
      const auto cached = static_cast<double>(job.record.cached_tokens.value());
      result.cost += static_cast<double>(job.record.prompt_tokens) - cached + per_cached * cached +
                     per_output * static_cast<double>(job.record.output_tokens);
      result.ttft += *job.record.ttft_ms, result.e2e += *job.record.e2e_ms;
      result.trace.push_back(std::move(job.record));
    }
    return result;
  }

 private:
  struct Job {
    TraceRecord record{};
    double at_ms = 0, stalled_ms = 0, first_ms = 0;
    std::uint64_t to_compute = 0, made = 0;
  };

  std::vector<Job> demand(std::uint64_t number, bool is_cached) const {
    Dice clock(seed_, number * 1000003 + 7);
    std::set<std::uint64_t> seen;
    std::vector<Job> jobs(requests_);
    double at = 0;
    for (std::size_t i = 0; i < requests_; ++i) {
      Dice dice(seed_ ^ 0x5851F42D4C957F2DU, number * 1000003 + 101 + i);
      at += clock.exponential(gap_ms_);
      const std::uint64_t which = dice.whole(0, static_cast<double>(prompts_.size()) - 1.001);
      TraceRecord& r = jobs[i].record;
      r.timestamp = 1.7e9 + static_cast<double>(number) * 1e6 + at / 1000;
      r.model = "house-model", r.type = "desk";
      r.prompt_tokens = prompts_[which] + dice.length(question_, 0.5, 4),
      r.output_tokens = dice.length(answer_, 0.5, 2);
      r.prefix_blocks = blocks(dice, seed_ * 16 + which, prompts_[which], r.prompt_tokens);
      r.cached_tokens = !seen.insert(which).second && is_cached ? prompts_[which] / 16 * 16 : 0;
      jobs[i].at_ms = at, jobs[i].to_compute = r.prompt_tokens - *r.cached_tokens;
    }
    return jobs;
  }

  /// A pass: one row of everybody who decodes, then prompts in the order of arrival until it is full.
  void simulate(std::vector<Job>& jobs, std::uint64_t number) const {
    Dice jitter(seed_, number * 31 + 5);
    std::vector<Job*> running;
    std::size_t next = 0;
    for (double now = 0; next < jobs.size() || !running.empty();) {
      if (running.empty()) now = std::max(now, jobs[next].at_ms);
      for (; next < jobs.size() && jobs[next].at_ms <= now; ++next) running.push_back(&jobs[next]);
      now = pass(running, now, jitter.lognormal(1, 0.05));
      std::erase_if(running, [](const Job* job) { return job->made == job->record.output_tokens; });
    }
  }

  double pass(const std::vector<Job*>& running, double now, double pace) const {
    std::uint64_t room = chunk_;
    double rows = 0;
    std::vector<Job*> drawing, decoding;
    for (Job* job : running)
      if (job->to_compute == 0) ++rows, decoding.push_back(job), drawing.push_back(job);
    for (Job* job : running) {
      const std::uint64_t part = std::min(room, job->to_compute);
      if (part == 0) continue;
      room -= part, job->to_compute -= part;
      if (job->to_compute == 0) drawing.push_back(job);
    }
    const double prompts = prompt_ms_ * static_cast<double>(chunk_ - room) * pace;
    const double end = now + step_ms_ * (1 + row_ * std::max(0.0, rows - 1)) * pace + prompts;
    for (Job* job : decoding) job->stalled_ms += prompts;
    for (Job* job : drawing) draw(*job, end);
    return end;
  }

  void draw(Job& job, double now) const {
    TraceRecord& r = job.record;
    if (++job.made == 1) r.ttft_ms = now - job.at_ms;
    if (job.made < r.output_tokens) return;
    r.e2e_ms = now - job.at_ms;
    if (recorded_) r.stalled_ms = job.stalled_ms;
  }

  std::uint64_t seed_;
  bool recorded_;
  std::size_t requests_ = 600;
  std::vector<std::uint64_t> prompts_{};
  std::uint64_t chunk_ = 0;
  double question_ = 0, answer_ = 0, step_ms_ = 0, row_ = 0, prompt_ms_ = 0, gap_ms_ = 0;
};

}  // namespace

std::unique_ptr<World> make_interleaved(std::uint64_t seed, bool recorded) {
  return std::make_unique<Interleaved>(seed, recorded);
}

}  // namespace frugal::test
