// Exact bounds for small counts: what a number of wrong answers among so many says about the answers to come. Valid for
// every sample size, with no assumption but that requests are drawn alike (exchangeable). Pure functions, thread-safe.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>

namespace frugal {

/// Upper confidence limit for an error rate after `errors` in `n` trials (Clopper and Pearson 1934): with probability at least
/// `confidence` the true rate is not above it. 1 where n is 0. Microseconds.
FRUGAL_API double binomial_upper(std::uint64_t errors, std::uint64_t n, double confidence);

/// p-value of "the error rate is above `limit`" after `errors` of `n`. Small = the rate is credibly at or below it.
///   horizon 0: about the long-run rate; the binomial tail P(X <= errors) at rate `limit`.
///   horizon m: about the rate measured on the next m answers; the hypergeometric tail of having seen so few errors
///   here, if those m turn out above the limit. Always the larger of the two.
FRUGAL_API double error_p_value(std::uint64_t errors, std::uint64_t n, double limit, std::uint64_t horizon = 0);

/// How two answers to the same request compare, over n requests.
struct PairedCounts {
  std::uint64_t losses = 0;  ///< accepted from the cheap tier and wrong, where the last tier is right
  std::uint64_t gains = 0;   ///< accepted from the cheap tier and right, where the last tier is wrong
  std::uint64_t n = 0;       ///< all requests, also those that were not accepted
};

/// p-value of "(losses - gains) / n is above `limit`" for a limit > 0, with the horizon as above. The rate of discordant
/// pairs is unknown; the p-value is the largest over a grid of its 1 - 1e-4 confidence set, plus 1e-4 (Berger and Boos
/// 1994). Milliseconds for thousands of requests.
FRUGAL_API double loss_p_value(const PairedCounts& counts, double limit, std::uint64_t horizon = 0);

}  // namespace frugal
