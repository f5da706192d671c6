#include "backend/row_passes.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace frugal::backend {
namespace {

/// The two greatest of four.
Peaks joined(Peaks a, Peaks b) noexcept {
  const float lower = std::min(a.first, b.first);
  return {std::max(a.first, b.first), std::max({lower, a.second, b.second})};
}

std::size_t blocks_of(std::size_t n) noexcept { return (n + row_block - 1) / row_block; }

}  // namespace

/// Calls f(first value, number of values) for each piece.
template <class F>
void RowPasses::for_pieces(std::size_t n, const F& f) const {
  const auto one = [&](std::uint32_t p) {
    const std::size_t first = p * piece;
    f(first, std::min(piece, n - first));
  };
  const std::uint32_t pieces = pieces_of(n);
  if (team_ == nullptr || pieces < 2) {
    for (std::uint32_t p = 0; p < pieces; ++p) one(p);
    return;
  }
  using One = decltype(one);
  team_->run(pieces, {&one, [](const void* self, std::uint32_t p) { (*static_cast<const One*>(self))(p); }});
}

Peaks RowPasses::peaks(std::span<const float> x, float* lanes) {
  peaks_.resize(pieces_of(x.size()));
  for_pieces(x.size(), [&](std::size_t first, std::size_t n) {
    peaks_[first / piece] = kernels_->peaks(x.data() + first, n, lanes + first / row_block * row_lanes);
  });
  return std::accumulate(peaks_.begin() + 1, peaks_.end(), peaks_.front(), joined);
}

Peaks RowPasses::mask(std::span<const float> x, std::span<const std::uint32_t> bits, float* out, float* lanes) {
  const std::size_t masked = std::min(x.size(), bits.size() * 32);
  peaks_.resize(pieces_of(x.size()));
  for_pieces(x.size(), [&](std::size_t first, std::size_t n) {
    const std::size_t length = std::clamp(masked, first, first + n) - first;
    if (length > 0) kernels_->mask(x.data() + first, length, bits.data() + first / 32, out + first);
    std::fill_n(out + first + length, n - length, -std::numeric_limits<float>::infinity());
    peaks_[first / piece] = kernels_->peaks(out + first, n, lanes + first / row_block * row_lanes);
  });
  return std::accumulate(peaks_.begin() + 1, peaks_.end(), peaks_.front(), joined);
}

std::uint64_t RowPasses::weigh(std::span<const float> x, WeightScale scale, std::uint64_t* sums) const {
  for_pieces(x.size(), [&](std::size_t first, std::size_t n) {
    for (std::size_t at = 0; at < n; at += row_block)
      sums[(first + at) / row_block] = kernels_->weigh(x.data() + first + at, std::min(row_block, n - at), scale);
  });
  return std::accumulate(sums, sums + blocks_of(x.size()), std::uint64_t{0});
}

void RowPasses::weigh_above(std::span<const float> x, WeightScale scale, const float* limits,
                            std::uint64_t* sums) const {
  for_pieces(x.size(), [&](std::size_t first, std::size_t n) {
    for (std::size_t at = 0; at < n; at += row_block) {
      std::uint64_t* const of_block = sums + (first + at) / row_block * (row_limits + 1);
      kernels_->weigh_above(x.data() + first + at, std::min(row_block, n - at), scale, limits, of_block);
    }
  });
}

// Each piece has its own part of the outputs, and room for a group of lanes behind it; then the parts move together.
std::size_t RowPasses::gather(std::span<const float> x, LogitRange range, Token* ids, float* values) {
  counts_.resize(pieces_of(x.size()));
  const auto part = [](std::size_t first) { return first + first / piece * row_lanes; };
  for_pieces(x.size(), [&](std::size_t first, std::size_t n) {
    Token* const to = ids + part(first);
    const std::size_t count = kernels_->gather(x.data() + first, n, range, to, values + part(first));
    for (std::size_t i = 0; i < count; ++i) to[i] += static_cast<Token>(first);
    counts_[first / piece] = count;
  });
  std::size_t size = 0;
  for (std::size_t p = 0; p < counts_.size(); ++p) {
    if (const std::size_t from = part(p * piece); from != size) {
      std::memmove(ids + size, ids + from, counts_[p] * sizeof *ids);
      std::memmove(values + size, values + from, counts_[p] * sizeof *values);
    }
    size += counts_[p];
  }
  return size;
}

}  // namespace frugal::backend
