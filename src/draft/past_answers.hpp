// PastAnswers: what was answered before, by who may see it (model, tenant, request type), each in suffix automata. Two
// generations a group: the young one grows, then becomes the old one, so that old answers go without a rebuild. Memory
// never exceeds the limit once an answer is added; the generations added to longest ago go first.
#pragma once

#include <frugal/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "draft/suffix_automaton.hpp"

namespace frugal::draft {

class PastAnswers {
 public:
  explicit PastAnswers(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  void add(const RequestView& request, std::span<const Token> answer);
  /// Those this request may see, the youngest first. Weak: they may go at any time.
  std::vector<std::weak_ptr<const SuffixAutomaton>> of(const RequestView& request) const;
  std::size_t bytes() const noexcept;

  static constexpr Token kSeparator = -1;  ///< between answers

 private:
  struct Generation {
    std::shared_ptr<SuffixAutomaton> automaton;
    std::uint64_t used = 0;
  };
  struct Group {
    Generation young, old;
  };

  static std::string key_of(const RequestView& request);
  static std::size_t bytes_of(const Generation& g) noexcept { return g.automaton ? g.automaton->bytes() : 0; }
  void drop_oldest();

  std::size_t most_bytes_;
  std::uint64_t added_ = 0;
  std::unordered_map<std::string, Group> groups_;
};

}  // namespace frugal::draft
