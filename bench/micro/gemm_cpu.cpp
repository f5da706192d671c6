// gemm_cpu [threads] [kernels]: time of all matrix products of one pass of SmolLM2-135M's shapes (30 layers in 4-bit
// blocks, the head in 8-bit ones; random weights), by rows in the step. Best of several; GB/s counts each packed weight
// byte once.
#include "cpu/memory.hpp"
#include "cpu/product.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

using namespace frugal::cpu;

namespace {

constexpr std::uint32_t layers = 30, d_model = 576, d_ff = 1536, kv = 192, vocab = 49152;

struct Weights {
  std::vector<PackedMatrix> matrices;
  HugeBuffer buffer;
};

PackedMatrix shape(Format format, std::uint32_t rows, std::uint32_t cols) {
  return {format, rows, cols, cols / 32, rows / 16, nullptr};
}

Weights random_weights() {
  Weights w;
  for (std::uint32_t l = 0; l < layers; ++l) {
    for (const std::uint32_t rows : {d_model, kv, kv, d_model}) w.matrices.push_back(shape(Format::q4, rows, d_model));
    for (int i = 0; i < 2; ++i) w.matrices.push_back(shape(Format::q4, d_ff, d_model));
    w.matrices.push_back(shape(Format::q4, d_model, d_ff));
  }
  w.matrices.push_back(shape(Format::q8, vocab, d_model));
  std::size_t bytes = 0;
  for (const auto& m : w.matrices) bytes += m.bytes();
  w.buffer = HugeBuffer(bytes);
  std::mt19937_64 random(1);
  auto* words = reinterpret_cast<std::uint64_t*>(w.buffer.data());
  for (std::size_t i = 0; i < bytes / 8; ++i) words[i] = random() & 0x2FFF2FFF2FFF2FFFULL;  // as fp16: finite
  std::uint8_t* at = w.buffer.data();
  for (auto& m : w.matrices) m.data = at, at += m.bytes();
  return w;
}

struct Buffers {
  std::vector<float> x, out;
  std::vector<std::uint8_t> small, large;
};

/// The products of one pass in their order, with the meetings a real pass needs.
void pass(const Kernels& kernels, Crew& crew, const Weights& w, Buffers& b, std::uint32_t rows) {
  const Panels narrow{b.small.data(), rows, d_model / 32}, wide{b.large.data(), rows, d_ff / 32};
  for (std::size_t l = 0; l < layers; ++l) {
    const PackedMatrix* m = &w.matrices[7 * l];
    float* out = b.out.data();
    const Product qkv[] = {{m, nullptr, nullptr, out, 1024, Ending::store},
                           {m + 1, nullptr, nullptr, out + d_model, 1024, Ending::store},
                           {m + 2, nullptr, nullptr, out + d_model + kv, 1024, Ending::store}};
    const Product o[] = {{m + 3, nullptr, nullptr, out, d_model, Ending::add}};
    const Product gate[] = {{m + 4, m + 5, nullptr, out, d_ff, Ending::gate}};
    const Product down[] = {{m + 6, nullptr, nullptr, out, d_model, Ending::add}};
    multiply(kernels, crew, qkv, {{}, narrow}), crew.meet();
    multiply(kernels, crew, o, {{}, narrow}), crew.meet();
    multiply(kernels, crew, gate, {{}, narrow}), crew.meet();
    multiply(kernels, crew, down, {{}, wide}), crew.meet();
  }
}

void head(const Kernels& kernels, Crew& crew, const Weights& w, Buffers& b, std::uint32_t rows) {
  const Product p[] = {{&w.matrices.back(), nullptr, nullptr, b.out.data(), vocab, Ending::store}};
  multiply(kernels, crew, p, {{}, {b.small.data(), rows, d_model / 32}});
}

template <class F>
double best_ms(int times, F&& f) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned threads = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 2;
  const Kernels* kernels = available_kernels().front();
  for (const Kernels* k : available_kernels())
    if (argc > 2 && k->name == argv[2]) kernels = k;
  const Weights w = random_weights();
  std::size_t layer_bytes = 0;
  for (std::size_t i = 0; i + 1 < w.matrices.size(); ++i) layer_bytes += w.matrices[i].bytes();
  const std::size_t head_bytes = w.matrices.back().bytes();
  constexpr double layer_products = 30.0 * (2 * d_model * d_model + 2 * kv * d_model + 3.0 * d_ff * d_model);
  std::printf("%.*s, %u threads, layers %.1f MB, head %.1f MB\n", static_cast<int>(kernels->name.size()),
              kernels->name.data(), threads, static_cast<double>(layer_bytes) / 1e6,
              static_cast<double>(head_bytes) / 1e6);
  Crew crew(threads);
  std::printf("%5s %10s %8s %8s %10s %8s\n", "rows", "layers ms", "GB/s", "GMAC/s", "head ms", "GB/s");
  for (const std::uint32_t rows : {1U, 2U, 4U, 8U, 16U, 64U, 512U}) {
    Buffers b;
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    b.x.resize(d_ff);
    for (auto& v : b.x) v = normal(random);
    const std::uint32_t head_rows = std::min(rows, 16U);
    b.out.resize(std::max<std::size_t>(std::size_t{rows} * d_ff, std::size_t{head_rows} * vocab));
    b.small.resize(Panels::bytes(rows, d_model / 32)), b.large.resize(Panels::bytes(rows, d_ff / 32));
    for (std::uint32_t r = 0; r < rows; ++r) {
      Panels{b.small.data(), rows, d_model / 32}.fill(*kernels, r, b.x.data());
      Panels{b.large.data(), rows, d_ff / 32}.fill(*kernels, r, b.x.data());
    }
    const int times = rows > 16 ? 6 : 60;
    const double layers_ms = best_ms(times, [&] { crew.run([&](unsigned) { pass(*kernels, crew, w, b, rows); }); });
    const double head_ms = best_ms(times, [&] {
      if (rows <= 16) {
        crew.run([&](unsigned) { head(*kernels, crew, w, b, head_rows); });
      }
    });
    std::printf("%5u %10.2f %8.1f %8.0f", rows, layers_ms, static_cast<double>(layer_bytes) / layers_ms / 1e6,
                layer_products * rows / layers_ms / 1e6);
    if (rows <= 16) std::printf(" %10.2f %8.1f", head_ms, static_cast<double>(head_bytes) / head_ms / 1e6);
    std::printf("\n");
  }
}
