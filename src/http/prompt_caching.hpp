// PromptCaching: the memory of an HttpEndpoint about its provider's cache: which beginnings were sent when, so how long
// each should live there, what of the next request should be read, and whether the bill says so.
//
// Threads: safe from any. Cost: a hash over the prompt's bytes a request, a look-up a message. Memory: bounded by
// HttpCaching::most_prefixes and 256 types.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/http/http_endpoint.hpp>
#include <frugal/meter/prompt_cache.hpp>

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/cache_plan.hpp"

namespace frugal::http {

/// The uses of a beginning: how many, and how many of them came within a time to live after the one before.
struct CacheUses {
  double all = 0;
  std::array<double, 2> within{};  ///< by CacheTtl
  void add(std::optional<Duration> gap);
};

/// Dollars a million tokens, or inputs where the model has no price.
struct CachePrices {
  std::array<double, 2> write{1.25, 2};  ///< by CacheTtl
  double read = 0.1;
  /// What the uses would have cost with this time to live: the first and all that came later are writes.
  double of(const CacheUses& uses, CacheTtl ttl) const;
};

/// A beginning that is to be marked.
struct CacheChoice {
  double tokens = 0;  ///< beyond the mark before it
  CacheUses uses{};
};

/// How many of the marks, from the first on, live an hour: an hour may not follow minutes (the API refuses it).
std::size_t hours_among(const std::vector<CacheChoice>& marks, const CachePrices& prices);

class PromptCaching {
 public:
  explicit PromptCaching(const HttpOptions& options);

  CachePlan plan(const Request& request, TimePoint now);
  /// The answer ended: what was billed.
  void settle(const CachePlan& plan, const Finish& finish, TimePoint now);
  std::vector<HttpCacheReport> report() const;

 private:
  struct Prefix {
    TimePoint sent{};   ///< last
    TimePoint until{};  ///< it should be in the cache until then
    std::uint64_t tokens = 0;
    CacheUses uses{};
    std::list<std::uint64_t>::iterator place{};
  };
  struct Type {
    CacheUses uses{};
    HttpCacheReport report{};
    bool told_missed = false, told_ignored = false, told_short = false;
  };
  Prefix& remember(std::uint64_t hash);
  Type& type_of(const std::string& name);
  void choose_marks(CachePlan& plan, const std::vector<std::size_t>& marks, const Type& type);
  void note_uses(const CachePlan& plan, Type& type, TimePoint now);
  void expect(CachePlan& plan, TimePoint now) const;
  void keep(const CachePlan& plan, const Usage& usage, double per_byte, TimePoint now);
  Duration life_of(const CachePlan& plan, const CachePlace& place) const;
  bool marks_enough(const CachePlan& plan, double per_byte) const;
  std::string judge(const CachePlan& plan, Type& type, const Usage& usage, double per_byte);
  std::string short_of(const CachePlan& plan, Type& type, const Usage& usage, double per_byte);
  CachePrices prices() const;

  const HttpOptions& options_;
  const PromptCacheTerms terms_;
  const bool takes_key_;
  const std::size_t most_marks_;
  const bool marks_only_;  ///< what is not marked is not written
  const bool is_hosted_;   ///< a provider's API whose rules are known; of another server nothing is expected

  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<std::uint64_t, Prefix> prefixes_{};
  std::list<std::uint64_t> recent_{};  // hashes, the latest use first
  std::map<std::string, Type> types_{};
  double tokens_per_byte_ = 0.25;  ///< of prompts, learnt from the bills
};

}  // namespace frugal::http
