#include <frugal/cache/prefix_index.hpp>

#include <utility>

namespace frugal {

Lease::~Lease() { release(); }

Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  arena_ = other.arena_, model_ = other.model_;
  pages_ = std::exchange(other.pages_, {});
  tail_ = std::exchange(other.tail_, std::nullopt);
  tail_tokens_ = std::exchange(other.tail_tokens_, 0);
  tokens_ = std::exchange(other.tokens_, 0);
  return *this;
}

void Lease::release_tail() noexcept {
  if (tail_) arena_->release(model_, *tail_);
  tail_.reset();
  tokens_ -= std::exchange(tail_tokens_, 0);
}

void Lease::release() noexcept {
  release_tail();
  for (; !pages_.empty(); pages_.pop_back()) arena_->release(model_, pages_.back());
  tokens_ = 0;
}

}  // namespace frugal
