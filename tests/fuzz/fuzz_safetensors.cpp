// Any bytes as a safetensors file: its tensors lie inside it and expand, or it ends in an Error.
#include <frugal/core/error.hpp>

#include <cstddef>
#include <cstdint>

#include "model/architectures.hpp"
#include "model/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const frugal::model::SafetensorsFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz.safetensors");
    for (const frugal::Tensor& t : file.tensors) {
      std::vector<float> out(t.cols);
      frugal::dequantize_rows(t, t.rows - 1, 1, out);
      (void)frugal::model::gguf_tensor_name(t.name);
    }
  } catch (const frugal::Error&) {
  }
  return 0;
}
