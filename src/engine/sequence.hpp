// Sequence: one request inside the engine, from intake to finish. Touched only by the driving thread, but for
// `cancelled`.
#pragma once

#include <frugal/cache/page_table.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/core/request.hpp>
#include <frugal/core/view.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/model/model.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/answer_text.hpp"
#include "engine/drafts.hpp"

namespace frugal {

/// One served model and where its pages lie.
struct ModelSlot {
  std::string name;
  std::shared_ptr<const Model> model;
  ModelId id{};
  std::uint32_t page_tokens = 0;
  std::uint64_t tokenizer = 0;          ///< fingerprint of the vocabulary, or of the model where it has none
  std::size_t most_pages = 0;           ///< what the whole arena could hold of this model alone
  double seconds_per_prompt_token = 0;  ///< running mean of measured prefill, for what a cached prefix is worth
  double seconds_per_plain_pass = 0;    ///< the same of decode passes without drafts, for what these save
};

struct Sequence {
  Sequence(RequestId i, Request r, std::shared_ptr<Sink> s, ModelSlot& m)
      : id(i), request(std::move(r)), sink(std::move(s)), slot(&m), text(m.model->tokenizer(), request.stop) {}

  RequestId id;
  Request request;
  std::shared_ptr<Sink> sink;
  ModelSlot* slot;
  std::atomic<bool> cancelled{false};

  // tokens: |---- prompt ----|-- output --|   kv <= tokens.size(): positions whose keys and values are in the pages
  std::vector<Token> tokens;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t kv = 0;
  std::uint32_t indexed = 0;   ///< tokens of this sequence already offered to the prefix index
  std::uint32_t computed = 0;  ///< high-water mark of kv: rows below it are recomputed, not fresh
  std::optional<PageTable> pages;
  std::optional<std::uint32_t> seat;  ///< Segment::slot while it runs
  AdapterId adapter{};
  std::vector<Token> draft_text;   ///< Request::draft in this model's vocabulary
  std::unique_ptr<Drafts> drafts;  ///< null = nothing was ever drafted
  std::string salt;                ///< who may share its prefix
  Duration keep{};                 ///< how long its prefix stays unused; zero = never indexed

  std::uint64_t seed = 0;
  std::uint32_t budget = 0;  ///< most output tokens
  FinishReason budget_reason = FinishReason::length;
  AnswerText text;
  Delta held;                      ///< the newest tokens, not yet sent: those of one pass
  std::vector<TokenScore> scores;  ///< of the whole output, where measured
  std::string capped_by;           ///< the output policy that set the budget

  TimePoint submitted{}, admitted{}, first_token{}, ended{};
  Duration beside_prompts{};  ///< of passes since the first token: those that computed other requests' prompts too
  std::uint64_t passes_beside_prompts = 0;  ///< its own rows in them
  bool was_admitted = false;
  bool finished = false;
  FinishReason reason{};  ///< once finished
  Usage usage{};
  TokenLedger ledger{};

  std::uint32_t output_tokens() const { return static_cast<std::uint32_t>(tokens.size()) - prompt_tokens; }
  std::uint32_t missing() const {
    return static_cast<std::uint32_t>(tokens.size()) - kv;
  }  ///< rows to compute before the next draw
  std::span<const Token> prompt() const { return std::span(tokens).first(prompt_tokens); }
  std::span<const Token> output() const { return std::span(tokens).subspan(prompt_tokens); }
};

}  // namespace frugal
