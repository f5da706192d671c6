#include "backend/candidates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

namespace frugal::backend {
namespace {

constexpr std::size_t few = 48;  // are put in order at once

struct Range {
  float low, high;
};

Range range_of(std::span<const float> x) noexcept {
  std::array<float, row_lanes> low, high;  // as many chains of comparisons, so that none waits for another
  low.fill(x.front());
  high.fill(x.front());
  std::size_t i = 0;
  for (; i + row_lanes <= x.size(); i += row_lanes) {
    for (std::size_t l = 0; l < row_lanes; ++l) {
      low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
      high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
    }
  }
  for (; i < x.size(); ++i) {
    low[0] = x[i] < low[0] ? x[i] : low[0];
    high[0] = x[i] > high[0] ? x[i] : high[0];
  }
  return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

}  // namespace

float logit_below(WeightScale scale, double weight) noexcept {
  if (!(weight > 0.0) || !(scale.scale > 0.0F)) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(static_cast<double>(scale.max) +
                            (std::log2(weight) - 0.01) / static_cast<double>(scale.scale));
}

std::uint64_t share_fraction(float share) noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(std::max(share, 0.0F)) * 0x1p64);
}

std::uint64_t least_weight_of(float min_p) noexcept {
  if (!(min_p > 0.0F)) return 0;
  return std::min(weight_one, static_cast<std::uint64_t>(static_cast<double>(min_p) * 0x1p40));
}

std::uint64_t share_of(std::uint64_t total, float share) noexcept {
  const std::uint64_t fraction = share_fraction(share);
  return multiply_high(total, fraction) + (total * fraction != 0 ? 1 : 0);
}

void Candidates::gather(RowPasses& passes, std::span<const float> row, LogitRange range) {
  reserve(RowPasses::gathered_room(row.size()));
  size = passes.gather(row, range, ids.data(), x.data());
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

void Candidates::cut_after(Place last) {
  keep_if([&](std::size_t i) { return x[i] > last.x || (x[i] == last.x && ids[i] <= last.id); });
}

void Candidates::keep_top_k(std::size_t k) {
  if (k >= size) return;
  order_.resize(size);
  std::iota(order_.begin(), order_.end(), 0U);
  const auto last = order_.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(order_.begin(), last, order_.end(), [&](std::uint32_t a, std::uint32_t b) { return before(a, b); });
  cut_after({x[*last], ids[*last]});
}

// That fifth of the part's range of logits in which the mass is reached; takes what stands before it off the mass.
Candidates::Part Candidates::narrow(const RowKernels& kernels, WeightScale scale, const Part& part, ListMemory& memory,
                                    std::uint64_t& mass) {
  const auto [low, high] = range_of({part.x, part.size});
  std::array<float, row_limits> limits;
  const float lowest = std::max(low, logit_below(scale, 0x1p-41));  // nothing below weighs anything
  for (std::size_t l = 0; l < row_limits; ++l)
    limits[l] = high - (high - lowest) * static_cast<float>(l + 1) / static_cast<float>(row_limits + 1);
  std::array<std::uint64_t, row_limits + 1> sums;
  kernels.weigh_above(part.x, part.size, scale, limits.data(), sums.data());
  std::size_t zone = 0;
  while (zone < row_limits && sums[zone] < mass) ++zone;
  LogitRange range{.least = zone < row_limits ? limits[zone] : -std::numeric_limits<float>::infinity()};
  if (zone > 0) range.below = limits[zone - 1];
  memory.reserve(part.size + row_lanes);
  const std::size_t kept = kernels.gather(part.x, part.size, range, memory.ids.data(), memory.x.data());
  for (std::size_t i = 0; i < kept; ++i) memory.ids[i] = part.ids[static_cast<std::size_t>(memory.ids[i])];
  if (kept > 0 && kept < part.size && zone > 0) mass -= sums[zone - 1];
  return {memory.x.data(), memory.ids.data(), kept};
}

Place Candidates::find_mass(const RowKernels& kernels, WeightScale scale, std::uint64_t mass) {
  Part part{x.data(), ids.data(), size};
  for (std::size_t turn = 0; part.size > few; turn ^= 1) {
    const Part next = narrow(kernels, scale, part, memory_[turn], mass);
    if (next.size == 0 || next.size == part.size) break;  // all alike, or a range without an end
    part = next;
  }
  return reach(kernels, scale, part, mass);
}

// Where the mass is reached in the part, by halving.
Place Candidates::reach(const RowKernels& kernels, WeightScale scale, const Part& part, std::uint64_t mass) {
  part_weights_.resize(part.size);
  kernels.weights(part.x, part.size, scale, part_weights_.data());
  order_.resize(part.size);
  std::iota(order_.begin(), order_.end(), 0U);
  const auto by_order = [&](std::uint32_t a, std::uint32_t b) {
    return part.x[a] != part.x[b] ? part.x[a] > part.x[b] : a < b;
  };
  auto first = order_.begin(), end = order_.end();
  for (std::uint64_t sum = 0; end - first > 1;) {
    const auto middle = first + (end - first) / 2;
    std::nth_element(first, middle, end, by_order);
    std::uint64_t half = 0;
    for (auto i = first; i != middle; ++i) half += part_weights_[*i];
    if (sum + half >= mass) {
      end = middle;
    } else {
      sum += half;
      first = middle;
    }
  }
  return {part.x[*first], part.ids[*first]};
}

void Candidates::keep_mass(const RowKernels& kernels, WeightScale scale, std::uint64_t mass) {
  if (size > 0 && total() >= mass) cut_after(find_mass(kernels, scale, std::max<std::uint64_t>(1, mass)));
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
