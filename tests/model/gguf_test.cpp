// The GGUF reader: what a good file gives, and which error each kind of bad one ends in.
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <functional>

#include "model/gguf.hpp"
#include "model/loaders.hpp"
#include "support/error_of.hpp"
#include "support/tiny_model.hpp"
#include "support/write_gguf.hpp"

namespace frugal {
namespace {

using model::GgufFile;
using testing::Blob;
using testing::error_of;
using testing::GgufWriter;
using testing::mentions;

Blob bytes_of(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

template <class T>
Blob raw(T value) {
  Blob out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

Blob operator+(Blob a, const Blob& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Error parse_error(const Blob& bytes) {
  return error_of([&] { GgufFile(bytes, "bad.gguf"); });
}

TEST_CASE("every metadata type reads back") {
  GgufWriter out;
  out.add_raw("u8", 0, raw<std::uint8_t>(200))
      .add_raw("i8", 1, raw<std::int8_t>(-3))
      .add_raw("u16", 2, raw<std::uint16_t>(60000));
  out.add_raw("i16", 3, raw<std::int16_t>(7))
      .add("u32", 4000000000U)
      .add("i32", std::int32_t{-1})
      .add("f32", 0.5F)
      .add("yes", true);
  out.add("text", "hello").add_raw("u64", 10, raw<std::uint64_t>(1ULL << 40)).add_raw("i64", 11, raw<std::int64_t>(9));
  out.add_raw("f64", 12, raw<double>(0.25))
      .add("texts", std::vector<std::string>{"a", "", "bc"})
      .add("ints", std::vector<std::int32_t>{1, -2});
  const Blob nested =
      raw<std::uint32_t>(9) + raw<std::uint64_t>(1) + raw<std::uint32_t>(0) + raw<std::uint64_t>(2) + bytes_of("xy");
  out.add_raw("nested", 9, nested);
  const Blob bytes = out.bytes();
  const GgufFile file(bytes, "good.gguf");

  constexpr std::uint64_t most = 1ULL << 50;
  CHECK(file.integer("u8", most) == 200);
  CHECK(file.integer("u16", most) == 60000);
  CHECK(file.integer("i16", most) == 7);
  CHECK(file.integer("u32", most) == 4000000000U);
  CHECK(file.integer("u64", most) == 1ULL << 40);
  CHECK(file.integer("i64", most) == 9);
  CHECK(file.number("f32") == 0.5);
  CHECK(file.number("f64") == 0.25);
  CHECK(file.number("i8") == -3.0);
  CHECK(file.boolean("yes") == true);
  CHECK(file.string("text") == "hello");
  CHECK(file.strings("texts") == std::vector<std::string_view>{"a", "", "bc"});
  CHECK(file.integers("ints") == std::vector<std::int64_t>{1, -2});
  CHECK(file.metadata().at("nested").count == 1);
  CHECK(!file.integer("absent", most));
  CHECK(!file.strings("absent"));

  CHECK(mentions(error_of([&] { (void)file.integer("i32", most); }), "out of range"));
  CHECK(mentions(error_of([&] { (void)file.integer("text", most); }), "expected an integer"));
  CHECK(mentions(error_of([&] { (void)file.string("u8"); }), "expected a string"));
  CHECK(mentions(error_of([&] { (void)file.strings("ints"); }), "expected strings"));
  CHECK(mentions(error_of([&] { (void)file.integers("texts"); }), "expected integers"));
  CHECK(mentions(error_of([&] { (void)file.boolean("u8"); }), "expected a bool"));
  CHECK(mentions(error_of([&] { (void)file.number("text"); }), "good.gguf: byte "));
}

TEST_CASE("version 2 reads like version 3, others are named as unsupported") {
  GgufWriter out;
  out.version = 2;
  const Blob two = out.add("k", 1U).bytes();
  CHECK(GgufFile(two, "two.gguf").version() == 2);
  for (const std::uint32_t version : {0U, 1U, 4U, 0x03000000U}) {
    out.version = version;
    const Error error = parse_error(out.bytes());
    CHECK(error.code() == Errc::unsupported);
    CHECK(mentions(error, "bad.gguf: byte 4"));
  }
}

TEST_CASE("a tensor's bytes are found at any alignment") {
  const Blob data = testing::random_blocks(DType::q8_0, 64, 1.0F, 1);
  for (const std::uint32_t alignment : {8U, 32U, 4096U}) {
    GgufWriter out;
    out.alignment = alignment;
    out.add("general.alignment", alignment);
    out.add(Tensor{"a", DType::f32, 1, 1, std::span(data).first(4)}).add(Tensor{"b", DType::q8_0, 2, 32, data});
    const Blob bytes = out.bytes();
    const GgufFile file(bytes, "aligned.gguf");
    REQUIRE(file.tensors().size() == 2);
    const Tensor& b = file.tensors()[1];
    CHECK(b.name == "b");
    CHECK(b.type == DType::q8_0);
    CHECK(b.rows == 2);
    CHECK(b.cols == 32);
    CHECK(std::equal(b.data.begin(), b.data.end(), data.begin(), data.end()));
    CHECK(static_cast<std::size_t>(b.data.data() - bytes.data()) % alignment == 0);
  }
  for (const std::uint32_t alignment : {0U, 4U, 33U, 96U}) {
    GgufWriter out;
    CHECK(mentions(parse_error(out.add("general.alignment", alignment).bytes()), "general.alignment"));
  }
}

TEST_CASE("lies about counts, lengths and offsets end in an error that names the byte") {
  struct Case {
    const char* what;
    Blob bytes;
    Errc code;
    const char* reason;
  };
  constexpr std::uint64_t huge = 0xFFFFFFFFFFFFFFF0;
  const Blob magic = bytes_of("GGUF") + raw<std::uint32_t>(3);
  const Blob four(4), none;
  const auto tensor = [&](std::uint32_t type, std::vector<std::uint64_t> dims, const Blob& data) {
    return GgufWriter().add_raw_tensor("t", type, dims, data).bytes();
  };
  const Blob misplaced = magic + raw<std::uint64_t>(1) + raw<std::uint64_t>(0) + raw<std::uint64_t>(1) + bytes_of("t") +
                         raw<std::uint32_t>(1) + raw<std::uint64_t>(1) + raw<std::uint32_t>(0);
  Blob deep;
  for (int i = 0; i < 5; ++i) deep = deep + raw<std::uint32_t>(9) + raw<std::uint64_t>(1);
  const std::vector<Case> cases{
      {"empty file", {}, Errc::bad_file, "byte 0"},
      {"another magic", bytes_of("GGML") + Blob(60), Errc::bad_file, "byte 0: is not a GGUF"},
      {"three bytes", bytes_of("GGU"), Errc::bad_file, "is too short to be a GGUF file (3 bytes)"},
      {"a header cut off", magic + Blob(3), Errc::bad_file, "is too short to be a GGUF file (11 bytes)"},
      {"huge tensor count", magic + raw(huge) + raw<std::uint64_t>(0), Errc::bad_file, "byte 8"},
      {"huge metadata count", magic + raw<std::uint64_t>(0) + raw(huge), Errc::bad_file, "byte 16"},
      {"huge key", magic + raw<std::uint64_t>(0) + raw<std::uint64_t>(1) + raw(huge) + Blob(64), Errc::bad_file,
       "byte 32"},
      {"unknown value type", GgufWriter().add_raw("k", 13, Blob(8)).bytes(), Errc::bad_file, "unknown value type 13"},
      {"huge string", GgufWriter().add_raw("k", 8, raw(huge)).bytes(), Errc::bad_file, "passes the end"},
      {"huge array", GgufWriter().add_raw("k", 9, raw<std::uint32_t>(10) + raw(huge)).bytes(), Errc::bad_file,
       "passes the end"},
      {"huge array of strings", GgufWriter().add_raw("k", 9, raw<std::uint32_t>(8) + raw(huge)).bytes(), Errc::bad_file,
       "passes the end"},
      {"deep nesting", GgufWriter().add_raw("k", 9, deep).bytes(), Errc::bad_file, "nested deeper"},
      {"key twice", GgufWriter().add("k", 1U).add("k", 2U).bytes(), Errc::bad_file, "occurs twice"},
      {"tensor twice", GgufWriter().add_raw_tensor("t", 0, {1}, four).add_raw_tensor("t", 0, {1}, four).bytes(),
       Errc::bad_file, "occurs twice"},
      {"no dimensions", tensor(0, {}, Blob(64)), Errc::bad_file, "0 dimensions"},
      {"five dimensions", tensor(0, {1, 1, 1, 1, 1}, four), Errc::bad_file, "5 dimensions"},
      {"empty dimension", tensor(0, {4, 0}, four), Errc::bad_file, "empty dimension"},
      {"overflowing dimensions", tensor(0, {1, 1ULL << 33, 1ULL << 33}, four), Errc::bad_file, "overflow"},
      {"overflowing bytes", tensor(0, {1ULL << 62, 4}, four), Errc::bad_file, "passes the end"},
      {"data too short", tensor(0, {2}, four), Errc::bad_file, "passes the end"},
      {"no data", tensor(0, {2}, none), Errc::bad_file, "passes the end"},
      {"broken block", tensor(2, {33}, Blob(64)), Errc::bad_file, "not a whole number of q4_0 blocks"},
      {"foreign quantisation", tensor(34, {256}, Blob(512)), Errc::unsupported, "TQ1_0"},
      {"unknown quantisation", tensor(77, {32}, Blob(64)), Errc::bad_file, "type 77"},
      {"offset off the alignment", misplaced + raw<std::uint64_t>(4) + Blob(64), Errc::bad_file,
       "not a multiple of the alignment"},
      {"offset past the end", misplaced + raw<std::uint64_t>(1ULL << 63) + Blob(64), Errc::bad_file, "passes the end"},
  };
  for (const Case& c : cases) {
    const Error error = parse_error(c.bytes);
    CAPTURE(c.what, error.message());
    CHECK(error.code() == c.code);
    CHECK(mentions(error, "bad.gguf"));
    CHECK(mentions(error, "byte "));
    CHECK(mentions(error, c.reason));
  }
}

Blob small_model() {
  testing::TinyModelOptions options;
  options.layers = 1;
  options.tokenizer = false;
  options.d_ff = 32;
  options.vocab = 260;
  options.attention = DType::q4_0;
  options.embedding = DType::q8_0;
  ModelParts parts = testing::tiny_parts(options);
  const BpeVocabulary vocabulary = testing::byte_vocabulary();
  return testing::gguf_bytes(parts, &vocabulary);
}

/// True where the bytes make a model, false where they end in an Error; anything else is a failure of the test.
bool loads(const Blob& bytes) {
  try {
    const GgufFile file(bytes, "cut.gguf");
    const Model model(model::parts_from_gguf(file));
    return model.fingerprint() != 0;
  } catch (const Error& error) {
    CHECK(!error.message().empty());
    CHECK(error.code() != Errc::internal);
    return false;
  }
}

TEST_CASE("a file cut anywhere ends in an error") {
  const Blob whole = small_model();
  REQUIRE(loads(whole));
  std::size_t loaded = 0;
  for (std::size_t n = 0; n < whole.size(); n += n < 2048 ? 1 : 37)
    loaded += loads(Blob(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
  CHECK(loaded == 0);
}

TEST_CASE("a file with any byte flipped loads or ends in an error") {
  Blob bytes = small_model();
  std::size_t loaded = 0, tried = 0;
  for (std::size_t at = 0; at < bytes.size(); at += at < 1500 ? 1 : 61)
    for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
      const std::byte before = bytes[at];
      bytes[at] ^= static_cast<std::byte>(flip);
      loaded += loads(bytes);
      ++tried;
      bytes[at] = before;
    }
  CHECK(loaded > 0);      // weights may be anything
  CHECK(loaded < tried);  // structure may not
}

}  // namespace
}  // namespace frugal
