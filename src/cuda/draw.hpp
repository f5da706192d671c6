// Draws one token from one row of logits, by the random rule of docs/decisions/005, token for token as backend::Drawer
// does on the host: one block a row. Judging drafts, distributions and lists of the most likely tokens: judge.hpp.
//
// Filters are a radix selection. Logits become whole numbers in the same order; per digit of 8 bits one pass counts, or
// sums the weights of, what has the digits found so far. All sums are whole numbers, so the order in which threads add
// cannot show. Passes over the row: one, and one more without greedy; four for top-k, five for top-p.
#pragma once

#include "cuda/block.hpp"

#include <cstdint>

namespace frugal::cuda {

/// What bias and penalties change of one token. A row has them by rising token; where a bias stands more than once, each
/// has an entry, in the order in which they are added, and the counts stand in the first.
struct Adjustment {
  std::int32_t token;
  float bias;               ///< 0 = none
  std::uint32_t repeated;   ///< it stands in prompt or output
  std::uint32_t in_output;  ///< how often it stands in the output
};

/// One of the most likely tokens.
struct Listed {
  std::int32_t token;
  float logit;  ///< NaN as minus infinity
};

/// One row. Pointers are the device's; the arrays must not overlap.
struct DrawRow {
  const float* logits = nullptr;
  float* x = nullptr;                   ///< [tokens] memory to work in
  std::uint32_t tokens = 0;             ///< without the padding of a wide head; at least 1
  const std::uint32_t* mask = nullptr;  ///< null = every token is allowed
  std::uint32_t mask_words = 0;         ///< tokens beyond the mask's end are not allowed
  const Adjustment* adjustments = nullptr;
  std::uint32_t adjustment_count = 0;
  float repetition = 1.0F, presence = 0.0F, frequency = 0.0F;
  float scale = 0.0F;       ///< log2(e) / temperature; 0 = greedy
  std::uint32_t top_k = 0;  ///< 0 = off
  bool top_p = false;
  std::uint64_t share = 0;         ///< top_p * 2^64, rounded down
  std::uint64_t least_weight = 0;  ///< min_p * 2^40, rounded down; 0 = off
  std::uint64_t number = 0;        ///< counter_number(seed, position, purpose)
  bool scores = false;             ///< fill the rest of Drawn: two more passes
  float score_scale = 0.0F;        ///< log2(e): weights at temperature 1
  // Where a draft is judged: what it was drawn from [tokens], and counter_number() of accept and residual.
  const float* draft = nullptr;  ///< null = an own draw
  std::int32_t drafted = -1;     ///< below `tokens`
  std::uint64_t accept = 0, residual = 0;
  float* distribution = nullptr;  ///< [width], or null: receives what the draw is made from
  std::uint32_t width = 0;        ///< at least `tokens`; what is beyond them gets 0
  Listed* list = nullptr;         ///< [listed]: receives the greatest logits of the row, in any order
  std::uint32_t listed = 0;       ///< at most `tokens`; more than 0 fills the rest of Drawn
};

/// What comes back. Scores are of the model's own distribution, before bias, penalties and mask.
struct Drawn {
  std::int32_t token;         ///< -1 where none can be drawn
  float logit, peak, second;  ///< of the token; the two greatest of the row, equal where the greatest stands twice
  std::uint64_t total;        ///< sum of the weights
};

inline constexpr std::uint32_t draw_threads = 512;

/// Shared memory of a block: about 16 KB.
struct DrawShared {
  float best[draw_threads], below[draw_threads];
  std::uint32_t at[draw_threads];
  std::uint32_t finite[draw_threads];
  unsigned long long partial[draw_threads];
  unsigned long long digits[256];
  // Found by one thread, read by all in the next phase.
  float max;
  std::uint32_t argmax, any_finite, allowed;
  std::uint32_t key, last;  ///< the last token of the order that stays
  unsigned long long total, rest;
  std::uint32_t first, count;  ///< a range of tokens
  std::int32_t token;
  float second;
  bool masked;                       ///< row.mask holds
  std::uint32_t listed;              ///< tokens in row.list
  unsigned long long p_mass, other;  ///< of the distribution; of the draft's, then of what takes the draft's place
};

namespace draw {

inline constexpr std::uint64_t weight_one = std::uint64_t{1} << 40;
inline constexpr std::uint32_t lowest = 0xFF800000U;  ///< the bits of minus infinity

FRUGAL_DEVICE bool is_nan(float x) { return (bits_of(x) & 0x7FFFFFFFU) > 0x7F800000U; }
FRUGAL_DEVICE bool is_finite(float x) { return (bits_of(x) & 0x7F800000U) != 0x7F800000U; }
FRUGAL_DEVICE float clean(float x) { return is_nan(x) ? float_of(lowest) : x; }

/// Whole numbers in the order of the logits; both zeros are the same.
FRUGAL_DEVICE std::uint32_t key_of(float x) {
  const std::uint32_t bits = bits_of(added(x, 0.0F));  // -0 + 0 = 0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// floor(2^((x - max) * scale) * 2^40), by the rule's polynomial.
FRUGAL_DEVICE std::uint64_t weight_of(float x, float max, float scale) {
  if (x == max) return weight_one;
  const float magic = 12582912.0F;
  float t = multiplied(added(x, -max), scale);
  t = t > -64.0F ? t : -64.0F;
  const float y = added(t, magic), f = added(t, -added(y, -magic));
  float p = 0x1.5bba14p-10F;
  p = added(multiplied(p, f), 0x1.3cea88p-7F);
  p = added(multiplied(p, f), 0x1.c6b752p-5F);
  p = added(multiplied(p, f), 0x1.ebf9bcp-3F);
  p = added(multiplied(p, f), 0x1.62e42ap-1F);
  p = added(multiplied(p, f), 1.0F);
  return static_cast<std::uint64_t>(multiplied(float_of(bits_of(p) + (bits_of(y) << 23)), 0x1p40F));
}

FRUGAL_DEVICE std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t a0 = a & 0xFFFFFFFFU, a1 = a >> 32, b0 = b & 0xFFFFFFFFU, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  return a1 * b1 + (middle >> 32) + (((middle & 0xFFFFFFFFU) + a0 * b1) >> 32);
}

FRUGAL_DEVICE bool is_allowed(const DrawRow& row, const DrawShared& s, std::uint32_t i) {
  return !s.masked || (i / 32 < row.mask_words && (row.mask[i / 32] >> i % 32 & 1U) != 0);
}

/// All changes of the token whose entries begin at `at`.
FRUGAL_DEVICE void adjust_token(const DrawRow& row, std::uint32_t at) {
  const Adjustment& change = row.adjustments[at];
  float value = row.x[change.token];
  for (std::uint32_t b = at; b < row.adjustment_count && row.adjustments[b].token == change.token; ++b)
    if (row.adjustments[b].bias != 0.0F) value = added(value, row.adjustments[b].bias);
  if (row.repetition != 1.0F && change.repeated != 0)
    value = value > 0.0F ? divided(value, row.repetition) : multiplied(value, row.repetition);
  if (change.in_output != 0)
    value = added(value, -added(row.presence, multiplied(row.frequency, static_cast<float>(change.in_output))));
  row.x[change.token] = value;
}

/// x = the row after bias and penalties, NaN and what the mask forbids as minus infinity; its peak.
FRUGAL_DEVICE void adjust(const Block& block, const DrawRow& row, DrawShared& s) {
  block.each([&](std::uint32_t t) {
    s.finite[t] = 0;
    if (t == 0) s.masked = row.mask != nullptr;
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) {
      row.x[i] = row.logits[i];
      s.finite[t] |= is_finite(row.logits[i]) ? 1U : 0U;
    }
  });
  block.each([&](std::uint32_t t) {
    for (std::uint32_t a = t; a < row.adjustment_count; a += block.threads)
      if (a == 0 || row.adjustments[a - 1].token != row.adjustments[a].token) adjust_token(row, a);
  });
  block.each([&](std::uint32_t t) {
    s.best[t] = float_of(lowest);
    s.at[t] = row.tokens;
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) {
      const float value = is_allowed(row, s, i) ? clean(row.x[i]) : float_of(lowest);
      row.x[i] = value;
      if (is_allowed(row, s, i) && (s.at[t] == row.tokens || value > s.best[t])) s.best[t] = value, s.at[t] = i;
    }
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    s.max = float_of(lowest), s.argmax = row.tokens, s.any_finite = 0;
    for (std::uint32_t u = 0; u < block.threads; ++u) {
      s.any_finite |= s.finite[u];
      if (s.at[u] == row.tokens) continue;
      const bool better = s.argmax == row.tokens || s.best[u] > s.max || (s.best[u] == s.max && s.at[u] < s.argmax);
      if (better) s.max = s.best[u], s.argmax = s.at[u];
    }
  });
}

