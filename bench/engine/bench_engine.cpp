// bench_engine MODE: frugal's side of bench/run.py. Whole requests through Engine and CpuBackend, as a host runs them;
// prints one JSON object. Best of several repetitions.
#include "micro/read_speed.hpp"

#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

using namespace frugal;

namespace {

using Steady = std::chrono::steady_clock;

struct Settings {
  std::string model, prefix_file, kv = "fp16";
  float temperature = 0.0F, top_p = 1.0F;
  unsigned threads = 2, sequences = 1, tokens = 64, prompt = 16, repeat = 3;
  bool bf16_prompts = false, repack_floats = false;
  std::vector<std::string> questions;
};

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::unique_ptr<Engine> engine_of(const Settings& s, const std::shared_ptr<const Model>& model, bool cache) {
  EngineOptions o;
  const KvType kv = s.kv == "fp32" ? KvType::fp32 : s.kv == "int8" ? KvType::int8 : KvType::fp16;
  o.backend = cpu_backend({.threads = s.threads,
                           .kv = kv,
                           .prompts = s.bf16_prompts ? PromptArithmetic::bf16 : PromptArithmetic::exact,
                           .float_weights = s.repack_floats ? FloatWeights::repacked : FloatWeights::kept});
  o.models = {{"model", model}};
  if (cache) o.prefix_cache = lru();
  return std::make_unique<Engine>(std::move(o));
}

/// Ids that are no end of an answer, and other ones for each seed.
TokenPrompt prompt_of(unsigned length, unsigned seed) {
  TokenPrompt prompt;
  for (unsigned i = 0; i < length; ++i)
    prompt.tokens.push_back(static_cast<Token>(1000 + ((i + 1) * 2654435761U + seed * 40503U) % 20000));
  return prompt;
}

Request request_of(const Settings& s, unsigned length, unsigned tokens, unsigned seed) {
  Request r{prompt_of(length, seed)};
  r.max_tokens = tokens;
  r.sampling.temperature = s.temperature;
  r.sampling.top_p = s.top_p;
  r.sampling.seed = seed;  // the same answer in every repetition
  r.use_prefix_cache = s.prefix_file.size() != 0;
  return r;
}

/// When the first and the last token of a request came.
struct Times {
  Steady::time_point first{}, last{};
  std::uint64_t tokens = 0;
};

/// All sequences at once, one for each seed.
std::vector<Times> run_all(Engine& engine, const Settings& s, const std::vector<unsigned>& seeds) {
  std::vector<Times> times(seeds.size());
  std::size_t open = seeds.size();
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    Times& t = times[i];
    engine.submit(
        request_of(s, s.prompt, s.tokens, seeds[i]),
        [&t](Delta d) {
          const auto now = Steady::now();
          if (t.tokens == 0) t.first = now;
          t.tokens += d.tokens.size(), t.last = now;
        },
        [&open](Finish f) {
          --open;
          if (f.error) throw *f.error;
        });
  }
  engine.drive([&] { return open == 0; });
  return times;
}

/// Seeds of prompts whose answers do not end early; what a prompt's answer is does not depend on the others.
std::vector<unsigned> long_answers(Engine& engine, const Settings& s) {
  std::vector<unsigned> seeds(s.sequences);
  std::iota(seeds.begin(), seeds.end(), 0U);
  unsigned next = s.sequences;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const std::vector<Times> times = run_all(engine, s, seeds);
    bool all = true;
    for (std::size_t i = 0; i < seeds.size(); ++i)
      if (times[i].tokens != s.tokens) seeds[i] = next++, all = false;
    if (all) return seeds;
  }
  throw Error(Errc::internal, "answers end early: ask for fewer tokens");
}

/// Tokens per second over all sequences, from the last first token on.
double batch_speed(Engine& engine, const Settings& s, const std::vector<unsigned>& seeds) {
  const std::vector<Times> times = run_all(engine, s, seeds);
  Times all = times[0];
  for (const Times& t : times) all.first = std::max(all.first, t.first), all.last = std::max(all.last, t.last);
  return s.sequences * (s.tokens - 1) / std::chrono::duration<double>(all.last - all.first).count();
}

double best_batch_speed(const Settings& s, const std::shared_ptr<const Model>& model) {
  const auto engine = engine_of(s, model, false);
  const std::vector<unsigned> seeds = long_answers(*engine, s);
  double best = 0;
  for (unsigned i = 0; i < s.repeat; ++i) best = std::max(best, batch_speed(*engine, s, seeds));
  return best;
}

