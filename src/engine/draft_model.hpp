// Draft models at work: one pass drafts a token for every sequence that ordered one, and computes on the way what the
// model had not yet seen of them. Pages come from the same arena, prefixes from the same index, by the draft's own id.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/draft/vocabulary_bridge.hpp>
#include <frugal/engine/options.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.hpp"

namespace frugal {

/// A lane that lost its pages, or whose pass failed, is left alone for so long: short pages do not make it compute the
/// same prompt again and again.
inline constexpr std::uint64_t pause_steps = 64;

struct DraftModelSlot {
  ModelSlot slot;
  const ModelSlot* target = nullptr;
  std::uint32_t lane = 0;     ///< index into Drafts::lanes
  std::uint32_t drafter = 0;  ///< DrafterView::index
  bool sampled = false;
  std::unique_ptr<VocabularyBridge> bridge{};  ///< null = the target's own vocabulary
};

class DraftModelPass {
 public:
  struct Host {
    KvStore* store;
    const Clock* clock;
    const EngineOptions* options;
    std::function<void(const PassCost&)> observe{};
  };
  /// After the backend was bound.
  explicit DraftModelPass(Host host) : host_(std::move(host)), traits_(host_.store->backend.traits()) {}

  /// One sequence's order: as many drafts as its chain's plan says.
  using Order = Sequence*;

  /// Drafts for all orders; appends to their chains. Throws what the backend throws: then the lanes of these orders are
  /// closed.
  void draft(DraftModelSlot& model, std::span<const Order> orders, std::uint64_t step);
  /// After verification: keys and values hold as far as the sequence's tokens do.
  void trim(DraftModelSlot& model, Sequence& s, std::uint32_t valid) const;
  /// Offers what was computed to the prefix index.
  void offer(DraftModelSlot& model, Sequence& s) const;
  /// Tokens the model has yet to see before it can draft.
  std::uint32_t behind(const DraftModelSlot& model, const Sequence& s) const;
  void check_integrity(const DraftModelSlot& model, const Sequence& s) const;

 private:
  struct Row;
  struct PassSize {
    std::uint32_t segments, rows;
  };
  struct Draws;
  bool prepare(DraftModelSlot& model, Sequence& s, std::uint64_t step) const;
  bool backend_keeps(const DraftModelSlot& model, std::uint32_t drafts) const;
  std::uint32_t kept_share() const;
  Row row_of(const DraftModelSlot& model, Sequence& s) const;
  std::uint32_t steps_of(const std::vector<Row*>& rows) const;
  Ticket forward(DraftModelSlot& model, std::vector<Row>& all);
  std::vector<Row*> plan(std::vector<Row>& all) const;
  Segment segment_of(const DraftModelSlot& model, Row& row) const;
  void measure(DraftModelSlot& model, PassSize size, Duration took) const;
  void account(Row& row, Duration took, std::uint32_t total) const;
  Token draw_weighed(const DraftModelSlot& model, Row& row) const;
  void take(const DraftModelSlot& model, Row& row, Token token) const;
  void take(const DraftModelSlot& model, Row& row, const Draws& draws) const;
  void cross(const DraftModelSlot& model, Row& row) const;

  Host host_;
  BackendTraits traits_;
};

}  // namespace frugal
