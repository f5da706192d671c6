#include "grammar/expr/counters.hpp"

#include "grammar/limits.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

// A state is the range of literals that begin with what was read, and how many bytes that was.
class Literals : public Counter {
 public:
  explicit Literals(std::vector<std::string> literals) : literals_(std::move(literals)) {
    std::sort(literals_.begin(), literals_.end());
    literals_.erase(std::unique(literals_.begin(), literals_.end()), literals_.end());
    if (literals_.size() >= kMostLiterals) over_limit("a choice of more than 16 million texts");
    for (const std::string& l : literals_) {
      if (l.size() > 0xFFFF) over_limit("a literal of more than 65,535 bytes");
      bytes_ += sizeof(l) + l.size();
    }
  }

  std::uint64_t start() const override { return literals_.empty() ? kDead : pack({0, literals_.size(), 0}); }
  bool accepts(std::uint64_t state) const override {
    const State s = unpack(state);
    return literals_[s.first].size() == s.depth;  // the shortest of a range is first
  }
  std::uint64_t step(std::uint64_t state, std::uint8_t b) const override {
    const State s = unpack(state);
    const auto begin = literals_.begin() + static_cast<std::ptrdiff_t>(s.first);
    const auto end = literals_.begin() + static_cast<std::ptrdiff_t>(s.last);
    const auto key = [&](const std::string& l) {
      return l.size() > s.depth ? static_cast<std::uint8_t>(l[s.depth]) : -1;
    };
    const auto low = std::partition_point(begin, end, [&](const std::string& l) { return key(l) < b; });
    const auto high = std::partition_point(low, end, [&](const std::string& l) { return key(l) <= b; });
    if (low == high) return kDead;
    return pack({static_cast<std::size_t>(low - literals_.begin()), static_cast<std::size_t>(high - literals_.begin()),
                 s.depth + 1});
  }
  bool ends(std::uint64_t state) const override {
    const State s = unpack(state);
    return s.last == s.first + 1 && literals_[s.first].size() == s.depth;
  }
  bool always_live() const override { return true; }
  std::size_t bytes() const override { return bytes_; }

 private:
  struct State {
    std::size_t first, last, depth;
  };
  static constexpr std::size_t kMostLiterals = std::size_t{1} << 24;
  static std::uint64_t pack(const State& s) {
    return (std::uint64_t{s.first} << 40) | (std::uint64_t{s.last} << 16) | s.depth;
  }
  static State unpack(std::uint64_t s) { return {s >> 40, (s >> 16) & 0xFFFFFF, s & 0xFFFF}; }

  std::vector<std::string> literals_;
  std::size_t bytes_ = sizeof(*this);
};

}  // namespace

std::shared_ptr<const Counter> one_of_literals(std::vector<std::string> literals) {
  return std::make_shared<Literals>(std::move(literals));
}

}  // namespace frugal::grammar
