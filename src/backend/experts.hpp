// Which experts a row passes, and how much each weighs: what ExpertsSpec states, once for all backends.
#pragma once

#include <frugal/model/decoder_spec.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace frugal::backend {

struct ChosenExpert {
  std::uint32_t expert;
  float weight;
};

/// `scores` [count] are the router's outputs of one row. The chosen ones by index, so that sums over them have one order.
inline std::vector<ChosenExpert> choose_experts(const ExpertsSpec& spec, std::span<const float> scores) {
  const float most = *std::max_element(scores.begin(), scores.end());
  float total = 0.0F;
  std::vector<ChosenExpert> all(scores.size());
  for (std::size_t e = 0; e < scores.size(); ++e) {
    all[e] = {static_cast<std::uint32_t>(e), std::exp(scores[e] - most)};
    total += all[e].weight;
  }
  // the lower index first among equals; what is not a number ranks as minus infinity
  const auto score = [&](const ChosenExpert& c) {
    return std::isnan(scores[c.expert]) ? -std::numeric_limits<float>::infinity() : scores[c.expert];
  };
  const auto better = [&](const ChosenExpert& a, const ChosenExpert& b) {
    const float x = score(a), y = score(b);
    return x != y ? x > y : a.expert < b.expert;
  };
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(spec.used);
  std::partial_sort(all.begin(), end, all.end(), better);
  all.erase(end, all.end());
  if (spec.renormalise) {
    total = 0.0F;
    for (const ChosenExpert& c : all) total += c.weight;
  }
  for (ChosenExpert& c : all) c.weight /= total;
  std::sort(all.begin(), all.end(), [](const ChosenExpert& a, const ChosenExpert& b) { return a.expert < b.expert; });
  return all;
}

}  // namespace frugal::backend
