// The fields of OpenAI's chat completions and completions that say how to answer, as a Request has them: for a server that
// gets them from clients, and for a batch that finds them in a file. `Fields` is a JsonFields. Messages are read by
// chat_from_json.
#pragma once

#include <frugal/core/request.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace frugal::text {

inline constexpr std::uint64_t most_answer_tokens = 1U << 30;
inline constexpr std::size_t most_stop_texts = 16, most_biases = 1024;

template <class Fields>
std::vector<std::pair<Token, float>> read_bias(Fields& fields) {
  std::vector<std::pair<Token, float>> out;
  const auto* const bias = fields.object("logit_bias");
  if (bias == nullptr) return out;
  const std::string name = fields.path("logit_bias");
  if (bias->size() > most_biases) Fields::wrong(name, "has more than 1024 entries");
  for (const auto& [key, value] : bias->items()) {
    Token token = 0;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (failure != std::errc{} || end != key.data() + key.size() || token < 0)
      Fields::wrong(name, "its keys must be token ids");
    const double by = value.is_number() ? value.template get<double>() : std::nan("");
    if (!(by >= -100 && by <= 100)) Fields::wrong(name + "." + key, "must be a number from -100 to 100");
    out.emplace_back(token, static_cast<float>(by));
  }
  return out;
}

/// temperature, top_p, penalties, logit_bias, seed, and the fields that compatible servers add.
template <class Fields>
Sampling read_sampling(Fields& fields, double usual_temperature = 1) {
  const auto number = [&](const char* key, double low, double high, double otherwise) {
    return static_cast<float>(fields.number(key, low, high).value_or(otherwise));
  };
  Sampling s;
  s.temperature = number("temperature", 0, 2, usual_temperature);
  s.top_p = number("top_p", 0, 1, 1);
  s.presence_penalty = number("presence_penalty", -2, 2, 0);
  s.frequency_penalty = number("frequency_penalty", -2, 2, 0);
  s.min_p = number("min_p", 0, 1, 0);
  s.repetition_penalty = number("repetition_penalty", 1e-3, 1e6, 1);
  const auto* const top_k = fields.take("top_k");
  if (top_k == nullptr || *top_k != -1)  // -1 is how some servers say "all"
    s.top_k = static_cast<std::int32_t>(fields.whole("top_k", 0, std::numeric_limits<std::int32_t>::max()).value_or(0));
  if (const auto* const seed = fields.take("seed")) {
    if (!seed->is_number_integer()) Fields::wrong(fields.path("seed"), "must be a whole number");
    s.seed = seed->is_number_unsigned() ? seed->template get<std::uint64_t>()
                                        : static_cast<std::uint64_t>(seed->template get<std::int64_t>());
  }
  s.logit_bias = read_bias(fields);
  return s;
}

/// max_completion_tokens, or max_tokens, its old name; none = neither.
template <class Fields>
std::optional<std::uint32_t> read_limit(Fields& fields) {
  const auto limit = fields.whole("max_completion_tokens", 1, most_answer_tokens);
  const auto old = fields.whole("max_tokens", 1, most_answer_tokens);
  if (limit && old && *limit != *old) Fields::wrong(fields.path("max_tokens"), "differs from max_completion_tokens");
  if (!limit && !old) return std::nullopt;
  return static_cast<std::uint32_t>(limit ? *limit : *old);
}

/// logprobs and top_logprobs of a chat.
template <class Fields>
std::optional<std::uint32_t> read_logprobs(Fields& fields) {
  const bool wanted = fields.flag("logprobs").value_or(false);
  const auto top = fields.whole("top_logprobs", 0, 20);
  if (top && !wanted) Fields::wrong(fields.path("top_logprobs"), "needs logprobs to be true");
  if (!wanted) return std::nullopt;
  return static_cast<std::uint32_t>(top.value_or(0));
}

/// The text that the answer probably repeats; empty where there is none.
template <class Fields>
std::string read_prediction(Fields& fields) {
  const auto* const prediction = fields.object("prediction");
  if (prediction == nullptr) return {};
  Fields inner(*prediction, fields.path("prediction"));
  if (inner.need_text("type") != "content") Fields::wrong(inner.path("type"), "must be \"content\"");
  return inner.need_text("content");
}

/// A stop text, or a list of some; `list_only` where the API takes no single one.
template <class Fields>
std::vector<std::string> read_stop(Fields& fields, const char* key, bool list_only = false) {
  using Json = typename Fields::Json;
  std::vector<std::string> out;
  const Json* const value = fields.take(key);
  if (value == nullptr) return out;
  const std::string path = fields.path(key);
  const Json list = value->is_string() && !list_only ? Json::array({*value}) : *value;
  if (!list.is_array())
    Fields::wrong(path, list_only ? "must be a list of texts" : "must be a text or a list of texts");
  if (list.size() > most_stop_texts) Fields::wrong(path, "has more than 16 entries");
  for (const Json& one : list) {
    if (!one.is_string() || one.template get_ref<const std::string&>().empty())
      Fields::wrong(path + "[" + std::to_string(out.size()) + "]", "must be a text that is not empty");
    out.push_back(one.template get<std::string>());
  }
  return out;
}

/// A list of token ids.
template <class Fields>
std::vector<Token> token_ids(const typename Fields::Json& list, const std::string& path) {
  std::vector<Token> out;
  for (const auto& one : list) {
    const bool fits =
        one.is_number_unsigned() && one.template get<std::uint64_t>() <= std::numeric_limits<Token>::max();
    if (!fits) Fields::wrong(path, "must be a text, or a list of token ids");
    out.push_back(one.template get<Token>());
  }
  return out;
}

/// What a completion begins with: a text, or token ids.
template <class Fields>
void read_prompt(Fields& fields, Request& request) {
  const auto& prompt = fields.need("prompt");
  const std::string path = fields.path("prompt");
  const bool wrapped = prompt.is_array() && prompt.size() == 1 && !prompt.front().is_number();
  const auto& one = wrapped ? prompt.front() : prompt;
  if (one.is_string())
    request.prompt = RawPrompt{.text = one.template get<std::string>()};
  else if (one.is_array() && !one.empty() && !one.front().is_number())
    Fields::wrong(path, "several prompts in one request; ask again for each", Errc::unsupported);
  else if (one.is_array())
    request.prompt = TokenPrompt{token_ids<Fields>(one, path)};
  else
    Fields::wrong(path, "must be a text, or a list of token ids");
}

}  // namespace frugal::text
