// Safetensors files and Hugging Face folders for tests.
#pragma once

#include <frugal/model/model.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "support/write_gguf.hpp"

namespace frugal::testing {

/// A file with this header (padded with spaces to a multiple of 8 plus `shift`) and data.
Blob safetensors_blob(std::string header, const Blob& data, std::size_t shift = 0);

/// F32, F16 and BF16 tensors under their own names.
Blob safetensors_bytes(const std::vector<Tensor>& tensors, std::size_t shift = 0);

/// The tensors under Hugging Face's names.
std::vector<Tensor> hf_named(std::vector<Tensor> tensors);

/// A config.json for the spec; `extra` is put before the closing brace, e.g. R"(,"rope_scaling":null)".
std::string hf_config(const DecoderSpec& spec, std::string_view model_type, std::string_view extra = "");

}  // namespace frugal::testing
