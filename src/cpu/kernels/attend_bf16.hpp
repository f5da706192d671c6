// Attention of prompt rows in bf16 by the tile unit. Scores stand on their side, keys down and queries across, so that
// keys need no turning and a query's greatest score is found lane by lane; the weights are turned instead, 16 queries
// and 32 keys at a time. Key blocks, the running softmax and its fp32 sums are those of attend.hpp: no number of a query
// depends on the other queries. Included by amx_bf16.cpp and by the tests' software model only.
#pragma once

#include "cpu/kernels/bf16.hpp"
#include "cpu/kernels/expand.hpp"
#include "cpu/kernels/exponential.hpp"

#include <cmath>
#include <utility>

namespace frugal::cpu {
namespace {

/// to[c][r] = from[r][c], 16 x 16 pairs of bf16 as words; `stride` words from row to row of `from`.
inline void turn_pairs(const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
#if defined(__AVX512F__)
  __m512i a[16], b[16];
  FRUGAL_UNROLL(16)
  for (int i = 0; i < 16; ++i) a[i] = _mm512_load_si512(from + i * stride * 4);
  FRUGAL_UNROLL(8)
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  FRUGAL_UNROLL(4)
  for (int i = 0; i < 16; i += 4) {  // a[i + c]: column 4k + c of rows i to i + 3, in quarter k
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]), a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]), a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  FRUGAL_UNROLL(4)
  for (int c = 0; c < 4; ++c) {
    const __m512i low = _mm512_shuffle_i32x4(a[c], a[c + 4], 0x88), high = _mm512_shuffle_i32x4(a[c], a[c + 4], 0xDD);
    const __m512i low2 = _mm512_shuffle_i32x4(a[c + 8], a[c + 12], 0x88);
    const __m512i high2 = _mm512_shuffle_i32x4(a[c + 8], a[c + 12], 0xDD);
    _mm512_store_si512(to + 64 * c, _mm512_shuffle_i32x4(low, low2, 0x88));
    _mm512_store_si512(to + 64 * (c + 8), _mm512_shuffle_i32x4(low, low2, 0xDD));
    _mm512_store_si512(to + 64 * (c + 4), _mm512_shuffle_i32x4(high, high2, 0x88));
    _mm512_store_si512(to + 64 * (c + 12), _mm512_shuffle_i32x4(high, high2, 0xDD));
  }
#else
  for (std::size_t r = 0; r < 16; ++r)
    for (std::size_t c = 0; c < 16; ++c) std::memcpy(to + 64 * c + 4 * r, from + 4 * (r * stride + c), 4);
#endif
}

/// Where a task's numbers are; every part begins on a cache line.
struct AttendRoom {
  std::size_t depth;      ///< dimensions rounded up to 32: the scores' sums run over them
  std::size_t dims;       ///< rounded up to 16
  std::uint8_t* queries;  ///< [query tiles][depth / 32] tiles of turned queries
  std::uint8_t* keys;     ///< bf16 [key_block][depth]
  std::uint8_t* values;   ///< [dims / 16] tiles: line i has keys 2i and 2i + 1
  float* scores;          ///< [key_block][16], later the weights in pairs
  std::uint8_t* weights;  ///< bf16 [16 queries][key_block]
  float* row;             ///< [2][depth], scratch
  float* running;         ///< [query tiles][2][16]: greatest score, sum of weights
  float* mixed;           ///< [query tiles][16][dims]

  /// Takes attend_bf16_room(queries, dims) bytes.
  AttendRoom(const AttendTask& t, std::uint8_t* at) : depth((t.dims + 31) / 32 * 32), dims(t.dims) {
    const std::size_t tiles = (t.queries + tile_queries - 1) / tile_queries;
    const auto take = [&at](std::size_t bytes) { return std::exchange(at, at + bytes); };
    const auto floats = [&take](std::size_t n) { return reinterpret_cast<float*>(take(n * sizeof(float))); };
    queries = take(tiles * depth * tile_queries * 2);
    keys = take(key_block * depth * 2);
    values = take(key_block * dims * 2);
    scores = floats(key_block * tile_queries);
    weights = take(key_block * tile_queries * 2);
    row = floats(2 * depth);
    running = floats(tiles * 2 * tile_queries);
    mixed = floats(tiles * tile_queries * dims);
  }
  float* most(std::size_t tile) const { return running + tile * 2 * tile_queries; }
  float* total(std::size_t tile) const { return most(tile) + tile_queries; }
};

