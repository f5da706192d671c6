#include <frugal/advise/report.hpp>

#include "advise/words.hpp"
#include "core/printable.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace frugal {

using namespace advisor;

namespace {

constexpr std::size_t columns = 110, types_shown = 8;

std::string pad(std::string text, std::size_t width) {
  return text + std::string(width - std::min(width, columns_of(text)), ' ');
}
std::string right(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, columns_of(text)), ' ') + text;
}

/// The first characters of a printable text.
std::string first_columns(const std::string& text, std::size_t most) {
  std::size_t end = 0;
  for (std::size_t shown = 0; end < text.size(); ++end) {
    const bool begins_character = (static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80;
    if (begins_character && shown++ == most) break;
  }
  return text.substr(0, end);
}

/// Words broken at `columns`, each line after `indent` blanks, the first one after `head`.
std::string wrapped(const std::string& head, const std::string& text, std::size_t indent) {
  std::string out, line = pad(head, indent);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (line.size() > indent && line.size() + 1 + (end - at) > columns) {
      out += line + "\n";
      line = std::string(indent, ' ');
    }
    line += (line.size() > indent ? " " : "") + text.substr(at, end - at);
    at = end + 1;
  }
  return out + line + "\n";
}

std::string bar(double share) {
  constexpr double width = 20;
  return std::string(static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * width + 0.5), '#');
}

/// "n too small" stands once, below the table whose figures carry a star.
bool has_small_n(const SliceStats& s) { return percentile(s.ttft_ms, 0.99).n_too_small && s.ttft_ms.count() > 0; }

std::string row(const SliceStats& s, double share, const std::string& cost) {
  return "  " + pad(first_columns(s.name, 20), 21) + right(count(s.requests), 9) + right(percent(share), 7) +
         right(cost, 12) + right(percentile_text(s.ttft_ms, 0.5), 11) + right(percentile_text(s.ttft_ms, 0.99), 11) +
         right(percentile_text(s.tpot_ms, 0.5), 11) + right(percentile_text(s.tpot_ms, 0.99), 11) + "\n";
}

std::string types_table(const Workload& w) {
  std::vector<const SliceStats*> order;
  for (const SliceStats& s : w.types()) order.push_back(&s);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->cost > b->cost; });
  const SliceStats& all = w.total();
  const auto cost = [&](const SliceStats& s) { return w.relative_prices() ? std::string("-") : cost_text(s, false); };
  std::string text = "  " + pad("type", 21) + right("requests", 9) + right("bill", 7) + right("cost", 12) +
                     right("TTFT p50", 11) + right("p99", 11) + right("TPOT p50", 11) + right("p99", 11) + "\n";
  for (std::size_t i = 0; i < std::min(order.size(), types_shown); ++i)
    text += row(*order[i], all.cost > 0 ? order[i]->cost / all.cost : 0, cost(*order[i]));
  if (order.size() > types_shown) text += "  and " + std::to_string(order.size() - types_shown) + " more types\n";
  SliceStats sum = all;
  sum.name = "all";
  text += row(sum, all.cost > 0 ? 1 : 0, cost(all));
  if (!w.relative_prices() && all.unpriced > 0)
    text += "  + at least: " + count(all.unpriced) + " requests have a part without a known price\n";
  if (has_small_n(all)) text += "  * n too small: fewer than ten requests lie beyond it\n";
  return text;
}

std::string tokens_table(const Workload& w) {
  const std::vector<OwnedTokens> owners = owned_tokens(w.total());
  double sum = 0;
  for (const OwnedTokens& o : owners) sum += static_cast<double>(o.tokens);
  std::string text;
  for (const auto& [owner, tokens] : owners) {
    if (tokens == 0) continue;
    const double share = static_cast<double>(tokens) / sum;
    text += "  " + pad(std::string(owner), 26) + right(count(tokens), 16) + right(percent(share), 8) + "  " +
            bar(share) + "\n";
  }
  return text;
}

std::string lever_lines(const LeverAdvice& l, std::size_t rank, Metric metric) {
  std::string text = wrapped("  " + std::to_string(rank) + " " + std::string(to_string(l.lever)),
                             "saves " + interval_text(*l.on(metric)) + " of " + std::string(spoken(metric)), 18);
  for (const Metric other : {Metric::cost, Metric::ttft, Metric::e2e})
    if (other != metric && l.on(other))
      text += wrapped("", "and " + interval_text(*l.on(other)) + " of " + std::string(spoken(other)), 18);
  return text + wrapped("    assumes", l.assumption, 18) + wrapped("    to confirm", l.experiment, 18);
}

