// Any bytes as a GGUF file: they make a Model whose tensors expand and whose tokenizer runs, or end in an Error.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "model/gguf.hpp"
#include "model/loaders.hpp"

namespace {

void use(const frugal::Tensor& t) {
  const std::uint64_t values = std::min<std::uint64_t>(t.cols, 1U << 14) / frugal::block_shape(t.type).values *
                               frugal::block_shape(t.type).values;
  std::vector<float> out(values);
  frugal::dequantize(t.type, t.row(0), out);
  frugal::dequantize(t.type, t.row(t.rows - 1), out);
}

void use(const frugal::Tokenizer& tokenizer) {
  const std::vector<frugal::Token> tokens = tokenizer.encode("Hello, world 123 \xF0\x9F\x98\x80 <|im_end|>");
  (void)tokenizer.decode(tokens, {.keep_special = true});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const frugal::model::GgufFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz.gguf");
    for (const frugal::Tensor& t : file.tensors()) use(t);
    if (auto vocabulary = frugal::model::vocabulary_from_gguf(file)) use(frugal::Tokenizer(std::move(*vocabulary)));
    const frugal::Model model(frugal::model::parts_from_gguf(file));
    (void)model.chat_template();
  } catch (const frugal::Error&) {
  }
  return 0;
}
