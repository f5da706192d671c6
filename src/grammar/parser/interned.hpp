// Interned<T>: values stored once and known by number, in the order in which they came. The last ones can be taken back,
// which is how a running answer forgets what it only tried.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace frugal::grammar {

inline std::uint64_t mix_hash(std::uint64_t h, std::uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ULL;
  return h ^ (h >> 29);
}

/// T has operator== and std::uint64_t hash() const.
template <class T>
class Interned {
 public:
  Interned() : table_(256, 0) {}

  std::uint32_t add(const T& value) {
    std::size_t at = slot(value);
    if (table_[at] != 0) return table_[at] - 1;
    values_.push_back(value);
    table_[at] = static_cast<std::uint32_t>(values_.size());
    if (values_.size() * 2 > table_.size()) grow();
    return static_cast<std::uint32_t>(values_.size() - 1);
  }
  const T* find(const T& value) const {
    const std::uint32_t id = table_[slot(value)];
    return id == 0 ? nullptr : &values_[id - 1];
  }
  const T& operator[](std::uint32_t id) const { return values_[id]; }
  std::size_t size() const { return values_.size(); }

  /// Forgets all but the first `size`. Nothing that came later lies on the way to what stays, so freeing slots from the
  /// last one backwards leaves every search path whole.
  void shrink(std::size_t size) {
    while (values_.size() > size) {
      table_[slot(values_.back())] = 0;
      values_.pop_back();
    }
  }
  std::size_t memory() const { return values_.capacity() * sizeof(T) + table_.capacity() * 4; }

 private:
  std::size_t slot(const T& value) const {
    std::size_t at = value.hash() & (table_.size() - 1);
    while (table_[at] != 0 && !(values_[table_[at] - 1] == value)) at = (at + 1) & (table_.size() - 1);
    return at;
  }
  void grow() {
    table_.assign(table_.size() * 2, 0);
    for (std::size_t i = 0; i < values_.size(); ++i) {
      std::size_t at = values_[i].hash() & (table_.size() - 1);
      while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
      table_[at] = static_cast<std::uint32_t>(i + 1);
    }
  }

  std::vector<T> values_;
  std::vector<std::uint32_t> table_;  // open addressing; 0 = free, else id + 1
};

}  // namespace frugal::grammar
