// Members: the endpoints that a composite is made of, as handles that may outlive them, and what a composite passes on
// to all of them.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace frugal {

class Members {
 public:
  struct Member {
    EndpointRef endpoint;
    std::string name;
  };
  /// Throws Error(invalid_argument) where there are none, or one is null; `option` names them there.
  Members(std::span<Endpoint* const> endpoints, const char* option);

  std::size_t size() const { return all_.size(); }
  const Member& operator[](std::size_t i) const { return all_[i]; }
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

  /// Each makes a step; the busiest answer counts.
  Progress step() const;
  void watch(Waker& waker, bool every_step) const;
  void unwatch(Waker& waker) const;
  void wake() const;
  std::optional<TimePoint> next_deadline() const;
  /// Of each; one that is gone accepts nothing.
  std::vector<Load> loads() const;
  /// Running and waiting summed, none where one of them cannot tell; room as the first has it.
  static Load sum(std::span<const Load> loads);

 private:
  std::vector<Member> all_;
};

}  // namespace frugal
