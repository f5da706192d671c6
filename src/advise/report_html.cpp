#include <frugal/advise/report.hpp>

#include "advise/svg.hpp"
#include "advise/words.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace frugal {

using namespace advisor;

namespace {

constexpr std::size_t types_shown = 12;

constexpr const char* style = R"(
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1d1d1b;--soft:#5d5d57;--line:#d9d9d2;--track:#ecece6;
--a:#2f6fb3;--b:#d07a1e;--c:#3f8f5b;--d:#9a9a92;--e:#8a5aa8;--f:#b8465a}
@media(prefers-color-scheme:dark){:root{--page:#151514;--card:#1f1f1d;--ink:#ecece6;--soft:#a3a39a;--line:#3a3a36;
--track:#2c2c29;--a:#6aa5e3;--b:#e6a055;--c:#6dbf8b;--d:#77776f;--e:#b98fd6;--f:#e0798b}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1rem}h1{font-size:1.35rem;margin:.3rem 0}h2{font-size:1.02rem;margin:0 0 .6rem}
p{margin:.3rem 0}.soft{color:var(--soft)}.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));margin-top:1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;min-width:0}
.wide{grid-column:1/-1}svg{display:block;width:100%;max-width:34rem;height:auto;overflow:visible}
.t{font:11.5px system-ui,sans-serif;fill:var(--ink)}.small{font-size:11px;fill:var(--soft)}.track{fill:var(--track)}
.a,.s0{fill:var(--a)}.b,.s2{fill:var(--b)}.c,.s1{fill:var(--c)}.d,.s4{fill:var(--d)}.s3{fill:var(--e)}.s5,.s6{fill:var(--f)}.s7,.s8{fill:var(--soft)}
.area{fill-opacity:.55}.axis{stroke:var(--line)}.mark{stroke:var(--ink);stroke-width:1.3}.am{stroke:var(--a)}.bm{stroke:var(--b)}.dashed{stroke-dasharray:3 3}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}dl{margin:0}dt{font-weight:600;margin-top:.7rem}dd{margin:.1rem 0 0}ul{margin:.3rem 0;padding-left:1.1rem}
@media(max-width:40rem){main{padding:.5rem}.card{padding:.75rem}.scroll table{font-size:.75rem}.scroll th,.scroll td{padding:.25rem .15rem;white-space:normal}}
.yes{color:var(--c);font-weight:600}.no{color:var(--f);font-weight:600}
)";

std::string card(const std::string& title, const std::string& inside, bool wide = false) {
  return inside.empty() ? std::string()
                        : std::string("<section class=\"card") + (wide ? " wide" : "") + "\"><h2>" + escaped(title) +
                              "</h2>\n" + inside + "</section>\n";
}

std::string paragraph(const std::string& text, const char* kind = "") {
  return std::string("<p") + (*kind != '\0' ? std::string(" class=\"") + kind + "\"" : "") + ">" + escaped(text) +
         "</p>\n";
}

std::string latency(const Report& r, const char* name, Sketch SliceStats::*sketch) {
  std::vector<Curve> curves{{r.after != nullptr ? r.before_name + ": " : "", &(r.workload->total().*sketch), "a"}};
  if (r.after != nullptr) curves.push_back({r.after_name + ": ", &(r.after->total().*sketch), "b"});
  std::string chart = distribution_chart(name, curves);
  if (chart.empty()) return paragraph("The trace does not record it.", "soft");
  chart += paragraph(
      "Share of requests over time, logarithmic; solid line p50, dashed line p99. * n too small: fewer "
      "than ten requests lie beyond it.",
      "soft");
  return chart;
}

std::vector<const SliceStats*> dearest(const std::vector<SliceStats>& slices) {
  std::vector<const SliceStats*> order;
  for (const SliceStats& s : slices) order.push_back(&s);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->cost > b->cost; });
  if (order.size() > types_shown) order.resize(types_shown);
  return order;
}