/// The weight of token i, 0 where it cannot be drawn.
FRUGAL_DEVICE std::uint64_t weight_at(const DrawRow& row, const DrawShared& s, std::uint32_t i) {
  return is_allowed(row, s, i) ? weight_of(row.x[i], s.max, row.scale) : 0;
}

/// From here on all of the row stays.
FRUGAL_DEVICE void keep_all(const Block& block, const DrawRow& row, DrawShared& s) {
  block.each([&](std::uint32_t t) {
    if (t == 0) s.key = 0, s.last = row.tokens;
  });
}

/// Not after the last token that stays.
FRUGAL_DEVICE bool stays(const DrawRow& row, const DrawShared& s, std::uint32_t i) {
  const std::uint32_t key = key_of(row.x[i]);
  return is_allowed(row, s, i) && (key > s.key || (key == s.key && i <= s.last));
}

/// Finds the token at which the running sum of f, in id order, exceeds s.rest: s.token. The sum over all must.
template <class Value>
FRUGAL_DEVICE void locate(const Block& block, const DrawRow& row, DrawShared& s, Value f) {
  const std::uint32_t warps = block.threads / warp, range = (row.tokens + warps - 1) / warps;
  block.each([&](std::uint32_t t) {
    const std::uint32_t begin = t / warp * range, end = begin + range < row.tokens ? begin + range : row.tokens;
    s.partial[t] = 0;
    for (std::uint32_t i = begin + t % warp; i < end; i += warp) s.partial[t] += f(i);
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    std::uint32_t w = 0;
    for (; w < warps; ++w) {
      unsigned long long sum = 0;
      for (std::uint32_t lane = 0; lane < warp; ++lane) sum += s.partial[w * warp + lane];
      if (sum > s.rest) break;
      s.rest -= sum;
    }
    s.first = w * range;
    s.count = s.first + range < row.tokens ? range : row.tokens - s.first;
  });
  const std::uint32_t piece = (s.count + block.threads - 1) / block.threads;
  block.each([&](std::uint32_t t) {
    s.partial[t] = 0;
    for (std::uint32_t i = t * piece; i < (t + 1) * piece && i < s.count; ++i) s.partial[t] += f(s.first + i);
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    std::uint32_t p = 0;
    for (; p + 1 < block.threads && s.partial[p] <= s.rest; ++p) s.rest -= s.partial[p];
    std::uint32_t i = s.first + p * piece;
    for (;; ++i) {
      const unsigned long long value = f(i);
      if (value > s.rest || i + 1 >= row.tokens) break;
      s.rest -= value;
    }
    s.token = static_cast<std::int32_t>(i);
  });
}

