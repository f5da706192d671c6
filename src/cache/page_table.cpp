#include <frugal/cache/page_table.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <utility>

namespace frugal {

PageTable::PageTable(Arena& arena, ModelId model)
    : arena_(&arena), model_(model), page_tokens_(arena.page(model).page_tokens) {}

PageTable::~PageTable() { release(); }

PageTable::PageTable(PageTable&& other) noexcept
    : arena_(other.arena_),
      model_(other.model_),
      page_tokens_(other.page_tokens_),
      tokens_(std::exchange(other.tokens_, 0)),
      shared_(std::exchange(other.shared_, 0)),
      pages_(std::exchange(other.pages_, {})) {}

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  if (this == &other) return *this;
  release();
  arena_ = other.arena_, model_ = other.model_, page_tokens_ = other.page_tokens_;
  tokens_ = std::exchange(other.tokens_, 0);
  shared_ = std::exchange(other.shared_, 0);
  pages_ = std::exchange(other.pages_, {});
  return *this;
}

std::span<const Granule> PageTable::full_pages(std::size_t tokens) const noexcept {
  if (page_tokens_ == 0) return {};
  return std::span(pages_).first(std::min(tokens, tokens_) / page_tokens_);
}

std::size_t PageTable::missing(std::size_t tokens) const noexcept {
  if (tokens <= capacity() || page_tokens_ == 0) return 0;
  return (tokens + page_tokens_ - 1) / page_tokens_ - pages_.size();
}

bool PageTable::grow_to(std::size_t tokens) {
  if (tokens <= tokens_) return true;
  if (arena_ == nullptr) throw Error(Errc::internal, "page table: grown without an arena");
  if (const std::size_t more = missing(tokens); more != 0 && !arena_->grant(model_, more, pages_)) return false;
  tokens_ = tokens;
  return true;
}

void PageTable::trim_to(std::size_t tokens) {
  if (tokens >= tokens_) return;
  if (tokens < shared_tokens() && tokens % page_tokens_ != 0)
    throw Error(Errc::internal, "page table: a shared page would be written again");
  const std::size_t keep = (tokens + page_tokens_ - 1) / page_tokens_;
  for (; pages_.size() > keep; pages_.pop_back()) arena_->release(model_, pages_.back());
  shared_ = std::min(shared_, keep);
  tokens_ = tokens;
}

void PageTable::adopt(std::span<const Granule> pages) {
  if (!pages_.empty()) throw Error(Errc::internal, "page table: adopts pages while it holds others");
  if (pages.empty()) return;
  if (arena_ == nullptr) throw Error(Errc::internal, "page table: adopts pages without an arena");
  pages_.reserve(pages.size());
  for (Granule page : pages) {
    arena_->retain(model_, page);
    pages_.push_back(page);
    ++shared_;
    tokens_ += page_tokens_;
  }
}

void PageTable::release() noexcept {
  for (; !pages_.empty(); pages_.pop_back()) arena_->release(model_, pages_.back());
  tokens_ = shared_ = 0;
}

}  // namespace frugal
