// Bursts: whether the requests of a type come in bursts with long silence between them, as jobs do and people do not.
#pragma once

#include <cstdint>

namespace frugal::advisor {

class Bursts {
 public:
  void add(double at) {
    if (n_ == 0 || at - last_ > gap_s) close(), start_ = at;
    ++run_, ++n_;
    last_ = at;
  }
  /// In a trace that spans `span_s`: at least `most_of` of the requests came in runs of at least `least_run` with gaps
  /// of at most `gap_s`, and these runs fill at most `little_time` of the span.
  bool deferrable(double span_s) const {
    Bursts ended = *this;
    ended.close();
    return span_s >= least_span_s && static_cast<double>(ended.in_bursts_) >= most_of * static_cast<double>(n_) &&
           ended.busy_s_ <= little_time * span_s;
  }
  static constexpr double gap_s = 30, least_span_s = 3600, most_of = 0.8, little_time = 0.1;
  static constexpr std::uint64_t least_run = 20;

 private:
  void close() {
    if (run_ >= least_run) in_bursts_ += run_, busy_s_ += last_ - start_;
    run_ = 0;
  }
  double start_ = 0, last_ = 0, busy_s_ = 0;
  std::uint64_t run_ = 0, in_bursts_ = 0, n_ = 0;
};

}  // namespace frugal::advisor
