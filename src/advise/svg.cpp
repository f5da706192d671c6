#include "advise/svg.hpp"

#include "advise/words.hpp"
#include "core/html.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace frugal::advisor {

namespace {

constexpr double width = 360;

std::string at(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string rect(const std::string& kind, double x, double y, double w, double h) {
  return "<rect class=\"" + kind + "\" x=\"" + at(x) + "\" y=\"" + at(y) + "\" width=\"" + at(std::max(0.0, w)) +
         "\" height=\"" + at(h) + "\"/>";
}

std::string line(const std::string& kind, double x1, double y1, double x2, double y2) {
  return "<line class=\"" + kind + "\" x1=\"" + at(x1) + "\" y1=\"" + at(y1) + "\" x2=\"" + at(x2) + "\" y2=\"" +
         at(y2) + "\"/>";
}

std::string text(double x, double y, const std::string& words, const std::string& anchor = "start",
                 const std::string& kind = "t") {
  return "<text class=\"" + kind + "\" x=\"" + at(x) + "\" y=\"" + at(y) + "\" text-anchor=\"" + anchor + "\">" +
         escaped(words) + "</text>";
}

std::string svg(const std::string& title, double height, const std::string& inside) {
  return "<svg role=\"img\" viewBox=\"0 0 " + at(width) + " " + at(height) + "\" aria-label=\"" + escaped(title) +
         "\"><title>" + escaped(title) + "</title>" + inside + "</svg>\n";
}

/// The bins of a logarithmic axis over all curves.
struct Axis {
  double low = 0, high = 0;
  static constexpr int bins = 36;

  explicit Axis(const std::vector<Curve>& curves) {
    double least = std::numeric_limits<double>::infinity(), most = 0;
    for (const Curve& c : curves) {
      if (c.sketch->count() == 0) continue;
      least = std::min(least, c.sketch->quantile(0.001).value_or(1)), most = std::max(most, c.sketch->max());
    }
    if (most <= 0) return;
    least = std::max({least, most / 1e6, 1e-3});
    const double margin = least == most ? 1.5 : 1.05;
    low = std::log(least / margin), high = std::log(most * margin);
  }
  bool empty() const { return high <= low; }
  double edge(int bin) const { return std::exp(low + (high - low) * bin / bins); }
  double x(double value) const {
    return width * std::clamp((std::log(std::max(value, 1e-9)) - low) / (high - low), 0.0, 1.0);
  }
};

std::vector<double> shares(const Axis& axis, const Sketch& sketch) {
  std::vector<double> bins;
  auto before = 0.0;
  for (int i = 1; i <= Axis::bins; ++i) {
    const auto up_to = static_cast<double>(i == Axis::bins ? sketch.count() : sketch.count_up_to(axis.edge(i)));
    bins.push_back(std::max(0.0, up_to - before) / static_cast<double>(sketch.count()));
    before = std::max(before, up_to);
  }
  return bins;
}

std::string steps(const Axis& axis, const std::vector<double>& bins, double most, double top, double floor,
                  const std::string& kind) {
  std::string path = "M0 " + at(floor);
  for (int i = 0; i < Axis::bins; ++i) {
    const double y = floor - (floor - top) * bins[static_cast<std::size_t>(i)] / most;
    path += " L" + at(axis.x(axis.edge(i))) + " " + at(y) + " L" + at(axis.x(axis.edge(i + 1))) + " " + at(y);
  }
  return "<path class=\"" + kind + " area\" d=\"" + path + " L" + at(width) + " " + at(floor) + " Z\"/>";
}

std::string ticks(const Axis& axis, double floor) {
  std::string out = line("axis", 0, floor, width, floor);
  double last = -100;
  for (double decade = std::pow(10, std::floor(axis.low / std::log(10.0))); decade <= std::exp(axis.high);
       decade *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      const double value = decade * step, x = axis.x(value);
      if (value < std::exp(axis.low) || value > std::exp(axis.high) || x - last < 62 || x < 14 || x > width - 22)
        continue;
      out += line("axis", x, floor, x, floor + 4) + text(x, floor + 15, milliseconds_text(value), "middle", "t small");
      last = x;
    }
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view words) { return html_escaped(words); }

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  constexpr double step = 34;
  std::string inside;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = step * static_cast<double>(i);
    inside += text(0, y + 11, bars[i].label) + text(width, y + 11, bars[i].value, "end") +
              rect("track", 0, y + 16, width, 9) +
              rect(bars[i].kind, 0, y + 16, width * std::clamp(bars[i].share, 0.0, 1.0), 9);
  }
  return svg(title, step * static_cast<double>(bars.size()), inside);
}

