// Sequence: one request inside the engine, from intake to finish. Touched only by the driving thread, but for
// `cancelled`.
#pragma once

#include <frugal/core/request.hpp>
#include <frugal/core/view.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/model/model.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/account.hpp"
#include "engine/answer_text.hpp"
#include "engine/constrained.hpp"
#include "engine/drafts.hpp"
#include "engine/kv_lane.hpp"
#include "engine/pass_costs.hpp"
#include "engine/tenants.hpp"

namespace frugal {

/// One served model and where its pages lie.
struct ModelSlot {
  std::string name;
  std::shared_ptr<const Model> model;
  ModelId id{};
  std::uint32_t page_tokens = 0;
  std::uint64_t tokenizer = 0;  ///< fingerprint of the vocabulary, or of the model where it has none
  std::size_t most_pages = 0;   ///< what the whole arena could hold of this model alone
  PassCosts costs{};
  std::vector<Token> ends{};  ///< all that end an answer
};

struct Sequence {
  Sequence(RequestId i, Request r, std::shared_ptr<Sink> s, ModelSlot& m)
      : id(i), request(std::move(r)), sink(std::move(s)), slot(&m), text(m.model->tokenizer(), request.stop) {}

  RequestId id;
  Request request;
  std::shared_ptr<Sink> sink;
  ModelSlot* slot;
  std::atomic<bool> cancelled{false};

  // tokens: |---- prompt ----|-- output --|   lane.kv <= tokens.size()
  std::vector<Token> tokens;
  std::uint32_t prompt_tokens = 0;
  KvLane lane;
  std::optional<std::uint32_t> seat;  ///< Segment::slot while it runs
  AdapterId adapter{};
  std::vector<Token> draft_text;            ///< Request::draft in this model's vocabulary
  std::unique_ptr<Drafts> drafts;           ///< null = nothing was ever drafted
  std::unique_ptr<Constrained> constraint;  ///< null = anything may be said
  Account account;

  // Who goes first. Fixed on admission, but for `urgent`.
  Tenants::Group* group = nullptr;  ///< set once it is queued
  bool urgent = false;              ///< its tenant has waited for EngineOptions::longest_wait
  std::uint64_t admission = 0;      ///< in order of first admission
  std::int32_t priority() const { return request.priority; }
  /// Ahead of the other, among those that run: keeps its place and its pages longer.
  bool goes_before(const Sequence& o) const {
    if (urgent != o.urgent) return urgent;
    return priority() != o.priority() ? priority() > o.priority() : admission < o.admission;
  }

  std::string salt;  ///< who may share its prefix
  Duration keep{};   ///< how long its prefix stays unused; zero = never indexed

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

  std::uint32_t output_tokens() const { return static_cast<std::uint32_t>(tokens.size()) - prompt_tokens; }
  /// Rows to compute before the next draw.
  std::uint32_t missing() const { return static_cast<std::uint32_t>(tokens.size()) - lane.kv; }
  /// In whose name a lane in this vocabulary reads and writes shared prefixes.
  PrefixName prefix(std::uint64_t tokenizer, AdapterId with = {}) const {
    return {{tokenizer, salt, with}, request.use_prefix_cache ? keep : Duration{}, id};
  }
  PrefixName prefix() const { return prefix(slot->tokenizer, adapter); }
  std::span<const Token> prompt() const { return std::span(tokens).first(prompt_tokens); }
  std::span<const Token> output() const { return std::span(tokens).subspan(prompt_tokens); }
};

}  // namespace frugal
