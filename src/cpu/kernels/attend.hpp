// Attention: blocks of 32 keys and values are expanded to fp32 once for all queries of a task, the keys turned so that
// one query's scores of 16 keys lie in one Vec; up to 4 queries (8 with AVX-512) then share each expanded number. A score is one chain
// of fused multiply-adds over the dimensions, an output one chain over the positions of a block, and the blocks follow
// each other with a running softmax (Milakov and Gimelshein 2018, Dao et al. 2022): no sum depends on the other
// queries. Included only by the per-instruction-set files.
#pragma once

#include "cpu/kernels/rowwise.hpp"

#include <cmath>

namespace frugal::cpu {
namespace {

/// The usual case without its branches: fp16 heads of 64.
inline void expand_half64(const std::uint8_t* from, float* to) {
  const Vec a = load_half(from), b = load_half(from + 32), c = load_half(from + 64), d = load_half(from + 96);
  store(to, a), store(to + 16, b), store(to + 32, c), store(to + 48, d);
}

/// Expands keys or values of a block; asks for those of the next one, which the processor cannot guess across pages.
inline void expand_heads(const AttendTask& t, const std::uint8_t* const* heads, std::uint32_t count, std::uint32_t left,
                         float* to) {
  if (t.kind == KvKind::fp16 && t.head_dim == 64) {
    for (std::uint32_t j = 0; j < count; ++j) {
      const std::uint8_t* next = heads[j + key_block < left ? j + key_block : j];
      __builtin_prefetch(next), __builtin_prefetch(next + 64);
      expand_half64(heads[j], to + j * 64);
    }
    return;
  }
  const std::size_t bytes = head_bytes(t.kind, t.head_dim);
  for (std::uint32_t j = 0; j < count; ++j) {
    if (j + key_block < left)
      for (std::size_t b = 0; b < bytes; b += 64) __builtin_prefetch(heads[j + key_block] + b);
    expand_head(heads[j], t.kind, t.head_dim, to + j * t.dims);
  }
}

// Chains of fused multiply-adds in flight, all in registers: 4 to 6 of AVX2's, 16 of AVX-512's.
#if defined(__AVX512F__)
constexpr std::uint32_t most_queries = 8;
constexpr int score_groups(int) { return 2; }
constexpr int mix_width(int queries) { return queries > 4 ? 2 : 4; }
#else
constexpr std::uint32_t most_queries = 4;
constexpr int score_groups(int queries) { return queries > 2 ? 1 : 2; }
constexpr int mix_width(int queries) { return queries > 2 ? 1 : queries == 2 ? 2 : 4; }
#endif

/// scores [query][key_block] = q . keys, `Groups` times 16 turned keys at once.
template <int Queries, int Groups>
inline void score_tile(const float* q, std::size_t dims, const float* turned, float* scores) {
  Vec sums[Queries][Groups];
  for (int i = 0; i < Queries; ++i)
    for (int g = 0; g < Groups; ++g) sums[i][g] = splat(0.0F);
  for (std::size_t d = 0; d < dims; ++d, turned += key_block) {
    Vec keys[Groups];
    for (int g = 0; g < Groups; ++g) keys[g] = load(turned + 16 * g);
    for (int i = 0; i < Queries; ++i) {
      const Vec x = splat(q[i * dims + d]);
      for (int g = 0; g < Groups; ++g) sums[i][g] = fma(x, keys[g], sums[i][g]);
    }
  }
  for (int i = 0; i < Queries; ++i)
    for (int g = 0; g < Groups; ++g) store(scores + i * key_block + 16 * g, sums[i][g]);
}

/// out [query][dims] = shrink out + weights x values [high][dims], `Width` times 16 dimensions at once.
template <int Queries, int Width>
inline void mix_tile(const float* weights, const float* shrink, const float* values, std::size_t dims,
                     std::uint32_t high, float* out) {
  Vec mixed[Queries][Width];
  for (int i = 0; i < Queries; ++i)
    for (int c = 0; c < Width; ++c) mixed[i][c] = mul(load(out + i * dims + 16 * c), splat(shrink[i]));
  for (std::uint32_t j = 0; j < high; ++j, values += dims) {
    Vec value[Width];
    for (int c = 0; c < Width; ++c) value[c] = load(values + 16 * c);
    for (int i = 0; i < Queries; ++i) {
      const Vec weight = splat(weights[i * key_block + j]);
      for (int c = 0; c < Width; ++c) mixed[i][c] = fma(weight, value[c], mixed[i][c]);
    }
  }
  for (int i = 0; i < Queries; ++i)
    for (int c = 0; c < Width; ++c) store(out + i * dims + 16 * c, mixed[i][c]);
}

template <int Queries>
inline void score_queries(const float* q, std::size_t dims, const float* turned, float* scores) {
  constexpr int groups = score_groups(Queries);
  score_tile<Queries, groups>(q, dims, turned, scores);
  if constexpr (groups == 1) score_tile<Queries, 1>(q, dims, turned + 16, scores + 16);
}

template <int Queries>
inline void mix_queries(const float* weights, const float* shrink, const float* values, std::size_t dims,
                        std::uint32_t high, float* out) {
  constexpr int width = mix_width(Queries);
  std::size_t d = 0;
  for (; d + 16 * width <= dims; d += 16 * width)
    mix_tile<Queries, width>(weights, shrink, values + d, dims, high, out + d);
  for (; d < dims; d += 16) mix_tile<Queries, 1>(weights, shrink, values + d, dims, high, out + d);
}

template <int N>
struct Count {
  static constexpr int value = N;
};

/// Calls f with the number of queries as a constant, 1 to most_queries.
template <int Most = most_queries, class F>
inline void with_count(std::uint32_t queries, F&& f) {
  if constexpr (Most > 1) {
    if (queries < Most) return with_count<Most - 1>(queries, f);
  }
  f(Count<Most>{});
}

/// What a group of queries carries from key block to key block; lane = query.
struct Running {
  float most[16];   ///< greatest score so far
  float total[16];  ///< sum of weights
  float shrink[16];
  float weights[16][key_block];
};
static_assert(sizeof(Running) == running_floats * sizeof(float));

/// A block of keys and values, expanded.
struct Expanded {
  std::uint32_t start, count;  ///< positions [start, start + count)
  const float* keys;           ///< [dims][key_block], anything after the last 8 that hold one
  const float* values;         ///< [count][dims]
};

/// Positions the query does not see weigh nothing.
void hide(const AttendTask& t, std::uint32_t query, const Expanded& b, float* scores) {
  constexpr float nothing = -__builtin_inff();
  const std::uint32_t low = t.begins[query] > b.start ? t.begins[query] - b.start : 0;
  const std::uint32_t high = t.ends[query] > b.start ? t.ends[query] - b.start : 0;
  for (std::uint32_t j = 0; j < low && j < key_block; ++j) scores[j] = nothing;
  for (std::uint32_t j = high; j < key_block; ++j) scores[j] = nothing;
}

/// scores = cap * tanh(scores / cap). One number after the other, by the machine's own tanh: all tables give its bits.
void cap(float cap, float* scores) {
  for (std::uint32_t j = 0; j < key_block; ++j) scores[j] = cap * std::tanh(scores[j] / cap);
}

void score(const AttendTask& t, std::uint32_t first, std::uint32_t count, const Expanded& b, Running& r) {
  const float* q = t.q + std::size_t{first} * t.dims;
  for (std::uint32_t i = 0; i < count; i += most_queries)
    with_count(count - i < most_queries ? count - i : most_queries,
               [&](auto n) { score_queries<decltype(n)::value>(q + i * t.dims, t.dims, b.keys, r.weights[i]); });
  if (t.softcap != 0.0F)
    for (std::uint32_t i = 0; i < count; ++i) cap(t.softcap, r.weights[i]);
  for (std::uint32_t i = 0; i < count; ++i) hide(t, first + i, b, r.weights[i]);
}

/// Scores become weights relative to the greatest score so far; one query after the other, so that their chains of
/// dependent steps overlap.
void weigh(std::uint32_t count, Running& r) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const float block_most = greatest(greater(load(r.weights[i]), load(r.weights[i] + 16)));
    const float most = block_most > r.most[i] ? block_most : r.most[i];
    r.shrink[i] = most == r.most[i] ? 0.0F : r.most[i] - most;  // also where both are -infinity
    r.most[i] = most;
  }
  store(r.shrink, exp_of(load(r.shrink)));
  for (std::uint32_t i = 0; i < count; ++i) {
    const Vec most = splat(r.most[i] == -__builtin_inff() ? 0.0F : r.most[i]);
    const Vec a = exp_of(sub(load(r.weights[i]), most)), b = exp_of(sub(load(r.weights[i] + 16), most));
    store(r.weights[i], a), store(r.weights[i] + 16, b);
    r.total[i] = r.total[i] * r.shrink[i] + sum(add(a, b));
  }
}

