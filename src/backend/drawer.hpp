// Drawer: draw() with memory that is kept from row to row. One per thread; a backend that samples on the host holds one
// for each thread that draws. The rule is stated in docs/decisions/005-random-rule.md.
//
//   logits -> bias, penalties -> mask -> temperature -> top-k -> top-p -> min-p -> inverse CDF in id order
//
// Without filters a row costs three passes: the peaks, the sum of weights, and one block to find the token in. Top-p adds
// a list of the tokens near its limit (nucleus.hpp); top-k and min-p gather the few tokens that can survive. Nothing is
// sorted but the report of top_logprobs.
#pragma once

#include "backend/row_kernels.hpp"
#include "backend/row_passes.hpp"

#include <frugal/backend/batch.hpp>
#include <frugal/backend/sampling.hpp>
#include <frugal/config.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace frugal::backend {

/// Throws Error(invalid_argument) where the draft to judge is no token of the first `tokens`, or its distribution has
/// `given` entries and not `vocab`, or, where `spec` has it, no probability for the draft.
FRUGAL_API void check_draft(const DrawSpec& spec, std::size_t given, std::size_t vocab, std::size_t tokens);

class FRUGAL_API Drawer {
 public:
  Drawer();
  explicit Drawer(const RowKernels& kernels);
  ~Drawer();
  Drawer(Drawer&&) noexcept;

  /// As frugal::draw. A team shares the passes over the row; what is drawn is the same.
  TokenScore draw(std::span<const float> logits, const DrawSpec& spec, RowTeam* team = nullptr);
  /// As frugal::draw_distribution; p [vocab].
  void distribution(std::span<const float> logits, const DrawSpec& spec, std::span<float> p);

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace frugal::backend
