// The promise behind batch_invariant: a row's logits have the same bits whatever the threads, the chunks, the page
// size, the sequences beside it and the instruction set.
#include "cpu/factory.hpp"
#include "cpu/random_numbers.hpp"
#include "cpu/support.hpp"
#include "cpu/tables.hpp"
#include "support/switches.hpp"
#include "support/tiny_model.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

using namespace frugal;
using frugal::testing::float_model;
using frugal::testing::mixed_model;
using frugal::testing::Rig;
using frugal::testing::same_bits;
using frugal::testing::some_tokens;

namespace {

constexpr void (*families[])(DecoderSpec&) = {testing::like_gemma2, testing::like_gemma3, testing::like_mixtral,
                                              testing::like_qwen2moe};

constexpr std::size_t length = 130;  // crosses key blocks and pages

}  // namespace

TEST_CASE(
    "Logits have the same bits for 1 and 2 threads, chunks of 1, 7 and 64, pages of 8, 16 and 32, every kernel table") {
  const auto model = GENERATE(false, true) ? float_model() : mixed_model();
  const KvType kv = GENERATE(KvType::fp16, KvType::int8, KvType::fp32);
  const bool fine = kv == KvType::int8;
  const auto tokens = some_tokens(length, model->spec().vocab);
  Rig plain(cpu::backend_with({1, kv, fine}, cpu::portable_kernels()), model, 16);
  const auto want = plain.logits(tokens);
  for (const cpu::Kernels* kernels : testing::tables()) {
    for (const unsigned threads : {1U, 2U}) {
      for (const std::uint32_t page : {8U, 16U, 32U}) {
        Rig rig(cpu::backend_with({threads, kv, fine}, *kernels), model, page);
        for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{64}, length}) {
          if ((kernels->name == "portable" || testing::is_modelled(*kernels)) && chunk * page != 64 * 8)
            continue;  // slow: one of them
          CAPTURE(std::string(kernels->name), threads, page, chunk);
          REQUIRE(same_bits(rig.logits(tokens, 0, 1, chunk), want));
        }
      }
    }
  }
}

TEST_CASE("Gemma's switches and experts keep the bits of a row, whatever the threads, chunks and pages") {
  const auto family = families[GENERATE(range(0, 4))];
  const auto model = GENERATE(false, true) ? float_model(family) : mixed_model(family);
  const auto tokens = some_tokens(length, model->spec().vocab);
  Rig plain(cpu::backend_with({1, KvType::fp16, false}, cpu::portable_kernels()), model, 16);
  const auto want = plain.logits(tokens);
  for (const cpu::Kernels* kernels : cpu::available_kernels())
    for (const unsigned threads : {1U, 3U}) {
      Rig rig(cpu::backend_with({threads, KvType::fp16, false}, *kernels), model, 8);
      for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, length}) {
        if (kernels->name == "portable" && chunk != 7) continue;  // slow: one of them
        CAPTURE(std::string(kernels->name), threads, chunk);
        REQUIRE(same_bits(rig.logits(tokens, 0, 1, chunk), want));
      }
    }
}

TEST_CASE("A sequence's logits have the same bits alone and beside 1 to 33 other rows") {
  const int family = GENERATE(-2, -1, 1, 3);
  const auto model = family == -2 ? float_model() : family < 0 ? mixed_model() : mixed_model(families[family]);
  Rig rig(cpu_backend({2, KvType::fp16, false}), model, 16, 4);
  const auto tokens = some_tokens(60, rig.vocab()), others = some_tokens(60, rig.vocab(), 77);
  const auto want = rig.logits(tokens);
  const auto pages = rig.table(0), other_pages = rig.table(1), third_pages = rig.table(2);
  for (std::uint32_t beside = 1; beside <= 33; ++beside) {
    std::vector<float> last(rig.vocab());
    const Segment segments[] = {{std::span(others).first(beside), 0, other_pages, {}, {}},
                                {std::span(tokens).subspan(40, 20), 40, pages, {}, last},
                                {std::span(others).first(1), 0, third_pages, {}, {}}};
    rig.backend().forward({ModelId(0), segments, {}});
    REQUIRE(same_bits(last, std::span(want).subspan(59 * rig.vocab())));
  }
}

TEST_CASE("A segment longer than a step of the decoder has the bits of its chunks") {
  testing::TinyModelOptions o;
  o.layers = 2;
  const auto model = testing::tiny_model(o);
  const auto tokens = some_tokens(400, o.vocab);
  Rig rig(cpu_backend({2, KvType::fp16, false}), model, 16, 2, 400);
  CHECK(same_bits(rig.logits(tokens, 0, 0, 400), rig.logits(tokens, 0, 1, 50)));
}
