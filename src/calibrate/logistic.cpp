#include "calibrate/logistic.hpp"

#include <Eigen/Dense>
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

// [n, 1 + features + types]: a one, the standardised features, the type's indicator.
Eigen::MatrixXd design(const Logistic& model, std::span<const Example> examples, std::size_t types) {
  const auto features = static_cast<Eigen::Index>(model.mean.size());
  Eigen::MatrixXd x = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(examples.size()),
                                            1 + features + static_cast<Eigen::Index>(types));
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    const Example& e = examples[static_cast<std::size_t>(i)];
    x(i, 0) = 1;
    for (std::size_t f = 0; f < e.features.size(); ++f)
      x(i, 1 + static_cast<Eigen::Index>(f)) = (e.features[f] - model.mean[f]) / model.scale[f];
    x(i, 1 + features + static_cast<Eigen::Index>(e.type)) = 1;
  }
  return x;
}

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
  const Eigen::MatrixXd x = design(model, examples, types);
  const Eigen::Map<const Eigen::VectorXd> y(targets.data(), static_cast<Eigen::Index>(targets.size()));
  Eigen::VectorXd ridge = Eigen::VectorXd::Constant(x.cols(), penalty / 4);  // a logistic example weighs at most 1/4
  ridge(0) = 1e-6;
  Eigen::VectorXd w = Eigen::VectorXd::Zero(x.cols());
  for (int step = 0; step < 50; ++step) {
    const Eigen::VectorXd p = (x * w).unaryExpr([](double v) { return sigmoid(v); });
    const Eigen::VectorXd weight = p.array() * (1 - p.array()) + 1e-9;
    const Eigen::VectorXd gradient = x.transpose() * (y - p) - ridge.cwiseProduct(w);
    const Eigen::MatrixXd weighed = weight.cwiseSqrt().asDiagonal() * x;
    Eigen::MatrixXd hessian = Eigen::MatrixXd::Zero(x.cols(), x.cols());
    hessian.selfadjointView<Eigen::Lower>().rankUpdate(weighed.transpose());  // half of the symmetric product
    hessian.diagonal() += ridge;
    const Eigen::VectorXd move = hessian.selfadjointView<Eigen::Lower>().ldlt().solve(gradient);
    w += move;
    if (move.cwiseAbs().maxCoeff() < 1e-9) break;
  }
  model.intercept = w(0);
  const auto features = static_cast<Eigen::Index>(model.mean.size());
  model.weights.assign(w.data() + 1, w.data() + 1 + features);
  model.types.assign(w.data() + 1 + features, w.data() + w.size());
  return model;
}

}  // namespace frugal::calibrate