std::string whisker_chart(const std::string& title, const std::vector<Whisker>& whiskers) {
  constexpr double step = 38;
  double low = 0;
  for (const Whisker& w : whiskers) low = std::min(low, std::max(-1.0, w.interval.low));
  const auto x = [&](double share) { return width * (std::clamp(share, low, 1.0) - low) / (1 - low); };
  std::string inside;
  for (std::size_t i = 0; i < whiskers.size(); ++i) {
    const double y = step * static_cast<double>(i);
    const Interval& v = whiskers[i].interval;
    const double from = std::min(x(0), x(v.estimate)), to = std::max(x(0), x(v.estimate));
    inside += text(0, y + 11, whiskers[i].label) + text(width, y + 11, interval_text(v), "end") +
              rect("track", 0, y + 17, width, 9) + rect(whiskers[i].worth ? "a" : "d", from, y + 17, to - from, 9) +
              line("mark", x(v.low), y + 21.5, x(v.high), y + 21.5) + line("mark", x(v.low), y + 17, x(v.low), y + 26) +
              line("mark", x(v.high), y + 17, x(v.high), y + 26);
  }
  const double height = step * static_cast<double>(whiskers.size());
  return svg(title, height, inside + line("axis", x(0), 0, x(0), height));
}

std::string distribution_chart(const std::string& title, const std::vector<Curve>& curves) {
  const Axis axis(curves);
  if (axis.empty()) return {};
  constexpr double floor = 150;
  const double top = 18 + 13.0 * static_cast<double>(curves.size());
  double most = 0;
  std::vector<std::vector<double>> all;
  for (const Curve& c : curves) {
    all.push_back(c.sketch->count() == 0 ? std::vector<double>(Axis::bins) : shares(axis, *c.sketch));
    most = std::max(most, *std::max_element(all.back().begin(), all.back().end()));
  }
  std::string inside;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& c = curves[i];
    if (c.sketch->count() == 0) continue;
    inside += steps(axis, all[i], most, top + 6, floor, c.kind);
    for (const double q : {0.5, 0.99}) {
      const double mark = axis.x(*c.sketch->quantile(q));
      inside += line("mark " + c.kind + "m" + (q < 0.9 ? "" : " dashed"), mark, top, mark, floor);
    }
    inside += rect(c.kind, 0, 13.0 * static_cast<double>(i) + 3, 9, 9) +
              text(14, 13.0 * static_cast<double>(i) + 11,
                   c.name + "p50 " + percentile_text(*c.sketch, 0.5) + ", p99 " + percentile_text(*c.sketch, 0.99) +
                       ", n " + count(c.sketch->count()));
  }
  return svg(title, floor + 20, inside + ticks(axis, floor));
}

std::string stack_chart(const std::string& title, const std::vector<Part>& parts) {
  constexpr double legend = 17;
  std::string inside;
  double x = 0, y = 26;
  for (const Part& part : parts) {
    const std::string kind = "s" + std::to_string(part.color);
    inside += rect(kind, x, 0, width * part.share, 14);
    x += width * part.share;
    inside += rect(kind, 0, y, 9, 9) + text(14, y + 8.5, part.label) + text(width, y + 8.5, part.value, "end");
    y += legend;
  }
  return svg(title, y, inside);
}

}  // namespace frugal::advisor
