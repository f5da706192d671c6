// bench_grammar MODE: documents into objects of one schema, through Engine and CpuBackend; prints one JSON object.
//   extract   all documents with and without forced tokens: passes, tokens, seconds, whether the answers are the same
//   overhead  decode steps with a constraint beside steps without one, no forced tokens
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/model/model.hpp>

#include <ctime>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace frugal;
using nlohmann::ordered_json;

namespace {

using Steady = std::chrono::steady_clock;

struct Settings {
  std::string model, cases;
  unsigned threads = 2, sequences = 1, most = 160, repeat = 3;
};

/// Of all threads. Finer than std::clock().
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double seconds_since(Steady::time_point start) { return std::chrono::duration<double>(Steady::now() - start).count(); }

struct Work {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const ConstraintSource> schema;
  std::string instructions;
  std::vector<std::string> documents;
};

Work work_of(const Settings& s) {
  std::ifstream file(s.cases);
  const ordered_json cases = ordered_json::parse(file);
  const grammar::JsonSchemaOptions options{.whitespace = grammar::Whitespace::compact};
  return {load_model(s.model), grammar::json_schema(cases.at("schema").dump(), options), cases.at("instructions"),
          cases.at("documents")};
}

std::unique_ptr<Engine> engine_of(const Settings& s, const Work& work) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", work.model}};
  o.prefix_cache = lru();
  return std::make_unique<Engine>(std::move(o));
}

Request request_of(const Settings& s, const Work& work, std::size_t document, bool forced) {
  Request r{Chat{{{"user", work.instructions + work.documents[document]}}}};
  r.max_tokens = s.most;
  r.constraint = work.schema;
  if (!forced) r.max_draft = 0;
  return r;
}

struct Run {
  double seconds = 0, cpu_seconds = 0;  ///< wall time; processor time of all threads, which other programs change less
  std::uint64_t passes = 0, tokens = 0, forced = 0, whole = 0;
  std::vector<std::string> texts;
};

/// All documents, so many at once.
Run run(const Settings& s, const Work& work, bool forced) {
  const auto engine = engine_of(s, work);
  engine->run(request_of(s, work, 0, forced));  // what is learned once: the vocabulary's trie, pass costs
  engine->clear_prefixes();
  Run out;
  out.texts.resize(work.documents.size());
  const std::uint64_t passes = engine->stats().passes;
  const auto start = Steady::now();
  const double worked = cpu_seconds();
  std::size_t next = 0, open = 0;
  const auto begin = [&] {
    const std::size_t i = next++;
    ++open;
    engine->submit(
        request_of(s, work, i, forced), [&out, i](Delta d) { out.texts[i] += d.text; },
        [&](Finish f) {
          if (f.error) throw *f.error;
          out.tokens += f.usage.output, out.forced += f.ledger.total().forced;
          out.whole += f.reason == FinishReason::stop ? 1 : 0;
          --open;
        });
  };
  while (next < work.documents.size() || open > 0) {
    while (open < s.sequences && next < work.documents.size()) begin();
    engine->step();
  }
  out.seconds = seconds_since(start);
  out.cpu_seconds = cpu_seconds() - worked;
  out.passes = engine->stats().passes - passes;
  return out;
}

ordered_json json_of(const Run& r) {
  return {{"seconds", r.seconds}, {"cpu_seconds", r.cpu_seconds}, {"passes", r.passes},
          {"tokens", r.tokens},   {"forced", r.forced},           {"whole", r.whole}};
}

ordered_json extract(const Settings& s) {
  const Work work = work_of(s);
  Run with, without;
  for (unsigned i = 0; i < s.repeat; ++i) {  // in turns; the faster run of each counts
    Run a = run(s, work, true), b = run(s, work, false);
    if (i == 0 || a.seconds < with.seconds) with = std::move(a);
    if (i == 0 || b.seconds < without.seconds) without = std::move(b);
  }
  return {{"with", json_of(with)},
          {"without", json_of(without)},
          {"same", with.texts == without.texts},
          {"texts", with.texts}};
}