void decode(const Settings& s, const std::shared_ptr<const Model>& model) {
  Settings one = s;
  one.sequences = 1, one.tokens += 1;
  const double best = best_batch_speed(one, model);
  const Tensor& embedding = model->embedding();  // one row of it is read, unless it is the head as well
  const std::uint64_t idle = model->spec().tied_head ? 0 : embedding.data.size();
  std::printf("{\"tokens_per_second\": %.3f, \"weight_bytes\": %llu, \"read_gb_per_second\": %.3f}\n", best,
              static_cast<unsigned long long>(model->weight_bytes() - idle), bench::read_speed(s.threads) / 1e9);
}

void batch(const Settings& s, const std::shared_ptr<const Model>& model) {
  std::printf("{\"tokens_per_second\": %.3f}\n", best_batch_speed(s, model));
}

void prefill(const Settings& s, const std::shared_ptr<const Model>& model) {
  const auto engine = engine_of(s, model, false);
  double best = 1e9;
  for (unsigned i = 0; i < s.repeat; ++i) {
    const Answer a = engine->run(request_of(s, s.tokens, 1, i));
    if (a.finish.error) throw *a.finish.error;
    best = std::min(best, seconds(a.finish.timing.ttft));
  }
  std::printf("{\"tokens_per_second\": %.3f, \"ms\": %.4f}\n", s.tokens / best, best * 1e3);
}

/// One prefix, then a new question each time: time to the first token of the first (cold) and the best later one.
void prefix(const Settings& s, const std::shared_ptr<const Model>& model) {
  std::ifstream file(s.prefix_file);
  const std::string shared{std::istreambuf_iterator<char>(file), {}};
  if (!file || shared.empty()) throw Error(Errc::bad_file, s.prefix_file + ": cannot be read");
  const auto engine = engine_of(s, model, true);
  double cold = 0, warm = 1e9;
  std::uint64_t input = 0, cached = 0;
  for (std::size_t i = 0; i < s.questions.size(); ++i) {
    Request r{RawPrompt{shared + s.questions[i]}};
    r.max_tokens = 1;
    const Answer a = engine->run(std::move(r));
    if (a.finish.error) throw *a.finish.error;
    const double ttft = seconds(a.finish.timing.ttft);
    (i == 0 ? cold : warm) = i == 0 ? ttft : std::min(warm, ttft);
    input = a.finish.usage.input, cached = a.finish.usage.cached_read;
  }
  std::printf("{\"cold_ms\": %.4f, \"warm_ms\": %.4f, \"input\": %llu, \"cached\": %llu}\n", cold * 1e3, warm * 1e3,
              static_cast<unsigned long long>(input), static_cast<unsigned long long>(cached));
}

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
  CLI::App app("frugal's side of bench/run.py; prints one JSON object");
  app.require_subcommand(1);
  const auto mode = [&](const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("--model", s.model)->required();
    sub->add_option("--threads", s.threads);
    sub->add_option("--repeat", s.repeat)->check(CLI::PositiveNumber);
    sub->add_option("--tokens", s.tokens)->check(CLI::PositiveNumber);
    sub->add_option("--temperature", s.temperature)->check(CLI::NonNegativeNumber);
    sub->add_option("--top-p", s.top_p)->check(CLI::Range(0.0F, 1.0F));
    sub->add_flag("--bf16-prompts", s.bf16_prompts);
    sub->add_flag("--repack-floats", s.repack_floats);
    sub->add_option("--kv", s.kv)->check(CLI::IsMember({"fp16", "fp32", "int8"}));
    return sub;
  };
  CLI::App* modes[] = {mode("decode", "one sequence"), mode("batch", "several sequences at once"),
                       mode("prefill", "one prompt of --tokens tokens"), mode("prefix", "a shared prefix")};
  modes[1]->add_option("--sequences", s.sequences)->check(CLI::PositiveNumber);
  modes[1]->add_option("--prompt", s.prompt)->check(CLI::PositiveNumber);
  modes[3]->add_option("--prefix-file", s.prefix_file)->required();
  modes[3]->add_option("--question", s.questions)->required();
  CLI11_PARSE(app, argc, argv);
  const auto model = load_model(s.model);
  constexpr void (*run[])(const Settings&, const std::shared_ptr<const Model>&) = {decode, batch, prefill, prefix};
  for (std::size_t i = 0; i < std::size(modes); ++i)
    if (modes[i]->parsed()) run[i](s, model);
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
