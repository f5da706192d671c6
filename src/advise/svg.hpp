// The report's charts as inline SVG. All are 360 units wide, so that their text is readable on a phone; colours come
// from the page's style, by class.
#pragma once

#include <frugal/advise/advisor.hpp>

#include <string>
#include <vector>

namespace frugal::advisor {

std::string escaped(std::string_view text);  ///< for HTML text and attributes

struct Bar {
  std::string label, value;
  double share = 0;        ///< of the chart's width
  std::string kind = "a";  ///< a, b, c or d: the colour
};
/// Horizontal bars, each with its label above and its value at the right.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);

struct Whisker {
  std::string label;
  Interval interval{};
  bool worth = false;
};
/// Bars from zero with the interval over each; the axis goes from the lowest low (at most 0) to 100 %.
std::string whisker_chart(const std::string& title, const std::vector<Whisker>& whiskers);

struct Curve {
  std::string name;
  const Sketch* sketch = nullptr;
  std::string kind = "a";
};
/// Shares of requests over a logarithmic time axis, with a line at each p50 and p99.
std::string distribution_chart(const std::string& title, const std::vector<Curve>& curves);

struct Part {
  std::string label, value;
  double share = 0;
  std::size_t color = 0;  ///< of nine: the same owner has the same one in every chart
};
/// One stacked bar and its legend.
std::string stack_chart(const std::string& title, const std::vector<Part>& parts);

}  // namespace frugal::advisor
