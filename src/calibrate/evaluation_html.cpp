// The report page of an evaluation: the cost-quality front as a drawing, what was promised and what came, a table by type.
#include <frugal/calibrate/evaluate.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/html.hpp"

namespace frugal {

namespace {

constexpr const char* style = R"(
:root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1d1d1b;--soft:#5d5d57;--line:#d9d9d2;--a:#2f6fb3;--b:#d07a1e;--c:#3f8f5b}
@media(prefers-color-scheme:dark){:root{--page:#151514;--card:#1f1f1d;--ink:#ecece6;--soft:#a3a39a;--line:#3a3a36;--a:#6aa5e3;--b:#e6a055;--c:#6dbf8b}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.45 system-ui,sans-serif}main{max-width:60rem;margin:0 auto;padding:1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin-top:1rem}h1{font-size:1.35rem}h2{font-size:1.05rem;margin:0 0 .5rem}
.soft{color:var(--soft)}svg{display:block;width:100%;max-width:40rem;height:auto}text{font:11px system-ui,sans-serif;fill:var(--ink)}.axis{stroke:var(--line)}
.policy{fill:none;stroke:var(--a);stroke-width:1.5}.mix{stroke:var(--soft);stroke-dasharray:4 3}.bound{stroke:var(--b);stroke-dasharray:1 3}.tier{fill:var(--b)}.chosen{fill:var(--a)}.oracle{fill:var(--c)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left})";

std::string fixed(double x, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

std::string percent(double x) { return fixed(100 * x, 1) + " %"; }
std::string percent(const std::optional<double>& x, const char* otherwise) { return x ? percent(*x) : otherwise; }

// Maps costs and accuracies to the drawing, 360 x 240 units with a margin for labels.
struct Axes {
  double most_cost, low, high;
  double x(double cost) const { return 40 + 300 * cost / most_cost; }
  double y(double accuracy) const { return 210 - 190 * (accuracy - low) / (high - low); }
};

Axes axes_of(const std::vector<FrontPoint>& front) {
  Axes a{1, 1, 0};
  for (const FrontPoint& p : front) {
    a.most_cost = std::max(a.most_cost, p.cost_share);
    a.low = std::min(a.low, p.accuracy);
    a.high = std::max(a.high, p.accuracy);
  }
  const double room = std::max(0.01, (a.high - a.low) * 0.08);
  a.low -= room;
  a.high += room;
  return a;
}

std::string dot(const Axes& a, const FrontPoint& p, const char* kind) {
  const double x = a.x(p.cost_share), y = a.y(p.accuracy);
  const bool right = x > 260;  // the name then goes to the left
  // The policy's line rises from the cheapest tier: its name goes below.
  const double under = !right && p.name.rfind("tier ", 0) == 0 ? 14 : -6;
  return "<circle class=\"" + std::string(kind) + "\" cx=\"" + fixed(x, 1) + "\" cy=\"" + fixed(y, 1) +
         "\" r=\"4\"/><text x=\"" + fixed(x + (right ? -6 : 6), 1) + "\" y=\"" + fixed(y + under, 1) + "\"" +
         (right ? " text-anchor=\"end\"" : "") + ">" + html_escaped(p.name) + "</text>\n";
}

std::string grid(const Axes& a) {
  std::string out;
  for (int i = 0; i <= 4; ++i) {
    const double accuracy = a.low + (a.high - a.low) * i / 4, cost = a.most_cost * i / 4;
    out += "<line class=\"axis\" x1=\"40\" x2=\"340\" y1=\"" + fixed(a.y(accuracy), 1) + "\" y2=\"" +
           fixed(a.y(accuracy), 1) + "\"/><text x=\"34\" y=\"" + fixed(a.y(accuracy) + 4, 1) +
           "\" text-anchor=\"end\">" + fixed(100 * accuracy, 0) + "</text><text x=\"" + fixed(a.x(cost), 1) +
           "\" y=\"224\" text-anchor=\"middle\">" + fixed(100 * cost, 0) + "</text>\n";
  }
  return out +
         "<text x=\"190\" y=\"238\" text-anchor=\"middle\">cost, % of the last tier</text>"
         "<text x=\"6\" y=\"12\">right, %</text>\n";
}

// The accuracy that was promised: a level line.
std::string bound(const Axes& a, const std::optional<double>& promised) {
  if (!promised || *promised < a.low || *promised > a.high) return {};
  const std::string y = fixed(a.y(*promised), 1);
  return "<line class=\"bound\" x1=\"40\" x2=\"340\" y1=\"" + y + "\" y2=\"" + y + "\"/><text x=\"44\" y=\"" +
         fixed(a.y(*promised) - 4, 1) + "\">promised</text>\n";
}

std::string drawing(const std::vector<FrontPoint>& front, std::optional<double> most_loss) {
  const Axes a = axes_of(front);
  std::string dots, line, mix;
  const FrontPoint *first = nullptr, *last = nullptr;
  std::vector<FrontPoint> curve;
  for (const FrontPoint& p : front) {
    if (p.name == "policy at other thresholds") curve.push_back(p);
    if (p.name == "policy") dots += dot(a, p, "chosen");
    if (p.name == "oracle") dots += dot(a, p, "oracle");
    if (p.name.rfind("tier ", 0) != 0) continue;
    dots += dot(a, p, "tier");
    first = first == nullptr ? &p : first;
    last = &p;
  }
  std::sort(curve.begin(), curve.end(), [](auto& l, auto& r) { return l.cost_share < r.cost_share; });
  for (const FrontPoint& p : curve) line += fixed(a.x(p.cost_share), 1) + "," + fixed(a.y(p.accuracy), 1) + " ";
  if (first != nullptr)
    mix = "<line class=\"mix\" x1=\"" + fixed(a.x(first->cost_share), 1) + "\" y1=\"" + fixed(a.y(first->accuracy), 1) +
          "\" x2=\"" + fixed(a.x(last->cost_share), 1) + "\" y2=\"" + fixed(a.y(last->accuracy), 1) + "\"/>\n";
  if (most_loss && last != nullptr) most_loss = last->accuracy - *most_loss;
  return "<svg viewBox=\"0 0 360 244\" role=\"img\" aria-label=\"Cost and quality\">\n" + grid(a) +
         bound(a, most_loss) + mix + "<polyline class=\"policy\" points=\"" + line + "\"/>\n" + dots + "</svg>\n";
}

std::string row(const std::string& name, const EvaluationOf& e) {
  return "<tr><td>" + html_escaped(name) + "</td><td>" + std::to_string(e.n) + "</td><td>" + percent(e.accepted_share) +
         "</td><td>" + percent(e.error_among_accepted, "none") + "</td><td>" + percent(e.loss_against_last) +
         "</td><td>" + percent(e.cost_share_of_last, "unknown") + "</td></tr>\n";
}

std::string table(const Evaluation& e) {
  std::string out =
      "<div class=\"scroll\"><table><tr><th>type</th><th>requests</th><th>accepted</th><th>wrong of them</th>"
      "<th>accuracy lost</th><th>cost</th></tr>\n" +
      row("all", e.all);
  for (const EvaluationOf& t : e.by_type) out += row(t.type.empty() ? "(no type)" : t.type, t);
  return out + "</table></div>\n";
}

std::optional<double> limit_of_loss(const Guarantee& g) {
  return g.kind == Guarantee::Kind::max_loss ? std::optional(g.limit) : std::nullopt;
}

std::string promise(const FittedCascade& c, const Evaluation& e) {
  const Guarantee& g = c.guarantee();
  const bool loss = g.kind == Guarantee::Kind::max_loss;
  return std::string("Promised, with confidence ") + percent(g.confidence) + ": " +
         (loss ? "an accuracy loss" : "an error among accepted answers") + " of at most " + percent(g.limit) +
         ". On these " + std::to_string(e.all.n) + " outcomes: " +
         (loss ? percent(e.all.loss_against_last) : percent(e.all.error_among_accepted, "none was accepted")) +
         (e.held ? ". It held." : ". It did not hold.");
}

}  // namespace

std::string evaluation_html(const FittedCascade& cascade, const Evaluation& e) {
  return std::string(
             "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
             "content=\"width=device-width,initial-scale=1\"><title>frugal: a cascade, evaluated</title><style>") +
         style + "</style></head><body><main>\n<h1>Cascade: cost and quality</h1>\n<p>" +
         html_escaped(promise(cascade, e)) + "</p>\n<section><h2>Front</h2>\n" +
         drawing(e.front, limit_of_loss(cascade.guarantee())) +
         "<p class=\"soft\">Line: the policy at other thresholds. Dotted, where a loss is bounded: the accuracy that "
         "was "
         "promised. Dashed: a random mix of the cheapest and the last "
         "tier. Area of the gap recovered: " +
         html_escaped(e.area_of_gap_recovered ? fixed(*e.area_of_gap_recovered, 2) : "unknown") +
         " (a random mix has 0.50).</p></section>\n<section><h2>By request type</h2>\n" + table(e) +
         "</section></main></body></html>\n";
}

}  // namespace frugal
