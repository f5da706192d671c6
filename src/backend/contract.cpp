#include "backend/contract.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>

namespace frugal::backend {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(Errc::invalid_argument, "backend: " + message); }

const PageGeometry& geometry_of(const BoundArena& arena, ModelId model) {
  if (model.index() >= arena.models.size()) refuse("no model " + std::to_string(model.index()) + " in a bound arena");
  return arena.models[model.index()];
}

void check_page(Granule page, const PageGeometry& geometry, const BoundArena& arena) {
  if (page < 0 || static_cast<std::size_t>(page) * granule_bytes + geometry.page_bytes > arena.bytes) {
    refuse("page " + std::to_string(page) + " lies outside the arena");
  }
}

/// Where a page is written: the segment, and the index in its block table.
struct Write {
  Granule page;
  std::size_t segment, index;
  bool operator<(const Write& o) const { return page < o.page; }
};

std::vector<Write> writes_of(const Batch& batch, std::size_t page_tokens) {
  std::vector<Write> out;
  for (std::size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& s = batch.segments[i];
    const std::size_t end = s.start + s.tokens.size();
    for (std::size_t p = s.start / page_tokens; p * page_tokens < end; ++p) out.push_back({s.pages[p], i, p});
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Segments may share pages that none of them writes; a page that is written has one place in one block table.
void check_writes_are_private(const Batch& batch, std::size_t page_tokens) {
  const std::vector<Write> writes = writes_of(batch, page_tokens);
  for (std::size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& s = batch.segments[i];
    const std::size_t used = (s.start + s.tokens.size() + page_tokens - 1) / page_tokens;
    for (std::size_t p = 0; p < used; ++p) {
      const auto [from, to] = std::equal_range(writes.begin(), writes.end(), Write{s.pages[p], 0, 0});
      if (from == to || (to - from == 1 && from->segment == i && from->index == p)) continue;
      refuse("page " + std::to_string(s.pages[p]) + " is written and used twice in one batch");
    }
  }
}

/// Whoever runs a pass has the host's values only: submit() fills in what comes from earlier passes.
void check_on_host(const Segment& s) {
  const auto named = [](DrawRef ref) { return ref.ticket != Ticket{}; };
  if (std::any_of(s.from.begin(), s.from.end(), named)) refuse("tokens of an earlier ticket: call submit()");
}

void check_drafts_on_host(const Segment& s) {
  const auto named = [](const DrawSpec& draw) { return draw.draft.ticket != Ticket{}; };
  if (std::any_of(s.draws.begin(), s.draws.end(), named)) refuse("a draft of an earlier ticket: call submit()");
}

void check_draw(const DrawSpec& draw, std::uint32_t vocab) {
  if (!(draw.deferral.alpha >= 0.0F && draw.deferral.alpha <= 1.0F)) refuse("a deferral's alpha is not in [0, 1]");
  if (!draw.draft_distribution.empty())
    check_draft(draw, draw.draft_distribution.size(), vocab, draw.tokens == 0 ? vocab : std::min(draw.tokens, vocab));
}

void check_hidden(const Segment& s, const DecoderSpec& spec, std::uint32_t layers) {
  if (layers < spec.layers && (!s.draws.empty() || !s.logits.empty())) {
    refuse("draws or logits of a pass that ends after layer " + std::to_string(layers));
  }
  if (s.hidden.empty()) return;
  if (s.hidden.size() % spec.d_model != 0 || hidden_rows(s, spec) > s.tokens.size()) {
    refuse("a buffer for hidden states has the wrong size");
  }
  if (s.hidden_layer > layers) {
    refuse("hidden states after layer " + std::to_string(s.hidden_layer) + " of a pass of " + std::to_string(layers));
  }
  if (s.hidden_normed && s.hidden_layer != spec.layers) {
    refuse("normed hidden states after layer " + std::to_string(s.hidden_layer) + ", which is not the last");
  }
}

void check_segment(const Segment& s, const PageGeometry& geometry, const BoundArena& arena, const DecoderSpec& spec,
                   std::uint32_t layers) {
  const std::uint32_t vocab = spec.vocab;
  const std::size_t rows = s.tokens.size();
  if (rows == 0) refuse("a segment has no rows");
  const std::size_t used = (s.start + rows + geometry.page_tokens - 1) / geometry.page_tokens;
  if (s.pages.size() < used) refuse("a block table is shorter than its sequence");
  for (const Granule page : s.pages.first(used)) check_page(page, geometry, arena);
  for (const Token t : s.tokens) {
    if (t < 0 || static_cast<std::uint32_t>(t) >= vocab) {
      refuse("token " + std::to_string(t) + " is not in the vocabulary of " + std::to_string(vocab));
    }
  }
  check_on_host(s);
  if (s.adapter != AdapterId{}) {
    throw Error(Errc::unsupported, "backend: there is no adapter " + std::to_string(s.adapter.value));
  }
  check_hidden(s, spec, layers);
  if (s.draws.size() > rows) refuse("a segment has more draws than rows");
  for (const DrawSpec& draw : s.draws) check_draw(draw, vocab);
  if (s.logits.size() % vocab != 0 || s.logits.size() / vocab > rows) refuse("a logits buffer has the wrong size");
}

}  // namespace

BoundArena check_layout(const ArenaLayout& layout, std::span<const std::size_t> kv_bytes) {
  if (layout.models.size() != kv_bytes.size()) refuse("the arena layout names another number of models");
  if (layout.bytes % granule_bytes != 0) refuse("the size of the arena is not a multiple of the granule");
  for (std::size_t i = 0; i < kv_bytes.size(); ++i) {
    const PageGeometry& g = layout.models[i];
    if (g.page_tokens == 0) refuse("a page holds no tokens");
    if (g.page_bytes % granule_bytes != 0 || g.page_bytes < g.page_tokens * kv_bytes[i]) {
      refuse("pages of model " + std::to_string(i) + " are too small");
    }
  }
  return {.bytes = layout.bytes, .models = {layout.models.begin(), layout.models.end()}};
}

void check_copies(std::span<const PageCopy> copies, const BoundArena& arena) {
  for (const PageCopy& c : copies) {
    const PageGeometry& g = geometry_of(arena, c.model);
    check_page(c.from, g, arena), check_page(c.to, g, arena);
    if (c.tokens > g.page_tokens) refuse("a copy is longer than a page");
    const std::size_t distance = static_cast<std::size_t>(c.from > c.to ? c.from - c.to : c.to - c.from);
    if (distance * granule_bytes < g.page_bytes) refuse("a copy overlaps itself");
  }
}

std::size_t check_page_bytes(ModelId model, Granule page, std::size_t bytes, const BoundArena& arena,
                             std::size_t kv_bytes) {
  const PageGeometry& g = geometry_of(arena, model);
  check_page(page, g, arena);
  if (bytes != g.page_tokens * kv_bytes) {
    refuse("a page of " + std::to_string(g.page_tokens * kv_bytes) + " bytes in a buffer of " + std::to_string(bytes));
  }
  return static_cast<std::size_t>(page) * granule_bytes;
}

// FNV-1a over what decides a page's bytes.
std::uint64_t layout_number(std::string_view order, const DecoderSpec& spec, std::uint64_t model,
                            std::uint32_t page_tokens) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  const auto mix = [&](std::uint64_t byte) { hash = (hash ^ (byte & 0xFFU)) * 0x100000001B3U; };
  for (const char c : order) mix(static_cast<unsigned char>(c));
  for (const std::uint64_t number : {model, std::uint64_t{page_tokens}, std::uint64_t{spec.layers},
                                     std::uint64_t{spec.kv_heads}, std::uint64_t{spec.head_dim}})
    for (int shift = 0; shift < 64; shift += 8) mix(number >> shift);
  return hash != 0 ? hash : 1;
}

void check_batch(const Batch& batch, const BoundArena& arena, const DecoderSpec& spec, std::uint32_t max_rows,
                 bool keeps_distributions) {
  const PageGeometry& geometry = geometry_of(arena, batch.model);
  const std::uint32_t layers = layers_of(batch, spec);
  if (layers > spec.layers) refuse(std::to_string(layers) + " layers of a model of " + std::to_string(spec.layers));
  std::size_t draws = 0, rows = 0;
  for (const Segment& s : batch.segments) {
    check_segment(s, geometry, arena, spec, layers);
    if (!keeps_distributions) check_drafts_on_host(s);
    draws += s.draws.size(), rows += s.tokens.size();
  }
  if (batch.drawn.size() != draws) refuse("Batch.drawn has another size than there are draws");
  if (rows > max_rows) refuse(std::to_string(rows) + " rows, at most " + std::to_string(max_rows) + " fit a forward");
  check_writes_are_private(batch, geometry.page_tokens);
}

}  // namespace frugal::backend
