// Small things that the files of this room share.
#pragma once

#include <frugal/head/train.hpp>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "head/states.hpp"

namespace frugal::head {

/// The place of each example's label. Throws Error(invalid_argument) for one that is not in the list.
std::vector<std::size_t> label_numbers(const std::vector<std::string>& labels,
                                       const std::vector<HeadExample>& examples);

inline std::string hex(std::uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

/// What a head's model reads of a text.
inline Frame frame_of(const HeadParts& p) {
  return {.before = p.before, .after = p.after, .most_tokens = p.most_tokens, .stop_words = p.stop_words};
}

/// The inputs of a head: what its pool takes of a text's states.
inline std::vector<float> inputs_of(std::vector<float> mean, const std::vector<float>& last, Pool pool) {
  if (pool == Pool::last) return last;
  if (pool == Pool::both) mean.insert(mean.end(), last.begin(), last.end());
  return mean;
}

}  // namespace frugal::head
