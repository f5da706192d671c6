// PromptTraffic: how many tokens of other requests' prompts were computed while a request waited for its first token,
// and between that and its last. Requests come in the order of submission; a prompt's tokens count as spread evenly
// over its wait behind the queue. Exact in one pass, because nothing that is submitted later can reach back: memory is
// that of the requests in flight.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <queue>
#include <unordered_map>
#include <vector>

namespace frugal::advisor {

class PromptTraffic {
 public:
  explicit PromptTraffic(std::size_t most_in_flight) : most_(most_in_flight) {}

  struct Request {
    std::uint64_t ordinal = 0;
    double at = 0, admitted = 0, first_token = 0, end = 0;  ///< s, rising
    double tokens = 0;                                      ///< of its prompt: computed
    bool asks = false;                                      ///< wants to know
  };

  /// `tell(ordinal, waiting, decoding)`, in tokens, for every request that asked and ended before this one came.
  template <class Tell>
  void request(const Request& r, const Tell& tell) {
    advance(r.at, tell);
    if (moments_.size() > 4 * most_) return;
    const double wait = std::max(1e-6, r.first_token - r.admitted);
    if (r.tokens > 0) {
      moments_.push({r.admitted, What::rate, r.tokens / wait});
      moments_.push({r.admitted + wait, What::rate, -r.tokens / wait});
    }
    if (!r.asks || r.end <= r.first_token) return;
    moments_.push({r.admitted, What::admitted, r.tokens, r.ordinal});
    moments_.push({r.admitted + wait, What::first_token, 0, r.ordinal});
    moments_.push({std::max(r.end, r.admitted + wait), What::end, 0, r.ordinal});
  }
  template <class Tell>
  void flush(const Tell& tell) {
    advance(std::numeric_limits<double>::infinity(), tell);
  }

 private:
  enum class What { admitted, rate, first_token, end };
  struct Moment {
    double at;
    What what;
    double rate = 0;  ///< tokens a second more; of an admission: tokens
    std::uint64_t ordinal = 0;
    bool operator<(const Moment& o) const { return at != o.at ? at > o.at : what > o.what; }  // the earliest on top
  };

  struct Since {
    double admitted = 0, first_token = 0;  ///< tokens computed until then
  };

  template <class Tell>
  void advance(double to, const Tell& tell) {
    while (!moments_.empty() && moments_.top().at <= to) {
      const Moment m = moments_.top();
      moments_.pop();
      if (m.at > now_) computed_ += std::max(0.0, rate_) * (m.at - now_), now_ = m.at;
      if (m.what == What::rate) {
        rate_ += m.rate;
        continue;
      }
      Since& since = since_[m.ordinal];
      if (m.what == What::admitted) {
        since.admitted = computed_ + m.rate;  // its own prompt is no other's
      } else if (m.what == What::first_token) {
        since.first_token = computed_;
      } else {
        tell(m.ordinal, std::max(0.0, since.first_token - since.admitted), computed_ - since.first_token);
        since_.erase(m.ordinal);
      }
    }
    if (moments_.empty()) now_ = to, computed_ = rate_ = 0;  // the sums stay small, so differences stay exact
  }

  std::size_t most_;
  double now_ = 0, rate_ = 0, computed_ = 0;
  std::priority_queue<Moment> moments_{};
  std::unordered_map<std::uint64_t, Since> since_{};
};

}  // namespace frugal::advisor
