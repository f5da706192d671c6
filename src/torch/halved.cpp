#include "torch/halved.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace frugal::aten {
namespace {

std::size_t rows_of(std::span<const Segment> segments) {
  std::size_t rows = 0;
  for (const Segment& s : segments) rows += s.tokens.size();
  return rows;
}

std::size_t draws_of(std::span<const Segment> segments) {
  std::size_t draws = 0;
  for (const Segment& s : segments) draws += s.draws.size();
  return draws;
}

/// Of `outputs`, `width` for each of a segment's last rows: those of the first `first` rows, and the others.
template <class T>
std::pair<std::span<T>, std::span<T>> cut(std::span<T> outputs, std::size_t width, std::size_t rows,
                                          std::size_t first) {
  const std::size_t have = outputs.size() / width, later = std::min(have, rows - first);
  return {outputs.first((have - later) * width), outputs.last(later * width)};
}

std::pair<Segment, Segment> cut(const Segment& s, std::size_t first, std::uint32_t d_model, std::uint32_t vocab) {
  std::pair<Segment, Segment> halves{s, s};
  auto& [a, b] = halves;
  const std::size_t rows = s.tokens.size();
  a.tokens = s.tokens.first(first), b.tokens = s.tokens.subspan(first);
  b.start = s.start + static_cast<std::uint32_t>(first);
  std::tie(a.draws, b.draws) = cut(s.draws, 1, rows, first);
  std::tie(a.logits, b.logits) = cut(s.logits, vocab, rows, first);
  std::tie(a.hidden, b.hidden) = cut(s.hidden, d_model, rows, first);
  if (!s.from.empty()) a.from = s.from.first(first), b.from = s.from.subspan(first);
  return halves;
}

}  // namespace

void run_or_halve(const Batch& batch, std::uint32_t d_model, std::uint32_t vocab,
                  const std::function<void(const Batch&)>& pass) {
  const std::size_t rows = rows_of(batch.segments);
  try {
    return pass(batch);
  } catch (const Error& e) {
    if (e.code() != Errc::out_of_memory || rows < 2) throw;
  }
  std::vector<Segment> first, second;
  std::size_t room = rows / 2;
  for (const Segment& s : batch.segments) {
    const std::size_t taken = std::min(room, s.tokens.size());
    room -= taken;
    if (taken == s.tokens.size()) {
      first.push_back(s);
    } else if (taken == 0) {
      second.push_back(s);
    } else {
      const auto [a, b] = cut(s, taken, d_model, vocab);
      first.push_back(a), second.push_back(b);
    }
  }
  const std::size_t draws = draws_of(first);
  Batch half = batch;
  half.segments = first, half.drawn = batch.drawn.first(draws);
  run_or_halve(half, d_model, vocab, pass);
  half.segments = second, half.drawn = batch.drawn.subspan(draws);
  run_or_halve(half, d_model, vocab, pass);
}

}  // namespace frugal::aten
