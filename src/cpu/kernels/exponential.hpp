// e^x for sixteen lanes, the same bits on every path. Included only by the per-instruction-set files.
#pragma once

#include "cpu/kernels/simd.hpp"

namespace frugal::cpu {
namespace {

/// e^x to 2 units in the last place; 0 below -87, finite above 88. The polynomial is the minimax one of degree 5 on
/// half of ln 2 either way that is 1 and rises by 1 at 0: relative error 1.1e-7.
inline Vec exp_of(Vec x) {
  const Vec low = splat(-87.0F);
  const Vec clamped = smaller(greater(x, low), splat(88.0F));
  const Vec n = nearest(mul(clamped, splat(1.44269504F)));
  const Vec r = fma(n, splat(2.12194440e-4F), fma(n, splat(-0.693359375F), clamped));  // ln 2 in two pieces
  Vec p = splat(0.00831250143F);
  p = fma(p, r, splat(0.0418903322F));
  p = fma(p, r, splat(0.166671154F));
  p = fma(p, r, splat(0.499992303F));
  p = fma(p, r, splat(1.0F));
  p = fma(p, r, splat(1.0F));
  return zero_below(scale_by_power(p, n), x, low);
}

}  // namespace
}  // namespace frugal::cpu
