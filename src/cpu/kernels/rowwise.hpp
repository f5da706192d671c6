// The kernels that work along one row: norm, quantisation, gate, attention. Written once over simd.hpp's sixteen lanes
// and compiled once per instruction set, so the order of every sum is the same in all of them. Included only by the
// per-instruction-set files.
#pragma once

#include "cpu/kernels/kernels.hpp"
#include "cpu/kernels/simd.hpp"

#include <cstring>

namespace frugal::cpu {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }

/// e^x to 2 units in the last place; 0 below -87, finite above 88.
inline Vec exp_of(Vec x) {
  const Vec low = splat(-87.0F);
  const Vec clamped = smaller(greater(x, low), splat(88.0F));
  const Vec n = nearest(mul(clamped, splat(1.44269504F)));
  const Vec r = fma(n, splat(2.12194440e-4F), fma(n, splat(-0.693359375F), clamped));  // ln 2 in two pieces
  Vec p = splat(1.0F / 5040.0F);
  p = fma(p, r, splat(1.0F / 720.0F));
  p = fma(p, r, splat(1.0F / 120.0F));
  p = fma(p, r, splat(1.0F / 24.0F));
  p = fma(p, r, splat(1.0F / 6.0F));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r, splat(1.0F));
  p = fma(p, r, splat(1.0F));
  return zero_below(scale_by_power(p, n), x, low);
}

inline float exp_of(float x) { return sum(exp_of(splat(x))) / 16.0F; }  // sixteen equal lanes: the mean is exact

void rms_norm(const float* x, const float* w, float* y, std::size_t n, float eps) {
  Vec parts[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (std::size_t i = 0; i < n; i += 16) {
    const Vec v = load(x + i);
    parts[i / 16 % 4] = fma(v, v, parts[i / 16 % 4]);
  }
  const float squares = sum(add(add(parts[0], parts[1]), add(parts[2], parts[3])));
  const Vec scale = splat(1.0F / root(squares / static_cast<float>(n) + eps));
  for (std::size_t i = 0; i < n; i += 16) store(y + i, mul(mul(load(x + i), scale), load(w + i)));
}

void quantize(const float* x, std::size_t blocks, std::uint8_t* panel, std::size_t lane, std::size_t lanes) {
  const std::size_t stride = panel_block_bytes(lanes);
  for (std::size_t b = 0; b < blocks; ++b, x += block_inputs, panel += stride) {
    const Vec low = load(x), high = load(x + 16);
    const float most = greatest(greater(magnitude(low), magnitude(high)));
    const Vec inverse = splat(most > 0.0F ? 127.0F / most : 0.0F);
    const Vec q_low = nearest(mul(low, inverse)), q_high = nearest(mul(high, inverse));
    store_bytes(panel + lane * block_inputs, q_low);
    store_bytes(panel + lane * block_inputs + 16, q_high);
    const float sum_low = sum(q_low), sum_high = sum(q_high);  // whole numbers: exact
    const float scale = most / 127.0F;
    const PanelScale s{scale, scale * (sum_low + sum_high), -128 * static_cast<std::int32_t>(sum_low),
                       -128 * static_cast<std::int32_t>(sum_high)};
    std::memcpy(panel + lanes * block_inputs + lane * sizeof s, &s, sizeof s);
  }
}

void residual(const float* x, std::size_t blocks, const std::uint8_t* panel, std::size_t lane, std::size_t lanes,
              float* left) {
  for (std::size_t b = 0; b < blocks; ++b, panel += panel_block_bytes(lanes)) {
    PanelScale s;
    std::memcpy(&s, panel + lanes * block_inputs + lane * sizeof s, sizeof s);
    const Vec scale = splat(-s.scale);
    for (std::size_t i = 0; i < block_inputs; i += 16)
      store(left + b * block_inputs + i,
            fma(load_bytes(panel + lane * block_inputs + i), scale, load(x + b * block_inputs + i)));
  }
}

void silu_mul(float* gate, const float* up, std::size_t n) {
  const Vec one = splat(1.0F);
  for (std::size_t i = 0; i < n; i += 16) {
    const Vec g = load(gate + i);
    const Vec sigmoid = divide(one, add(one, exp_of(sub(splat(0.0F), g))));
    store(gate + i, mul(mul(g, sigmoid), load(up + i)));
  }
}

inline float half_at(const std::uint8_t* p) {
  std::uint8_t wide[32] = {p[0], p[1]};
  float lanes[16];
  store(lanes, load_half(wide));
  return lanes[0];
}

/// Blocks of 32 signed bytes under one fp16 scale, which is rounded first so that the bytes make up for its rounding.
void store_head_int8(const float* x, std::size_t n, std::uint8_t* to) {
  for (std::size_t b = 0; b * 32 < n; ++b) {
    const std::size_t left = n - b * 32, count = left < 32 ? left : 32;
    float padded[32] = {};
    std::memcpy(padded, x + b * 32, count * sizeof(float));
    const Vec low = load(padded), high = load(padded + 16);
    std::uint8_t halves[32], bytes[32];
    store_half(halves, splat(greatest(greater(magnitude(low), magnitude(high))) / 127.0F));
    const float scale = half_at(halves);
    const Vec inverse = splat(scale > 0.0F ? 1.0F / scale : 0.0F), limit = splat(127.0F), floor = splat(-127.0F);
    store_bytes(bytes, greater(smaller(nearest(mul(low, inverse)), limit), floor));
    store_bytes(bytes + 16, greater(smaller(nearest(mul(high, inverse)), limit), floor));
    std::memcpy(to + b * 32, bytes, count);
    std::memcpy(to + n + 2 * b, halves, 2);
  }
}

void store_head(const float* x, std::size_t n, KvKind kind, std::uint8_t* to) {
  if (kind == KvKind::fp32) {
    std::memcpy(to, x, n * sizeof(float));
  } else if (kind == KvKind::int8) {
    store_head_int8(x, n, to);
  } else {
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) store_half(to + 2 * i, load(x + i));
    if (i == n) return;
    float padded[16] = {};
    std::uint8_t halves[32];
    std::memcpy(padded, x + i, (n - i) * sizeof(float));
    store_half(halves, load(padded));
    std::memcpy(to + 2 * i, halves, 2 * (n - i));
  }
}

