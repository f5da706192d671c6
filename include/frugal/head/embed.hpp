// text_embedder: a text as the mean hidden state of a model's first layers, for nearest_neighbours or anything else that
// asks how alike two texts are.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace frugal {

class Model;

/// `backend` must be new: no model added, no arena bound. The function gives [d_model] numbers, none for an empty text;
/// longer texts are cut at `most_tokens`. Safe from any thread, one pass at a time. Cost of a call: a pass of so many
/// layers over the text. Throws Error(invalid_argument) for layers that the model has not, and what the backend throws.
FRUGAL_API std::function<std::vector<float>(std::string_view text)> text_embedder(
    const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend, std::uint32_t layers,
    std::uint32_t most_tokens = 256);

}  // namespace frugal
