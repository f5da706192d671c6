// AuditAccount: how many wrong answers got through, where only a random share of them is audited? An upper limit that
// holds at every moment, whatever the error rate did meanwhile.
//
// Each accepted answer is audited with probability s, whether it is right or not. Let S be the wrong ones that audits
// found and W all wrong ones. For any a > 0, exp(k W - a S) with k = -log(1 - s (1 - exp(-a))) is 1 in the mean, answer by
// answer, and so is a mean of it over several a. By Ville's inequality it ever reaches 1 / level with probability at most
// `level`. So does the limit on W that follows fail, over any number of answers and any drift (Howard et al. 2021,
// "Time-uniform, nonparametric, nonasymptotic confidence sequences").
//
// Not synchronised. Cost: add() a few additions; the limit some hundred exponentials after each wrong audit.
#pragma once

#include <frugal/config.hpp>

#include <array>
#include <cstdint>
#include <optional>

namespace frugal {

class FRUGAL_API AuditAccount {
 public:
  /// share in (0, 1] of the answers that is audited, level in (0, 1), else Error(invalid_argument).
  AuditAccount(double share, double level);

  /// One audited answer, in the order in which answers were accepted: 1 = wrong, 0 = right. A grade between counts as
  /// wrong with that probability, drawn from its place in the sequence. What is not a number counts as wrong.
  void add(double wrong);

  std::uint64_t found_wrong() const noexcept { return found_; }
  /// Wrong answers among all that were accepted so far, audited or not: at most so many, with probability 1 - level at
  /// all moments together. With a share of 1 it is the number that audits found.
  double wrong_at_most() const noexcept { return most_; }

  /// The number of answers from which on the account can vouch for `limit` while the error rate is `rate`: three standard
  /// deviations above what audits find in the mean, wrong_at_most() is still no more than `limit` of them. None where no
  /// number below 10^9 is enough, as for a rate that is not below the limit. Takes microseconds.
  std::optional<std::uint64_t> enough(double rate, double limit) const;

 private:
  double limit_after(double found) const;

  static constexpr std::size_t bets = 8;
  struct Bet {
    double paid = 0, earned = 0;  // a and k above
  };
  double share_, level_, most_ = 0;
  std::array<Bet, bets> bets_{};
  std::uint64_t found_ = 0, audits_ = 0;
};

}  // namespace frugal