/// The last dimensions of a head that is no multiple of 16 long, and what belongs to no dimension as zeros.
void expand_tail(const std::uint8_t* from, KvKind kind, std::size_t done, std::size_t n, float scale, float* to) {
  std::uint8_t bytes[64] = {};
  const std::size_t width = kind == KvKind::fp32 ? 4 : kind == KvKind::fp16 ? 2 : 1;
  std::memcpy(bytes, from + done * width, (n - done) * width);
  if (kind == KvKind::fp32)
    std::memcpy(to + done, bytes, 16 * sizeof(float));
  else
    store(to + done, kind == KvKind::fp16 ? load_half(bytes) : mul(load_bytes(bytes), splat(scale)));
}

/// One stored head as fp32, padded with zeros to a multiple of 16.
inline void expand_head(const std::uint8_t* from, KvKind kind, std::size_t n, float* to) {
  const std::size_t whole = n / 16 * 16;
  float scale = 1.0F;
  if (kind == KvKind::fp16) {
    for (std::size_t i = 0; i < whole; i += 16) store(to + i, load_half(from + 2 * i));
  } else if (kind == KvKind::fp32) {
    std::memcpy(to, from, whole * sizeof(float));
  } else {
    for (std::size_t i = 0; i < whole; i += 16) {
      if (i % 32 == 0) scale = half_at(from + n + i / 32 * 2);
      store(to + i, mul(load_bytes(from + i), splat(scale)));
    }
    if (whole % 32 == 0 && whole < n) scale = half_at(from + n + whole / 32 * 2);
  }
  if (whole < n) expand_tail(from, kind, whole, n, scale, to);
}

/// The usual case without its branches: fp16 heads of 64.
inline void expand_half64(const std::uint8_t* from, float* to) {
  const Vec a = load_half(from), b = load_half(from + 32), c = load_half(from + 64), d = load_half(from + 96);
  store(to, a), store(to + 16, b), store(to + 32, c), store(to + 48, d);
}