std::string costs(const Workload& w, const std::vector<SliceStats>& slices) {
  const double all = w.total().cost;
  std::vector<Bar> bars;
  for (const SliceStats* s : dearest(slices)) {
    const double share = all > 0 ? s->cost / all : 0;
    const std::string figure = w.relative_prices() ? "" : cost_text(*s, false);
    bars.push_back({s->name, figure + (figure.empty() ? "" : ", ") + percent(share), share});
  }
  return bar_chart("Cost by request type", bars);
}

std::vector<Part> owners(const Workload& w) {
  const std::vector<OwnedTokens> all = owned_tokens(w.total());
  double sum = 0;
  for (const OwnedTokens& o : all) sum += static_cast<double>(o.tokens);
  std::vector<Part> parts;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (const auto& [owner, tokens] = all[i]; tokens > 0)
      parts.push_back({std::string(owner), count(tokens), static_cast<double>(tokens) / sum, i});
  return parts;
}

std::string tokens(const Report& r) {
  std::string inside = r.after != nullptr ? paragraph(r.before_name) : "";
  inside += stack_chart("Tokens by owner", owners(*r.workload));
  if (r.after != nullptr) inside += paragraph(r.after_name) + stack_chart("Tokens by owner, after", owners(*r.after));
  return inside;
}

std::string types_table(const Workload& w) {
  std::string rows;
  for (const SliceStats* s : dearest(w.types()))
    rows += "<tr><td>" + escaped(s->name) + "</td><td>" + count(s->requests) + "</td><td>" +
            percentile_text(s->ttft_ms, 0.5) + "</td><td>" + percentile_text(s->ttft_ms, 0.99) + "</td><td>" +
            percentile_text(s->tpot_ms, 0.5) + "</td><td>" + percentile_text(s->tpot_ms, 0.99) + "</td></tr>\n";
  return "<div class=\"scroll\"><table><thead><tr><th>type</th><th>n</th><th>TTFT p50</th><th>p99</th><th>TPOT p50</th>"
         "<th>p99</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string others(const LeverAdvice& l, Metric metric) {
  std::string text;
  for (const Metric other : {Metric::cost, Metric::ttft, Metric::e2e})
    if (other != metric && l.on(other))
      text += (text.empty() ? "Also " : "; ") + interval_text(*l.on(other)) + " of " + std::string(spoken(other));
  return text.empty() ? text : text + ".";
}

std::string levers(const Advice& advice) {
  const Metric metric = advice.metric();
  std::vector<Whisker> whiskers;
  std::string list, unknown;
  for (const LeverAdvice& l : advice.levers) {
    const std::string name(to_string(l.lever));
    if (l.on(metric)) whiskers.push_back({name, *l.on(metric), l.worth});
    if (l.worth)
      list += "<dt>" + name + "</dt><dd>Assumes that " + escaped(l.assumption) +
              ".</dd><dd class=\"soft\">To confirm: " + escaped(l.experiment) + ". " + escaped(others(l, metric)) +
              "</dd>\n";
    else if (!l.unknown.empty())
      unknown += "<li>" + name + ": " + escaped(l.unknown) + "</li>\n";
    else if (!l.on(metric) && l.is_unknown(metric))
      unknown += "<li>" + name + ": unknown: the trace does not say what " + std::string(spoken(metric)) +
                 " is made of. " + escaped(others(l, metric)) + "</li>\n";
    else if (!l.on(metric))
      unknown += "<li>" + name + ": saves nothing of " + std::string(spoken(metric)) + ". " +
                 escaped(others(l, metric)) + "</li>\n";
  }
  std::string inside = paragraph("Bound by " + std::string(spoken(advice.bound)) + ": " + advice.why + ".");
  inside += paragraph(advice.none_worth() ? "None is worth it."
                                          : "Share of " + std::string(spoken(metric)) +
                                                " that each would save, with the 90 % "
                                                "interval. Savings overlap: pull one, measure, ask again.",
                      advice.none_worth() ? "no" : "soft");
  if (!whiskers.empty()) inside += whisker_chart("Levers, ranked", whiskers);
  if (!list.empty()) inside += "<dl>" + list + "</dl>\n";
  std::string near;
  for (const ShortPrefix& p : advice.short_prefixes) near += "<li>" + escaped(short_prefix_text(p)) + "</li>\n";
  if (!near.empty()) inside += "<p>Just too short for a cache:</p><ul>" + near + "</ul>\n";
  if (!unknown.empty())
    inside += "<p class=\"soft\">Not worth it here, or not known:</p><ul class=\"soft\">" + unknown + "</ul>\n";
  return inside;
}

