// What this processor's multiply units and memory offer to one thread, by small loops: nothing but the instruction in
// question on registers or tiles, and plain reads of working sets of rising size.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace bench {

/// The least time of one call of f, out of as many as `budget` seconds hold (at least 3).
template <class F>
double least_seconds(double budget, F&& f) {
  double least = 1e30, spent = 0.0;
  for (int i = 0; i < 3 || spent < budget; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    least = std::min(least, s), spent += s;
  }
  return least;
}

struct Peak {
  std::string what;
  double per_second;  ///< multiply-adds; 0: this processor has no such instruction
  bool integer;
};

struct Reads {
  std::size_t bytes;
  double bytes_per_second;
};

struct Peaks {
  double clock_hz;  ///< of a loop of dependent one-cycle steps
  std::vector<Peak> multiply;
  std::vector<Reads> reads;

  /// The greatest peak in whole numbers, or in fp32.
  double most(bool integer) const {
    double m = 0.0;
    for (const Peak& p : multiply)
      if (p.integer == integer && (integer || p.what.ends_with("fp32"))) m = std::max(m, p.per_second);
    return m;
  }
};

Peaks measure_peaks();
void print(const Peaks& peaks);

}  // namespace bench
