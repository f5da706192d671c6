#include "engine/tenants.hpp"

#include <algorithm>
#include <limits>

namespace frugal {

Tenants::Group& Tenants::arrive(std::int32_t priority, const std::string& tenant, TimePoint now) {
  if (groups_.size() >= next_look_) forget_old();
  const auto [at, opened] = groups_.try_emplace({priority, tenant});
  Group& group = at->second;
  if (opened) {
    const auto weight = weights_.find(tenant);
    if (weight != weights_.end()) group.weight = weight->second;
  }
  if (group.live == 0) {
    double least = std::numeric_limits<double>::infinity();
    for (auto g = groups_.lower_bound({priority, {}}); g != groups_.end() && g->first.first == priority; ++g)
      if (g->second.live > 0) least = std::min(least, g->second.served);
    if (least != std::numeric_limits<double>::infinity()) group.served = std::max(group.served, least);
    group.last_served = now;
  }
  ++group.live;
  return group;
}

void Tenants::forget_old() {
  std::erase_if(groups_, [](const auto& entry) { return entry.second.live == 0; });
  next_look_ = std::max<std::size_t>(256, 2 * groups_.size());
}

}  // namespace frugal