/// Keeps of what stays the shortest beginning that sums to `target` or more: weights, or 1 a token.
template <bool Weights>
FRUGAL_DEVICE void keep(const Block& block, const DrawRow& row, DrawShared& s, std::uint64_t target) {
  const auto value = [&](std::uint32_t i) -> unsigned long long {
    if (!stays(row, s, i)) return 0;
    return Weights ? weight_at(row, s, i) : 1;
  };
  block.each([&](std::uint32_t t) {
    if (t == 0) s.rest = target, s.count = 0;  // count = the digits found so far
  });
  for (int shift = 24; shift >= 0; shift -= 8) {
    const std::uint32_t found = s.count;
    block.each([&](std::uint32_t t) {
      for (std::uint32_t d = t; d < 256; d += block.threads) s.digits[d] = 0;
    });
    block.each([&](std::uint32_t t) {
      for (std::uint32_t i = t; i < row.tokens; i += block.threads) {
        const std::uint32_t key = key_of(row.x[i]);
        if (shift < 24 && key >> (shift + 8) != found) continue;
        const unsigned long long v = value(i);
        if (v != 0) add_shared(s.digits[key >> shift & 255U], v);
      }
    });
    block.each([&](std::uint32_t t) {
      if (t != 0) return;
      std::uint32_t d = 255;
      for (; d > 0 && s.digits[d] < s.rest; --d) s.rest -= s.digits[d];
      s.count = found << 8 | d;
    });
  }
  // Of the tokens of this logit, which all count the same, as many as are needed.
  const std::uint32_t key = s.count;
  const auto tie = [&](std::uint32_t i) -> unsigned long long { return key_of(row.x[i]) == key ? value(i) : 0; };
  block.each([&](std::uint32_t t) {
    if (t == 0) s.rest -= s.rest > 0 ? 1 : 0;
  });
  locate(block, row, s, tie);
  block.each([&](std::uint32_t t) {
    if (t == 0) s.key = key, s.last = static_cast<std::uint32_t>(s.token);
  });
}

