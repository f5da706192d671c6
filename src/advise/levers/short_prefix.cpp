// Shared beginnings that are just too short for a provider's cache. Padded to the least length, the beginning is read at
// the cached rate by every later request; what it costs is the added tokens.
#include "advise/levers/levers.hpp"

#include <algorithm>

namespace frugal::advisor {

namespace {

constexpr std::size_t least_rows = 10;
constexpr double least_share = 0.2;     // of a type's requests
constexpr double least_saving = 0.005;  // of the bill

/// What one request pays less where `padding` tokens more are shared: they and the beginning are read from the cache,
/// or, where the cache misses, paid as input.
double saved_of(const Row& row, double padding, double hit_rate) {
  if (row.short_by_little <= 0 || row.short_by_little + padding < row.least) return 0;
  const double whole = row.short_by_little + padding;
  const double hit = row.short_by_little * row.per_input - whole * row.per_read;
  return hit_rate * hit - (1 - hit_rate) * padding * row.per_input;
}

std::optional<ShortPrefix> short_prefix_of(const Facts& facts, std::uint32_t type) {
  std::vector<double> shared;
  double least = 0, rows = 0;
  for (const Row& row : facts.rows) {
    if (row.type != type) continue;
    ++rows;
    if (row.short_by_little <= 0) continue;
    shared.push_back(row.short_by_little);
    least = std::max(least, row.least);
  }
  if (shared.size() < least_rows || static_cast<double>(shared.size()) < least_share * rows) return std::nullopt;
  const auto middle = shared.begin() + static_cast<std::ptrdiff_t>(shared.size() / 2);
  std::nth_element(shared.begin(), middle, shared.end());
  const double padding = least - *middle;
  const Savings savings = estimate(facts.rows, [=](const Row& row, Level level) -> Saved {
    if (row.type != type) return {};
    const double hit_rate = level == Level::low ? row.hit_low : level == Level::high ? row.hit_high : row.hit_likely;
    return {.cost = saved_of(row, padding, hit_rate)};
  });
  if (!savings.cost || savings.cost->estimate < least_saving) return std::nullopt;
  return ShortPrefix{.type = facts.workload.types()[type].name,
                     .requests = shared.size(),
                     .shared_tokens = static_cast<std::uint64_t>(*middle),
                     .least_tokens = static_cast<std::uint64_t>(least),
                     .cost = *savings.cost};
}

}  // namespace

std::vector<ShortPrefix> find_short_prefixes(const Facts& facts) {
  std::vector<ShortPrefix> out;
  for (std::size_t i = 0; i < facts.workload.types().size(); ++i)
    if (auto found = short_prefix_of(facts, static_cast<std::uint32_t>(i))) out.push_back(std::move(*found));
  std::stable_sort(out.begin(), out.end(),
                   [](const ShortPrefix& a, const ShortPrefix& b) { return a.cost.estimate > b.cost.estimate; });
  return out;
}

}  // namespace frugal::advisor
