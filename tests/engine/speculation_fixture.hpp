// What tests of speculation share: a model whose answers are words that partly repeat, drafters that are right, wrong
// or silent in a known pattern, and the comparison with the engine that does not draft.
#pragma once

#include <frugal/draft/drafters.hpp>
#include <frugal/policy/speculation.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/fixture.hpp"

namespace frugal::testing {

/// Letters only. Most depend on the last three tokens, so that an answer comes to repeat itself; every fifth on all of
/// them, so that a wrong page, position or history shows.
inline std::vector<float> wordy_logits(std::span<const Token> tokens) {
  const std::size_t seen = tokens.size() % 5 == 0 ? tokens.size() : std::min<std::size_t>(tokens.size(), 3);
  const std::vector<float> hash = hashed_logits(tokens.last(seen), 7);
  std::vector<float> logits(272, -30.0F);
  for (std::size_t i = 0; i < 12; ++i) logits['a' + i] = hash[i] * 0.4F;
  return logits;
}

/// A model of about two right guesses in three.
inline std::vector<float> half_right_logits(std::span<const Token> tokens) {
  std::vector<float> logits = wordy_logits(tokens);
  if (hashed_logits(tokens.last(1), 3)[0] < 3.3F) std::reverse(logits.begin() + 'a', logits.begin() + 'a' + 12);
  return logits;
}

/// Models of odd id are drafts that are right in part; `exact` makes them the target itself.
inline std::shared_ptr<ScriptedBackend> wordy_backend(bool exact = false) {
  return std::make_shared<ScriptedBackend>(
      [exact](ModelId model, std::span<const Token> tokens, std::span<float> logits) {
        const std::vector<float> wanted =
            model.index() % 2 == 0 || exact ? wordy_logits(tokens) : half_right_logits(tokens);
        std::copy(wanted.begin(), wanted.end(), logits.begin());
      });
}

/// Continues by what the model would say greedily; every `wrong`-th token of the sequence is something else, and at
/// every `silent`-th it has no idea.
class Oracle final : public Drafter {
 public:
  explicit Oracle(std::uint32_t wrong, std::uint32_t silent = 0) : wrong_(wrong), silent_(silent) {}
  std::string_view name() const override { return "oracle"; }
  std::unique_ptr<Drafting> open(const RequestView&) override { return std::make_unique<Open>(*this); }

 private:
  struct Open final : Drafting {
    explicit Open(const Oracle& o) : oracle(o) {}
    void learn(std::span<const Token> accepted) override {
      tokens.insert(tokens.end(), accepted.begin(), accepted.end());
    }
    void propose(std::uint32_t most, std::vector<Token>& out) override {
      if (oracle.silent_ != 0 && tokens.size() % oracle.silent_ == 0) return;
      std::vector<Token> all = tokens;
      for (std::uint32_t i = 0; i < most; ++i) {
        const std::vector<float> logits = wordy_logits(all);
        auto best = static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        if (oracle.wrong_ != 0 && all.size() % oracle.wrong_ == 0) best = 'z';
        all.push_back(best);
        out.push_back(best);
      }
    }
    const Oracle& oracle;
    std::vector<Token> tokens;
  };
  std::uint32_t wrong_, silent_;
};

/// Every token is beside the point; some are not even tokens.
class Nonsense final : public Drafter {
 public:
  std::string_view name() const override { return "nonsense"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    struct Open final : Drafting {
      void learn(std::span<const Token> accepted) override { seen += accepted.size(); }
      void propose(std::uint32_t most, std::vector<Token>& out) override {
        for (std::uint32_t i = 0; i < most + 2; ++i)
          out.push_back(i == 3 ? 99999 : static_cast<Token>(130 + (seen + i) % 100));
      }
      std::size_t seen = 0;
    };
    if (request.type == "undrafted") return nullptr;
    return std::make_unique<Open>();
  }
};

struct SpeculationSetup {
  std::string name;
  std::function<void(EngineOptions&)> apply;
};

inline DraftModel draft_model_of(std::uint64_t seed = 2, bool sampled = false) {
  TinyModelOptions small;
  small.layers = 1;
  small.seed = seed;
  return {.target = {}, .model = tiny_model(small), .name = "small", .sampled = sampled};
}

/// The same in another vocabulary: one token more, so that ids are the target's and text is still the way across.
inline DraftModel foreign_draft_model(bool sampled = false) {
  TinyModelOptions small;
  small.layers = 1, small.seed = 3;
  ModelParts parts = tiny_parts(small);
  BpeVocabulary vocabulary = byte_vocabulary();
  vocabulary.tokens.push_back("<|elsewhere|>");
  if (!vocabulary.kinds.empty()) vocabulary.kinds.push_back(BpeVocabulary::Kind::control);
  parts.tokenizer = std::make_shared<const Tokenizer>(std::move(vocabulary));
  return {
      .target = {}, .model = std::make_shared<const Model>(std::move(parts)), .name = "foreign", .sampled = sampled};
}

inline std::vector<SpeculationSetup> speculation_setups() {
  const auto with = [](std::uint32_t tokens, std::vector<std::shared_ptr<Drafter>> drafters, bool model) {
    return [=](EngineOptions& o) {
      o.speculation = fixed_drafts(tokens);
      o.drafters = drafters;
      if (model) o.draft_models.push_back(draft_model_of());
    };
  };
  return {
      {"oracle", with(4, {std::make_shared<Oracle>(0)}, false)},
      {"oracle with errors", with(7, {std::make_shared<Oracle>(4)}, false)},
      {"nonsense", with(3, {std::make_shared<Nonsense>()}, false)},
      {"text", with(5, {}, false)},
      {"prompt lookup", with(5, {prompt_lookup()}, false)},
      {"suffixes", with(6, {suffix_drafter()}, false)},
      {"draft model", with(4, {}, true)},
      {"draft model, one token", with(1, {}, true)},
      {"chain", with(5, {prompt_lookup(), std::make_shared<Oracle>(3, 2), suffix_drafter()}, true)},
  };
}

/// The same of an answer that does not hang on how it was computed.
inline void check_same(const Answer& drafted, const Answer& plain) {
  CHECK(drafted.tokens == plain.tokens);
  CHECK(drafted.text == plain.text);
  CHECK(drafted.finish.reason == plain.finish.reason);
  CHECK(drafted.finish.detail == plain.finish.detail);
  CHECK(drafted.finish.usage.output == plain.finish.usage.output);
  CHECK(drafted.finish.usage.input == plain.finish.usage.input);
  CHECK(drafted.finish.ledger.consistent());
  REQUIRE(drafted.scores.size() == plain.scores.size());
  for (std::size_t i = 0; i < plain.scores.size(); ++i) {
    const TokenScore &a = drafted.scores[i], &b = plain.scores[i];
    const bool equal = a.token == b.token && a.logprob == b.logprob && a.margin == b.margin &&
                       std::equal(a.top.begin(), a.top.end(), b.top.begin(), b.top.end(),
                                  [](const TokenLogprob& x, const TokenLogprob& y) {
                                    return x.token == y.token && x.logprob == y.logprob;
                                  });
    CHECK(equal);
  }
}

}  // namespace frugal::testing