std::string outcome(const Report& r) {
  std::string rows;
  const bool relative = r.workload->relative_prices();
  for (const Change& c : r.outcome->changes) {
    const bool cost = c.metric == Metric::cost;
    const auto figure = [&](double v) { return escaped(cost ? money(v, relative) : milliseconds_text(v)); };
    rows += std::string("<tr><td>") +
            (cost                       ? "cost"
             : c.metric == Metric::ttft ? "TTFT"
                                        : "e2e") +
            "</td><td>" + figure(c.before) + "</td><td>" + figure(c.after) + "</td><td>" + interval_text(c.saving) +
            "</td><td>" + (c.predicted ? interval_text(*c.predicted) : "-") + "</td><td>" +
            (c.as_predicted ? "<span class=\"yes\">" : "<span class=\"no\">") + std::string(verdict(c)) +
            "</span></td></tr>\n";
  }
  std::string inside =
      paragraph((r.outcome->lever ? std::string(to_string(*r.outcome->lever)) + " was pulled. " : std::string()) +
                    "Means of a request, each type weighted as before; savings with their 90 % intervals.",
                "soft");
  inside += "<div class=\"scroll\"><table><thead><tr><th></th><th>" + escaped(r.before_name) + "</th><th>" +
            escaped(r.after_name) + "</th><th>saved</th><th>predicted</th><th></th></tr></thead><tbody>\n" + rows +
            "</tbody></table></div>\n";
  for (const std::string& note : r.outcome->notes) inside += paragraph(note, "soft");
  return inside;
}

std::string at_work(const Report& r) {
  const auto list = [](const Workload& w) {
    std::string items;
    for (const LeverAtWork& l : levers_at_work(w)) items += "<dt>" + l.name + "</dt><dd>" + escaped(l.text) + "</dd>\n";
    return items.empty() ? items : "<dl>" + items + "</dl>\n";
  };
  const std::string before = list(*r.workload), after = r.after != nullptr ? list(*r.after) : "";
  if (r.after == nullptr) return before;
  return (before.empty() ? before : paragraph(r.before_name) + before) +
         (after.empty() ? after : paragraph(r.after_name) + after);
}

std::string gaps(const std::vector<std::string>& said) {
  std::string items;
  for (const std::string& one : said) items += "<li>" + escaped(one) + "</li>\n";
  return items.empty() ? items : "<ul>" + items + "</ul>\n";
}

}  // namespace

std::string report_html(const Report& r) {
  const Workload& w = *r.workload;
  std::string head = count(w.total().requests) + " requests over " + span_text(w.span_s()) + ", " +
                     cost_text(w.total(), w.relative_prices());
  if (!w.relative_prices() && !w.prices().source().empty())
    head += "; prices: " + std::string(w.prices().source()) + ", " + std::string(w.prices().date());
  std::string cards;
  if (r.outcome != nullptr) cards += card("Before and after", outcome(r), true);
  if (r.advice != nullptr) cards += card("Levers", levers(*r.advice), true);
  cards +=
      card("Time to first token", latency(r, "Time to first token", &SliceStats::ttft_ms)) +
      card("Time per output token", latency(r, "Time per output token", &SliceStats::tpot_ms)) +
      card("Cost by request type", costs(w, w.types())) + card("Tokens by owner", tokens(r)) +
      card("Levers at work", at_work(r)) + (w.models().size() > 1 ? card("Cost by model", costs(w, w.models())) : "") +
      card("Latency by request type", types_table(w), true) + card("What the trace does not say", gaps(w.unknowable()));
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\">\n<title>" +
         escaped(r.title) + "</title>\n<style>" + style + "</style></head>\n<body><main><h1>" + escaped(r.title) +
         "</h1>\n" + paragraph(head, "soft") + "<div class=\"cards\">\n" + cards + "</div></main></body></html>\n";
}

}  // namespace frugal
