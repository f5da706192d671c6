// bench_interactive: how long interactive requests wait for their first token beside a batch that saturates the engine.
// Prints one JSON object, times in milliseconds. A request waits for the step that runs already, which may last the stall
// budget, and then for the step that computes its prompt and draws its first token. So `wait`, its time to first token
// without that step of its own, is to be within the budget. It holds for prompts whose rows fit into one step.
#include <frugal/cpu/backend.hpp>
#include <frugal/endpoint/batch.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace frugal;

namespace {

struct Settings {
  std::string model;
  unsigned threads = 2, requests = 100, prompt = 16, tokens = 8, batch_prompt = 256, batch_tokens = 64, parallel = 16;
  unsigned stall_ms = 100, pause_ms = 100;
};

/// Keeps when each pass ended and what it took.
struct Passes final : Observer {
  struct Pass {
    TimePoint end;
    double took;  ///< ms
  };
  void on_step(const StepReport& report) override {
    if (watched.load()) all.push_back({std::chrono::steady_clock::now(), milliseconds(report.forward)});
  }
  std::vector<double> took() const {
    std::vector<double> times;
    for (const Pass& p : all) times.push_back(p.took);
    return times;
  }
  /// Of the pass that was the last to end by then.
  double last_before(TimePoint then) const {
    const auto after =
        std::upper_bound(all.begin(), all.end(), then, [](TimePoint t, const Pass& p) { return t < p.end; });
    return after == all.begin() ? 0 : (after - 1)->took;
  }
  std::atomic<bool> watched{false};
  std::vector<Pass> all{};  // of the driving thread, read when it is gone
};

/// What one interactive request saw.
struct Seen {
  double ttft;  ///< ms
  TimePoint first_token;
};

TokenPrompt prompt_of(unsigned length, unsigned seed) {
  TokenPrompt prompt;
  for (unsigned i = 0; i < length; ++i)
    prompt.tokens.push_back(static_cast<Token>(1000 + ((i + 1) * 2654435761U + seed * 40503U) % 20000));
  return prompt;
}

Request request_of(unsigned prompt, unsigned tokens, unsigned seed) {
  Request request{prompt_of(prompt, seed)};
  request.max_tokens = tokens;
  return request;
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size()));
  return values[std::min(rank, values.size() - 1)];
}

/// One after the other, with pauses.
std::vector<Seen> ask_all(Engine& engine, const Settings& s) {
  std::vector<Seen> seen;
  for (unsigned i = 0; i < s.requests; ++i) {
    const TimePoint began = std::chrono::steady_clock::now();
    const Answer answer = engine.run(request_of(s.prompt, s.tokens, 100000 + i));
    if (answer.finish.error) throw *answer.finish.error;
    const auto& timing = answer.finish.timing;
    seen.push_back({milliseconds(timing.ttft), began + timing.ttft});
    std::this_thread::sleep_for(std::chrono::milliseconds(s.pause_ms / 2 + (i * 37) % (s.pause_ms + 1)));
  }
  return seen;
}

std::vector<double> ttft_of(const std::vector<Seen>& seen) {
  std::vector<double> times;
  for (const Seen& s : seen) times.push_back(s.ttft);
  return times;
}

struct Enough {};

/// A batch without end, until `over`. Returns how many of it were answered.
std::size_t saturate(Engine& engine, const Settings& s, const std::atomic<bool>& over, std::atomic<std::size_t>& done) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 20000; ++i) requests.push_back(request_of(s.batch_prompt, s.batch_tokens, i));
  BatchOptions options;
  options.progress = [&](const BatchProgress& p) {
    done = p.done;
    if (over) throw Enough();
  };
  try {
    run_batch(engine, std::move(requests), options);
  } catch (const Enough&) {
  }
  return done;
}

void run(const Settings& s) {
  const auto passes = std::make_shared<Passes>();
  EngineOptions options;
  options.backend = cpu_backend({.threads = s.threads});
  options.models = {{"model", load_model(s.model)}};
  options.max_running = s.parallel;
  options.stall_budget = std::chrono::milliseconds(s.stall_ms);
  options.own_thread = true;
  options.observer = passes;
  auto engine = std::make_unique<Engine>(std::move(options));
  const std::vector<double> alone = ttft_of(ask_all(*engine, s));
  std::atomic<bool> over{false};
  std::atomic<std::size_t> done{0};
  std::thread batch([&] { saturate(*engine, s, over, done); });
  while (done < s.parallel) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  passes->watched = true;
  const std::size_t before = done;
  const auto began = std::chrono::steady_clock::now();
  const std::vector<Seen> seen = ask_all(*engine, s);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double rate = static_cast<double>(done - before) / seconds;
  passes->watched = false;
  over = true;
  batch.join();
  engine.reset();
  const std::vector<double> beside = ttft_of(seen), steps = passes->took();
  std::vector<double> own, wait;
  for (const Seen& one : seen) {
    own.push_back(passes->last_before(one.first_token + std::chrono::microseconds(100)));
    wait.push_back(one.ttft - own.back());
  }
  const auto print = [](const char* name, double value) { std::printf("\"%s\": %.2f, ", name, value); };
  std::printf("{");
  print("alone_p50", quantile(alone, 0.5)), print("alone_p99", quantile(alone, 0.99));
  print("p50", quantile(beside, 0.5)), print("p90", quantile(beside, 0.9)), print("p99", quantile(beside, 0.99));
  print("wait_p50", quantile(wait, 0.5)), print("wait_p99", quantile(wait, 0.99));
  print("own_p50", quantile(own, 0.5)), print("own_p99", quantile(own, 0.99));
  print("step_p50", quantile(steps, 0.5)), print("step_p99", quantile(steps, 0.99));
  print("batch_tokens_per_second", rate * s.batch_tokens);
  std::printf("\"stall_budget\": %u}\n", s.stall_ms);
}

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
  CLI::App app{"Interactive requests beside a saturating batch"};
  app.add_option("--model", s.model)->required();
  app.add_option("--threads", s.threads);
  app.add_option("--requests", s.requests, "Interactive ones, alone and again beside the batch")
      ->check(CLI::PositiveNumber);
  app.add_option("--prompt", s.prompt)->check(CLI::PositiveNumber);
  app.add_option("--tokens", s.tokens)->check(CLI::PositiveNumber);
  app.add_option("--batch-prompt", s.batch_prompt)->check(CLI::PositiveNumber);
  app.add_option("--batch-tokens", s.batch_tokens)->check(CLI::PositiveNumber);
  app.add_option("--parallel", s.parallel, "Sequences that run at once")->check(CLI::PositiveNumber);
  app.add_option("--stall-ms", s.stall_ms, "EngineOptions::stall_budget")->check(CLI::PositiveNumber);
  app.add_option("--pause-ms", s.pause_ms);
  CLI11_PARSE(app, argc, argv);
  run(s);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_interactive: %s\n", e.what());
  return 1;
}
