#include "advise/latency.hpp"

#include <algorithm>
#include <cmath>

namespace frugal::advisor {

namespace {

constexpr double least_points = 20, largest_error = 0.3;
constexpr double least_output = 16;    // tokens: shorter answers have no pace
constexpr double most_stalled = 0.95;  // of a decode time, where it is estimated

/// Least squares of y on x; the slope's half width at the confidence level.
struct Line {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;

  void add(double at, double value) { ++n, x += at, y += value, xx += at * at, xy += at * value, yy += value * value; }
  double spread() const { return xx - x * x / n; }
  double slope() const { return (xy - x * y / n) / spread(); }
  double constant() const { return (y - slope() * x) / n; }
  double half_width() const {
    const double residual = std::max(0.0, yy - y * y / n - slope() * slope() * spread());
    return student(n - 2) * std::sqrt(residual / (n - 2) / spread());
  }
  bool is_clear() const {
    return n >= least_points && spread() > 1e-9 * xx && slope() > 0 && half_width() < largest_error * slope();
  }
};

double service_ms(const Row& row) { return std::max(0.0, row.ttft_ms - (std::isnan(row.queue_ms) ? 0 : row.queue_ms)); }

double at_level(const Interval& i, Level level) {
  return level == Level::low ? i.low : level == Level::high ? i.high : i.estimate;
}

}  // namespace

double PrefillModel::saved_ms(const Row& row, double tokens, Level level) const {
  if (std::isnan(row.ttft_ms) || tokens <= 0) return 0;
  const double service = service_ms(row) - stalls.wait_ms(row, Level::likely);
  if (measured) return std::min(service, at_level(slope_ms, level) * tokens);
  constexpr Interval proportional{0.8, 0.5, 1.0};
  return service * at_level(proportional, level) * std::min(1.0, tokens / std::max(1.0, row.prompt - row.cached));
}

double StallModel::stalled_ms(const Row& row, Level level) const {
  if (std::isnan(row.decode_ms) || row.decode_ms <= 0) return 0;
  if (!std::isnan(row.stalled_ms)) return row.stalled_ms;
  if (source != Source::pace || std::isnan(row.others)) return 0;
  return std::clamp(at_level(token_ms, level) * row.others, 0.0, most_stalled * row.decode_ms);
}

double StallModel::wait_ms(const Row& row, Level level) const {
  if (std::isnan(row.ahead) || std::isnan(row.ttft_ms)) return 0;
  return std::min(service_ms(row), at_level(token_ms, level) * row.ahead);
}

// At most all of the wait but the passes that it begins and ends in is in proportion to the tokens computed in it.
double Relief::wait_ms(const Row& row, const Share& gone, double known, Level level) const {
  if (std::isnan(row.ttft_ms)) return 0;
  const double service = service_ms(row), ahead = std::isnan(row.ahead) ? 0 : row.ahead;
  const double others = std::min(service - known, gone.all * stalls.wait_ms(row, level));
  const double tokens = std::max(1.0, row.prompt - row.cached + ahead);
  const double pass = row.output > 1 ? (row.decode_ms - stalls.stalled_ms(row, level)) / (row.output - 1) : 0;
  const double most = service * std::min(1.0, (gone.own + gone.all * ahead) / tokens) -
                      (level == Level::high ? 0.5 : 1.5) * pass - known;
  return std::max(0.0, level == Level::low ? others : std::max(others, most));
}

double Relief::decode_ms(const Row& row, const Share& gone, Level level) const {
  // A short rest of a prompt costs more a token than a full chunk.
  constexpr Interval proportional{0.97, 0.85, 1.0};
  const double stalled = stalls.stalled_ms(row, level);
  if (stalled <= 0) return 0;
  const double share = std::clamp(gone.all * at_level(proportional, level), 0.0, 1.0);
  const double same_prompts = stalled * share;
  const double same_demand = same_prompts / (1 - stalled / row.decode_ms * (1 - share));
  return level == Level::low ? same_prompts : same_demand + thinned(row, same_demand, level);
}

// Answers that end sooner are fewer at a time (Little 1961), so a pass of theirs has fewer rows.
double Relief::thinned(const Row& row, double saved, Level level) const {
  // Measured against the requests in flight at the start, so rather too low.
  const double v = level == Level::high ? std::max(decode.row.high, usual_row) : decode.row.estimate;
  const double rest = row.decode_ms - saved, n = row.in_flight;
  const double fewer = std::max(1.0, n * rest / row.decode_ms);
  return rest * (1 - (1 + v * (fewer - 1)) / (1 + v * (n - 1)));
}

StallModel fit_stalls(const std::vector<Row>& rows) {
  StallModel model;
  Line line;
  double recorded = 0, decode = 0, stalled = 0, others = 0;
  for (const Row& row : rows) {
    if (std::isnan(row.decode_ms) || row.decode_ms <= 0) continue;
    decode += row.decode_ms;
    if (!std::isnan(row.stalled_ms)) ++recorded, model.share += row.stalled_ms;
    if (!std::isnan(row.stalled_ms) && !std::isnan(row.others)) stalled += row.stalled_ms, others += row.others;
    if (row.output >= least_output && !std::isnan(row.others))
      line.add(row.others / row.decode_ms, -(row.output - 1) / row.decode_ms);
  }
  if (recorded > 0) {
    model.source = StallModel::Source::recorded;
    const double each = others > 0 ? stalled / others : 0;
    model.token_ms = {each, 0.8 * each, 1.2 * each};
  } else if (line.n >= least_points && line.is_clear() && line.constant() < 0) {
    model.source = StallModel::Source::pace;
    const double slope = line.slope() / -line.constant(), half = line.half_width() / -line.constant();
    // The line also sees the requests in flight, whose rows slow a step down and which come with the prompts.
    model.token_ms = {0.9 * slope, std::max(0.0, 0.5 * slope - half), slope + half};
    for (const Row& row : rows) model.share += model.stalled_ms(row, Level::likely);
  }
  model.share /= std::max(1e-9, decode);
  return model;
}

PrefillModel fit_prefill(const std::vector<Row>& rows, const StallModel& stalls) {
  Line line;
  for (const Row& row : rows)
    if (!std::isnan(row.ttft_ms))
      line.add(row.prompt - row.cached, service_ms(row) - stalls.wait_ms(row, Level::likely));
  if (line.n < least_points || !line.is_clear()) return {.stalls = stalls};
  const double slope = line.slope(), half = line.half_width();
  return {stalls, true, {slope, slope - half, slope + half}};
}

DecodeModel fit_decode(const std::vector<Row>& rows, const Interval& usual, const StallModel& stalls) {
  Line line;
  double tokens = 0, weighted = 0;
  for (const Row& row : rows) {
    if (std::isnan(row.decode_ms) || std::isnan(row.ttft_ms) || row.output < least_output) continue;
    line.add(row.in_flight - 1, (row.decode_ms - stalls.stalled_ms(row, Level::likely)) / (row.output - 1));
    tokens += row.output, weighted += row.output * row.in_flight;
  }
  DecodeModel model{.row = usual};
  if (line.n < least_points || !line.is_clear() || line.constant() <= 0) return model;
  const double row = line.slope() / line.constant(), half = line.half_width() / line.constant();
  if (row > 1) return model;  // requests that push each other aside, not rows of one step
  model.measured = true, model.in_flight = weighted / tokens;
  model.row = {row, std::max(0.0, row - half), row + half};
  return model;
}

}  // namespace frugal::advisor