void mix(const AttendTask& t, std::uint32_t first, std::uint32_t count, const Expanded& b, const Running& r) {
  float* out = t.out + std::size_t{first} * t.dims;
  for (std::uint32_t i = 0; i < count; i += most_queries, out += most_queries * t.dims) {
    const std::uint32_t queries = count - i < most_queries ? count - i : most_queries;
    std::uint32_t end = 0;  // later positions weigh nothing
    for (std::uint32_t k = i; k < i + queries; ++k) end = t.ends[first + k] > end ? t.ends[first + k] : end;
    const std::uint32_t seen = end > b.start ? end - b.start : 0, high = seen < b.count ? seen : b.count;
    with_count(queries, [&](auto n) {
      mix_queries<decltype(n)::value>(r.weights[i], r.shrink + i, b.values, t.dims, high, out);
    });
  }
}

Expanded expand(const AttendTask& t, std::uint32_t start, float* keys, float* values) {
  const std::uint32_t count = t.last - start < key_block ? t.last - start : key_block;
  expand_heads(t, t.keys + (start - t.first), count, t.last - start, values);
  const std::uint32_t turned = (count + 7) / 8 * 8;  // scores of later keys are hidden, whatever lies there
  std::memset(values + count * t.dims, 0, std::size_t{turned - count} * t.dims * sizeof(float));
  for (std::uint32_t j = 0; j < turned; j += 8)
    for (std::uint32_t d = 0; d < t.dims; d += 8)
      transpose(values + j * t.dims + d, t.dims, keys + d * key_block + j, key_block);
  expand_heads(t, t.values + (start - t.first), count, t.last - start, values);
  return {start, count, keys, values};
}