/// Queries [16 tile, ...) turned: line i has dimensions 2i and 2i + 1 of each query.
inline void turn_queries(const AttendTask& t, const AttendRoom& room, std::uint32_t tile) {
  alignas(64) std::uint16_t rows[tile_queries * 32];
  const std::uint32_t first = tile * tile_queries, left = t.queries - first;
  for (std::size_t d = 0; d < room.depth; d += 32) {
    for (std::uint32_t i = 0; i < tile_queries; ++i) {
      const bool there = i < left, second = there && d + 16 < t.dims;
      const float* q = t.q + std::size_t{first + i} * t.dims + d;
      store_words(rows + i * 32, rounded(there ? load(q) : splat(0.0F), second ? load(q + 16) : splat(0.0F)));
    }
    turn_pairs(reinterpret_cast<const std::uint8_t*>(rows), 16,
               room.queries + (tile * room.depth + d) * tile_queries * 2);
  }
}

/// The usual case of round_block: a whole block of fp16 heads of whole 32 dimensions.
inline void round_half_block(const AttendTask& t, const AttendRoom& room, std::size_t at) {
  for (std::uint32_t j = 0; j < key_block; ++j) {
    const std::uint8_t* key = t.keys[at + j];
    for (std::size_t d = 0; d < room.depth; d += 32)
      store_words(room.keys + (j * room.depth + d) * 2, rounded(load_half(key + 2 * d), load_half(key + 2 * d + 32)));
  }
  for (std::uint32_t j = 0; j < key_block; j += 2) {
    const std::uint8_t *even = t.values[at + j], *odd = t.values[at + j + 1];
    for (std::size_t d = 0; d < room.dims; d += 16)
      store_words(room.values + d * key_block * 2 + j / 2 * 64,
                  rounded_pairs(load_half(even + 2 * d), load_half(odd + 2 * d)));
  }
}

/// Keys and values [start, start + count), rounded; positions after them are zero. The next block is asked for.
inline void round_block(const AttendTask& t, const AttendRoom& room, std::uint32_t start, std::uint32_t count) {
  const std::size_t at = start - t.first;
  const std::size_t bytes = head_bytes(t.kind, t.head_dim);
  for (std::uint32_t j = 0; j < key_block && start + j + key_block < t.last; ++j)
    for (std::size_t b = 0; b < bytes; b += 64) {
      __builtin_prefetch(t.keys[at + j + key_block] + b);
      __builtin_prefetch(t.values[at + j + key_block] + b);
    }
  if (count == key_block && t.kind == KvKind::fp16 && t.head_dim == room.depth) return round_half_block(t, room, at);
  float* const first = room.row;
  float* const second = room.row + room.depth;
  std::memset(first, 0, 2 * room.depth * sizeof(float));
  for (std::uint32_t j = 0; j < count; ++j) {
    expand_head(t.keys[at + j], t.kind, t.head_dim, first);
    round_row(first, room.depth, reinterpret_cast<std::uint16_t*>(room.keys) + j * room.depth);
  }
  std::memset(room.keys + count * room.depth * 2, 0, (key_block - count) * room.depth * 2);
  for (std::uint32_t j = 0; j < key_block; j += 2) {
    for (const std::uint32_t one : {0U, 1U}) {
      float* const to = one == 0 ? first : second;
      if (j + one < count)
        expand_head(t.values[at + j + one], t.kind, t.head_dim, to);
      else
        std::memset(to, 0, room.dims * sizeof(float));
    }
    for (std::size_t d = 0; d < room.dims; d += 16)
      store_words(room.values + d * key_block * 2 + j / 2 * 64, rounded_pairs(load(first + d), load(second + d)));
  }
}

/// scores [key_block][16] of one query tile.
template <class Tiles>
void score_block(const AttendRoom& room, std::uint32_t tile) {
  const std::uint8_t* turned = room.queries + tile * room.depth * tile_queries * 2;
  const std::size_t bytes = room.depth * 2;
  Tiles::template clear<0>(), Tiles::template clear<1>();
  for (std::size_t d = 0; d < room.depth; d += 32) {
    Tiles::template load<6>(turned + d * tile_queries * 2, 64);
    Tiles::template load<4>(room.keys + d * 2, bytes);
    Tiles::template multiply<0, 4, 6>();
    Tiles::template load<5>(room.keys + 16 * bytes + d * 2, bytes);
    Tiles::template multiply<1, 5, 6>();
  }
  Tiles::template keep<0>(room.scores), Tiles::template keep<1>(room.scores + 16 * tile_queries);
}

/// Positions that a query does not see weigh nothing; scores are capped where the model says so.
inline void hide_block(const AttendTask& t, const AttendRoom& room, std::uint32_t tile, std::uint32_t start) {
  const std::uint32_t first = tile * tile_queries;
  for (std::uint32_t i = 0; i < tile_queries; ++i) {
    const std::uint32_t query = first + i < t.queries ? first + i : t.queries - 1;
    const std::uint32_t begin = t.begins[query], end = t.ends[query];
    float* const scores = room.scores + i;
    if (t.softcap != 0.0F)
      for (std::uint32_t j = 0; j < key_block; ++j)
        scores[j * tile_queries] = t.softcap * std::tanh(scores[j * tile_queries] / t.softcap);
    if (begin <= start && end >= start + key_block) continue;
    for (std::uint32_t j = 0; j < key_block; ++j)
      if (start + j < begin || start + j >= end) scores[j * tile_queries] = -__builtin_inff();
  }
}

