// shapes [threads]: whole passes of made models of 1.5B and 7B shape in real formats: how much of what the memory gives a
// step of one row reads, and how much of the multiply peak a prompt of 512 rows reaches. Random weights, some layers of
// each model (a pass over all of them is as many times as long), no file. Prints a JSON array.
#include "gpu/shapes.hpp"
#include "micro/peaks.hpp"
#include "micro/read_speed.hpp"

#include <frugal/backend/backend.hpp>
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

using namespace frugal;

namespace {

constexpr std::uint32_t layers = 4, prompt_rows = 512, page_tokens = 32, sequence_tokens = 640;

/// As llama.cpp's Q4_K_M mixes: half of the layers have values and down projections in Q6_K, and so has the head.
DType q4_k_m(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  const bool odd = has("blk.1.") || has("blk.3.");
  return name == "output.weight" || has("token_embd") || (odd && (has("attn_v") || has("ffn_down"))) ? DType::q6_k
                                                                                                     : DType::q4_k;
}

struct Named {
  const char* name;
  frugal::bench::TypeOf type_of;
};

frugal::bench::TypeOf all(DType type) {
  return [=](std::string_view) { return type; };
}

/// A backend with one model and one sequence.
struct Pass {
  std::unique_ptr<Backend> backend;
  std::vector<Granule> pages;
  std::vector<Token> tokens;

  Pass(const std::shared_ptr<const Model>& model, unsigned threads)
      : backend(cpu_backend({.threads = threads})), pages(sequence_tokens / page_tokens), tokens(prompt_rows) {
    const ModelId id = backend->add_model(model);
    const std::size_t granules = (page_tokens * backend->kv_bytes_per_token(id) + granule_bytes - 1) / granule_bytes;
    for (std::size_t p = 0; p < pages.size(); ++p) pages[p] = static_cast<Granule>(p * granules);
    const PageGeometry geometry{page_tokens, granules * granule_bytes};
    backend->bind_arena({pages.size() * granules * granule_bytes, {&geometry, 1}});
    for (std::uint32_t i = 0; i < prompt_rows; ++i)
      tokens[i] = static_cast<Token>(i * 2654435761U % model->spec().vocab);
  }

  /// Seconds of the best pass of `rows` tokens from `start` on; the last one draws.
  double seconds(std::uint32_t rows, std::uint32_t start, double budget) {
    const Sampling greedy;
    DrawSpec draw;
    draw.sampling = &greedy;
    TokenScore drawn;
    Segment segment{std::span(tokens).first(rows), start, pages, {&draw, 1}, {}};
    segment.prompt = rows > 1 ? rows : 0;
    return ::bench::least_seconds(budget, [&] { backend->forward({ModelId(0), {&segment, 1}, {&drawn, 1}}); });
  }
};

/// Multiply-adds of the matrices in a pass of `rows` rows that draws once: head, and after the last layer's attention,
/// the row that draws alone.
double multiply_adds(const Model& model, std::uint32_t rows) {
  double all = 0, once = 0;
  const std::string last = "blk." + std::to_string(layers - 1) + ".";
  for (const Tensor& t : model.tensors()) {
    if (t.rows == 1 || &t == &model.embedding()) continue;
    const bool narrow = t.name == last + "attn_output.weight" || t.name.starts_with(last + "ffn_");
    (narrow || &t == &model.head() ? once : all) += static_cast<double>(t.rows) * static_cast<double>(t.cols);
  }
  if (model.spec().tied_head) once += static_cast<double>(model.head().rows) * static_cast<double>(model.head().cols);
  return rows * all + once;
}

void report(std::string_view shape, const Named& format, unsigned threads, const ::bench::Peaks& peaks, double reads) {
  const auto model = frugal::bench::shaped_model(shape, format.type_of, 0, layers);
  Pass pass(model, threads);
  const double prompt = pass.seconds(prompt_rows, 0, 2.0), one = pass.seconds(1, prompt_rows, 1.0);
  const DType inner = format.type_of("blk.0.ffn_up.weight");
  std::printf(
      "  {\"shape\": \"%s\", \"format\": \"%s\", \"layers\": %u, \"bytes\": %.0f, \"one_row_ms\": %.4f,\n"
      "   \"gb_per_second\": %.3f, \"memory_gb_per_second\": %.3f, \"prompt_ms\": %.3f,\n"
      "   \"gmac_per_second\": %.2f, \"peak_gmac_per_second\": %.2f}",
      std::string(shape).c_str(), format.name, layers, static_cast<double>(frugal::bench::bytes_read(*model)),
      one * 1e3, static_cast<double>(frugal::bench::bytes_read(*model)) / one / 1e9, reads / 1e9, prompt * 1e3,
      multiply_adds(*model, prompt_rows) / prompt / 1e9, threads * peaks.most(block_shape(inner).values != 1) / 1e9);
}

}  // namespace

int main(int argc, char** argv) try {
  const unsigned threads = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 2;
  const ::bench::Peaks peaks = ::bench::measure_peaks();
  const double reads = ::bench::read_speed(threads);
  const Named formats[] = {{"Q4_K_M", q4_k_m},
                           {"Q8_0", all(DType::q8_0)},
                           {"Q4_0", all(DType::q4_0)},
                           {"F16", all(DType::f16)},
                           {"BF16", all(DType::bf16)}};
  const char* separator = "[\n";
  for (const char* shape : {"qwen2.5-1.5b", "mistral-7b"})
    for (const Named& format : formats) {
      std::printf("%s", separator), separator = ",\n";
      report(shape, format, threads, peaks, reads);
      std::fflush(stdout);
    }
  std::printf("\n]\n");
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
