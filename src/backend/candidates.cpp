#include "backend/candidates.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

namespace frugal::backend {
namespace {

constexpr std::size_t bins = 1024;

/// Bins of equal width over the candidates' logits, the highest first: no candidate of a later bin is above one of an
/// earlier bin.
struct Bins {
  float max = 0.0F, per_unit = 0.0F;
  std::size_t of(float x) const noexcept {
    float below = (max - x) * per_unit;
    below = below > 0.0F ? below : 0.0F;  // NaN is the maximum itself, where it is infinite or stands alone
    below = below < static_cast<float>(bins - 1) ? below : static_cast<float>(bins - 1);
    return static_cast<std::size_t>(static_cast<std::int32_t>(below));
  }
};

Bins bins_over(std::span<const float> x) noexcept {
  float low = std::numeric_limits<float>::max(), high = x.front();
  for (const float v : x) {
    low = v < low && v >= std::numeric_limits<float>::lowest() ? v : low;
    high = v > high ? v : high;
  }
  return {high, static_cast<float>(bins - 1) / (high - low)};
}

}  // namespace

void Candidates::gather(const RowKernels& kernels, const float* row, std::size_t n, float least) {
  reserve(n + row_lanes);
  size = kernels.gather(row, n, least, 0, ids.data(), x.data());
}

void Candidates::add(Token id, float value) {
  ids[size] = id;
  x[size] = value;
  ++size;
}

void Candidates::reserve(std::size_t n) {
  size = 0;
  if (ids.size() >= n) return;
  ids.resize(n);
  x.resize(n);
}

void Candidates::weigh(const RowKernels& kernels, WeightScale scale) {
  if (w.size() < size) w.resize(size);
  kernels.weights(x.data(), size, scale, w.data());
}

std::uint64_t Candidates::total() const noexcept {
  return std::accumulate(w.begin(), w.begin() + static_cast<std::ptrdiff_t>(size), std::uint64_t{0});
}

Token Candidates::at(std::uint64_t target) const noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < size; ++i) {
    sum += w[i];
    if (sum > target) return ids[i];
  }
  return -1;
}

template <class Keep>
void Candidates::keep_if(Keep keep) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size; ++i) {  // without a branch: which stay is as good as random
    const bool stays = keep(i);
    ids[kept] = ids[i];
    x[kept] = x[i];
    w[kept] = w[i];
    kept += stays ? 1 : 0;
  }
  size = kept;
}

void Candidates::cut_after(std::size_t last) {
  const float limit = x[last];
  keep_if([&](std::size_t i) { return x[i] > limit || (x[i] == limit && i <= last); });
}

void Candidates::keep_top_k(std::size_t k) {
  if (k >= size) return;
  order_.resize(size);
  std::iota(order_.begin(), order_.end(), 0U);
  const auto last = order_.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(order_.begin(), last, order_.end(), [&](std::uint32_t a, std::uint32_t b) { return before(a, b); });
  cut_after(*last);
}

// Sums by bins find the bin in which the mass is reached; only what lies in that one is put in order, by halving.
void Candidates::keep_mass(std::uint64_t mass) {
  if (size == 0) return;
  const Bins by = bins_over(std::span(x).first(size));
  bins_.assign(bins, 0);
  bin_.resize(size);
  for (std::size_t i = 0; i < size; ++i) bin_[i] = static_cast<std::uint16_t>(by.of(x[i]));
  for (std::size_t i = 0; i < size; ++i) bins_[bin_[i]] += w[i];
  std::size_t bin = 0;
  std::uint64_t sum = 0;
  for (; bin + 1 < bins && sum + bins_[bin] < mass; ++bin) sum += bins_[bin];
  order_.resize(size + 1);
  std::size_t in_bin = 0;
  for (std::size_t i = 0; i < size; ++i) {
    order_[in_bin] = static_cast<std::uint32_t>(i);
    in_bin += bin_[i] == bin ? 1 : 0;
  }
  order_.resize(in_bin);
  const auto by_order = [&](std::uint32_t a, std::uint32_t b) { return before(a, b); };
  auto first = order_.begin(), end = order_.end();
  while (end - first > 1) {
    const auto middle = first + (end - first) / 2;
    std::nth_element(first, middle, end, by_order);
    std::uint64_t half = 0;
    for (auto i = first; i != middle; ++i) half += w[*i];
    if (sum + half >= mass) {
      end = middle;
    } else {
      sum += half;
      first = middle;
    }
  }
  if (first != order_.end()) cut_after(*first);
}

void Candidates::keep_weight(std::uint64_t least) {
  keep_if([&](std::size_t i) { return w[i] >= least; });
}

std::vector<std::size_t> Candidates::best(std::size_t k) const {
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  k = std::min(k, size);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                    [&](std::size_t a, std::size_t b) { return before(a, b); });
  order.resize(k);
  return order;
}

}  // namespace frugal::backend