std::string small_line(const LeverAdvice& l, Metric metric) {
  std::string said;
  if (!l.unknown.empty())
    said = "unknown: " + l.unknown;
  else if (l.on(metric))
    said = interval_text(*l.on(metric)) + " of " + std::string(spoken(metric));
  else if (l.is_unknown(metric))
    said = "unknown: the trace does not say what " + std::string(spoken(metric)) + " is made of";
  else
    said = "saves nothing of " + std::string(spoken(metric));
  for (const Metric other : {Metric::cost, Metric::ttft, Metric::e2e})
    if (other != metric && l.on(other))
      said += ", " + interval_text(*l.on(other)) + " of " + std::string(spoken(other));
  return wrapped("  " + std::string(to_string(l.lever)), said, 18);
}

std::string at_work_text(const char* title, const Workload& w) {
  std::string text;
  for (const LeverAtWork& l : levers_at_work(w)) text += wrapped("  " + l.name, l.text, 18);
  return text.empty() ? text : std::string("\n") + title + "\n" + text;
}

std::string outcome_text(const Report& report) {
  std::string text = "\nBefore and after";
  const LeverOutcome& o = *report.outcome;
  if (o.lever) text += ": " + std::string(to_string(*o.lever));
  text += " (a request's mean; saving with its 90 % interval)\n";
  for (const Change& c : o.changes) {
    const bool cost = c.metric == Metric::cost;
    const auto figure = [&](double v) {
      return cost ? money(v, report.workload->relative_prices()) : milliseconds_text(v);
    };
    text += "  " +
            pad(cost                       ? "cost"
                : c.metric == Metric::ttft ? "TTFT"
                                           : "e2e",
                6) +
            pad(figure(c.before) + " -> " + figure(c.after), 30) + "saved " + interval_text(c.saving);
    if (c.predicted) text += "; predicted " + interval_text(*c.predicted) + ": " + std::string(verdict(c));
    text += "\n";
  }
  for (const std::string& note : o.notes) text += wrapped("  note", note, 18);
  return text;
}

std::string failed_text(const Workload& w) {
  const FailedRequests& f = w.failed();
  if (f.cost <= 0 && f.unpriced == 0) return {};
  return "; and " + (f.cost > 0 ? money(f.cost, w.relative_prices()) : std::string("an unknown sum")) + " for " +
         count(f.requests) + " requests that failed";
}

}  // namespace

std::string advice_text(const Workload& w, const Advice& advice) {
  const Metric metric = advice.metric();
  std::string text = wrapped("Bound by", std::string(spoken(advice.bound)) + ": " + advice.why, 18);
  if (!advice.slices.empty()) {
    const SliceAdvice& s = advice.slices.front();
    text += wrapped("Eaten by",
                    s.type + ": " + percent(s.cost) + " of the bill, " + percent(s.e2e) + " of the time, " +
                        percent(s.tail) + " of the slowest hundredth, " +
                        percent(static_cast<double>(s.requests) /
                                static_cast<double>(std::max<std::uint64_t>(1, w.total().requests))) +
                        " of the requests",
                    18);
  }
  text += "\nLevers worth pulling, by what they save of " + std::string(spoken(metric)) + " (90 % interval)\n";
  std::size_t rank = 0;
  for (const LeverAdvice& l : advice.levers)
    if (l.worth) text += lever_lines(l, ++rank, metric);
  if (rank == 0) text += "  None is worth it.\n";
  if (rank > 1) text += "  Savings overlap: pull one, measure, and ask again.\n";
  if (rank < advice.levers.size()) text += "\nNot worth it here, or not known\n";
  for (const LeverAdvice& l : advice.levers)
    if (!l.worth) text += small_line(l, metric);
  if (!advice.short_prefixes.empty()) text += "\nJust too short for a cache\n";
  for (const ShortPrefix& p : advice.short_prefixes) text += wrapped("  -", short_prefix_text(p), 4);
  if (!advice.unknowable.empty()) text += "\nWhat the trace does not say\n";
  for (const std::string& said : advice.unknowable) text += wrapped("  -", said, 4);
  return text;
}

std::string report_text(const Report& report) {
  const Workload& w = *report.workload;
  const SliceStats& all = w.total();
  std::string text = printable(report.title) + ": " + count(all.requests) + " requests over " + span_text(w.span_s()) +
                     ", " + cost_text(all, w.relative_prices()) + failed_text(w) + "\n\n" + types_table(w) +
                     "\nTokens by owner\n" + tokens_table(w) + at_work_text("Levers at work", w);
  if (report.advice != nullptr) text += "\n" + advice_text(w, *report.advice);
  if (report.after != nullptr) text += at_work_text("Levers at work, after", *report.after);
  if (report.outcome != nullptr) text += outcome_text(report);
  return text;
}

}  // namespace frugal
