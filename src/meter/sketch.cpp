// DDSketch with a dense store; letters as in the paper: alpha, gamma = (1 + alpha) / (1 - alpha), bin i holds
// (gamma^(i-1), gamma^i] and answers 2 gamma^i / (gamma + 1), the point whose relative error to both ends is alpha.
#include <frugal/meter/sketch.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace frugal {
namespace {

constexpr double smallest = 1e-9;

double checked(double alpha) {
  if (!(alpha > 0) || !(alpha < 1)) throw Error(Errc::invalid_argument, "Sketch: alpha is not in (0, 1)");
  return alpha;
}

}  // namespace

Sketch::Sketch(double alpha, std::size_t most_bins)
    : alpha_(checked(alpha)),
      gamma_((1 + alpha) / (1 - alpha)),
      inverse_log_gamma_(1 / std::log(gamma_)),
      most_bins_(std::max<std::size_t>(most_bins, 1)) {}

int Sketch::bin_of(double value) const { return static_cast<int>(std::ceil(std::log(value) * inverse_log_gamma_)); }

double Sketch::value_of(int bin) const { return 2 * std::pow(gamma_, bin) / (gamma_ + 1); }

// Grows the store to hold `index`. Where it would be longer than most_bins, the lowest bins collapse into the lowest
// that is kept: high quantiles keep their bound.
std::uint64_t& Sketch::bin(int index) {
  if (bins_.empty()) return first_ = index, bins_.emplace_back(0);
  const int last = first_ + static_cast<int>(bins_.size()) - 1;
  const int top = std::max(last, index);
  const int low = std::max(std::min(first_, index), top - static_cast<int>(most_bins_) + 1);
  if (low > first_) {
    const auto cut = static_cast<std::size_t>(std::min(low, last + 1) - first_);
    std::uint64_t collapsed = 0;
    for (std::size_t i = 0; i < cut; ++i) collapsed += bins_[i];
    bins_.erase(bins_.begin(), bins_.begin() + static_cast<std::ptrdiff_t>(cut));
    if (bins_.empty()) bins_.push_back(0);
    first_ = low;
    bins_.front() += collapsed;
  } else if (low < first_) {
    bins_.insert(bins_.begin(), static_cast<std::size_t>(first_ - low), 0);
    first_ = low;
  }
  if (top - first_ >= static_cast<int>(bins_.size())) bins_.resize(static_cast<std::size_t>(top - first_) + 1);
  return bins_[static_cast<std::size_t>(std::max(index, low) - first_)];
}

void Sketch::add(double value, std::uint64_t count) {
  if (count == 0 || std::isnan(value)) return;
  value = std::clamp(value, 0.0, 1e300);
  if (value < smallest) {
    value = 0;
    zeros_ += count;
  } else {
    bin(bin_of(value)) += count;
  }
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = count_ == 0 ? value : std::max(max_, value);
  count_ += count;
  sum_ += value * static_cast<double>(count);
}

void Sketch::merge(const Sketch& other) {
  if (alpha_ != other.alpha_)
    throw Error(Errc::invalid_argument, "Sketch::merge: alpha is " + std::to_string(alpha_) + " here and " +
                                            std::to_string(other.alpha_) + " there");
  if (other.count_ == 0) return;
  for (std::size_t i = other.bins_.size(); i-- > 0;)  // from the top: a collapse then happens at most once
    if (const std::uint64_t n = other.bins_[i]; n > 0) bin(other.first_ + static_cast<int>(i)) += n;
  zeros_ += other.zeros_;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  count_ += other.count_;
  sum_ += other.sum_;
}

void Sketch::clear() { *this = Sketch(alpha_, most_bins_); }

std::optional<double> Sketch::quantile(double q) const {
  if (count_ == 0) return std::nullopt;
  if (q <= 0) return min_;
  if (q >= 1) return max_;
  const auto rank = static_cast<std::uint64_t>(q * static_cast<double>(count_ - 1));
  std::uint64_t seen = zeros_;
  if (rank < seen) return 0.0;
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    seen += bins_[i];
    if (rank < seen) return std::clamp(value_of(first_ + static_cast<int>(i)), min_, max_);
  }
  return max_;
}

std::uint64_t Sketch::count_up_to(double limit) const {
  if (limit >= max_) return count_;
  if (limit < 0) return 0;
  std::uint64_t seen = zeros_;
  if (limit < smallest) return seen;
  for (std::size_t i = 0; i < bins_.size() && value_of(first_ + static_cast<int>(i)) <= limit; ++i) seen += bins_[i];
  return seen;
}

std::uint64_t enough_for(double q) { return static_cast<std::uint64_t>(std::ceil(10 / std::max(1 - q, 1e-9) - 1e-6)); }

Percentile percentile(const Sketch& sketch, double q) {
  return {sketch.quantile(q), sketch.count(), sketch.count() < enough_for(q)};
}

}  // namespace frugal
