// What a draw gives beside its token, and how a draft that was drawn at random is judged: draw for draw as
// backend::Drawer and verify() have it, by docs/decisions/005.
#pragma once

#include "cuda/draw.hpp"

namespace frugal::cuda {

/// The draw, or what judging the draft gave, with all that the row asks for; valid in every thread.
FRUGAL_DEVICE Drawn drawn_from(const Block& block, const DrawRow& row, DrawShared& s);

namespace draw {

/// floor(p * 2^40), p brought into [0, 1]; NaN is 0.
FRUGAL_DEVICE std::uint64_t fixed_weight(float p) {
  const float low = p > 0.0F ? p : 0.0F;
  return static_cast<std::uint64_t>(multiplied(low < 1.0F ? low : 1.0F, 0x1p40F));
}

/// Double precision, each operation rounded: only products and quotients, so that nothing can be fused.
FRUGAL_DEVICE double wide(unsigned long long n) { return static_cast<double>(n); }

/// x = the distribution that the draw is made from, written to row.distribution as well.
FRUGAL_DEVICE void spread(const Block& block, const DrawRow& row, DrawShared& s, Kind kind) {
  block.each([&](std::uint32_t t) {
    const double total = wide(s.total);
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) {
      float p = kind == Kind::greedy && i == s.argmax ? 1.0F : 0.0F;
      if (kind == Kind::weighed) p = static_cast<float>(wide(kept_at(row, s, i)) / total);
      row.x[i] = p;
      if (row.distribution != nullptr) row.distribution[i] = p;
    }
    if (row.distribution == nullptr) return;
    for (std::uint32_t i = row.tokens + t; i < row.width; i += block.threads) row.distribution[i] = 0.0F;
  });
}

/// What the distribution has more of token i than the draft's, which is brought to the same mass; not of the draft.
FRUGAL_DEVICE unsigned long long excess_at(const DrawRow& row, std::uint32_t i, float ratio) {
  if (i == static_cast<std::uint32_t>(row.drafted)) return 0;
  return fixed_weight(added(row.x[i], -multiplied(row.draft[i], ratio)));
}

/// The draft has fallen: s.token takes its place. Where nothing is in excess, p without the draft is as good.
FRUGAL_DEVICE void replace(const Block& block, const DrawRow& row, DrawShared& s) {
  const auto ratio = static_cast<float>(wide(s.p_mass) / wide(s.other));
  const auto excess = [&](std::uint32_t i) { return excess_at(row, i, ratio); };
  const auto others = [&](std::uint32_t i) -> unsigned long long {
    return i == static_cast<std::uint32_t>(row.drafted) ? 0 : fixed_weight(row.x[i]);
  };
  sum_all(block, row, s, excess);
  const bool any = s.total > 0;
  if (!any) sum_all(block, row, s, others);
  if (s.total == 0) return;
  block.each([&](std::uint32_t t) {
    if (t == 0) s.rest = multiply_high(row.residual, s.total);
  });
  locate(block, row, s, [&](std::uint32_t i) { return any ? excess(i) : others(i); });
}

/// s.token = the draft or what takes its place, by the distribution in x.
FRUGAL_DEVICE void judge(const Block& block, const DrawRow& row, DrawShared& s) {
  sum_all(block, row, s, [&](std::uint32_t i) -> unsigned long long { return fixed_weight(row.x[i]); });
  block.each([&](std::uint32_t t) {
    if (t == 0) s.p_mass = s.total;
  });
  sum_all(block, row, s, [&](std::uint32_t i) -> unsigned long long { return fixed_weight(row.draft[i]); });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    s.other = s.total, s.token = row.drafted;
    const double u = wide(row.accept >> 11) * 0x1p-53, q = static_cast<double>(row.draft[row.drafted]);
    const double p = static_cast<double>(row.x[row.drafted]);
    s.count = u * q * wide(s.p_mass) < p * wide(s.other) ? 1 : 0;
  });
  if (s.count == 0) replace(block, row, s);
}

/// s.max and s.second: the two greatest logits, NaN as minus infinity.
FRUGAL_DEVICE void peaks(const Block& block, const DrawRow& row, DrawShared& s) {
  block.each([&](std::uint32_t t) {
    float a = float_of(lowest), b = a;
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) {
      const float x = clean(row.logits[i]);
      if (x > a)
        b = a, a = x;
      else if (x > b)
        b = x;
    }
    s.best[t] = a, s.below[t] = b;
  });
  block.each([&](std::uint32_t t) {
    if (t != 0) return;
    float a = s.best[0], b = s.below[0];
    for (std::uint32_t u = 1; u < block.threads; ++u) {
      const float lower = s.best[u] < a ? s.best[u] : a;
      b = lower > b ? lower : b;
      b = s.below[u] > b ? s.below[u] : b;
      a = s.best[u] > a ? s.best[u] : a;
    }
    s.max = a, s.second = b;
  });
}

/// row.list = the greatest logits of the row, the lower tokens among equals.
FRUGAL_DEVICE void list(const Block& block, const DrawRow& row, DrawShared& s) {
  block.each([&](std::uint32_t t) {
    if (t == 0) s.masked = false, s.listed = 0;
    for (std::uint32_t i = t; i < row.tokens; i += block.threads) row.x[i] = clean(row.logits[i]);
  });
  keep_all(block, row, s);
  keep<false>(block, row, s, row.listed);
  block.each([&](std::uint32_t t) {
    for (std::uint32_t i = t; i < row.tokens; i += block.threads)
      if (stays(row, s, i)) row.list[next_of(s.listed)] = {static_cast<std::int32_t>(i), row.x[i]};
  });
}

}  // namespace draw

FRUGAL_DEVICE Drawn drawn_from(const Block& block, const DrawRow& row, DrawShared& s) {
  const draw::Kind kind = row.tokens == 0 ? draw::Kind::nothing : draw::choose(block, row, s);
  const bool judged = row.draft != nullptr && kind != draw::Kind::nothing;
  if (!judged) draw::pick(block, row, s, kind);
  if (judged || row.distribution != nullptr) draw::spread(block, row, s, kind);
  if (judged) draw::judge(block, row, s);
  const std::int32_t token = s.token;
  if ((!row.scores && row.listed == 0) || token < 0) return {token, 0.0F, 0.0F, 0.0F, 0};
  draw::peaks(block, row, s);
  draw::sum_all(block, row, s, [&](std::uint32_t i) -> unsigned long long {
    return draw::weight_of(row.logits[i], s.max, row.score_scale);
  });
  const Drawn drawn{token, draw::clean(row.logits[token]), s.max, s.second, s.total};
  if (row.listed > 0) draw::list(block, row, s);
  return drawn;
}

}  // namespace frugal::cuda
