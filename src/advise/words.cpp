#include "advise/words.hpp"

#include <frugal/core/ledger_fields.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace frugal::advisor {

namespace {

std::string printed(const char* pattern, double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), pattern, value);
  return text.data();
}

}  // namespace

std::string percent(double share) {
  if (!std::isfinite(share)) return "unknown";
  const double value = 100 * share;
  return printed(std::abs(value) >= 9.95 || value == 0 ? "%.0f %%" : "%.1f %%", value);
}

std::string number(double value) {
  if (!std::isfinite(value)) return "unknown";
  const double size = std::abs(value);
  return printed(size >= 100 || value == std::floor(value) ? "%.0f"
                 : size >= 10                              ? "%.1f"
                 : size >= 1                               ? "%.2f"
                                                           : "%.3g",
                 value);
}

std::string count(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string milliseconds_text(double ms) {
  if (ms < 1000) return number(ms) + " ms";
  return ms < 120000 ? number(ms / 1000) + " s" : number(ms / 60000) + " min";
}

std::string money(double value, bool relative) {
  if (relative) return number(value * 1e6) + " input tokens' worth";  // a relative price is 1 per million input tokens
  const double size = std::abs(value);
  return "$" + printed(size >= 100 || size == 0 ? "%.2f" : size >= 0.1 ? "%.4f" : "%.3g", value);
}

std::string cost_text(const SliceStats& slice, bool relative) {
  if (relative) return money(slice.cost, true);
  if (slice.cost_is_unknown()) return "unknown";
  return money(slice.cost, false) + (slice.unpriced > 0 ? "+" : "");
}

std::string span_text(double seconds) {
  if (seconds < 120) return number(seconds) + " s";
  if (seconds < 7200) return number(seconds / 60) + " min";
  return seconds < 172800 ? number(seconds / 3600) + " h" : number(seconds / 86400) + " days";
}

std::string interval_text(const Interval& i) {
  return percent(i.estimate) + " (" + percent(i.low) + " to " + percent(i.high) + ")";
}

std::string percentile_text(const Sketch& sketch, double q) {
  const Percentile p = percentile(sketch, q);
  if (!p.value) return "-";
  return milliseconds_text(*p.value) + (p.n_too_small ? "*" : "");
}

std::string_view spoken(Metric metric) {
  return metric == Metric::cost   ? "the bill"
         : metric == Metric::ttft ? "the wait for the first token"
                                  : "the time to the whole answer";
}

std::string_view spoken(Bound bound) {
  return bound == Bound::cost   ? "money"
         : bound == Bound::ttft ? "the first token (TTFT)"
                                : "the tokens after it (TPOT)";
}

std::string_view verdict(const Change& c) {
  if (!c.predicted) return "";
  if (c.as_predicted) return "as predicted";
  return c.saving.low > c.predicted->high ? "more than predicted" : "less than predicted";
}

namespace {

std::string saved_and_spent(double saved, double spent, bool relative) {
  std::string text;
  if (saved > 0) text += "saved " + money(saved, relative);
  if (spent > 0) text += (text.empty() ? "spent " : ", spent ") + money(spent, relative);
  return text;
}

/// "saved 1.2 s of the answers' time (estimate), ...; 140 of 200 drafts kept".
std::string speculation_text(const DraftLedger& d, const LeverCosts& v, bool relative) {
  const double saved = milliseconds(d.saved);
  const std::string money = saved_and_spent(v.speculation_saved, v.speculation_spent, relative);
  return (saved < 0 ? "cost " : "saved ") + milliseconds_text(std::abs(saved)) + " of the answers' time (estimate)" +
         (money.empty() ? "" : ", " + money) + "; " + count(d.accepted) + " of " + count(d.drafted) +
         " drafted tokens kept, in " + count(d.passes) + " passes";
}

}  // namespace

std::vector<LeverAtWork> levers_at_work(const Workload& w) {
  const LeverCosts& v = w.total().levers;
  const DraftLedger& d = w.total().drafts;
  std::vector<LeverAtWork> out;
  const auto add = [&](Lever lever, std::string text) {
    if (!text.empty()) out.push_back({std::string(to_string(lever)), std::move(text)});
  };
  const bool relative = w.relative_prices();
  add(Lever::prefix_cache, saved_and_spent(v.cache_saved, v.cache_spent, relative));
  if (v.cascade_spent > 0) add(Lever::cascade, "spent " + money(v.cascade_spent, relative) + " on answers thrown away");
  if (d.drafted > 0) add(Lever::speculation, speculation_text(d, v, relative));
  return out;
}

std::string short_prefix_text(const ShortPrefix& p) {
  return "the prompts of " + p.type + " share a beginning of " + count(p.shared_tokens) + " tokens, " +
         count(p.lacks()) + " tokens short of the " + count(p.least_tokens) +
         " that the provider's cache needs: with " + count(p.lacks()) + " more that never change it would save " +
         interval_text(p.cost) + " of the bill";
}

std::vector<OwnedTokens> owned_tokens(const SliceStats& slice) {
  const Usage& u = slice.usage;
  const TokenLedger& t = slice.tokens;
  std::vector<OwnedTokens> out;
  std::uint64_t answer = 0;
  for_each_field<TokenLedger>([&](const LedgerField& field, auto member) {
    if (field.kind != FieldKind::tokens) return;
    std::uint64_t tokens = t.*member;
    if (member == &TokenLedger::prompt_computed) tokens = u.input - std::min(u.input, u.cached_read);
    if (member == &TokenLedger::prompt_cached) tokens = u.cached_read;
    const bool is_answer =
        member == &TokenLedger::decoded || member == &TokenLedger::accepted || member == &TokenLedger::forced;
    answer += is_answer ? tokens : 0;
    out.push_back({field.words, tokens});
  });
  out.push_back({answer == 0 ? "answer" : "answer, owner not recorded", u.output - std::min(u.output, answer)});
  return out;
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 3;
  std::string text;
  const std::size_t most = names.size() > shown ? shown - 1 : names.size();
  for (std::size_t i = 0; i < most; ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return names.size() > shown ? text + " and " + std::to_string(names.size() - most) + " more" : text;
}

}  // namespace frugal::advisor
