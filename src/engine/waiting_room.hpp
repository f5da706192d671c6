// WaitingRoom: requests that are not running. Those that may be admitted stand in one line for each (priority, tenant), by
// age. Those that wait for something else are set aside and cost nothing a step: followers of a prefix that a running
// sequence computes, and sequences whose reader is behind. Driving thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "engine/sequence.hpp"

namespace frugal {

class WaitingRoom {
 public:
  using Held = std::shared_ptr<Sequence>;

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// May throw bad_alloc, then nothing has changed.
  void add(Held sequence);
  /// Takes it out, wherever it stands.
  void remove(const Held& sequence) noexcept;
  /// Who is next in line: urgent ones, then the higher priority, then those that ran before, then the least served tenant,
  /// then the oldest. Null: nobody stands in line. O(lines).
  Held next() const;
  /// The first of the line of each group: who is oldest there.
  template <class See>
  void each_first(See see) const {
    for (const auto& [group, line] : lines_) see(line.begin()->second);
  }
  template <class See>
  void each(See see) const {
    for (const auto& [group, line] : lines_)
      for (const auto& [age, s] : line) see(s);
    for (const Held& s : readers_) see(s);
    for (const Followed& f : followed_)
      for (const auto& [tokens, s] : f.followers) see(s);
  }

  /// Sets one from the line aside until `leader` has computed `tokens`, or computes no more.
  void follow(const Held& sequence, const Held& leader, std::uint32_t tokens);
  /// Sets one aside until its reader has caught up.
  void await_reader(const Held& sequence);
  /// Brings back into line who has waited for what is there now, or will not come. O(leaders + readers + those moved).
  void recall();
  void sweep() noexcept;

 private:
  using Line = std::map<std::uint64_t, Held>;  // by age
  struct Followed {
    Held leader;
    std::multimap<std::uint32_t, Held> followers;  // by the tokens they wait for
  };
  void to_line(const Held& sequence);
  bool take_from_line(const Held& sequence) noexcept;

  std::map<const Tenants::Group*, Line> lines_;
  std::vector<Followed> followed_;
  std::vector<Held> readers_;
  std::size_t size_ = 0;
};

}  // namespace frugal
