// Drafts: what one sequence knows of its speculation. Held apart from the Sequence's own state, so that a rejected
// token has no way into it: guesses live in the chain and nowhere else.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/draft/drafter.hpp>
#include <frugal/draft/vocabulary_bridge.hpp>
#include <frugal/policy/speculation.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/kv_lane.hpp"

namespace frugal {

/// One step's run of guesses. tokens: |---- committed ----|-- drafts --|
struct Chain {
  DraftPlan plan{};
  bool forced = false;
  std::uint32_t committed = 0;
  std::vector<Token> tokens{};
  std::vector<std::vector<float>>
      q{};                      ///< [drafts][vocab] where they are judged by what they were drawn from, else empty
  std::vector<DrawRef> kept{};  ///< [drafts] instead of q where the backend has the distributions
  double draft_seconds = 0;     ///< this sequence's share

  std::uint32_t size() const { return static_cast<std::uint32_t>(tokens.size()) - committed; }
  std::span<const Token> drafts() const { return std::span(tokens).subspan(committed); }

  void begin(DraftPlan p, std::span<const Token> sequence) {
    plan = p;
    forced = false;
    draft_seconds = 0;
    committed = static_cast<std::uint32_t>(sequence.size());
    tokens.assign(sequence.begin(), sequence.end());
    q.clear(), kept.clear();
  }
  /// No more than so many drafts.
  void cut(std::uint32_t most) {
    if (size() <= most) return;
    tokens.resize(committed + most);
    if (q.size() > most) q.resize(most);
    if (kept.size() > most) kept.resize(most);
  }
  void clear() {
    tokens.clear();
    q.clear(), kept.clear();
    committed = 0;
  }
  /// Begun, and not yet filled.
  bool ordered() const { return committed > 0 && size() == 0; }
};

/// A drafter at work for one sequence.
struct OpenDrafter {
  bool asked = false;  ///< open() was called; `drafting` may still be null
  std::unique_ptr<Drafting> drafting{};
  std::uint32_t learned = 0;  ///< tokens of the sequence it has been told
};

/// A draft model's side of one sequence: its own pages, which lag behind the target's and catch up with the next draft.
struct DraftLane : KvLane {
  std::uint64_t closed_until = 0;  ///< not before this step: its pages were needed elsewhere, or its pass failed
  std::optional<Translation> translation{};  ///< where the vocabularies differ
  std::uint32_t translated = 0;              ///< tokens of the sequence it has been told
  std::vector<Token> previous{};             ///< translated context of which kv speaks

  void close_until(std::uint64_t step) noexcept {
    close();
    closed_until = step;
  }
};

struct Drafts {
  std::vector<OpenDrafter> drafters{};  ///< index = DrafterView::index, draft models not among them
  std::vector<DraftLane> lanes{};       ///< index = draft model
  Chain chain{};
};

}  // namespace frugal
