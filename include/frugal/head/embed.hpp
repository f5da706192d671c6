// hidden_embedder: a text as the pooled hidden state of a model's first layers, for policies that ask how alike two
// requests are: nearest_neighbours, and cascades that were fitted by neighbours.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/head/head.hpp>
#include <frugal/policy/embedder.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace frugal {

class Model;

struct HiddenState {
  std::uint32_t layers = 0;         ///< the state is taken after so many layers; at least 1
  Pool pool = Pool::mean;           ///< mean or last
  std::uint32_t most_tokens = 256;  ///< longer texts are cut
};

/// `backend` must be new: no model added, no arena bound. The vectors have [d_model] numbers; an empty text has none. The
/// identity names the model's bytes, layers, pool and most_tokens. Safe from any thread, one pass at a time. Cost of a
/// vector: a pass of so many layers over the text. Throws Error(invalid_argument) for layers that the model has not and
/// for Pool::both, and what the backend throws.
FRUGAL_API Embedder hidden_embedder(const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend,
                                    const HiddenState& state);

/// The state that such an identity names; none where it is of another model, or made by something else.
FRUGAL_API std::optional<HiddenState> hidden_state_of(std::string_view identity, const Model& model);

/// The function of hidden_embedder with the mean alone.
FRUGAL_API std::function<std::vector<float>(std::string_view text)> text_embedder(
    const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend, std::uint32_t layers,
    std::uint32_t most_tokens = 256);

}  // namespace frugal
