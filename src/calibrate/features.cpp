#include "calibrate/features.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/json_tree.hpp"

namespace frugal::calibrate {

namespace {

constexpr std::array<std::pair<const char*, double>, 4> quantiles{
    {{"q00", 0.0}, {"q10", 0.1}, {"q25", 0.25}, {"q50", 0.5}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

double share(std::string_view text, bool (*is)(char)) {
  if (text.empty()) return 0;
  return static_cast<double>(std::count_if(text.begin(), text.end(), is)) / static_cast<double>(text.size());
}

double log_length(std::size_t n) { return std::log1p(static_cast<double>(n)); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

// Brackets that are still open, or were closed without being open.
std::size_t unbalanced(std::string_view text) {
  std::array<std::int64_t, 3> depth{};
  std::size_t strays = 0;
  constexpr std::string_view opening = "([{", closing = ")]}";
  for (const char c : text) {
    if (const std::size_t i = opening.find(c); i != std::string_view::npos) ++depth[i];
    if (const std::size_t i = closing.find(c); i != std::string_view::npos && --depth[i] < 0) {
      depth[i] = 0;
      ++strays;
    }
  }
  return strays + static_cast<std::size_t>(depth[0] + depth[1] + depth[2]);
}

// A whole object or list; anything longer than is looked at counts as none.
bool is_json(std::string_view text) {
  if (text.size() > most_bytes || text.empty() || (text.front() != '{' && text.front() != '[')) return false;
  try {
    (void)parse_json_tree(text, "answer");
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Nearest rank: the ceil(q n)-th smallest, the smallest for q = 0.
double quantile(std::span<const double> sorted, double q) {
  const double rank = std::ceil(q * static_cast<double>(sorted.size()));
  return sorted[rank < 1 ? 0 : static_cast<std::size_t>(rank) - 1];
}

void add_quantiles(std::vector<Feature>& out, const std::string& prefix, std::vector<double> values) {
  double sum = 0;
  for (double& v : values) {
    if (!std::isfinite(v)) v = prefix == "margin" ? 0 : -100;  // the worst that can be said of a token
    sum += v;
  }
  std::sort(values.begin(), values.end());
  for (const auto& [name, q] : quantiles) out.emplace_back(prefix + "." + name, quantile(values, q));
  out.emplace_back(prefix + ".mean", sum / static_cast<double>(values.size()));
}

}  // namespace

std::vector<Feature> prompt_features(std::string_view text) {
  const std::size_t bytes = text.size();
  text = text.substr(0, most_bytes);
  return {{"prompt.log_bytes", log_length(bytes)},
          {"prompt.log_lines", log_length(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')))},
          {"prompt.digits", share(text, is_digit)},
          {"prompt.capitals", share(text, is_upper)}};
}

std::vector<Feature> answer_features(std::string_view text) {
  const std::string_view whole = trimmed(text), body = whole.substr(0, most_bytes);
  const std::size_t line = body.rfind('\n');
  const std::string_view last = line == std::string_view::npos ? body : body.substr(line + 1);
  const char end = body.empty() ? ' ' : whole.back();
  return {{"answer.log_bytes", log_length(whole.size())},
          {"answer.log_lines", log_length(static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n')))},
          {"answer.last_line_log_bytes", log_length(last.size())},
          {"answer.digits", share(body, is_digit)},
          {"answer.empty", body.empty() ? 1.0 : 0.0},
          {"answer.ends_with_digit", is_digit(end) ? 1.0 : 0.0},
          {"answer.ends_with_stop", end == '.' || end == '!' || end == '?' || end == '}' ? 1.0 : 0.0},
          {"answer.unbalanced", log_length(unbalanced(body))},
          {"answer.parses", is_json(whole) ? 1.0 : 0.0}};
}

std::vector<Feature> finish_features(FinishReason reason) {
  return {{"finish.length", reason == FinishReason::length || reason == FinishReason::capped ? 1.0 : 0.0}};
}

std::vector<Feature> score_features(std::span<const TokenScore> scores) {
  std::vector<Feature> out;
  if (scores.empty()) return out;
  std::vector<double> margins, logprobs;
  const std::size_t stride = (scores.size() + most_scores - 1) / most_scores;
  for (std::size_t i = 0; i < scores.size(); i += stride) {
    margins.push_back(static_cast<double>(scores[i].margin));
    logprobs.push_back(static_cast<double>(scores[i].logprob));
  }
  add_quantiles(out, "margin", std::move(margins));
  add_quantiles(out, "logprob", std::move(logprobs));
  return out;
}

bool is_measured(std::string_view name) {
  const auto known = [&](const std::vector<Feature>& features) { return value_of(features, name).has_value(); };
  static const std::vector<TokenScore> one(1);
  return known(prompt_features("")) || known(finish_features(FinishReason::stop)) || known(answer_features("")) ||
         known(score_features(one));
}

std::optional<double> value_of(std::span<const Feature> features, std::string_view name) {
  for (const Feature& f : features)
    if (f.first == name) return f.second;
  return std::nullopt;
}

}  // namespace frugal::calibrate
