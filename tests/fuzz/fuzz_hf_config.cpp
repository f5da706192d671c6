// Any bytes as a config.json: a DecoderSpec, or an Error.
#include <frugal/core/error.hpp>

#include <cstddef>
#include <cstdint>

#include "model/loaders.hpp"
#include "model/validate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const frugal::DecoderSpec spec =
        frugal::model::spec_from_hf_config({reinterpret_cast<const char*>(data), size}, "config.json");
    frugal::model::check_spec(spec);
  } catch (const frugal::Error&) {
  }
  return 0;
}
