// bench_interactive: how long interactive requests wait for their first token beside a batch that saturates the engine.
// Prints one JSON object, times in milliseconds. The bound: the stall budget, which the step that runs already may last,
// plus one step of the request's own, which is the 99th percentile of the steps beside the batch. It holds for prompts
// whose rows fit into one step of the budget.
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

/// Keeps the time of each pass.
struct Passes final : Observer {
  void on_step(const StepReport& report) override {
    if (watched.load()) took.push_back(milliseconds(report.forward));
  }
  std::atomic<bool> watched{false};
  std::vector<double> took{};  // of the driving thread, read when it is gone
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

/// One after the other, with pauses: times to the first token.
std::vector<double> ask_all(Engine& engine, const Settings& s) {
  std::vector<double> ttft;
  for (unsigned i = 0; i < s.requests; ++i) {
    const Answer answer = engine.run(request_of(s.prompt, s.tokens, 100000 + i));
    if (answer.finish.error) throw *answer.finish.error;
    ttft.push_back(milliseconds(answer.finish.timing.ttft));
    std::this_thread::sleep_for(std::chrono::milliseconds(s.pause_ms / 2 + (i * 37) % (s.pause_ms + 1)));
  }
  return ttft;
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
  const std::vector<double> alone = ask_all(*engine, s);
  std::atomic<bool> over{false};
  std::atomic<std::size_t> done{0};
  std::thread batch([&] { saturate(*engine, s, over, done); });
  while (done < s.parallel) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  passes->watched = true;
  const std::size_t before = done;
  const auto began = std::chrono::steady_clock::now();
  const std::vector<double> beside = ask_all(*engine, s);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double rate = static_cast<double>(done - before) / seconds;
  passes->watched = false;
  over = true;
  batch.join();
  engine.reset();
  const double bound = s.stall_ms + quantile(passes->took, 0.99);
  std::printf(
      "{\"alone_p50\": %.2f, \"alone_p99\": %.2f, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"stall_budget\": %u, "
      "\"bound\": %.2f, "
      "\"step_p50\": %.2f, \"step_p99\": %.2f, \"batch_requests_per_second\": %.3f, \"batch_tokens_per_second\": "
      "%.1f}\n",
      quantile(alone, 0.5), quantile(alone, 0.99), quantile(beside, 0.5), quantile(beside, 0.9), quantile(beside, 0.99),
      s.stall_ms, bound, quantile(passes->took, 0.5), quantile(passes->took, 0.99), rate, rate * s.batch_tokens);
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