/// Scores become weights relative to the greatest so far, in place and in pairs of keys; what was mixed before shrinks.
inline void weigh_block(const AttendRoom& room, std::uint32_t tile) {
  float* const most = room.most(tile);
  alignas(64) float shrink[tile_queries], safe[tile_queries], now[tile_queries];
  Vec top = load(room.scores);
  for (std::uint32_t j = 1; j < key_block; ++j) top = greater(top, load(room.scores + j * tile_queries));
  store(now, greater(top, load(most)));
  bool moved = false;
  for (std::uint32_t i = 0; i < tile_queries; ++i) {
    shrink[i] = now[i] == most[i] ? 0.0F : most[i] - now[i];  // also where both are -infinity
    safe[i] = now[i] == -__builtin_inff() ? 0.0F : now[i];
    moved |= now[i] != most[i];
    most[i] = now[i];
  }
  const Vec limit = load(safe);
  Vec sums = splat(0.0F);
  for (std::uint32_t j = 0; j < key_block; j += 2) {
    float* const pair = room.scores + j * tile_queries;
    const Vec even = exp_of(sub(load(pair), limit)), odd = exp_of(sub(load(pair + tile_queries), limit));
    sums = add(sums, add(even, odd));
    store_words(room.scores + j / 2 * tile_queries, rounded_pairs(even, odd));
  }
  const Vec shrinks = exp_of(load(shrink));
  store(room.total(tile), fma(load(room.total(tile)), shrinks, sums));
  if (!moved) return;
  store(shrink, shrinks);
  float* mixed = room.mixed + tile * tile_queries * room.dims;
  for (std::uint32_t i = 0; i < tile_queries; ++i, mixed += room.dims)
    for (std::size_t d = 0; d < room.dims; d += 16) store(mixed + d, mul(load(mixed + d), splat(shrink[i])));
}

/// mixed [16][dims] += weights x values, two tiles of dimensions at once.
template <class Tiles>
void mix_block(const AttendRoom& room, std::uint32_t tile) {
  turn_pairs(reinterpret_cast<const std::uint8_t*>(room.scores), tile_queries, room.weights);
  Tiles::template load<4>(room.weights, 64);
  float* const mixed = room.mixed + tile * tile_queries * room.dims;
  const std::size_t bytes = room.dims * sizeof(float);
  for (std::size_t d = 0; d < room.dims; d += 32) {
    Tiles::template load<0>(mixed + d, bytes);
    Tiles::template load<6>(room.values + d * key_block * 2, 64);
    Tiles::template multiply<0, 4, 6>();
    Tiles::template keep<0>(mixed + d, bytes);
    if (d + 16 >= room.dims) return;
    Tiles::template load<1>(mixed + d + 16, bytes);
    Tiles::template load<7>(room.values + (d + 16) * key_block * 2, 64);
    Tiles::template multiply<1, 4, 7>();
    Tiles::template keep<1>(mixed + d + 16, bytes);
  }
}

template <class Tiles>
void attend_bf16(const AttendTask& t, std::uint8_t* scratch) {
  const AttendRoom room(t, scratch);
  const std::uint32_t tiles = (t.queries + tile_queries - 1) / tile_queries;
  for (std::uint32_t tile = 0; tile < tiles; ++tile) {
    turn_queries(t, room, tile);
    store(room.most(tile), splat(-__builtin_inff())), store(room.total(tile), splat(0.0F));
  }
  std::memset(room.mixed, 0, tiles * tile_queries * room.dims * sizeof(float));
  Tiles::begin();
  for (std::uint32_t start = t.first; start < t.last; start += key_block) {
    round_block(t, room, start, t.last - start < key_block ? t.last - start : key_block);
    for (std::uint32_t tile = 0; tile < tiles; ++tile) {
      score_block<Tiles>(room, tile);
      hide_block(t, room, tile, start);
      weigh_block(room, tile);
      mix_block<Tiles>(room, tile);
    }
  }
  Tiles::end();
  for (std::uint32_t i = 0; i < t.queries; ++i) {
    const std::size_t tile = i / tile_queries, lane = i % tile_queries;
    const float* from = room.mixed + (tile * tile_queries + lane) * room.dims;
    const Vec inverse = splat(1.0F / room.total(tile)[lane]);
    for (std::size_t d = 0; d < t.dims; d += 16) store(t.out + i * t.dims + d, mul(load(from + d), inverse));
  }
}

template <class Tiles>
constexpr Bf16Kernels bf16_table{Tiles::begin, Tiles::end,           round_row,         place_rounded,
                                 open_bf16,    multiply_bf16<Tiles>, attend_bf16<Tiles>};

}  // namespace
}  // namespace frugal::cpu
