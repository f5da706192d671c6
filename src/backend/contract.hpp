// What every backend checks of its caller before it touches memory, and the end every forward pass on the host shares.
// A violated contract is the engine's bug or a hand-made batch: Error(invalid_argument) with the number that is wrong,
// before any page is written. Exported although the header is not installed: the cpu and torch components call it.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <frugal/core/error.hpp>
#include <frugal/model/decoder_spec.hpp>

#include "backend/drawer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::backend {

/// The arena's sizes, and each model's pages, as bound. Cheap to copy around by reference.
struct BoundArena {
  std::size_t bytes = 0;
  std::vector<PageGeometry> models;
};

/// Throws unless every model has a geometry whose pages hold what it says. `kv_bytes` [models]: bytes of one token.
FRUGAL_API BoundArena check_layout(const ArenaLayout& layout, std::span<const std::size_t> kv_bytes);

/// Throws unless every copy lies in the arena and no two pages of the call overlap where one is written.
FRUGAL_API void check_copies(std::span<const PageCopy> copies, const BoundArena& arena);

/// Throws unless tokens are in the vocabulary, block tables cover the rows and lie in the arena, and the outputs have
/// the right sizes. Drafts of earlier passes are for backends that keep distributions themselves.
FRUGAL_API void check_batch(const Batch& batch, const BoundArena& arena, const DecoderSpec& spec,
                            std::uint32_t max_rows, bool keeps_distributions = false);

/// Throws unless the page lies in the arena and `bytes` is what it holds. Returns its offset in the arena.
FRUGAL_API std::size_t check_page_bytes(ModelId model, Granule page, std::size_t bytes, const BoundArena& arena,
                                        std::size_t kv_bytes);

/// A number for Backend::layout_fingerprint: `order` names the backend, its element type and the order inside a page.
/// Never 0.
FRUGAL_API std::uint64_t layout_number(std::string_view order, const DecoderSpec& spec, std::uint64_t model,
                                       std::uint32_t page_tokens);

/// Layers that the batch runs.
inline std::uint32_t layers_of(const Batch& batch, const DecoderSpec& spec) {
  return batch.layers.value_or(spec.layers);
}

inline std::size_t hidden_rows(const Segment& s, const DecoderSpec& spec) { return s.hidden.size() / spec.d_model; }

/// Runs f; running out of memory leaves as Error(out_of_memory), as a Backend promises.
template <class F>
decltype(auto) with_memory(const char* what, F f) {
  const auto fail = [what]() -> void { throw Error(Errc::out_of_memory, std::string(what) + ": not enough memory"); };
  try {
    return f();
  } catch (const std::bad_alloc&) {
    fail();
  } catch (const std::length_error&) {
    fail();
  }
  throw Error(Errc::internal, what);  // not reached
}

/// How many of a segment's last rows need logits.
inline std::size_t wanted_rows(const Segment& s, std::uint32_t vocab) {
  return std::max(s.draws.size(), s.logits.size() / vocab);
}

/// Hands out logits and draws tokens: `logits_of(segment, row)` is asked once for each wanted row, in order.
template <class LogitsOf>
void emit(const Batch& batch, std::uint32_t vocab, LogitsOf logits_of) {
  std::size_t drawn = 0;
  Drawer drawer;
  for (std::size_t i = 0; i < batch.segments.size(); ++i) {
    const Segment& s = batch.segments[i];
    const std::size_t rows = s.tokens.size(), copied = s.logits.size() / vocab;
    for (std::size_t row = rows - wanted_rows(s, vocab); row < rows; ++row) {
      const std::span<const float> x = logits_of(i, row);
      if (row >= rows - copied) std::copy(x.begin(), x.end(), &s.logits[(row - (rows - copied)) * vocab]);
      if (row < rows - s.draws.size()) continue;
      batch.drawn[drawn++] = drawer.draw(x, s.draws[row - (rows - s.draws.size())]);
    }
  }
}

}  // namespace frugal::backend
