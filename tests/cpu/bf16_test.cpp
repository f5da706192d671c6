// Prompt rows in bf16: the products against exact arithmetic over the rounded numbers, attention against the fp32
// kernels, the processor's tile unit against its software model bit by bit, and the promise that a row's bits depend on
// the row alone.
#include "cpu/factory.hpp"
#include "cpu/product.hpp"
#include "cpu/random_numbers.hpp"
#include "cpu/support.hpp"
#include "cpu/tables.hpp"
#include "support/switches.hpp"
#include "support/tiny_model.hpp"

#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

using namespace frugal;
using namespace frugal::cpu;
using frugal::testing::float_model;
using frugal::testing::mixed_model;
using frugal::testing::normal_values;
using frugal::testing::Rig;
using frugal::testing::same_bits;
using frugal::testing::some_tokens;
using frugal::testing::Weight;

namespace {

float number(std::uint16_t bf16) { return std::bit_cast<float>(std::uint32_t{bf16} << 16U); }

/// The nearest bf16, ties to even, by comparing both neighbours.
std::uint16_t nearest_bf16(float x) {
  const auto below = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U);
  const auto above = static_cast<std::uint16_t>(below + 1);
  const double low = std::fabs(double{x} - number(below)), high = std::fabs(double{number(above)} - x);
  if (low != high) return low < high ? below : above;
  return (below & 1U) == 0 ? below : above;
}

std::vector<const Kernels*> bf16_tables() {
  std::vector<const Kernels*> out;
  for (const Kernels* k : testing::tables())
    if (k->bf16 != nullptr) out.push_back(k);
  return out;
}

/// Rows of floats, rounded; apart by an odd number of cache lines.
struct Rounded {
  HugeBuffer buffer;
  Bf16Rows rows;

  Rounded(const Kernels& kernels, const std::vector<float>& x, std::uint32_t count, std::uint32_t cols) {
    const std::size_t stride = (cols / 32 | 1) * 32;
    buffer = HugeBuffer((count + 15) / 16 * 16 * stride * 2);
    auto* const data = reinterpret_cast<std::uint16_t*>(buffer.data());
    for (std::uint32_t r = 0; r < count; ++r) kernels.bf16->round(x.data() + r * cols, cols, data + r * stride);
    rows = {data, stride, count};
  }
};

/// x W^T [rows, strips * 16], the first rows of prompts, by one table on a crew.
std::vector<float> product(const Kernels& kernels, Crew& crew, const Product& p, const Inputs& x) {
  std::vector<float> out(std::size_t{x.rows()} * p.weight->strips * 16);
  Product own = p;
  own.out = out.data(), own.stride = p.weight->strips * 16;
  std::vector<HugeBuffer> rooms;
  for (unsigned m = 0; m < crew.members(); ++m) rooms.emplace_back(bf16_room_bytes);
  crew.run([&](unsigned m) {
    Inputs mine = x;
    mine.room = rooms[m].data();
    multiply(kernels, crew, {&own, 1}, mine);
  });
  return out;
}

constexpr DType types[] = {DType::q4_1, DType::q4_0, DType::q4_k, DType::q2_k, DType::q3_k, DType::q8_0,
                           DType::q5_0, DType::q5_1, DType::q5_k, DType::q6_k, DType::f16,  DType::f32};

}  // namespace

TEST_CASE("Numbers are rounded to the nearest bf16, ties to the even one") {
  std::mt19937 random(3);
  std::vector<float> x(32 * 256);
  for (auto& v : x) do
      v = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    while (!std::isnormal(v) || std::fabs(v) > 3e38F);
  for (std::size_t i = 0; i < 64; ++i) x[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x[i]) & ~0x7FFFU);
  x[64] = 0.0F, x[65] = -0.0F, x[66] = 1e-40F, x[67] = INFINITY;
  for (const Kernels* k : bf16_tables()) {
    HugeBuffer to(2 * x.size());
    auto* const rounded = reinterpret_cast<std::uint16_t*>(to.data());
    k->bf16->round(x.data(), x.size(), rounded);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(std::string(k->name), i, x[i]);
      if (i < 64 || i > 67) REQUIRE(rounded[i] == nearest_bf16(x[i]));
    }
    CHECK((rounded[64] == 0 && rounded[65] == 0x8000 && rounded[66] == 0 && rounded[67] == 0x7F80));
  }
}

