// The safetensors reader: what a good file gives, and which error each kind of bad one ends in.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "model/safetensors.hpp"
#include "support/tiny_model.hpp"
#include "support/write_safetensors.hpp"

namespace frugal {
namespace {

using model::SafetensorsFile;
using testing::Blob;
using testing::safetensors_blob;

Error parse_error(const Blob& bytes) {
  try {
    (void)SafetensorsFile(bytes, "bad.safetensors");
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error(Errc::internal, "");
}

bool loads(const Blob& bytes) {
  try {
    const SafetensorsFile file(bytes, "cut.safetensors");
    for (const Tensor& t : file.tensors) {
      CHECK(t.data.size() == t.rows * t.row_bytes());
      CHECK((t.data.data() >= bytes.data() && t.data.data() + t.data.size() <= bytes.data() + bytes.size()));
    }
    return true;
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_file);
    return false;
  }
}

std::string entry(std::string_view rest) { return R"({"t":{)" + std::string(rest) + "}}"; }

TEST_CASE("tensors of any rank become rows and columns") {
  const Blob data(48);
  const Blob bytes = safetensors_blob(R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
    "vector":{"dtype":"F16","shape":[3],"data_offsets":[4,10]},"matrix":{"dtype":"BF16","shape":[2,3],"data_offsets":[10,22]},
    "cube":{"dtype":"F16","shape":[2,2,3],"data_offsets":[22,46]},"ids":{"dtype":"I64","shape":[0],"data_offsets":[46,46]},
    "none":{"dtype":"F32","shape":[0,4],"data_offsets":[46,46]}})",
                                      data);
  const SafetensorsFile file(bytes, "good.safetensors");
  REQUIRE(file.tensors.size() == 4);
  const auto find = [&](std::string_view name) -> const Tensor& {
    return *std::find_if(file.tensors.begin(), file.tensors.end(), [&](const Tensor& t) { return t.name == name; });
  };
  CHECK((find("scalar").rows == 1 && find("scalar").cols == 1 && find("scalar").type == DType::f32));
  CHECK((find("vector").rows == 1 && find("vector").cols == 3 && find("vector").type == DType::f16));
  CHECK((find("matrix").rows == 2 && find("matrix").cols == 3 && find("matrix").type == DType::bf16));
  CHECK((find("cube").rows == 4 && find("cube").cols == 3));
  REQUIRE(file.foreign.size() == 2);
  CHECK(file.foreign[0].name == "ids");
  CHECK(file.foreign[0].reason == "is stored as I64");
  CHECK(file.foreign[1].reason == "is empty");
}

TEST_CASE("every lie of the header ends in an error that names the byte") {
  struct Case {
    const char* what;
    Blob bytes;
    const char* reason;
  };
  const Blob data(16);
  const auto file = [&](std::string header) { return safetensors_blob(std::move(header), data); };
  Blob long_header(16);
  long_header[7] = std::byte{0x7F};
  const std::vector<Case> cases{
      {"empty", {}, "too short"},
      {"header longer than the file", long_header, "byte 0: a header of"},
      {"no JSON", file(R"({"t": nonsense})"), "byte 15: not valid JSON"},
      {"no UTF-8", file("{\"\xFF\": 1}"), "not valid JSON"},
      {"no object", file("[1, 2]"), "is not a JSON object"},
      {"number out of range", file(R"({"t":1e999})"), "number out of range"},
      {"named twice", file(R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{}})"), "twice"},
      {"entry is a number", file(R"({"t":1})"), "tensor 't' is not a JSON object"},
      {"no dtype", file(entry(R"("shape":[1],"data_offsets":[0,4])")), "byte 9: tensor 't' has no dtype"},
      {"no shape", file(entry(R"("dtype":"F32","data_offsets":[0,4])")), "has no shape"},
      {"no offsets", file(entry(R"("dtype":"F32","shape":[1])")), "no pair of data_offsets"},
      {"three offsets", file(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])")), "no pair of data_offsets"},
      {"negative offset", file(entry(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])")), "not a range"},
      {"backward range", file(entry(R"("dtype":"F32","shape":[1],"data_offsets":[8,4])")), "not a range"},
      {"overlap",
       file(
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[2],"data_offsets":[2,6]}})"),
       "tensor 'b' overlaps tensor 'a'"},
      {"past the end", file(entry(R"("dtype":"F32","shape":[1],"data_offsets":[16,20])")), "ends at data offset 20"},
      {"fractional size", file(entry(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])")), "not a size"},
      {"too few bytes", file(entry(R"("dtype":"F32","shape":[2,2],"data_offsets":[0,12])")), "has 12 bytes for 2 x 2"},
      {"too many bytes", file(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,9])")), "has 9 bytes for 1 x 2"},
      {"overflow", file(entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])")), "overflow"},
      {"overflow in bytes", file(entry(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0])")),
       "has 0 bytes"},
      {"overflow after zero", file(entry(R"("dtype":"F32","shape":[2,18446744073709551615],"data_offsets":[0,0])")),
       "overflow"},
  };
  for (const Case& c : cases) {
    const Error error = parse_error(c.bytes);
    CAPTURE(c.what, error.message());
    CHECK(error.code() == Errc::bad_file);
    CHECK(error.message().starts_with("bad.safetensors: "));
    CHECK(error.message().find(c.reason) != std::string::npos);
  }
}

TEST_CASE("JSON nested a million deep is refused without a crash") {
  CHECK(!loads(safetensors_blob(std::string(1'000'000, '['), {})));
  std::string balanced = R"({"t":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  CHECK(!loads(safetensors_blob(balanced, {})));
}

TEST_CASE("a file cut anywhere or with any byte flipped loads or ends in an error") {
  testing::TinyModelOptions options;
  options.layers = 1, options.vocab = 40, options.d_ff = 32, options.tokenizer = false;
  Blob bytes = testing::safetensors_bytes(testing::hf_named(testing::tiny_parts(options).tensors));
  REQUIRE(loads(bytes));
  std::size_t loaded = 0;
  for (std::size_t n = 0; n < bytes.size(); n += n < 2000 ? 1 : 97)
    loaded += loads(Blob(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)));
  CHECK(loaded == 0);
  for (std::size_t at = 0; at < 1600; ++at)
    for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
      bytes[at] ^= static_cast<std::byte>(flip);
      loaded += loads(bytes);
      bytes[at] ^= static_cast<std::byte>(flip);
    }
  CHECK(loaded > 0);
}

}  // namespace
}  // namespace frugal
