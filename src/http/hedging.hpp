// Hedging: when a request that has not been answered is worth a second try, after Dean and Barroso, "The Tail at Scale"
// (2013): once it has waited longer than all but a hundredth of those before it, and within a share of all requests.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace frugal::http {

class Hedging {
 public:
  explicit Hedging(const HttpHedging& options) : options_(options) {}

  bool on() const noexcept { return options_.budget > 0; }
  /// An answer's first byte came so long after its request.
  void first_byte_after(Duration wait) {
    if (!on()) return;
    if (waits_.size() < window)
      waits_.push_back(wait);
    else
      waits_[next_++ % window] = wait;
    if (waits_.size() >= options_.learn && ++since_ % 16 == 1) limit_ = quantile();
  }
  /// How long a request waits before it gets a second try; none = not known yet, or off.
  std::optional<Duration> patience() const noexcept { return limit_; }
  /// True where one more second try fits the share.
  bool affords(std::uint64_t hedges, std::uint64_t requests) const noexcept {
    return double(hedges + 1) <= options_.budget * double(requests);
  }

 private:
  static constexpr std::size_t window = 512;
  Duration quantile() const {
    std::vector<Duration> sorted(waits_);
    const auto at = std::min(sorted.size() - 1, static_cast<std::size_t>(options_.quantile * double(sorted.size())));
    const auto place = sorted.begin() + static_cast<std::ptrdiff_t>(at);
    std::nth_element(sorted.begin(), place, sorted.end());
    return std::max(*place, options_.least);
  }

  HttpHedging options_;
  std::vector<Duration> waits_{};
  std::size_t next_ = 0, since_ = 0;
  std::optional<Duration> limit_{};
};

}  // namespace frugal::http