TEST_CASE("A bf16 product is that of the rounded numbers to the rounding of fp32 sums, for every format") {
  const DType type = GENERATE(Catch::Generators::from_range(std::begin(types), std::end(types)));
  CAPTURE(to_string(type));
  constexpr std::uint32_t out = 80, in = 768, rows = 21;  // more blocks than are opened at once, strips without a pair
  const Weight w(type, out, in);
  const auto bias = normal_values(out, 9), x = normal_values(rows * in, 4);
  // A weight as it is packed is what the exact kernels see: a row with a single 1 shows them.
  Crew crew(1);
  std::vector<float> weights(std::size_t{out} * in);
  dequantize(type, w.data, weights);
  const Product p{&w.matrix, nullptr, bias.data(), nullptr, 0, Ending::store};
  for (const Kernels* k : bf16_tables()) {
    const Rounded rounded(*k, x, rows, in);
    const auto got = product(*k, crew, p, {rounded.rows, {}});
    for (std::uint32_t r = 0; r < rows; ++r)
      for (std::uint32_t o = 0; o < out; ++o) {
        double want = bias[o], size = std::fabs(want);
        for (std::uint32_t i = 0; i < in; ++i) {
          const double term = double{number(rounded.rows.data[r * rounded.rows.stride + i])} * weights[o * in + i];
          want += term, size += std::fabs(term);
        }
        CAPTURE(std::string(k->name), r, o, want);
        REQUIRE(std::fabs(got[r * w.matrix.strips * 16 + o] - want) <=
                0.0045 * size);  // weights: 2^-9 each, plus packing
      }
  }
}

TEST_CASE("The tile unit and its software model give the same bits, whatever the rows, the threads and the ending") {
  const DType type = GENERATE(DType::q4_1, DType::q8_0, DType::q6_k, DType::q2_k, DType::q5_1, DType::f16, DType::bf16);
  const Ending ending = GENERATE(Ending::store, Ending::gate);
  constexpr std::uint32_t out = 80, in = 640, most = 49;
  const Weight w(type, out, in), partner(type, out, in);
  const auto x = normal_values(most * in, 21);
  Crew one(1), two(2);
  const Product p{&w.matrix, ending == Ending::gate ? &partner.matrix : nullptr, nullptr, nullptr, 0, ending};
  const Kernels& model = testing::modelled_kernels();
  const auto want = product(model, one, p, {Rounded(model, x, most, in).rows, {}});
  for (const Kernels* k : bf16_tables())
    for (const std::uint32_t rows : {1U, 2U, 15U, 16U, 17U, 32U, 33U, most}) {
      CAPTURE(std::string(k->name), to_string(type), rows);
      const Rounded some(*k, x, rows, in);
      REQUIRE(same_bits(product(*k, rows % 2 == 0 ? one : two, p, {some.rows, {}}),
                        std::span(want).first(std::size_t{rows} * w.matrix.strips * 16)));
    }
}

namespace {

/// A task of random queries over random keys and values.
struct Attention {
  std::vector<std::uint8_t> heads;
  std::vector<const std::uint8_t*> keys, values;
  std::vector<float> q;
  std::vector<std::uint32_t> begins, ends;
  AttendTask task;

  Attention(KvKind kind, std::uint32_t dim, std::uint32_t queries, std::uint32_t positions, std::uint32_t window) {
    const std::size_t bytes = head_bytes(kind, dim), dims = (dim + 15) / 16 * 16;
    heads.resize(2 * positions * bytes);
    for (std::uint32_t i = 0; i < 2 * positions; ++i)
      portable_kernels().store_head(normal_values(dim, i + 1).data(), dim, kind, heads.data() + i * bytes);
    for (std::uint32_t i = 0; i < queries; ++i) {
      auto one = normal_values(dim, 1000 + i);
      one.resize(dims, 0.0F);
      for (const float v : one) q.push_back(v / std::sqrt(static_cast<float>(dim)));
      ends.push_back(positions - (queries - 1 - i) / 3);
      begins.push_back(window != 0 && ends.back() > window ? ends.back() - window : 0);
    }
    task.first = begins[0] / key_block * key_block;
    for (std::uint32_t p = task.first; p < positions; ++p)
      keys.push_back(heads.data() + p * bytes), values.push_back(heads.data() + (positions + p) * bytes);
    task.keys = keys.data(), task.values = values.data(), task.kind = kind, task.head_dim = dim;
    task.dims = static_cast<std::uint32_t>(dims), task.last = positions, task.queries = queries;
    task.q = q.data(), task.begins = begins.data(), task.ends = ends.data();
  }

