// LruTable: at most `capacity` values by 64-bit key; the least recently touched one makes room. Open addressing over an
// array of nodes: a look-up is two multiplications and, mostly, one cache miss. Keys come from outside, so each table
// scatters them by a secret of its own: nobody can choose keys that collide. One thread.
#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace frugal::advisor {

template <class Value>
class LruTable {
 public:
  using Id = std::uint32_t;
  static constexpr Id none = std::numeric_limits<Id>::max();

  explicit LruTable(std::size_t capacity) : capacity_(capacity) { reindex(1024); }

  Id find(std::uint64_t key) const {
    for (std::size_t slot = home(key);; slot = (slot + 1) & mask_) {
      const Id id = index_[slot];
      if (id == none || nodes_[id].key == key) return id;
    }
  }
  /// A new value, as the most recent one; `key` must not be there. Ids of other keys stay valid, the evicted one's
  /// aside.
  Id insert(std::uint64_t key) {
    Id id;
    if (nodes_.size() < capacity_) {
      id = static_cast<Id>(nodes_.size());
      nodes_.push_back({});
      if (nodes_.size() * 2 > index_.size()) reindex(index_.size() * 2);
    } else {
      id = oldest_;
      unlink(id);
      erase_slot(nodes_[id].key);
      ++evicted_;
    }
    nodes_[id].key = key;
    nodes_[id].value = Value{};
    index_[free_slot(key)] = id;
    link(id);
    return id;
  }
  void touch(Id id) {
    if (id == newest_) return;
    unlink(id);
    link(id);
  }
  Value& operator[](Id id) { return nodes_[id].value; }
  std::uint64_t evicted() const { return evicted_; }

 private:
  struct Node {
    std::uint64_t key = 0;
    Id newer = none, older = none;
    Value value{};
  };

  std::size_t home(std::uint64_t key) const {
    std::uint64_t x = (key ^ secret_) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 32U)) * multiplier_;
    return static_cast<std::size_t>(x >> 32U) & mask_;
  }
  std::size_t free_slot(std::uint64_t key) const {
    std::size_t slot = home(key);
    while (index_[slot] != none) slot = (slot + 1) & mask_;
    return slot;
  }
  void reindex(std::size_t slots) {
    const std::vector<Id> old = std::move(index_);
    index_.assign(slots, none);
    mask_ = slots - 1;
    for (const Id id : old)
      if (id != none) index_[free_slot(nodes_[id].key)] = id;
  }
  /// Backward shift: entries that had to walk past the hole move into it.
  void erase_slot(std::uint64_t key) {
    std::size_t hole = home(key);
    while (nodes_[index_[hole]].key != key) hole = (hole + 1) & mask_;
    for (std::size_t next = (hole + 1) & mask_; index_[next] != none; next = (next + 1) & mask_) {
      const std::size_t walked = (next - home(nodes_[index_[next]].key)) & mask_;
      if (walked < ((next - hole) & mask_)) continue;
      index_[hole] = index_[next];
      hole = next;
    }
    index_[hole] = none;
  }
  void unlink(Id id) {
    const Node& n = nodes_[id];
    (n.newer == none ? newest_ : nodes_[n.newer].older) = n.older;
    (n.older == none ? oldest_ : nodes_[n.older].newer) = n.newer;
  }
  void link(Id id) {
    nodes_[id].newer = none;
    nodes_[id].older = newest_;
    (newest_ == none ? oldest_ : nodes_[newest_].newer) = id;
    newest_ = id;
  }

  static std::uint64_t random_bits() {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
  }

  std::uint64_t secret_ = random_bits(), multiplier_ = random_bits() | 1U;
  std::size_t capacity_, mask_ = 0;
  std::vector<Node> nodes_{};
  std::vector<Id> index_{};  ///< [power of two]: node or none
  Id newest_ = none, oldest_ = none;
  std::uint64_t evicted_ = 0;
};

}  // namespace frugal::advisor
