// Embedder: a text as a vector, for policies that ask how alike two requests are. hidden_embedder in frugal/head/embed.hpp
// makes one of a model's hidden states; bring your own where a trained one is at hand.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct Embedder {
  /// Names everything that changes a vector, e.g. model, layers and pool. Records and policies keep it, and a policy that
  /// was fitted on one embedder's vectors is refused with another's.
  std::string identity{};
  /// As many numbers for every text; none where the text cannot be embedded. Safe from any thread.
  std::function<std::vector<float>(std::string_view text)> embed{};
};

}  // namespace frugal
