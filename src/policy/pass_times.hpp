// PassTimes: how long a pass of so many rows takes, learned from passes as they happen. Rows that were never seen lie
// on the line between those that were. Each pass corrects its own point by a tenth and all others a little, in
// proportion: contexts grow and machines slow down for every number of rows alike. A single slow pass counts at most
// twice over.
#pragma once

#include <cstdint>
#include <vector>

namespace frugal {

class PassTimes {
 public:
  void observe(std::uint32_t rows, double seconds);
  /// Of more rows than these the times lean a little to what they would be in proportion, where they were longer: a
  /// number of rows that was slow for a while, and is avoided since, comes to be tried again.
  void doubt_above(std::uint32_t rows) noexcept;
  bool empty() const noexcept { return points_.empty(); }
  /// 0 while nothing was observed. With one point a row more costs nothing more. O(log points).
  double seconds(std::uint32_t rows) const noexcept;

 private:
  struct Point {
    std::uint32_t rows;
    double seconds;
  };
  static std::uint32_t rounded(std::uint32_t rows) noexcept;

  std::vector<Point> points_;  // by rows
};

}  // namespace frugal
