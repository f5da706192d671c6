// products [table] [format]: what a matrix product of each format costs by rows, beside the machine's own peaks
// (peaks.hpp). One thread; the weights of the chosen shapes lie in the second-level cache, so the multiply units are
// the limit. A measurement is short and the least of many counts, so that a busy machine shows little.
#include "cpu/memory.hpp"
#include "cpu/product.hpp"
#include "micro/peaks.hpp"

#include <algorithm>
#include <cstdio>
#include <random>
#include <string_view>
#include <vector>

using namespace frugal::cpu;
using bench::least_seconds;

namespace {

struct Named {
  const char* name;
  Format format;
};
constexpr Named formats[] = {{"q4 (Q4_0, Q4_1, Q4_K)", Format::q4},
                             {"q5 (Q5_0, Q5_1, Q5_K)", Format::q5},
                             {"q8 (Q8_0)", Format::q8},
                             {"q8_half (Q6_K)", Format::q8_half},
                             {"q4_half (Q2_K, Q3_K)", Format::q4_half},
                             {"f16", Format::f16},
                             {"bf16", Format::bf16},
                             {"f32", Format::f32}};
struct Shape {
  const char* name;
  std::uint32_t outputs, inputs;
};
// Parts of the matrices: enough strips to be typical, few enough for the cache.
constexpr Shape shapes[] = {{"SmolLM2 576 x 576", 576, 576},
                            {"SmolLM2 down 1536 -> 576", 576, 1536},
                            {"Qwen2.5-0.5B 896 x 896", 896, 896},
                            {"Qwen2.5-0.5B down 4864 -> 896", 256, 4864}};

void random_words(HugeBuffer& buffer, std::size_t bytes) {
  std::mt19937_64 random(1);
  auto* words = reinterpret_cast<std::uint64_t*>(buffer.data());
  // As fp16: finite; as bf16 and fp32 too, and of the sizes of weights, not so small that sums are subnormal.
  for (std::size_t i = 0; i < bytes / 8; ++i) words[i] = (random() & 0x07FF07FF07FF07FFULL) | 0x3800380038003800ULL;
}

double seconds_of(const Kernels& kernels, const PackedMatrix& w, std::uint32_t rows) {
  std::vector<float> x(w.cols), all(std::size_t{rows} * w.cols), out(std::size_t{rows} * w.rows);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (auto& v : x) v = normal(random);
  std::vector<std::uint8_t> bytes(Panels::bytes(rows, w.blocks));
  const Panels panels{bytes.data(), rows, w.blocks};
  for (std::uint32_t r = 0; r < rows; ++r) {
    panels.fill(kernels, r, x.data());
    std::copy(x.begin(), x.end(), all.begin() + static_cast<std::ptrdiff_t>(std::size_t{r} * w.cols));
  }
  const FloatRows floats{all.data(), w.cols, rows};
  Crew crew(1);
  const Product p[] = {{&w, nullptr, nullptr, out.data(), w.rows, Ending::store}};
  return least_seconds(0.05, [&] { crew.run([&](unsigned) { multiply(kernels, crew, p, {{}, panels, floats}); }); });
}

void report(const Kernels& kernels, const Named& format, const Shape& shape, const bench::Peaks& peaks) {
  PackedMatrix w{format.format, shape.outputs, shape.inputs, shape.inputs / 32, shape.outputs / 16, nullptr};
  HugeBuffer buffer(w.bytes());
  random_words(buffer, w.bytes());
  w.data = buffer.data();
  std::printf("%-24s %-30s", format.name, shape.name);
  for (const std::uint32_t rows : {1U, 2U, 4U, 8U, 12U, 16U, 64U, 256U}) {
    const double products = 1.0 * rows * shape.outputs * shape.inputs, s = seconds_of(kernels, w, rows);
    std::printf("  %4.0f (%2.0f%%)", products / s / 1e9, 100.0 * products / s / peaks.most(!is_plain(w.format)));
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Peaks peaks = bench::measure_peaks();
  bench::print(peaks);
  for (const Kernels* k : available_kernels()) {
    if (k->name == "portable" || (argc > 1 && k->name != argv[1])) continue;
    std::printf(
        "\n%.*s: 10^9 multiply-adds a second, and the share of the greatest peak (plain floats: in fp32), at\n%-55s",
        static_cast<int>(k->name.size()), k->name.data(), "");
    for (const int rows : {1, 2, 4, 8, 12, 16, 64, 256}) std::printf("  %6d rows", rows);
    std::printf("\n");
    for (const Named& f : formats)
      for (const Shape& s : shapes)
        if (argc < 3 || std::string_view(f.name).starts_with(argv[2])) report(*k, f, s, peaks);
  }
}
