#include "engine/kv_lane.hpp"

#include <algorithm>

#include "core/caught.hpp"
#include "engine/say.hpp"

namespace frugal {

// The lease may hold the very page that is lacking: the partly shared one, or one in an extent of another model's. Then
// it goes, and what it would have given is computed.
bool KvLane::reserve_beside(Lease& lease, const std::function<bool()>& reserve) {
  pages->adopt(lease.pages());
  if (reserve()) return true;
  if (lease.tail_page()) {
    lease.release_tail();
    if (reserve()) return true;
  }
  if (!lease) return false;
  lease.release();
  pages->release();
  return reserve();
}

bool KvLane::adopt(KvStore& store, ModelId model, const PrefixName& name, std::span<const Token> context,
                   const std::function<bool()>& reserve) {
  pages.emplace(store.arena, model);
  Lease lease;
  try {
    if (store.index != nullptr && name.keep > Duration::zero())
      lease = store.index->match(name.space, model, context.first(context.size() - 1));
    if (!reserve_beside(lease, reserve)) {
      close();
      return false;
    }
    if (lease.tail_page()) {
      const PageCopy copy{model, *lease.tail_page(), pages->pages()[lease.pages().size()], lease.tail_tokens()};
      store.backend.copy_pages(std::span(&copy, 1));
    }
  } catch (...) {
    close();
    throw;
  }
  kv = indexed = static_cast<std::uint32_t>(lease.tokens());
  return true;
}

bool KvLane::grow(const KvStore& store, std::size_t tokens) {
  while (!pages->grow_to(tokens))
    if (!store.make_room(pages->model(), pages->missing(tokens))) return false;
  return true;
}

void KvLane::offer(KvStore& store, const PrefixName& name, std::span<const Token> computed,
                   double seconds_per_token) noexcept {
  const std::uint32_t block = store.arena.plan().block_tokens();
  const auto whole = static_cast<std::uint32_t>(computed.size() / block * block);
  if (store.index == nullptr || name.keep <= Duration::zero() || whole <= indexed) return;
  try {
    store.index->insert(name.space, pages->model(), computed.first(whole), pages->full_pages(whole),
                        whole * seconds_per_token, name.keep);
    store.shortest_keep = std::min(store.shortest_keep, name.keep);
  } catch (...) {
    say(store.log, LogLevel::warning, name.request, [] { return "prefix not indexed: " + caught_text(); });
  }
  indexed = whole;
}

void KvLane::trim(std::uint32_t valid) {
  if (!pages) return;
  kv = std::min(kv, valid);
  pages->trim_to(kv);
}

}  // namespace frugal