  std::vector<float> run(const Kernels& kernels, bool bf16) {
    std::vector<float> out(std::size_t{task.queries} * task.dims), scratch(attend_scratch(task.queries, task.dims));
    HugeBuffer room(attend_bf16_room(task.queries, task.dims));
    task.out = out.data(), task.scratch = scratch.data();
    if (bf16)
      kernels.bf16->attend(task, room.data());
    else
      kernels.attend(task);
    return out;
  }
};

}  // namespace

TEST_CASE("Attention in bf16 is that in fp32 within bf16's rounding, and the same bits from unit and model") {
  const KvKind kind = GENERATE(KvKind::fp16, KvKind::fp32, KvKind::int8);
  const auto [dim, queries, positions, window] =
      GENERATE(table<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>(
          {{64, 48, 70, 0}, {64, 3, 1, 0}, {80, 16, 33, 0}, {128, 17, 200, 50}, {48, 30, 64, 20}, {24, 5, 40, 0}}));
  const float softcap = GENERATE(0.0F, 5.0F);
  CAPTURE(dim, queries, positions, window, softcap);
  Attention a(kind, dim, queries, positions, window);
  a.task.softcap = softcap;
  const auto want = a.run(portable_kernels(), false);
  const auto model = a.run(testing::modelled_kernels(), true);
  for (const Kernels* k : bf16_tables()) {
    const auto got = a.run(*k, true);
    CAPTURE(std::string(k->name));
    REQUIRE(same_bits(got, model));
    for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(std::fabs(got[i] - want[i]) < 0.03F);
  }
}

TEST_CASE("A query's attention in bf16 has the same bits alone and beside others") {
  Attention all(KvKind::fp16, 64, 48, 90, 0);
  for (const Kernels* k : bf16_tables()) {
    const auto want = all.run(*k, true);
    for (const std::uint32_t query : {0U, 15U, 16U, 30U, 47U}) {
      Attention one(KvKind::fp16, 64, 48, 90, 0);
      one.task.queries = 1, one.task.q += query * 64, one.task.begins += query, one.task.ends += query;
      one.task.last = *one.task.ends;
      CHECK(same_bits(one.run(*k, true), std::span(want).subspan(query * 64, 64)));
    }
  }
}

namespace {

CpuOptions bf16_options(unsigned threads, KvType kv = KvType::fp16) {
  return {.threads = threads, .kv = kv, .prompts = PromptArithmetic::bf16};
}

constexpr std::uint32_t length = 130, prompt = 101;  // crosses key blocks and pages; the rest is an answer

}  // namespace

TEST_CASE(
    "With prompts in bf16 a row has the same bits whatever the chunks, threads, pages, and the unit or its model") {
  const int kind = GENERATE(0, 1, 2);
  const auto model = kind == 2 ? float_model() : kind == 1 ? mixed_model(testing::like_qwen2moe) : mixed_model();
  const auto tokens = some_tokens(length, model->spec().vocab);
  Rig plain(cpu::backend_with(bf16_options(1), testing::modelled_kernels()), model, 16);
  plain.prompt = prompt;
  const auto want = plain.logits(tokens);
  for (const Kernels* k : bf16_tables())
    for (const unsigned threads : {1U, 3U})
      for (const std::uint32_t page : {8U, 16U}) {
        Rig rig(cpu::backend_with(bf16_options(threads), *k), model, page);
        rig.prompt = prompt;
        for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{length}}) {
          if (testing::is_modelled(*k) && (chunk != 64 || page != 8)) continue;  // slow: one of them
          CAPTURE(std::string(k->name), threads, page, chunk);
          REQUIRE(same_bits(rig.logits(tokens, 0, 1, chunk), want));
        }
      }
}

