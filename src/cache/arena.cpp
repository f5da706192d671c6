// The arena's books. A page's state is one number: references * 2 + (the cache holds one of them). Every change of it
// goes through change(), which keeps all counters; what a caller can get wrong is refused before anything moves.
#include <frugal/cache/arena.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <bit>
#include <string>

namespace frugal {
namespace {

[[noreturn]] void broken(const std::string& what) { throw Error(Errc::internal, "arena: " + what); }

void require(bool holds, const char* what) {
  if (!holds) broken(what);
}

bool whole_idle(std::uint32_t held, std::uint32_t idle) { return held != 0 && held == idle; }

}  // namespace

void Arena::Numbers::insert(std::size_t number) noexcept {
  words_[number / 64] |= std::uint64_t{1} << (number % 64);
  lowest_ = std::min(lowest_, number / 64);
  ++size_;
}

void Arena::Numbers::erase(std::size_t number) noexcept {
  words_[number / 64] &= ~(std::uint64_t{1} << (number % 64));
  --size_;
}

std::size_t Arena::Numbers::lowest() noexcept {
  while (words_[lowest_] == 0) ++lowest_;
  return lowest_ * 64 + static_cast<std::size_t>(std::countr_zero(words_[lowest_]));
}

Arena::Arena(std::size_t bytes, ArenaPlan plan)
    : bytes_(bytes),
      plan_(std::move(plan)),
      extents_(plan_.extent_bytes == 0 ? 0 : bytes / plan_.extent_bytes),
      free_extents_(extents_.size()),
      owned_(plan_.models.size(), Owned{Numbers(extents_.size())}) {
  const auto fail = [](const char* what) { throw Error(Errc::invalid_argument, std::string("arena: ") + what); };
  if (plan_.models.empty() || plan_.extent_bytes % granule_bytes != 0)
    fail("the plan has no models or a broken granule");
  if (extents_.size() < plan_.models.size()) fail("the plan was made for more bytes");
  for (const PagePlan& page : plan_.models) {
    if (page.page_tokens == 0 || page.page_bytes == 0 || page.page_bytes % granule_bytes != 0)
      fail("a page without size");
    if (page.pages_per_extent == 0 || page.pages_per_extent > plan_.extent_bytes / page.page_bytes)
      fail("pages overflow the extent");
    if (plan_.block_tokens() % page.page_tokens != 0) fail("page sizes do not divide the block");
  }
  for (std::size_t e = 0; e < extents_.size(); ++e) free_extents_.insert(e);
}

bool Arena::locate(ModelId model, Granule page, Place& at) const noexcept {
  if (page < 0 || model.index() >= owned_.size()) return false;
  const auto granule = static_cast<std::size_t>(page);
  at.extent = granule / extent_granules();
  const std::size_t within = granule % extent_granules();
  at.page = within / page_granules(model);
  return at.extent < extents_.size() && extents_[at.extent].owner == model.value + 1 &&
         within % page_granules(model) == 0 && at.page < this->page(model).pages_per_extent;
}

Arena::Page Arena::state(ModelId model, Granule page) const noexcept {
  Place at;
  return locate(model, page, at) ? extents_[at.extent].pages[at.page] : Page{};
}

// Gives the lowest free extent to the model. Throws bad_alloc before anything has changed.
void Arena::claim(ModelId model) {
  const std::size_t number = free_extents_.lowest();
  const std::uint32_t pages = page(model).pages_per_extent;
  Extent& extent = extents_[number];
  extent.free.reserve(pages);
  extent.pages.assign(pages, Page{});
  extent.free.clear();
  for (std::uint32_t p = pages; p-- > 0;) extent.free.push_back(p);
  extent.owner = model.value + 1;
  free_extents_.erase(number);
  owned_[model.index()].partial.insert(number);
  ++owned_[model.index()].extents;
}

void Arena::change(ModelId model, Place at, Page now) noexcept {
  Extent& extent = extents_[at.extent];
  Owned& owned = owned_[model.index()];
  Page& page = extent.pages[at.page];
  if (whole_idle(extent.held, extent.idle)) --owned.idle_extents;
  const auto count = [](auto& counter, bool before, bool after) {
    if (before != after) after ? ++counter : --counter;
  };
  count(extent.held, page.held(), now.held());
  count(owned.held, page.held(), now.held());
  count(extent.idle, page.idle(), now.idle());
  count(owned.idle, page.idle(), now.idle());
  count(owned.cached, page.cached != 0, now.cached != 0);
  page = now;
  if (whole_idle(extent.held, extent.idle)) ++owned.idle_extents;
}

bool Arena::grant(ModelId model, std::size_t n, std::vector<Granule>& out) {
  if (grantable(model) < n) return false;
  Owned& owned = owned_[model.index()];
  if (out.capacity() < out.size() + n)
    out.reserve(std::max(out.size() + n, 2 * out.capacity()));  // page by page is not quadratic
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < n; ++i) {
    if (owned.partial.size() == 0) {
      try {
        claim(model);
      } catch (...) {
        for (; out.size() > before; out.pop_back()) release(model, out.back());
        throw;
      }
    }
    const std::size_t number = owned.partial.lowest();
    Extent& extent = extents_[number];
    const std::uint32_t p = extent.free.back();
    extent.free.pop_back();
    if (extent.free.empty()) owned.partial.erase(number);
    change(model, {number, p}, {1, 0});
    out.push_back(static_cast<Granule>(number * extent_granules() + p * page_granules(model)));
  }
  return true;
}

void Arena::retain(ModelId model, Granule page) {
  Place at;
  require(locate(model, page, at) && extents_[at.extent].pages[at.page].held(), "retain of a page that is not held");
  const Page now = extents_[at.extent].pages[at.page];
  change(model, at, {now.references + 1, now.cached});
}

