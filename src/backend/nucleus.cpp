#include "backend/nucleus.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace frugal::backend {
namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
constexpr std::size_t samples = 1024;    // about; the peaks come on top
constexpr float bins_per_octave = 8.0F;  // of the weight

/// One group of row_lanes in so many is sampled.
std::size_t stride_of(std::size_t n) noexcept { return std::max<std::size_t>(1, n / samples); }

}  // namespace

// The estimate: the peaks of all lanes, each for itself, and every stride-th group of lanes without what is a peak, for
// stride groups. In small parts, which stay in the first cache.
void Nucleus::estimate(const RowKernels& kernels, const WeighedRow& row) {
  bins_.fill(0);
  estimated_ = 0, squares_ = 0.0;
  for (std::size_t i = 0; i < row.peaks.size(); i += part_size)
    count(kernels, row.scale, row.peaks.subspan(i, std::min(part_size, row.peaks.size() - i)), 1);
  const std::size_t groups = row.x.size() / row_lanes, stride = stride_of(row.x.size());
  std::array<float, part_size> sampled;
  std::size_t n = 0;
  for (std::size_t g = stride / 2; g < groups; g += stride) {
    const float* const x = row.x.data() + g * row_lanes;
    const float* const peak = row.peaks.data() + g * row_lanes / row_block * row_lanes;
    for (std::size_t i = 0; i < row_lanes; ++i) sampled[n + i] = x[i] < peak[i] ? x[i] : minus_infinity;
    n += row_lanes;
    if (n < part_size && g + stride < groups) continue;
    count(kernels, row.scale, std::span(sampled).first(n), stride);
    n = 0;
  }
}

void Nucleus::count(const RowKernels& kernels, WeightScale scale, std::span<const float> x, std::uint64_t times) {
  std::array<std::uint64_t, part_size> weights;
  kernels.weights(x.data(), x.size(), scale, weights.data());
  const float per_unit = scale.scale * bins_per_octave, most = static_cast<float>(bins_.size() - 1);
  std::array<double, 4> squares{};
  for (std::size_t i = 0; i < x.size(); ++i) {
    float below = (scale.max - x[i]) * per_unit;
    below = below > 0.0F ? below : 0.0F;  // NaN is the maximum itself
    const std::uint64_t w = weights[i] * times;
    bins_[static_cast<std::size_t>(below < most ? below : most)] += w;
    estimated_ += w;
    squares[i % 4] += static_cast<double>(w) * static_cast<double>(w);
  }
  if (times > 1) squares_ += squares[0] + squares[1] + squares[2] + squares[3];
}

// The limits stand where the estimate is its own error, once and several times, below and above the share.
void Nucleus::place_limits(const RowKernels& kernels, const WeighedRow& row, float top_p) {
  estimate(kernels, row);
  const double total = static_cast<double>(estimated_);
  const float per_unit = row.scale.scale * bins_per_octave;
  const double share = std::clamp(static_cast<double>(top_p), 0.0, 1.0);
  const double error = std::sqrt(share * (1.0 - share) * squares_) / total;
  constexpr std::array<double, row_limits> errors = {-2.5, -0.6, 0.6, 2.5};
  std::size_t bin = 0;
  double sum = 0.0;
  for (std::size_t l = 0; l < row_limits; ++l) {
    const double wanted = (share + errors[l] * error) * total;
    while (bin < bins_.size() && sum + static_cast<double>(bins_[bin]) <= wanted)
      sum += static_cast<double>(bins_[bin++]);
    const float limit = row.scale.max - static_cast<float>(errors[l] < 0 ? bin : bin + 1) / per_unit;
    limits_[l] = std::isnan(limit) ? minus_infinity : limit;
  }
}

Nucleus::Above Nucleus::weigh(const RowPasses& passes, const WeighedRow& row) {
  const std::size_t blocks = (row.x.size() + row_block - 1) / row_block;
  sums_.resize(blocks * width);
  passes.weigh_above(row.x, row.scale, limits_.data(), sums_.data());
  Above above{};
  for (std::size_t b = 0; b < blocks; ++b)
    for (std::size_t l = 0; l < width; ++l) above[l] += sums_[b * width + l];
  return above;
}

void Nucleus::cut(RowPasses& passes, const WeighedRow& row, float top_p, Candidates& list) {
  const RowKernels& kernels = passes.kernels();
  place_limits(kernels, row, top_p);
  const Above above = weigh(passes, row);
  whole_ = above.back();
  const std::uint64_t mass = std::max<std::uint64_t>(1, share_of(whole_, top_p));  // one token always stays
  const auto reached = [mass](std::uint64_t sum) { return sum >= mass; };
  const auto zone = static_cast<std::size_t>(std::find_if(above.begin(), above.end() - 1, reached) - above.begin());
  const std::uint64_t higher = zone == 0 ? 0 : above[zone - 1];
  kept_.resize(sums_.size() / width);
  for (std::size_t b = 0; b < kept_.size(); ++b) kept_[b] = zone == 0 ? 0 : sums_[b * width + zone - 1];

  // Tokens that would weigh less than the tail even together are not looked at, wherever the limits stand.
  const double tail = static_cast<double>(whole_ - mass) / static_cast<double>(row.x.size());
  const float least =
      std::max(zone < row_limits ? limits_[zone] : minus_infinity, logit_below(row.scale, tail * 0x1p-40));
  LogitRange range{.least = least};
  if (zone > 0) range.below = limits_[zone - 1];
  list.gather(passes, row.x, range);
  last_ = list.find_mass(kernels, row.scale, mass - higher);
  total_ = higher;
  keep_listed(kernels, row.scale, list);
}

// The listed tokens down to `last` join the blocks. Of those as high as `last` itself, the later ones are taken off.
void Nucleus::keep_listed(const RowKernels& kernels, WeightScale scale, const Candidates& list) {
  for (std::size_t b = 0, first = 0; b < kept_.size() && first < list.size; ++b) {
    const auto begin = list.ids.begin() + static_cast<std::ptrdiff_t>(first);
    const auto next = static_cast<Token>((b + 1) * row_block);
    const auto end = std::lower_bound(begin, list.ids.begin() + static_cast<std::ptrdiff_t>(list.size), next);
    const auto n = static_cast<std::size_t>(end - begin);
    const std::uint64_t sum = kernels.weigh_from(list.x.data() + first, n, scale, last_.x);
    kept_[b] += sum;
    total_ += sum;
    first += n;
  }
  std::uint64_t one = 0;
  kernels.weights(&last_.x, 1, scale, &one);
  LogitRange alike{.least = last_.x};
  if (std::isfinite(last_.x)) alike.below = std::nextafter(last_.x, -minus_infinity);
  alike_.reserve(list.size + row_lanes);
  const std::size_t count = kernels.gather(list.x.data(), list.size, alike, alike_.ids.data(), alike_.x.data());
  for (std::size_t i = 0; i < count; ++i) {
    const Token id = list.ids[static_cast<std::size_t>(alike_.ids[i])];
    if (alike_.x[i] != last_.x || id <= last_.id) continue;
    kept_[static_cast<std::size_t>(id) / row_block] -= one;
    total_ -= one;
  }
}

}  // namespace frugal::backend
