// PrefixCachePolicy: what a computed prefix is worth, how long to keep it, and who may share it. Bring your own when
// you know more about reuse than recency and cost tell: a calendar of batch jobs, a system prompt that must not go
// cold.
//
// Threads: called on the engine's driving thread. Cost: worth() once per piece and use.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/view.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace frugal {

class FRUGAL_API PrefixCachePolicy {
 public:
  virtual ~PrefixCachePolicy();
  /// A short stable name for reports, e.g. "lru".
  virtual std::string_view name() const = 0;
  /// Asked when a piece is inserted and whenever it is used. When pages are short the lowest worth leaves first, ends
  /// of prefixes before their beginnings. Any finite scale will do, as long as it is one scale for all models.
  virtual double worth(const PrefixView& piece) const = 0;

  /// Asked before a request's prefix is indexed. Zero = do not index; else drop it when unused for so long. Default: as
  /// long as there is room.
  virtual Duration keep(const RequestView& request) const;
  /// Asked before a request's prefix is looked up or indexed: requests with equal answers may share pages, and by its
  /// timing one can tell what another has asked. Default: the tenant.
  virtual std::string salt(const RequestView& request) const;
};

/// The least recently used goes first.
FRUGAL_API std::shared_ptr<PrefixCachePolicy> lru();
/// GreedyDual-Size (Cao, Irani 1997): worth = L + p * recompute_seconds / bytes, with p = (hits + 1) / (hits + 2), the
/// chance of one more use by the rule of succession, and L the view's inflation, by which old worth fades.
/// Cheap-to-compute pages of a draft model leave before the target's.
FRUGAL_API std::shared_ptr<PrefixCachePolicy> greedy_dual_size();

/// The inner policy, but nothing is kept unused for longer than `most`.
FRUGAL_API std::shared_ptr<PrefixCachePolicy> limited(std::shared_ptr<PrefixCachePolicy> inner, Duration most);
/// The inner policy where the request satisfies the predicate; other requests are not indexed.
FRUGAL_API std::shared_ptr<PrefixCachePolicy> when(std::function<bool(const RequestView&)> predicate,
                                                   std::shared_ptr<PrefixCachePolicy> inner);

}  // namespace frugal
