// nearest_neighbours: where similar requests were answered well enough, so probably will this one be.
#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "policy/wrapped.hpp"

namespace frugal {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(Errc::invalid_argument, "nearest_neighbours: " + what);
}

// To length 1; false where that is impossible.
bool normalise(std::vector<float>& v) {
  double squares = 0;
  for (const float x : v) squares += static_cast<double>(x) * static_cast<double>(x);
  if (!(squares > 0) || !std::isfinite(squares)) return false;
  for (float& x : v) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
  return true;
}

class NearestNeighbours final : public CascadePolicy {
 public:
  NearestNeighbours(std::vector<KnownRequest> known, NeighbourOptions options)
      : known_(std::move(known)), options_(std::move(options)) {
    if (!options_.embed) refuse("there is no embedding");
    if (options_.neighbours == 0) refuse("no neighbours to ask");
    if (!(options_.most_loss >= 0 && options_.most_loss <= 1)) refuse("most_loss is not in [0, 1]");
    if (known_.size() < options_.neighbours)
      refuse(std::to_string(known_.size()) + " known requests are fewer than the neighbours to ask");
    for (KnownRequest& k : known_) {
      if (k.quality.size() != known_.front().quality.size() || k.quality.size() < 2 ||
          k.embedding.size() != known_.front().embedding.size())
        refuse("known requests must all have an embedding of one size and a quality for each of two or more endpoints");
      for (const double q : k.quality)
        if (!(q >= 0 && q <= 1)) refuse("a quality is not in [0, 1]");
      if (!normalise(k.embedding)) refuse("an embedding is zero or not finite");
    }
  }

  std::string_view name() const override { return "nearest_neighbours"; }

  std::size_t first(const RequestView& request, std::size_t endpoints) override {
    const std::size_t last = endpoints == 0 ? 0 : endpoints - 1;
    if (request.text.empty() || endpoints != known_.front().quality.size()) return last;
    std::vector<float> at = options_.embed(request.text);
    if (at.size() != known_.front().embedding.size() || !normalise(at)) return last;
    const std::vector<double> quality = around(at);
    for (std::size_t e = 0; e < last; ++e)
      if (quality[e] >= quality[last] - options_.most_loss) return e;
    return last;
  }

  Verdict judge(const AttemptView& attempt) override {
    const bool whole = attempt.finish && *attempt.finish != FinishReason::error &&
                       *attempt.finish != FinishReason::refused && !attempt.text.empty();
    if (whole || attempt.endpoint + 1 >= attempt.endpoints) return {};
    return {.next = attempt.endpoints - 1};
  }

 private:
  // Mean quality of each endpoint over the nearest, by cosine.
  std::vector<double> around(const std::vector<float>& at) const {
    std::vector<std::pair<float, std::size_t>> order;
    for (std::size_t i = 0; i < known_.size(); ++i) {
      float dot = 0;
      for (std::size_t d = 0; d < at.size(); ++d) dot += at[d] * known_[i].embedding[d];
      order.emplace_back(-dot, i);
    }
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(options_.neighbours);
    std::nth_element(order.begin(), end - 1, order.end());
    std::vector<double> mean(known_.front().quality.size());
    for (auto n = order.begin(); n != end; ++n)
      for (std::size_t e = 0; e < mean.size(); ++e)
        mean[e] += known_[n->second].quality[e] / static_cast<double>(options_.neighbours);
    return mean;
  }

  std::vector<KnownRequest> known_;
  NeighbourOptions options_;
};

}  // namespace

std::shared_ptr<CascadePolicy> nearest_neighbours(std::vector<KnownRequest> known, NeighbourOptions options) {
  return std::make_shared<NearestNeighbours>(std::move(known), std::move(options));
}

}  // namespace frugal
