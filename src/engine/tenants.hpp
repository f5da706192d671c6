// Tenants: who has been served how much. One group for each (priority, tenant) with live requests; among groups of one
// priority the least served one is admitted first: the virtual token counter of Sheng et al. 2024 ("Fairness in serving
// large language models"). A group that comes back starts no lower than the least served live one, so that nobody saves
// up credit while away. Driving thread only.
#pragma once

#include <frugal/core/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace frugal {

class Tenants {
 public:
  struct Group {
    double served = 0;  ///< prompt tokens computed and answer tokens, divided by the weight
    double weight = 1;
    TimePoint last_served{};  ///< or came in; what longest_wait is counted from
    std::uint32_t live = 0;   ///< requests without a Finish
  };
  using Key = std::pair<std::int32_t, std::string>;

  explicit Tenants(const std::map<std::string, double>& weights) : weights_(weights) {}

  /// The group of one more live request; stays where it is until leave(). May throw bad_alloc, then nothing changed.
  Group& arrive(std::int32_t priority, const std::string& tenant, TimePoint now);
  void leave(Group& group) noexcept { --group.live; }
  std::size_t groups() const noexcept { return groups_.size(); }
  static void charge(Group& group, std::uint64_t tokens, TimePoint now) noexcept {
    group.served += static_cast<double>(tokens) / group.weight;
    group.last_served = now;
  }

 private:
  void forget_old();

  const std::map<std::string, double>& weights_;
  std::map<Key, Group> groups_;
  std::size_t next_look_ = 256;  // groups at which those without live requests go
};

}  // namespace frugal