/// s.total = the sum of f.
template <class Value>
FRUGAL_DEVICE void sum_all(const Block& block, const DrawRow& row, DrawShared& s, Value f) {
  block.each([&](std::uint32_t t) {
    s.partial[t] = 0;
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) s.partial[t] += f(i);
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    s.total = 0;
    for (std::uint32_t u = 0; u < block.threads; ++u) s.total += s.partial[u];
  });
}

/// The weight of what the draw is made from; 0 of what the filters drop.
FRUGAL_DEVICE std::uint64_t kept_at(const DrawRow& row, const DrawShared& s, std::uint32_t i) {
  if (!stays(row, s, i)) return 0;
  const std::uint64_t w = weight_at(row, s, i);
  return w >= row.least_weight ? w : 0;
}

enum class Kind { nothing, greedy, weighed };

/// Bias, penalties, mask and filters: which tokens a draw is made from. s.argmax of a greedy one, s.total of a weighed.
FRUGAL_DEVICE Kind choose(const Block& block, const DrawRow& row, DrawShared& s) {
  adjust(block, row, s);
  if (s.any_finite == 0 || s.argmax == row.tokens) return Kind::nothing;
  if (!(row.scale > 0.0F)) return Kind::greedy;
  keep_all(block, row, s);
  if (row.top_k > 0 && row.top_k < row.tokens) {
    sum_all(block, row, s, [&](std::uint32_t i) -> unsigned long long { return is_allowed(row, s, i) ? 1 : 0; });
    if (s.total > row.top_k) keep<false>(block, row, s, row.top_k);
  }
  if (row.top_p) {
    sum_all(block, row, s,
            [&](std::uint32_t i) -> unsigned long long { return stays(row, s, i) ? weight_at(row, s, i) : 0; });
    const std::uint64_t part = multiply_high(s.total, row.share), more = s.total * row.share != 0 ? 1 : 0;
    keep<true>(block, row, s, part + more > 0 ? part + more : 1);
  }
  sum_all(block, row, s, [&](std::uint32_t i) -> unsigned long long { return kept_at(row, s, i); });
  return Kind::weighed;
}

/// s.token = the token at row.number / 2^64 of what was chosen.
FRUGAL_DEVICE void pick(const Block& block, const DrawRow& row, DrawShared& s, Kind kind) {
  if (kind == Kind::weighed) {
    block.each([&](std::uint32_t t) {
      if (t == 0) s.rest = multiply_high(row.number, s.total);
    });
    return locate(block, row, s, [&](std::uint32_t i) -> unsigned long long { return kept_at(row, s, i); });
  }
  block.each([&](std::uint32_t t) {
    if (t == 0) s.token = kind == Kind::greedy ? static_cast<std::int32_t>(s.argmax) : -1;
  });
}

}  // namespace draw
}  // namespace frugal::cuda