/// Expands keys or values of a block; asks for those of the next one, which the processor cannot guess across pages.
inline void expand_block(const AttendTask& t, const std::uint8_t* const* heads, std::uint32_t count, std::uint32_t left,
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

/// scores[16 g ...] of one query against groups of 16 expanded keys. With `Pieces` registers the query stays in them.
template <std::size_t Pieces>
inline void score_pieces(const float* q, const float* keys, std::uint32_t groups, float* scores) {
  Vec query[Pieces];
  for (std::size_t d = 0; d < Pieces; ++d) query[d] = load(q + 16 * d);
  for (std::uint32_t g = 0; g < groups; ++g) {
    Narrow parts[16];
    for (std::size_t k = 0; k < 16; ++k, keys += 16 * Pieces) {
      Vec part = mul(query[0], load(keys));
      for (std::size_t d = 1; d < Pieces; ++d) part = fma(query[d], load(keys + 16 * d), part);
      parts[k] = narrow(part);
    }
    store(scores + 16 * g, sums(parts));
  }
}

inline void score_block(const float* q, const float* keys, std::size_t dims, std::uint32_t groups, float* scores) {
  if (dims == 64) return score_pieces<4>(q, keys, groups, scores);
  for (std::uint32_t g = 0; g < groups; ++g) {
    Narrow parts[16];
    for (std::size_t k = 0; k < 16; ++k, keys += dims) {
      Vec part = mul(load(q), load(keys));
      for (std::size_t d = 16; d < dims; d += 16) part = fma(load(q + d), load(keys + d), part);
      parts[k] = narrow(part);
    }
    store(scores + 16 * g, sums(parts));
  }
}

template <int Width>
inline void mix_values(const float* p, const float* values, std::size_t dims, std::uint32_t low, std::uint32_t high,
                       float shrink, float* out) {
  Vec mixed[Width];
  for (int c = 0; c < Width; ++c) mixed[c] = mul(load(out + 16 * c), splat(shrink));
  for (std::uint32_t j = low; j < high; ++j) {
    const Vec weight = splat(p[j]);
    for (int c = 0; c < Width; ++c) mixed[c] = fma(weight, load(values + j * dims + 16 * c), mixed[c]);
  }
  for (int c = 0; c < Width; ++c) store(out + 16 * c, mixed[c]);
}

/// What a group of queries carries from key block to key block; lane = query.
struct Running {
  float most[16];   ///< greatest score so far
  float total[16];  ///< sum of weights
  float shrink[16];
  float weights[16][key_block];
};
static_assert(sizeof(Running) == running_floats * sizeof(float));

/// Positions of a key block that a query sees: [low, high) of key_block.
struct Seen {
  std::uint32_t low, high;
};

inline Seen seen_by(const AttendTask& t, std::uint32_t query, std::uint32_t start) {
  const std::uint32_t end = t.ends[query] < start + key_block ? t.ends[query] : start + key_block;
  const std::uint32_t begin = t.begins[query] > start ? t.begins[query] : start;
  return begin < end ? Seen{begin - start, end - start} : Seen{0, 0};
}

void score_queries(const AttendTask& t, std::uint32_t first, std::uint32_t count, std::uint32_t start,
                   const float* keys, Running& r) {
  constexpr float nothing = -__builtin_inff();
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto [low, high] = seen_by(t, first + i, start);
    float* scores = r.weights[i];
    if (high != 0) score_block(t.q + (first + i) * t.dims, keys, t.dims, (high + 15) / 16, scores);
    for (std::uint32_t j = 0; j < low; ++j) scores[j] = nothing;
    for (std::uint32_t j = high; j < key_block; ++j) scores[j] = nothing;
  }
}

/// Scores become weights relative to the greatest score so far; one query after the other, so that their chains of
/// dependent steps overlap.
void weigh_queries(std::uint32_t count, Running& r) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Vec a = load(r.weights[i]), b = load(r.weights[i] + 16);
    const float block_most = greatest(greater(a, b));
    const float most = block_most > r.most[i] ? block_most : r.most[i];
    r.shrink[i] = most == r.most[i] ? 0.0F : r.most[i] - most;  // also where both are -infinity
    r.most[i] = most;
  }
  store(r.shrink, exp_of(load(r.shrink)));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (r.most[i] == -__builtin_inff()) continue;
    const Vec most = splat(r.most[i]);
    const Vec a = exp_of(sub(load(r.weights[i]), most)), b = exp_of(sub(load(r.weights[i] + 16), most));
    store(r.weights[i], a), store(r.weights[i] + 16, b);
    r.total[i] = r.total[i] * r.shrink[i] + sum(add(a, b));
  }
}

void mix_queries(const AttendTask& t, std::uint32_t first, std::uint32_t count, std::uint32_t start,
                 const float* values, const Running& r) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto [low, high] = seen_by(t, first + i, start);
    if (high == 0) continue;
    float* out = t.out + (first + i) * t.dims;
    std::size_t d = 0;
    for (; d + 64 <= t.dims; d += 64) mix_values<4>(r.weights[i], values + d, t.dims, low, high, r.shrink[i], out + d);
    for (; d < t.dims; d += 16) mix_values<1>(r.weights[i], values + d, t.dims, low, high, r.shrink[i], out + d);
  }
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
    const std::uint32_t count = t.last - start < key_block ? t.last - start : key_block;
    expand_block(t, t.keys + (start - t.first), count, t.last - start, keys);
    expand_block(t, t.values + (start - t.first), count, t.last - start, values);
    std::memset(keys + count * t.dims, 0, std::size_t{key_block - count} * t.dims * sizeof(float));
    for (std::uint32_t q = 0; q < t.queries; q += 16) {
      const std::uint32_t group = t.queries - q < 16 ? t.queries - q : 16;
      score_queries(t, q, group, start, keys, running[q / 16]);
      weigh_queries(group, running[q / 16]);
      mix_queries(t, q, group, start, values, running[q / 16]);
    }
  }
  for (std::uint32_t i = 0; i < t.queries; ++i) {
    const Vec inverse = splat(1.0F / running[i / 16].total[i % 16]);
    float* out = t.out + std::size_t{i} * t.dims;
    for (std::size_t d = 0; d < t.dims; d += 16) store(out + d, mul(load(out + d), inverse));
  }
}

}  // namespace
}  // namespace frugal::cpu
