// Chooses extent and page sizes, once, at start-up: a search over at most a few thousand extent sizes.
#include <frugal/cache/arena.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <string>

namespace frugal {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t regular_step = 2 * mebibyte;  // what devices map at once, and a huge page
constexpr std::size_t regular_most = 16 * mebibyte;
constexpr double allowed_waste = 0.02;
constexpr std::size_t wanted_extents = 4;  // a model: fewer would make the arena a static split
// 16 first: long enough for the block table to stay short. 8 before 32, since prefixes are shared in blocks of the
// largest page.
constexpr std::array<std::uint32_t, 4> sizes{16, 8, 32, 64};

struct Need {
  std::size_t kv_bytes = 0;       // of one token
  std::uint32_t page_tokens = 0;  // 0 = to be chosen
  std::span<const std::uint32_t> choices() const {
    return page_tokens != 0 ? std::span<const std::uint32_t>{&page_tokens, 1} : std::span<const std::uint32_t>{sizes};
  }
  std::size_t page_bytes(std::uint32_t tokens) const {
    const std::size_t granule = Arena::granule_bytes;
    return (kv_bytes * tokens + granule - 1) / granule * granule;
  }
  std::size_t smallest_page() const {
    std::size_t least = std::numeric_limits<std::size_t>::max();
    for (std::uint32_t tokens : choices()) least = std::min(least, page_bytes(tokens));
    return least;
  }
};

struct Fit {
  PagePlan page{};
  double waste = 2;  // worse than any
};

// The first page size that wastes little, else the one that wastes least; none where no page fits.
std::optional<Fit> fit(const Need& need, std::size_t extent) {
  Fit best;
  for (std::uint32_t tokens : need.choices()) {
    const std::size_t bytes = need.page_bytes(tokens), pages = extent / bytes;
    if (pages == 0) continue;
    const double used = static_cast<double>(pages * need.kv_bytes * tokens);
    const double waste = 1 - used / static_cast<double>(extent);
    if (waste < best.waste) best = {{tokens, bytes, static_cast<std::uint32_t>(pages)}, waste};
    if (waste <= allowed_waste) return Fit{{tokens, bytes, static_cast<std::uint32_t>(pages)}, waste};
  }
  return best.waste > 1 ? std::nullopt : std::optional(best);
}

std::optional<ArenaPlan> plan_extent(std::span<const Need> needs, std::size_t extent) {
  ArenaPlan plan{.extent_bytes = extent};
  for (const Need& need : needs) {
    const std::optional<Fit> fitting = fit(need, extent);
    if (!fitting) return std::nullopt;
    plan.models.push_back(fitting->page);
    plan.waste = std::max(plan.waste, fitting->waste);
  }
  return plan;
}

// The smallest of first, first + step, ... <= most that wastes little, else the one that wastes least.
std::optional<ArenaPlan> search(std::span<const Need> needs, std::size_t first, std::size_t step, std::size_t most) {
  std::optional<ArenaPlan> best;
  for (std::size_t extent = first; extent <= most; extent += step) {
    std::optional<ArenaPlan> plan = plan_extent(needs, extent);
    if (!plan || (best && plan->waste >= best->waste)) continue;
    best = std::move(plan);
    if (best->waste <= allowed_waste) break;
  }
  return best;
}

std::vector<Need> checked(std::span<const std::size_t> kv_bytes, std::span<const std::uint32_t> page_tokens) {
  const auto fail = [](std::string what) { throw Error(Errc::invalid_argument, "arena: " + std::move(what)); };
  if (kv_bytes.empty()) fail("no model");
  if (page_tokens.size() > 1 && page_tokens.size() != kv_bytes.size()) fail("page_tokens: one for all or one a model");
  std::vector<Need> needs;
  for (std::size_t m = 0; m < kv_bytes.size(); ++m) {
    const std::uint32_t fixed = page_tokens.empty() ? 0 : page_tokens[page_tokens.size() == 1 ? 0 : m];
    if (kv_bytes[m] == 0) fail("model " + std::to_string(m) + " needs no bytes for keys and values");
    if (fixed != 0 && !std::has_single_bit(fixed))
      fail("page_tokens " + std::to_string(fixed) + " is not a power of two");
    if (kv_bytes[m] > std::numeric_limits<std::size_t>::max() / 2 / std::max(fixed, sizes.back()))
      throw Error(Errc::too_large, "arena: a page of model " + std::to_string(m) + " is beyond all memory");
    needs.push_back({kv_bytes[m], fixed});
  }
  return needs;
}

}  // namespace

std::uint32_t ArenaPlan::block_tokens() const noexcept {
  std::uint32_t most = 0;
  for (const PagePlan& page : models) most = std::max(most, page.page_tokens);
  return most;
}

ArenaPlan plan_arena(std::size_t bytes, std::span<const std::size_t> kv_bytes_per_token,
                     std::span<const std::uint32_t> page_tokens) {
  const std::vector<Need> needs = checked(kv_bytes_per_token, page_tokens);
  if (bytes / Arena::granule_bytes > static_cast<std::size_t>(std::numeric_limits<Granule>::max()))
    throw Error(Errc::too_large, "arena: " + std::to_string(bytes) + " bytes are more granules than an id can name");
  std::size_t least = 0;
  for (const Need& need : needs) least = std::max(least, need.smallest_page());
  const auto share = [&](std::size_t extents) { return bytes / (extents * needs.size()); };

  std::optional<ArenaPlan> plan;
  if (share(wanted_extents) >= regular_most) plan = search(needs, regular_step, regular_step, regular_most);
  const std::size_t most = std::max(regular_most, least);
  for (std::size_t extents : {wanted_extents, std::size_t{1}})
    if (!plan) plan = search(needs, least, Arena::granule_bytes, std::min(most, share(extents)));
  if (!plan)
    throw Error(Errc::too_large, "arena: " + std::to_string(bytes) + " bytes cannot hold one extent of " +
                                     std::to_string(least) + " bytes for each of " + std::to_string(needs.size()) +
                                     " models");
  return *std::move(plan);
}

}  // namespace frugal
