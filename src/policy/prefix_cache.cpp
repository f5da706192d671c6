#include <frugal/policy/prefix_cache.hpp>

#include "policy/wrapped.hpp"

#include <algorithm>
#include <utility>

namespace frugal {

PrefixCachePolicy::~PrefixCachePolicy() = default;
Duration PrefixCachePolicy::keep(const RequestView&) const { return Duration::max(); }
std::string PrefixCachePolicy::salt(const RequestView& request) const { return std::string(request.tenant); }

namespace {

class Lru final : public PrefixCachePolicy {
 public:
  std::string_view name() const override { return "lru"; }
  double worth(const PrefixView& piece) const override { return piece.last_use_seconds; }
};

class GreedyDualSize final : public PrefixCachePolicy {
 public:
  std::string_view name() const override { return "greedy_dual_size"; }
  double worth(const PrefixView& piece) const override {
    const double hits = static_cast<double>(piece.hits), p = (hits + 1) / (hits + 2);
    const double bytes = static_cast<double>(std::max<std::size_t>(piece.bytes, 1));
    return piece.inflation + p * piece.recompute_seconds / bytes;
  }
};

// Asks the inner policy everything; a combinator overrides the one question it is about.
class Wrapped : public PrefixCachePolicy {
 public:
  explicit Wrapped(std::shared_ptr<PrefixCachePolicy> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  double worth(const PrefixView& piece) const override { return inner_->worth(piece); }
  Duration keep(const RequestView& request) const override { return inner_->keep(request); }
  std::string salt(const RequestView& request) const override { return inner_->salt(request); }

 private:
  std::shared_ptr<PrefixCachePolicy> inner_;
};

class Limited final : public Wrapped {
 public:
  Limited(std::shared_ptr<PrefixCachePolicy> inner, Duration most) : Wrapped(std::move(inner)), most_(most) {}
  Duration keep(const RequestView& request) const override { return std::min(Wrapped::keep(request), most_); }

 private:
  Duration most_;
};

class When final : public Wrapped {
 public:
  When(std::function<bool(const RequestView&)> predicate, std::shared_ptr<PrefixCachePolicy> inner)
      : Wrapped(std::move(inner)), predicate_(std::move(predicate)) {}
  Duration keep(const RequestView& request) const override {
    return predicate_(request) ? Wrapped::keep(request) : Duration::zero();
  }

 private:
  std::function<bool(const RequestView&)> predicate_;
};

}  // namespace

std::shared_ptr<PrefixCachePolicy> lru() { return std::make_shared<Lru>(); }
std::shared_ptr<PrefixCachePolicy> greedy_dual_size() { return std::make_shared<GreedyDualSize>(); }

std::shared_ptr<PrefixCachePolicy> limited(std::shared_ptr<PrefixCachePolicy> inner, Duration most) {
  return std::make_shared<Limited>(present(std::move(inner), "limited"), most);
}

std::shared_ptr<PrefixCachePolicy> when(std::function<bool(const RequestView&)> predicate,
                                        std::shared_ptr<PrefixCachePolicy> inner) {
  return std::make_shared<When>(present(std::move(predicate), "when"), present(std::move(inner), "when"));
}

}  // namespace frugal
