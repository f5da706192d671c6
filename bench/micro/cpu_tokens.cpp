// cpu_tokens MODEL [threads] [kernels] [prefill|rows N] [bf16]: tokens per second of whole forward passes of CpuBackend:
// prefill of 512 tokens, decode after 0 and 1024 tokens, and steps of several sequences; or for a profiler prefill alone,
// or 40 steps of N sequences after 16 tokens each. Best of several.
#include "cpu/factory.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <vector>

using namespace frugal;

namespace {

using Steady = std::chrono::steady_clock;

double ms_since(Steady::time_point start) {
  return std::chrono::duration<double, std::milli>(Steady::now() - start).count();
}

constexpr std::uint32_t page_tokens = 16, sequence_tokens = 2048, most_sequences = 16;

/// One backend with one model and room for 16 sequences.
struct Bench {
  std::unique_ptr<Backend> backend;
  std::uint32_t vocab = 0;
  std::uint32_t granules_per_page = 0;

  Bench(std::shared_ptr<const Model> model, const CpuOptions& options, const cpu::Kernels& kernels)
      : backend(cpu::backend_with(options, kernels)), vocab(model->spec().vocab) {
    const auto start = Steady::now();
    const ModelId id = backend->add_model(std::move(model));
    std::printf("add_model %.0f ms\n", ms_since(start));
    const std::size_t page = (page_tokens * backend->kv_bytes_per_token(id) + granule_bytes - 1) / granule_bytes;
    granules_per_page = static_cast<std::uint32_t>(page);
    const PageGeometry geometry{page_tokens, page * granule_bytes};
    backend->bind_arena({page * granule_bytes * (sequence_tokens / page_tokens) * most_sequences, {&geometry, 1}});
  }

  std::vector<Granule> pages(std::uint32_t sequence) const {
    std::vector<Granule> p(sequence_tokens / page_tokens);
    std::iota(p.begin(), p.end(), 0);
    for (auto& g : p)
      g = static_cast<Granule>((static_cast<std::uint32_t>(g) + sequence * p.size()) * granules_per_page);
    return p;
  }

  /// `rows` tokens from position `start` on in each of `sequences`; each draws one token greedily.
  double step_ms(std::uint32_t sequences, std::uint32_t start, std::uint32_t rows) {
    std::vector<Token> tokens(rows);
    for (std::uint32_t i = 0; i < rows; ++i) tokens[i] = static_cast<Token>((start + i) * 2654435761U % vocab);
    const Sampling greedy;
    DrawSpec draw;
    draw.sampling = &greedy;
    std::vector<std::vector<Granule>> tables;
    for (std::uint32_t s = 0; s < sequences; ++s) tables.push_back(pages(s));
    std::vector<Segment> segments;
    for (std::uint32_t s = 0; s < sequences; ++s) {
      Segment segment{tokens, start, tables[s], {&draw, 1}, {}};
      if (rows > 8) segment.prompt = rows;
      segments.push_back(segment);
    }
    std::vector<TokenScore> drawn(sequences);
    const auto begin = Steady::now();
    backend->forward({ModelId(0), segments, drawn});
    return ms_since(begin);
  }
};

template <class F>
double best(int times, F f) {
  double least = 1e30;
  for (int i = 0; i < times; ++i) least = std::min(least, f(static_cast<std::uint32_t>(i)));
  return least;
}

void measure_prefill(Bench& b, int times) {
  const double prefill = best(times, [&](std::uint32_t) { return b.step_ms(1, 0, 512); });
  std::printf("prefill 512: %.1f ms, %.0f tok/s\n", prefill, 512e3 / prefill);
}

void measure_rows(Bench& b, std::uint32_t sequences) {
  for (std::uint32_t s = 0; s < sequences; ++s) b.step_ms(s + 1, 0, 16);
  const double ms = best(40, [&](std::uint32_t i) { return b.step_ms(sequences, 16 + i, 1); });
  std::printf("%2u sequences: %.2f ms a step\n", sequences, ms);
}

void measure(Bench& b) {
  measure_prefill(b, 9);
  for (std::uint32_t s = 0; s < most_sequences; ++s) b.step_ms(s + 1, 0, 16);
  const double decode = best(200, [&](std::uint32_t i) { return b.step_ms(1, 16 + i % 64, 1); });
  std::printf("decode at 16..80: %.2f ms, %.0f tok/s\n", decode, 1e3 / decode);
  b.step_ms(1, 0, 1024);
  const double deep = best(100, [&](std::uint32_t i) { return b.step_ms(1, 1024 + i % 64, 1); });
  std::printf("decode at 1024: %.2f ms, %.0f tok/s\n", deep, 1e3 / deep);
  for (const std::uint32_t n : {2U, 4U, 8U, 16U}) {
    const double ms = best(40, [&](std::uint32_t i) { return b.step_ms(n, 16 + i % 64, 1); });
    std::printf("%2u sequences: %.2f ms a step (%.2f x one), %.0f tok/s\n", n, ms, ms / decode, n * 1e3 / ms);
  }
  for (const std::uint32_t n : {2U, 4U, 8U}) {
    const double ms = best(40, [&](std::uint32_t i) { return b.step_ms(1, 16 + i % 64, n); });
    std::printf("%2u rows of one sequence: %.2f ms (%.2f x one)\n", n, ms, ms / decode);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::fprintf(stderr, "usage: cpu_tokens MODEL [threads] [kernels] [prefill|rows N] [bf16]\n"), 2;
  const cpu::Kernels* kernels = cpu::available_kernels().front();
  for (const cpu::Kernels* k : cpu::available_kernels())
    if (argc > 3 && k->name == argv[3]) kernels = k;
  CpuOptions options;
  options.threads = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2;
  if (argv[argc - 1] == std::string_view("bf16")) options.prompts = PromptArithmetic::bf16;
  const auto start = Steady::now();
  auto model = load_model(argv[1]);
  std::printf("load_model %.0f ms; %s, %u threads\n", ms_since(start), std::string(kernels->name).c_str(),
              options.threads);
  Bench bench(std::move(model), options, *kernels);
  if (argc > 4 && argv[4] == std::string_view("prefill"))
    measure_prefill(bench, 30);
  else if (argc > 5 && argv[4] == std::string_view("rows"))
    measure_rows(bench, std::clamp(static_cast<std::uint32_t>(std::atoi(argv[5])), 1U, most_sequences));
  else
    measure(bench);
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