/// Requests on an engine of their own; steps without prompt rows are timed.
class Side {
 public:
  Side(const Settings& s, const Work& work, bool constrained)
      : s_(s), work_(work), constrained_(constrained), engine_(engine_of(s, work)) {}

  void begin(std::size_t first) {
    open_ = silent_ = s_.sequences;
    for (unsigned i = 0; i < s_.sequences; ++i) {
      Request r = request_of(s_, work_, (first + i) % work_.documents.size(), false);
      if (!constrained_) r.constraint = nullptr;
      engine_->submit(
          std::move(r),
          [this, heard = false](Delta) mutable {
            if (!heard) heard = true, --silent_;
          },
          [this](Finish f) {
            if (f.error) throw *f.error;
            --open_;
          });
    }
    while (silent_ > 0) engine_->step();
  }
  /// None of the answers has ended yet.
  bool all_run() const { return open_ == s_.sequences; }
  /// Wall seconds and processor seconds of all threads.
  std::pair<double, double> step() {
    const auto start = Steady::now();
    const double worked = cpu_seconds();
    engine_->step();
    return {seconds_since(start), cpu_seconds() - worked};
  }
  void end() {
    while (open_ > 0) engine_->step();
  }

 private:
  const Settings& s_;
  const Work& work_;
  bool constrained_;
  std::unique_ptr<Engine> engine_;
  std::size_t open_ = 0, silent_ = 0;
};

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

/// Both engines' steps in pairs, by one clock.
struct Pairs {
  std::vector<double> on, off;
  ordered_json json() const {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < on.size(); ++i) ratios.push_back(on[i] / off[i]);
    return {{"on_ms", 1e3 * median(on)}, {"off_ms", 1e3 * median(off)}, {"ratio", median(ratios)}};
  }
};

/// The two engines take turns of a step, each on the same documents, as long as both decode all of theirs. Processor time
/// says more than wall time where other programs run, and is that of the work alone with one thread.
ordered_json overhead(const Settings& s) {
  const Work work = work_of(s);
  Side on(s, work, true), off(s, work, false);
  Pairs wall, cpu;
  for (unsigned round = 0; round < s.repeat; ++round) {
    for (std::size_t first = 0; first < work.documents.size(); first += s.sequences) {
      on.begin(first), off.begin(first);
      for (bool swap = false; on.all_run() && off.all_run(); swap = !swap) {
        auto a = (swap ? off : on).step(), b = (swap ? on : off).step();
        if (swap) std::swap(a, b);
        if (!on.all_run() || !off.all_run()) break;  // whose answer ended did less or more
        wall.on.push_back(a.first), wall.off.push_back(b.first);
        cpu.on.push_back(a.second), cpu.off.push_back(b.second);
      }
      on.end(), off.end();
    }
  }
  return {{"wall", wall.json()}, {"cpu", cpu.json()}, {"steps", wall.on.size()}};
}

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
  CLI::App app("Structured output in the engine; prints one JSON object");
  app.require_subcommand(1);
  const auto mode = [&](const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("--model", s.model)->required();
    sub->add_option("--cases", s.cases)->required();
    sub->add_option("--threads", s.threads);
    sub->add_option("--sequences", s.sequences)->check(CLI::PositiveNumber);
    sub->add_option("--tokens", s.most)->check(CLI::PositiveNumber);
    sub->add_option("--repeat", s.repeat)->check(CLI::PositiveNumber);
    return sub;
  };
  CLI::App* extracts = mode("extract", "with and without forced tokens");
  mode("overhead", "a decode step with a constraint beside one without");
  CLI11_PARSE(app, argc, argv);
  std::cout << (extracts->parsed() ? extract(s) : overhead(s)).dump() << '\n';
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
