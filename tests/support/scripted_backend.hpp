// scripted_backend: a Backend whose logits are a function of the tokens so far. The tokens are kept in pages of its own
// arena, so a wrong block table, a page shared too long, a lost copy or a row at the wrong position changes what the
// script sees, and with it the answer.
#pragma once

#include <frugal/backend/backend.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/contract.hpp"

namespace frugal::testing {

/// Fills logits [vocab] of the token that follows `tokens`. A slot that was never written, or belongs to another
/// position, reads as token -1.
using Script = std::function<void(ModelId model, std::span<const Token> tokens, std::span<float> logits)>;

/// Logits in (-1, 1) times `scale` that depend on every token of the sequence and on its length.
Script hashed_script(std::uint64_t salt = 0, float scale = 4.0F);
/// The answer is `answer` token by token, whatever the prompt: after a prompt of `prompt` tokens, answer[i] gets logit
/// 10, all others 0; past the end, its last token again.
Script fixed_answer(std::size_t prompt, std::vector<Token> answer);

class ScriptedBackend final : public Backend {
 public:
  /// One token takes `kv_bytes` in the arena, at least 8: larger ones make pages of several granules.
  explicit ScriptedBackend(Script script, std::size_t kv_bytes = 8, std::uint32_t max_rows = 4096);

  std::string_view name() const override { return "scripted"; }
  BackendTraits traits() const override;
  ModelId add_model(std::shared_ptr<const Model> model) override;
  std::size_t kv_bytes_per_token(ModelId model) const override;
  void bind_arena(const ArenaLayout& layout) override;
  void copy_pages(std::span<const PageCopy> copies) override;
  void forward(const Batch& batch) override;

  /// What ran so far, for exact counts in tests.
  struct Counts {
    std::uint64_t forwards = 0, segments = 0, rows = 0, draws = 0, copies = 0;
    std::uint64_t bad_reads = 0;  ///< slots of a sequence that held no token, or one of another position
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Slot {
    Token token;
    std::uint32_t position;
  };
  std::byte* slot(ModelId model, std::span<const Granule> pages, std::size_t position);
  void write(ModelId model, const Segment& segment);
  std::vector<Token> read(ModelId model, const Segment& segment, std::size_t tokens);

  Script script_;
  std::size_t kv_bytes_;
  std::uint32_t max_rows_;
  std::vector<std::shared_ptr<const Model>> models_;
  backend::BoundArena arena_;
  std::vector<std::byte> bytes_;
  Counts counts_;
};

}  // namespace frugal::testing