TEST_CASE("A prompt in bf16 has the same bits beside the rows of other sequences, and leaves theirs as they are") {
  const int kind = GENERATE(0, 1, 2);
  const auto model = kind == 2 ? float_model() : kind == 1 ? mixed_model(testing::like_qwen2moe) : mixed_model();
  const Kernels& kernels = *bf16_tables().front();
  const auto tokens = some_tokens(40, model->spec().vocab), others = some_tokens(60, model->spec().vocab, 77);
  Rig rig(cpu::backend_with(bf16_options(2), kernels), model, 16, 4);
  rig.prompt = 40;
  const auto want = rig.logits(tokens);
  rig.prompt = 0;
  const auto other = rig.logits(others, 0, 1);
  const auto pages = rig.table(0), other_pages = rig.table(1), third_pages = rig.table(2);
  for (std::uint32_t beside = 1; beside <= 20; ++beside) {
    std::vector<float> last(rig.vocab()), answer(rig.vocab());
    Segment segments[] = {{std::span(others).subspan(30, beside), 30, other_pages, {}, answer},
                          {std::span(tokens).subspan(20, 20), 20, pages, {}, last},
                          {std::span(others).first(7), 0, third_pages, {}, {}}};
    segments[1].prompt = 20, segments[2].prompt = 5;
    rig.backend().forward({ModelId(0), segments, {}});
    REQUIRE(same_bits(last, std::span(want).subspan(39 * rig.vocab())));
    REQUIRE(same_bits(answer, std::span(other).subspan((29 + beside) * rig.vocab(), rig.vocab())));
  }
}

TEST_CASE("A long prompt in bf16 has the same bits whether threads share its products or have rows of their own") {
  const bool several = GENERATE(false, true);  // segments
  const auto model = mixed_model();
  constexpr std::uint32_t rows = 700;
  const auto tokens = some_tokens(rows, model->spec().vocab);
  for (const Kernels* k : bf16_tables()) {
    if (testing::is_modelled(*k) && k != bf16_tables().front()) continue;  // slow
    std::vector<float> want;
    for (const unsigned threads : {1U, 2U, 3U})
      for (const std::size_t chunk : {std::size_t{100}, std::size_t{rows}}) {
        Rig rig(cpu::backend_with(bf16_options(threads), *k), model, 16, 2, rows);
        rig.prompt = rows;
        std::vector<float> got = rig.logits(tokens, 0, 0, chunk);
        if (several) {
          const auto pages = rig.table(0), others = rig.table(1);
          std::vector<float> last(rig.vocab());
          Segment segments[] = {{std::span(tokens).subspan(300, 260), 300, pages, {}, last},
                                {std::span(tokens).first(190), 0, others, {}, {}}};
          segments[0].prompt = 260, segments[1].prompt = 190;
          rig.backend().forward({ModelId(0), segments, {}});
          got = last;
        }
        if (want.empty()) want = got;
        CAPTURE(std::string(k->name), threads, chunk);
        REQUIRE(same_bits(got, want));
      }
  }
}

TEST_CASE("Rows of answers have the exact arithmetic's bits, and prompts in bf16 are near it") {
  const auto model = mixed_model();
  const auto tokens = some_tokens(100, model->spec().vocab);
  Rig exact(cpu_backend({2}), model, 16);
  Rig rounded(cpu::backend_with(bf16_options(2), *bf16_tables().front()), model, 16);
  const auto want = exact.logits(tokens);
  CHECK(same_bits(rounded.logits(tokens), want));
  rounded.prompt = 100;
  const auto got = rounded.logits(tokens);
  CHECK_FALSE(same_bits(got, want));
  double error = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  CHECK(error < 0.001 * size);
}

TEST_CASE("Kernels without bf16 compute prompts as all else, and the device says what is done") {
  const auto model = mixed_model();
  const auto tokens = some_tokens(20, model->spec().vocab);
  Rig exact(cpu::backend_with({1}, portable_kernels()), model, 16);
  Rig asked(cpu::backend_with(bf16_options(1), portable_kernels()), model, 16);
  asked.prompt = 20;
  CHECK(same_bits(asked.logits(tokens), exact.logits(tokens)));
  CHECK(asked.backend().traits().device == "cpu (portable)");
  CHECK(asked.backend().layout_fingerprint(ModelId(0)) == exact.backend().layout_fingerprint(ModelId(0)));
  Rig rounded(cpu::backend_with(bf16_options(1), testing::modelled_kernels()), model, 16);
  CHECK(rounded.backend().traits().device == "cpu (modelled, prompts in bf16)");
  CHECK(rounded.backend().layout_fingerprint(ModelId(0)) != exact.backend().layout_fingerprint(ModelId(0)));
  CHECK_THROWS_AS(cpu_backend({.fine = true, .prompts = PromptArithmetic::bf16}), Error);
}