void attend(const AttendTask& t) {
  float* keys = t.scratch;
  float* values = keys + key_block * t.dims;
  auto* running = reinterpret_cast<Running*>(values + key_block * t.dims);
  for (std::uint32_t g = 0; g * 16 < t.queries; ++g) {
    store(running[g].most, splat(-__builtin_inff())), store(running[g].total, splat(0.0F));
    store(running[g].shrink, splat(0.0F));
  }
  std::memset(t.out, 0, std::size_t{t.queries} * t.dims * sizeof(float));
  for (std::uint32_t start = t.first; start < t.last; start += key_block) {
    const Expanded block = expand(t, start, keys, values);
    for (std::uint32_t q = 0; q < t.queries; q += 16) {
      const std::uint32_t group = t.queries - q < 16 ? t.queries - q : 16;
      score(t, q, group, block, running[q / 16]);
      weigh(group, running[q / 16]);
      mix(t, q, group, block, running[q / 16]);
    }
  }
  for (std::uint32_t i = 0; i < t.queries; ++i) {
    const Vec inverse = splat(1.0F / running[i / 16].total[i % 16]);
    float* out = t.out + std::size_t{i} * t.dims;
    // + 0: a block that only other queries see may have turned -0 into 0
    for (std::size_t d = 0; d < t.dims; d += 16) store(out + d, fma(load(out + d), inverse, splat(0.0F)));
  }
}

}  // namespace
}  // namespace frugal::cpu
