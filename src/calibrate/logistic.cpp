#include "calibrate/logistic.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

namespace frugal::calibrate {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

void standardise(Logistic& model, std::span<const Example> examples) {
  const std::size_t features = examples.front().features.size();
  const double n = static_cast<double>(examples.size());
  model.mean.assign(features, 0);
  model.scale.assign(features, 1);
  for (std::size_t f = 0; f < features; ++f) {
    double sum = 0, squares = 0;
    for (const Example& e : examples) sum += e.features[f];
    model.mean[f] = sum / n;
    for (const Example& e : examples) squares += std::pow(e.features[f] - model.mean[f], 2);
    const double deviation = std::sqrt(squares / n);
    if (deviation > 1e-12) model.scale[f] = deviation;
  }
}

// [n, 1 + features]: a one, and the standardised features.
Eigen::MatrixXd design(const Logistic& model, std::span<const Example> examples) {
  const auto features = static_cast<Eigen::Index>(model.mean.size());
  Eigen::MatrixXd x(static_cast<Eigen::Index>(examples.size()), 1 + features);
  x.col(0).setOnes();
  for (Eigen::Index f = 0; f < features; ++f) {
    const auto at = static_cast<std::size_t>(f);
    for (Eigen::Index i = 0; i < x.rows(); ++i)
      x(i, 1 + f) = (examples[static_cast<std::size_t>(i)].features[at] - model.mean[at]) / model.scale[at];
  }
  return x;
}

// The coefficients of the design's columns, and of the types' indicators.
struct Point {
  Eigen::VectorXd shared, own;
};

// One type's indicator is 1 where all others are 0, so that their block of the Hessian is diagonal: it is eliminated, and
// what is left to solve is as small as the features are few.
class Problem {
 public:
  Problem(const Logistic& model, std::span<const Example> examples, std::span<const double> targets, std::size_t types,
          double penalty)
      : x_(design(model, examples)),
        y_(targets.data(), static_cast<Eigen::Index>(targets.size())),
        types_(static_cast<Eigen::Index>(types)),
        ridge_(Eigen::VectorXd::Constant(x_.cols(), penalty / 4)) {  // a logistic example weighs at most 1/4
    own_ridge_ = penalty / 4;
    ridge_(0) = 1e-6;
    for (const Example& e : examples) type_.push_back(static_cast<Eigen::Index>(e.type));
  }

  Point zero() const { return {Eigen::VectorXd::Zero(x_.cols()), Eigen::VectorXd::Zero(types_)}; }

  // Newton's move from `at`.
  Point move(const Point& at) const {
    Eigen::VectorXd p = x_ * at.shared;
    for (Eigen::Index i = 0; i < p.size(); ++i) p(i) = sigmoid(p(i) + at.own(type_[static_cast<std::size_t>(i)]));
    const Eigen::VectorXd weight = p.array() * (1 - p.array()) + 1e-9, error = y_ - p;
    const Eigen::MatrixXd weighed = weight.asDiagonal() * x_;
    Eigen::VectorXd slope = x_.transpose() * error - ridge_.cwiseProduct(at.shared);
    Eigen::MatrixXd hessian = x_.transpose() * weighed;
    hessian.diagonal() += ridge_;
    Eigen::VectorXd own_slope = -own_ridge_ * at.own, own = Eigen::VectorXd::Constant(types_, own_ridge_);
    Eigen::MatrixXd mixed = Eigen::MatrixXd::Zero(x_.cols(), types_);
    for (Eigen::Index i = 0; i < p.size(); ++i) {
      const Eigen::Index t = type_[static_cast<std::size_t>(i)];
      own_slope(t) += error(i);
      own(t) += weight(i);
      mixed.col(t) += weighed.row(i).transpose();
    }
    const Eigen::MatrixXd part = mixed * own.cwiseInverse().asDiagonal();
    hessian -= part * mixed.transpose();
    slope -= part * own_slope;
    Point out;
    out.shared = hessian.ldlt().solve(slope);
    out.own = (own_slope - mixed.transpose() * out.shared).cwiseQuotient(own);
    return out;
  }

 private:
  Eigen::MatrixXd x_;
  Eigen::Map<const Eigen::VectorXd> y_;
  Eigen::Index types_;
  Eigen::VectorXd ridge_;
  double own_ridge_ = 0;
  std::vector<Eigen::Index> type_{};
};

double largest(const Eigen::VectorXd& x) { return x.size() == 0 ? 0 : x.cwiseAbs().maxCoeff(); }

}  // namespace

double Logistic::probability(const Example& example) const {
  double sum = intercept + (example.type < types.size() ? types[example.type] : 0);
  for (std::size_t f = 0; f < weights.size(); ++f) sum += weights[f] * (example.features[f] - mean[f]) / scale[f];
  return sigmoid(sum);
}

Logistic fit_logistic(std::span<const Example> examples, std::span<const double> targets, std::size_t types,
                      double penalty) {
  Logistic model;
  standardise(model, examples);
  const Problem problem(model, examples, targets, types, penalty);
  Point at = problem.zero();
  for (int step = 0; step < 50; ++step) {
    const Point move = problem.move(at);
    at.shared += move.shared;
    at.own += move.own;
    if (std::max(largest(move.shared), largest(move.own)) < 1e-9) break;
  }
  model.intercept = at.shared(0);
  model.weights.assign(at.shared.data() + 1, at.shared.data() + at.shared.size());
  model.types.assign(at.own.data(), at.own.data() + at.own.size());
  return model;
}

}  // namespace frugal::calibrate
