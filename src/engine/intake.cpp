#include "engine/intake.hpp"

#include <frugal/model/prompt.hpp>

#include <cmath>
#include <string>
#include <utility>

#include "core/short_number.hpp"

namespace frugal {
namespace {

unexpected bad(std::string message) { return unexpected(Errc::invalid_argument, std::move(message)); }

expected<void> in_range(const char* field, float value, float low, float high) {
  if (std::isfinite(value) && value >= low && value <= high) return {};
  return bad(std::string("sampling.") + field + " is " + short_number(value) + ", not in [" + short_number(low) + ", " +
             short_number(high) + "]");
}

expected<void> validate_sampling(const Sampling& s, std::size_t vocab) {
  for (expected<void> check :
       {in_range("temperature", s.temperature, 0, 100), in_range("top_p", s.top_p, 0, 1),
        in_range("min_p", s.min_p, 0, 1), in_range("repetition_penalty", s.repetition_penalty, 0.01F, 100),
        in_range("presence_penalty", s.presence_penalty, -100, 100),
        in_range("frequency_penalty", s.frequency_penalty, -100, 100)}) {
    if (!check) return check;
  }
  if (s.top_p == 0) return bad("sampling.top_p is 0: no token could be drawn");
  if (s.top_k < 0) return bad("sampling.top_k is negative");
  for (const auto& [token, bias] : s.logit_bias) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocab)
      return bad("sampling.logit_bias names token " + std::to_string(token) + ", the vocabulary has " +
                 std::to_string(vocab));
    if (std::isnan(bias)) return bad("sampling.logit_bias of token " + std::to_string(token) + " is not a number");
  }
  return {};
}

// Ids that can be read; the head may be wider.
std::size_t vocabulary_of(const Model& model) {
  return model.tokenizer() ? model.tokenizer()->size() : model.spec().vocab;
}

expected<std::vector<Token>> encode(const Request& request, const Model& model, const Clock& clock) {
  if (const auto* given = std::get_if<TokenPrompt>(&request.prompt)) return given->tokens;
  if (const auto* chat = std::get_if<Chat>(&request.prompt)) return encode_chat(*chat, model, clock);
  const Tokenizer* tokenizer = model.tokenizer();
  if (tokenizer == nullptr) {
    const Error* why = model.tokenizer_error();
    return unexpected(Errc::unsupported, "model " + model.name() + " has no tokenizer: send a TokenPrompt" +
                                             (why == nullptr ? std::string() : " (" + why->message() + ")"));
  }
  const auto& raw = std::get<RawPrompt>(request.prompt);
  return tokenizer->encode(raw.text, {raw.parse_special, std::nullopt, {}});
}

}  // namespace

expected<void> validate(const Request& request, const ModelSlot& slot) {
  for (std::size_t i = 0; i < request.stop.size(); ++i)
    if (request.stop[i].empty()) return bad("stop[" + std::to_string(i) + "] is empty");
  if (request.logprobs && *request.logprobs > slot.model->tokens())
    return bad("logprobs asks for more tokens than the vocabulary has");
  if (request.close_when_short && !request.constraint)
    return bad("close_when_short without a constraint: there is no document to end");
  if (!(request.deferral.alpha >= 0 && request.deferral.alpha <= 1))
    return bad("deferral.alpha is " + short_number(request.deferral.alpha) + ", not in [0, 1]");
  return validate_sampling(request.sampling, vocabulary_of(*slot.model));
}

expected<AdapterId> find_adapter(const Request& request, const Backend& backend, const ModelSlot& slot) {
  if (request.adapter.empty()) return AdapterId{};
  if (const std::optional<AdapterId> known = backend.find_adapter(slot.id, request.adapter)) return *known;
  return bad("model " + slot.name + " has no adapter named \"" + request.adapter + "\"");
}

expected<void> has_tokens(const Request& request, const std::vector<Token>& tokens) {
  if (!tokens.empty()) return {};
  const auto* raw = std::get_if<RawPrompt>(&request.prompt);
  return bad(raw == nullptr || raw->text.empty()
                 ? "the prompt is empty"
                 : "the prompt has no tokens: the model's tokenizer knows none of its bytes");
}

expected<std::vector<Token>> tokenize(const Request& request, const ModelSlot& slot, const Clock& clock) {
  expected<std::vector<Token>> tokens = encode(request, *slot.model, clock);
  if (!tokens) return tokens;
  const DecoderSpec& spec = slot.model->spec();
  if (expected<void> some = has_tokens(request, *tokens); !some) return unexpected(some.error());
  const std::size_t known = vocabulary_of(*slot.model);
  for (const Token t : *tokens)
    if (t < 0 || static_cast<std::size_t>(t) >= known)
      return bad("the prompt holds token " + std::to_string(t) + ", the vocabulary has " + std::to_string(known));
  const auto too_large = [&](std::size_t limit, const char* what) {
    return unexpected(Errc::too_large, "the prompt has " + std::to_string(tokens->size()) +
                                           " tokens; with one of answer it does not fit " + what + " of " +
                                           std::to_string(limit));
  };
  if (tokens->size() >= spec.context) return too_large(spec.context, "the model's context");
  const std::size_t room = slot.most_pages * slot.page_tokens;
  if (tokens->size() >= room) return too_large(room, "the KV arena (EngineOptions::kv_bytes)");
  return tokens;
}

expected<std::vector<Token>> tokenize_draft(const Request& request, const ModelSlot& slot) {
  const DraftText& draft = request.draft;
  const bool own = !draft.tokens.empty() && (draft.vocabulary == 0 || draft.vocabulary == slot.tokenizer);
  if (own) {
    const std::size_t known = vocabulary_of(*slot.model);
    for (const Token t : draft.tokens)
      if (t < 0 || static_cast<std::size_t>(t) >= known)
        return bad("draft.tokens holds token " + std::to_string(t) + ", the vocabulary has " + std::to_string(known));
    return draft.tokens;
  }
  const Tokenizer* tokenizer = slot.model->tokenizer();
  if (tokenizer == nullptr || draft.text.empty()) return std::vector<Token>();
  return tokenizer->encode(draft.text, {false, false, {}});
}

}  // namespace frugal
