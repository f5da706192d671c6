// Every storage format against the expansion of the same bytes by another implementation (make_golden_dequantize.py).
#include <frugal/core/error.hpp>
#include <frugal/model/tensor.hpp>

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
#include <map>

#include "model/half.hpp"
#include "support/tiny_model.hpp"
#include "support/write_gguf.hpp"

namespace frugal {
namespace {

struct Record {
  testing::Blob blocks;
  std::vector<float> values;
};

std::map<DType, Record> read_golden() {
  const testing::Blob file = testing::read_file(FRUGAL_TEST_DATA "/model/golden/dequantize.bin");
  std::map<DType, Record> records;
  for (std::size_t at = 0; at < file.size();) {
    std::uint32_t head[3];
    std::memcpy(head, file.data() + at, sizeof head);
    at += sizeof head;
    Record& record = records[static_cast<DType>(head[0])];
    record.blocks.assign(file.data() + at, file.data() + at + head[1]);
    record.values.resize(head[2]);
    std::memcpy(record.values.data(), file.data() + at + head[1], head[2] * sizeof(float));
    at += head[1] + head[2] * sizeof(float);
  }
  return records;
}

/// Equal bits; any NaN equals any NaN (its payload is the machine's affair).
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

TEST_CASE("every format expands to the reference's bits, with hostile scales too") {
  const auto golden = read_golden();
  REQUIRE(golden.size() == 22);
  for (const auto& [type, record] : golden) {
    CAPTURE(to_string(type));
    REQUIRE(record.blocks.size() / block_shape(type).bytes * block_shape(type).values == record.values.size());
    std::vector<float> out(record.values.size());
    dequantize(type, record.blocks, out);
    std::size_t different = 0;
    for (std::size_t i = 0; i < out.size(); ++i) different += same(out[i], record.values[i]) ? 0 : 1;
    CHECK(different == 0);
  }
}

TEST_CASE("unaligned blocks expand to the same values") {
  for (const auto& [type, record] : read_golden()) {
    testing::Blob shifted(record.blocks.size() + 1);
    std::memcpy(shifted.data() + 1, record.blocks.data(), record.blocks.size());
    std::vector<float> out(record.values.size());
    dequantize(type, std::span(shifted).subspan(1), out);
    CAPTURE(to_string(type));
    CHECK(std::equal(out.begin(), out.end(), record.values.begin(), same));
  }
}

TEST_CASE("a request for a part of a block or for more blocks than there are is refused") {
  const testing::Blob block(18);
  std::vector<float> out(64);
  CHECK_THROWS_AS(dequantize(DType::q4_0, block, std::span(out).first(31)), Error);
  CHECK_THROWS_AS(dequantize(DType::q4_0, block, out), Error);
  CHECK_NOTHROW(dequantize(DType::q4_0, block, std::span(out).first(32)));
}

TEST_CASE("rows of a tensor expand alone as they do together") {
  const testing::Blob data = testing::random_blocks(DType::q4_k, 6 * 512, 1.0F, 3);
  const Tensor tensor{"t", DType::q4_k, 6, 512, data};
  std::vector<float> all(6 * 512), some(2 * 512);
  dequantize_rows(tensor, 0, 6, all);
  dequantize_rows(tensor, 3, 2, some);
  CHECK(std::equal(some.begin(), some.end(), all.begin() + 3 * 512));
  CHECK_THROWS_AS(dequantize_rows(tensor, 5, 2, some), Error);
  CHECK_THROWS_AS(dequantize_rows(tensor, 0, 1, some), Error);
  CHECK_THROWS_AS(dequantize_rows(tensor, 0xFFFFFFFFFFFFFFFF, 2, some), Error);
}

TEST_CASE("every half survives the way to fp32 and back") {
  std::size_t changed = 0;
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const float value = model::half_to_float(static_cast<std::uint16_t>(h));
    if (std::isnan(value)) continue;
    changed += model::float_to_half(value) == h ? 0 : 1;
  }
  CHECK(changed == 0);
  CHECK(model::float_to_half(65519.0F) == 0x7BFF);
  CHECK(model::float_to_half(65520.0F) == 0x7C00);
  CHECK(std::isnan(model::half_to_float(model::float_to_half(NAN))));
}

TEST_CASE("random blocks have about the deviation asked for") {
  for (int id = 0; id <= static_cast<int>(DType::iq1_m); ++id) {
    const auto type = static_cast<DType>(id);
    std::vector<float> out(256 * 64);
    dequantize(type, testing::random_blocks(type, out.size(), 0.1F, 5), out);
    double sum = 0, squares = 0;
    for (const float x : out) sum += x, squares += double{x} * x;
    const double mean = sum / static_cast<double>(out.size());
    CAPTURE(to_string(type), mean);
    const double deviation = std::sqrt(squares / static_cast<double>(out.size()) - mean * mean);
    CHECK(deviation > 0.05);
    CHECK(deviation < 0.2);
    CHECK(std::abs(mean) < 0.05);
  }
}

}  // namespace
}  // namespace frugal
