// Multinomial logistic regression with an L2 penalty, by L-BFGS (Nocedal 1980; Liu and Nocedal 1989) on standardised
// inputs. The problem is convex, so the start does not matter, and a fit for one penalty is a good start for the next.
#pragma once

#include <Eigen/Dense>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "head/words.hpp"

namespace frugal::head {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Rows of states, and the words of the same texts, where they are used. A view.
struct Inputs {
  const Matrix& x;  ///< [n, states]
  Words words{};
  Inputs(const Matrix& states, Words w = {}) : x(states), words(w) {}  // NOLINT: states alone are inputs
  Eigen::Index width() const { return x.cols() + static_cast<Eigen::Index>(words.buckets); }
};

/// Logits are x * weights + bias, with the words' entries after the states.
struct Softmax {
  Matrix weights{};      ///< [inputs, labels]
  Eigen::VectorXf bias;  ///< [labels]

  Matrix logits(const Inputs& in) const;  ///< [n, labels]
};

/// Mean and standard deviation of each input; deviations of constant inputs are 1.
struct Scaling {
  Eigen::RowVectorXf mean, deviation;
  explicit Scaling(const Matrix& x);
  Matrix apply(const Matrix& x) const;
  /// The same function for states that were not scaled; words are not.
  Softmax unscaled(const Softmax& fitted) const;
};

/// Minimises sum(-ln P(label)) + penalty / 2 * |weights|^2. `start` may be empty.
Softmax fit_softmax(const Inputs& in, std::span<const std::size_t> labels, std::size_t kinds, double penalty,
                    const Softmax& start = {});

/// Mean of -ln P(label) at a temperature.
double log_loss(const Matrix& logits, std::span<const std::size_t> labels, double temperature = 1);

/// The temperature in [0.05, 20] with the least log loss (golden section over its logarithm).
double fit_temperature(const Matrix& logits, std::span<const std::size_t> labels);

}  // namespace frugal::head
