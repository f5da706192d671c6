// Replays recorded answers under a SpeculationPolicy. A trace (written by `bench_spec trace`) says for each place of an
// answer how much a drafter would have proposed there and how much of it would have stood, and what a pass of so many
// rows takes: all that any draft length would have met, because speculation never changes the answer.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace frugal::testing {

struct Trace {
  struct Place {
    std::uint32_t proposed = 0, accepted = 0;
  };
  std::map<std::uint32_t, double> trial{};  ///< what start-up measured: one short sequence
  std::map<std::uint32_t, double> pass{};   ///< rows -> seconds, every number of rows from the first to the last
  double draft = 0;                         ///< seconds a drafted token
  double draft_pass = 0;                    ///< seconds of a draft model's pass; 0 = no draft model
  std::vector<std::vector<Place>> answers{};

  double seconds(std::uint32_t rows) const {
    const auto at = pass.lower_bound(rows);
    return at == pass.end() ? pass.rbegin()->second * rows / pass.rbegin()->first : at->second;
  }
};

inline Trace read_trace(const std::string& path) {
  std::ifstream file(path);
  Trace trace;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "pass") {
      std::uint32_t rows = 0;
      words >> rows >> trace.pass[rows];
    } else if (kind == "trial") {
      std::uint32_t rows = 0;
      words >> rows >> trace.trial[rows];
    } else if (kind == "answer") {
      trace.answers.emplace_back();
      char colon = 0;
      for (Trace::Place p; words >> p.proposed >> colon >> p.accepted;) trace.answers.back().push_back(p);
    } else {
      words >> (kind == "draft" ? trace.draft : trace.draft_pass);
    }
  }
  if (trace.pass.empty() || trace.answers.empty()) throw Error(Errc::bad_file, path + ": no trace");
  return trace;
}

struct Replayed {
  double seconds = 0;
  std::uint64_t tokens = 0, drafted = 0, accepted = 0, changes = 0;
  double speed() const { return static_cast<double>(tokens) / seconds; }
};

/// What the policy sees of a pass's time: up to so much more or less than it took.
struct Jitter {
  double share = 0;
  std::uint32_t seed = 1;
};

/// The engine's loop around a policy, without an engine: `together` answers at once, each place's outcome as recorded.
class Replay {
 public:
  Replay(const Trace& trace, SpeculationPolicy& policy, std::uint32_t together = 1, Jitter jitter = {})
      : trace_(trace), policy_(policy), together_(together), jitter_(jitter) {}

  /// All answers `rounds` times over, after the trial passes of start-up.
  Replayed run(int rounds = 1) {
    for (const auto& [rows, seconds] : trace_.trial) observe(rows, 1, seconds);
    if (trace_.draft_pass > 0) policy_.observe({{}, true, 0, 1, 1, trace_.draft_pass});
    serve(rounds * trace_.answers.size());
    return out_;
  }

 private:
  struct Running {
    const std::vector<Trace::Place>* places;
    RequestView request{};
    std::uint32_t at = 0, last_plan = 0, drafted = 0, accepted = 0;
    DraftPlan plan{};
    std::vector<Token> output{};
    bool done() const { return at >= places->size(); }
  };

  void observe(std::uint32_t rows, std::uint32_t segments, double seconds) {
    jitter_.seed = jitter_.seed * 1664525U + 1013904223U;
    const double off = jitter_.share * (jitter_.seed / 2147483648.0 - 1);
    policy_.observe({{}, false, 0, segments, rows, seconds * (1 + off)});
  }

  SequenceView view_of(Running& r) const {
    return {.request = r.request, .output = r.output, .budget = static_cast<std::uint32_t>(r.places->size() + 1)};
  }

  void plan(Running& r, std::uint32_t decode_rows, std::uint32_t draft_rows) {
    const DrafterView drafter{0, "recorded", trace_.draft_pass > 0};
    const std::uint32_t left = static_cast<std::uint32_t>(r.places->size()) - r.at;
    r.plan = {}, r.drafted = r.accepted = 0;
    if (left < 2) return;
    r.plan = policy_.propose(view_of(r), {.drafters = {&drafter, 1},
                                          .most_tokens = left - 1,
                                          .decode_rows = decode_rows,
                                          .draft_rows = draft_rows,
                                          .catch_up = 1});
    r.plan.tokens = std::min(r.plan.tokens, left - 1);
    out_.changes += r.plan.tokens != r.last_plan;
    r.last_plan = r.plan.tokens;
    const Trace::Place& place = (*r.places)[r.at];
    r.drafted = std::min(place.proposed, r.plan.tokens);
    r.accepted = std::min(place.accepted, r.drafted);
  }

  /// So many answers; the next one starts when one ends.
  void serve(std::size_t answers) {
    std::vector<Running> running;
    for (std::size_t next = 0; next < answers || !running.empty();) {
      for (; next < answers && running.size() < together_; ++next) {
        running.push_back({.places = &trace_.answers[next % trace_.answers.size()]});
        running.back().request.id = RequestId{++requests_};
        running.back().output.push_back(0);  // came with the prompt
      }
      step(running);
      for (const Running& r : running)
        if (r.done()) policy_.finished(r.request.id);
      std::erase_if(running, [](const Running& r) { return r.done(); });
    }
  }

  void step(std::vector<Running>& running) {
    const auto decode_rows = static_cast<std::uint32_t>(running.size());
    std::uint32_t draft_rows = 0, longest = 0;
    for (Running& r : running) {
      plan(r, decode_rows, draft_rows);
      draft_rows += r.drafted, longest = std::max(longest, r.drafted);
    }
    const double pass = trace_.seconds(decode_rows + draft_rows);
    const double drafting = longest * trace_.draft_pass + draft_rows * trace_.draft;
    out_.seconds += pass + drafting;
    observe(decode_rows + draft_rows, decode_rows, pass);
    for (std::uint32_t i = 0; i < longest && trace_.draft_pass > 0; ++i)
      policy_.observe({{}, true, 0, 1, 1, trace_.draft_pass});
    for (Running& r : running) {
      r.at += r.accepted + 1;
      r.output.insert(r.output.end(), r.accepted + 1, 0);
      out_.tokens += r.accepted + 1, out_.drafted += r.drafted, out_.accepted += r.accepted;
      if (r.drafted == 0) continue;
      policy_.learn(view_of(r), {r.plan, r.drafted, r.accepted, drafting * r.drafted / draft_rows, pass});
    }
  }

  const Trace& trace_;
  SpeculationPolicy& policy_;
  std::uint32_t together_;
  Jitter jitter_;
  std::uint64_t requests_ = 0;
  Replayed out_;
};

}  // namespace frugal::testing
