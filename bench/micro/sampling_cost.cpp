// sampling_cost MODEL [threads] [rounds]: what a draw costs beside the decode step it ends. For several settings, turns of
// steps: a greedy one, then one of each setting, all on the same rows, so that whatever else the machine does meets all
// alike. Medians of single-step CPU time over all threads and of wall time, of what a step takes more than the greedy one of
// its round, and of a draw alone on one thread, as JSON lines.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <string>
#include <vector>

#include "backend/drawer.hpp"
#include "cpu/factory.hpp"

using namespace frugal;

namespace {

struct Setting {
  const char* name;
  Sampling sampling{};
  bool scores = false;
  std::uint32_t top_logprobs = 0;
};

std::vector<Setting> settings() {
  return {{"greedy", {}},
          {"temperature 0.8", {.temperature = 0.8F}},
          {"temperature 0.8, top-p 0.95", {.temperature = 0.8F, .top_p = 0.95F}},
          {"temperature 1.5, top-p 0.95", {.temperature = 1.5F, .top_p = 0.95F}},
          {"temperature 0.8, top-k 40, top-p 0.95", {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F}},
          {"temperature 0.8, min-p 0.05", {.temperature = 0.8F, .min_p = 0.05F}},
          {"temperature 0.8, penalties", {.temperature = 0.8F, .repetition_penalty = 1.1F, .frequency_penalty = 0.1F}},
          {"greedy, scores", {}, true},
          {"temperature 0.8, scores, 20 logprobs", {.temperature = 0.8F}, true, 20}};
}

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

constexpr std::uint32_t page_tokens = 16, prompt = 64, cached = 256;

struct Bench {
  std::unique_ptr<Backend> backend;
  std::uint32_t vocab, tokens;
  std::vector<Granule> pages = std::vector<Granule>(cached / page_tokens);
  std::vector<Token> history = std::vector<Token>(cached);

  Bench(const std::shared_ptr<const Model>& model, unsigned threads)
      : backend(cpu::backend_with({.threads = threads}, *cpu::available_kernels().front())),
        vocab(model->spec().vocab),
        tokens(model->tokens()) {
    const ModelId id = backend->add_model(model);
    const std::size_t page = (page_tokens * backend->kv_bytes_per_token(id) + granule_bytes - 1) / granule_bytes;
    const PageGeometry geometry{page_tokens, page * granule_bytes};
    backend->bind_arena({page * granule_bytes * pages.size(), {&geometry, 1}});
    for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = static_cast<Granule>(i * page);
    for (std::uint32_t i = 0; i < cached; ++i) history[i] = static_cast<Token>(i * 2654435761U % tokens);
    forward(0, prompt, {}, {});
    for (std::uint32_t at = prompt; at < cached; ++at) {  // the model's own text, so that rows look like real ones
      std::vector<float> row(vocab);
      forward(at - 1, 1, {}, row);
      const Sampling warm{.temperature = 0.8F, .top_p = 0.95F};
      history[at] = draw(row, {.sampling = &warm, .tokens = tokens, .seed = 7, .position = at}).token;
    }
  }

  TokenScore forward(std::uint32_t start, std::uint32_t rows, const DrawSpec* draw, std::span<float> logits) {
    TokenScore score;
    const std::size_t draws = draw != nullptr ? 1 : 0;
    const Segment s{.tokens = std::span(history).subspan(start, rows),
                    .start = start,
                    .pages = pages,
                    .draws = {draw, draws},
                    .logits = logits};
    backend->forward({ModelId(0), {&s, 1}, {&score, draws}});
    return score;
  }

  DrawSpec spec(const Setting& s, std::uint32_t at) const {
    return {.sampling = &s.sampling,
            .prompt = std::span(history).first(prompt),
            .output = std::span(history).subspan(prompt, at - prompt),
            .tokens = tokens,
            .seed = 1,
            .position = at,
            .top_logprobs = s.top_logprobs,
            .scores = s.scores};
  }
};

struct Costs {
  std::vector<double> wall, cpu, draw, more;  ///< more: wall time beside the greedy step of the same round
};

void measure(Bench& b, std::uint32_t rounds) {
  const std::vector<Setting> all = settings();
  std::vector<Costs> costs(all.size());
  std::vector<float> row(b.vocab);
  backend::Drawer drawer;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const std::uint32_t at = prompt + round % (cached - prompt);
    b.forward(at - 1, 1, nullptr, row);
    for (std::size_t turn = 0; turn < all.size(); ++turn) {
      const std::size_t i = (turn + round) % all.size();
      const DrawSpec spec = b.spec(all[i], at);
      const double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
      b.forward(at - 1, 1, &spec, {});
      costs[i].wall.push_back(now(CLOCK_MONOTONIC) - wall);
      costs[i].cpu.push_back(now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
      const double alone = now(CLOCK_THREAD_CPUTIME_ID);
      drawer.draw(row, spec);
      costs[i].draw.push_back(now(CLOCK_THREAD_CPUTIME_ID) - alone);
    }
  }
  for (Costs& c : costs)
    for (std::size_t r = 0; r < rounds; ++r) c.more.push_back(c.wall[r] - costs[0].wall[r]);
  for (std::size_t i = 0; i < all.size(); ++i)
    std::printf(
        "{\"setting\": \"%s\", \"step_wall_ms\": %.4f, \"step_cpu_ms\": %.4f, \"draw_us\": %.2f, "
        "\"more_us\": %.2f}\n",
        all[i].name, median(costs[i].wall), median(costs[i].cpu), median(costs[i].draw) * 1e3,
        median(costs[i].more) * 1e3);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::fprintf(stderr, "usage: sampling_cost MODEL [threads] [rounds]\n"), 2;
  Bench bench(load_model(argv[1]), argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2);
  measure(bench, argc > 3 ? static_cast<std::uint32_t>(std::atoi(argv[3])) : 300);
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