void Arena::retain_cached(ModelId model, Granule page) {
  Place at;
  require(locate(model, page, at) && extents_[at.extent].pages[at.page].held(),
          "the cache wants a page that is not held");
  const Page now = extents_[at.extent].pages[at.page];
  change(model, at, {now.references + 1, now.cached + 1});
}

// Gives back one reference: the cache's (cached = 1) or another's (cached = 0).
void Arena::drop(ModelId model, Granule page, std::uint32_t cached) noexcept {
  Place at;
  const Page now = state(model, page);
  const bool held = locate(model, page, at) && (cached != 0 ? now.cached != 0 : now.references > now.cached);
  FRUGAL_ASSERT(held && "release of a page that is not held");
  if (!held) return;
  Extent& extent = extents_[at.extent];
  Owned& owned = owned_[model.index()];
  change(model, at, {now.references - 1, now.cached - cached});
  if (extent.pages[at.page].held()) return;
  if (extent.free.empty()) owned.partial.insert(at.extent);
  extent.free.push_back(static_cast<std::uint32_t>(at.page));
  if (extent.held != 0) return;
  owned.partial.erase(at.extent);
  --owned.extents;
  extent.owner = 0;
  free_extents_.insert(at.extent);
}

void Arena::release(ModelId model, Granule page) noexcept { drop(model, page, 0); }
void Arena::release_cached(ModelId model, Granule page) noexcept { drop(model, page, 1); }
std::uint32_t Arena::references(ModelId model, Granule page) const { return state(model, page).references; }
std::uint32_t Arena::cached_references(ModelId model, Granule page) const { return state(model, page).cached; }
bool Arena::idle(ModelId model, Granule page) const { return state(model, page).idle(); }

bool Arena::extent_idle(ModelId model, Granule page) const {
  Place at;
  return locate(model, page, at) && whole_idle(extents_[at.extent].held, extents_[at.extent].idle);
}

std::size_t Arena::grantable(ModelId model) const noexcept {
  const Owned& owned = owned_[model.index()];
  return (owned.extents + free_extents_.size()) * plan_.models[model.index()].pages_per_extent - owned.held;
}

std::size_t Arena::grantable_after_eviction(ModelId model) const noexcept {
  std::size_t pages = grantable(model) + owned_[model.index()].idle;
  for (std::size_t m = 0; m < owned_.size(); ++m)
    if (m != model.index()) pages += owned_[m].idle_extents * plan_.models[model.index()].pages_per_extent;
  return pages;
}

ArenaModelStats Arena::stats(ModelId model) const {
  const Owned& owned = owned_[model.index()];
  return {.extents = owned.extents,
          .free_pages = owned.extents * page(model).pages_per_extent - owned.held,
          .leased_pages = owned.held - owned.idle,
          .indexed_pages = owned.idle,
          .cached_pages = owned.cached};
}

ArenaStats Arena::stats() const {
  ArenaStats sum{.total_bytes = bytes_, .free_bytes = free_extents_.size() * plan_.extent_bytes};
  for (std::uint32_t m = 0; m < owned_.size(); ++m) {
    const ArenaModelStats model = stats(ModelId(m));
    sum.free_bytes += model.free_pages * plan_.models[m].page_bytes;
    sum.leased_bytes += model.leased_pages * plan_.models[m].page_bytes;
    sum.indexed_bytes += model.indexed_pages * plan_.models[m].page_bytes;
  }
  sum.waste_bytes = sum.total_bytes - sum.free_bytes - sum.leased_bytes - sum.indexed_bytes;
  return sum;
}

// Counts one extent anew, adds it to its owner's sums, and holds it against its own books.
void Arena::check_extent(std::size_t number, std::vector<Owned>& sums) const {
  const Extent& extent = extents_[number];
  require(free_extents_.contains(number) == (extent.owner == 0), "the list of free extents is wrong");
  for (std::size_t m = 0; m < owned_.size(); ++m)
    require(extent.owner == m + 1 || !owned_[m].partial.contains(number), "an extent serves two models");
  if (extent.owner == 0) return;
  const ModelId model(extent.owner - 1);
  Owned& sum = sums[model.index()];
  std::uint32_t held = 0, idle = 0;
  for (const Page& p : extent.pages) {
    held += p.held(), idle += p.idle(), sum.cached += p.cached != 0;
    require(p.cached <= p.references, "the cache holds more references than there are");
  }
  for (std::uint32_t p : extent.free) require(!extent.pages[p].held(), "a free page is held");
  require(held != 0, "an empty extent has not returned");
  require(held == extent.held && idle == extent.idle, "an extent's counters are wrong");
  require(extent.pages.size() == page(model).pages_per_extent && extent.free.size() + held == extent.pages.size(),
          "pages are lost");
  require(owned_[model.index()].partial.contains(number) == !extent.free.empty(),
          "the list of partial extents is wrong");
  sum.held += held, sum.idle += idle, ++sum.extents;
  if (whole_idle(held, idle)) ++sum.idle_extents;
}

void Arena::check_integrity() const {
  std::vector<Owned> sums(owned_.size(), Owned{Numbers(0)});
  for (std::size_t e = 0; e < extents_.size(); ++e) check_extent(e, sums);
  std::size_t extents = free_extents_.size();
  for (std::size_t m = 0; m < owned_.size(); ++m) {
    const Owned &a = owned_[m], &b = sums[m];
    require(a.extents == b.extents && a.held == b.held && a.idle == b.idle && a.cached == b.cached &&
                a.idle_extents == b.idle_extents,
            "a model's counters are wrong");
    extents += a.extents;
  }
  require(extents == extents_.size(), "extents are lost");
}

}  // namespace frugal
