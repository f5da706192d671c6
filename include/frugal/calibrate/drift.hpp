// DriftTest: has the error of accepted answers risen above a limit? Fed with audited answers one by one, it may be asked
// after each of them, for ever.
//
// It bets against "the error rate is at most `limit`". A bet on a rate r > limit is multiplied by r / limit for a wrong
// answer and by (1 - r) / (1 - limit) for a right one (linear for grades between): at most 1 in the mean while the rate is
// at most `limit`. The capital is spread over several rates, and over all moments at which a change may begin, so that a
// long good time costs only the logarithm of its length. By Ville's inequality the capital ever reaches 1 / a with
// probability at most a: the chance of a false alarm over any number of audits (Ramdas et al. 2023, "Game-theoretic
// statistics and safe anytime-valid inference"; Shin, Ramdas and Rinaldo 2022, "E-detectors").
//
// Not synchronised. Cost: a few dozen multiplications an audit.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>
#include <vector>

namespace frugal {

class FRUGAL_API DriftTest {
 public:
  /// limit in (0, 1), else Error(invalid_argument).
  explicit DriftTest(double limit);

  /// One audited answer: 1 = wrong, 0 = right, or a grade between. Clamped to [0, 1]; not a number counts as wrong.
  void add(double wrong);

  /// The capital: 1 at first. Evidence that the rate is, or has become, higher than the limit.
  double capital() const noexcept;
  /// 1 / the largest capital so far, at most 1: a p-value that is valid at every moment.
  double p_value() const noexcept;
  std::uint64_t audits() const noexcept { return audits_; }

 private:
  struct Bet {
    double rate = 0;
    double capital = 0;  // of all stakes that were put so far
  };
  double limit_;
  std::vector<Bet> bets_;
  double unspent_ = 1;  // the share of the stake for changes that begin later
  std::uint64_t audits_ = 0;
  double most_ = 1;
};

}  // namespace frugal
