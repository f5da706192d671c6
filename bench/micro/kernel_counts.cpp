// kernel_counts KERNEL TIMES: runs one inner loop TIMES times on fixed data, for counting its instructions under
// valgrind (bench/suites/counts.py takes the difference of two runs). Shapes of a 135M model: 576 inputs, heads of 64.
#include "cpu/kernels/kernels.hpp"
#include "cpu/packed.hpp"
#include "cpu/product.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

using namespace frugal::cpu;

namespace {

constexpr std::uint32_t inputs = 576, blocks = inputs / 32, positions = 256, dims = 64, queries = 24;

struct Data {
  alignas(64) std::uint8_t strip[blocks * 2048];
  alignas(64) std::uint8_t opened[blocks * 640];
  std::vector<float> x = std::vector<float>(8 * inputs), y = std::vector<float>(8 * inputs);
  std::vector<std::uint8_t> panel = std::vector<std::uint8_t>(Panels::bytes(8, blocks));
  alignas(64) float tile[8 * 16];

  Data() {
    std::mt19937 random(1);
    for (auto& b : strip) b = static_cast<std::uint8_t>(random() & 0x2F);  // as fp16: small
    std::normal_distribution<float> normal;
    for (auto& v : x) v = normal(random);
  }
  StripView view(Format format) const {
    return {format, blocks, strip,
            reinterpret_cast<const std::uint16_t*>(strip + blocks * format_shape(format).quant_bytes)};
  }
  void fill(const Kernels& k, std::uint32_t lanes) {
    const Panels p{panel.data(), lanes, blocks};
    for (std::uint32_t r = 0; r < lanes; ++r) p.fill(k, r, x.data() + r * inputs);
  }
};

void attend(const Kernels& k, int times) {
  std::vector<std::uint8_t> keys(positions * 2 * dims);
  std::vector<const std::uint8_t*> at(positions);
  for (std::uint32_t i = 0; i < positions; ++i) at[i] = keys.data() + i * 2 * dims;
  std::vector<float> q(queries * dims, 0.1F), out(queries * dims), scratch(attend_scratch(queries, dims));
  std::vector<std::uint32_t> begins(queries, 0), ends(queries, positions);
  AttendTask t;
  t.keys = t.values = at.data();
  t.kind = KvKind::fp16, t.head_dim = t.dims = dims, t.last = positions, t.queries = queries;
  t.q = q.data(), t.begins = begins.data(), t.ends = ends.data(), t.out = out.data(), t.scratch = scratch.data();
  for (int i = 0; i < times; ++i) k.attend(t);
}

bool run(const Kernels& k, std::string_view name, int times) {
  static Data d;
  const auto lanes = static_cast<std::uint32_t>(name.empty() ? 0 : name.back() - '0');
  if (name == "attend") return attend(k, times), true;
  if (name == "quantize") {
    for (int i = 0; i < times; ++i) k.quantize(d.x.data(), blocks, d.panel.data(), 0, 1);
    return true;
  }
  if (lanes < 1 || lanes > 8) return false;
  for (const Format plain : {Format::f16, Format::bf16, Format::f32})
    if (name.starts_with(plain == Format::f16 ? "f16-" : plain == Format::bf16 ? "bf16-" : "f32-")) {
      const FloatRows rows{d.x.data(), inputs, lanes};
      for (int i = 0; i < times; ++i) k.multiply_floats(d.view(plain), rows, nullptr, d.tile);
      return true;
    }
  StripView view = d.view(name.starts_with("q8") ? Format::q8 : name.starts_with("q5") ? Format::q5 : Format::q4);
  d.fill(k, lanes);
  if (name.starts_with("open")) {
    if (!k.opens || lanes <= 4) return false;
    k.multiply(view, d.panel.data(), lanes, nullptr, d.tile, d.opened);
    view.format = Format::q4_open, view.quants = d.opened;
  }
  for (int i = 0; i < times; ++i) k.multiply(view, d.panel.data(), lanes, nullptr, d.tile, nullptr);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const Kernels& kernels = *available_kernels().front();
  if (argc == 3 && run(kernels, argv[1], std::atoi(argv[2])))
    return std::printf("%.*s\n", static_cast<int>(kernels.name.size()), kernels.name.data()), 0;
  std::fprintf(stderr, "usage: kernel_counts (q4|open|q5|q8|f16|bf16|f32)-(1..8) | attend | quantize TIMES\n");
  return 2;
}
