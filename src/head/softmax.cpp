#include "head/softmax.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

namespace frugal::head {

namespace {

constexpr std::size_t memory = 12;
constexpr int most_steps = 300;
constexpr double flat = 1e-5;  // gradient norm per example at which a fit is done

// Weights, then biases, in one vector.
using Point = Eigen::VectorXf;

// f(row, place among the inputs, value) for each entry of the words.
template <class F>
void for_words(const Inputs& in, const F& f) {
  for (std::size_t i = 0; i < in.words.bags.size(); ++i) {
    const WordBag& bag = in.words.bags[i];
    for (std::size_t k = 0; k < bag.places.size(); ++k)
      f(static_cast<Eigen::Index>(i), in.x.cols() + static_cast<Eigen::Index>(bag.places[k]), bag.values[k]);
  }
}

struct Problem {
  const Inputs& in;
  std::span<const std::size_t> labels;
  std::size_t kinds;
  double penalty;

  Eigen::Index weights() const { return in.width() * static_cast<Eigen::Index>(kinds); }
  Softmax model(const Point& p) const {
    return {Eigen::Map<const Matrix>(p.data(), in.width(), static_cast<Eigen::Index>(kinds)),
            p.tail(static_cast<Eigen::Index>(kinds))};
  }

  // The loss at p; writes its gradient.
  double loss(const Point& p, Point& gradient) const {
    const auto width = static_cast<Eigen::Index>(kinds);
    Matrix error = model(p).logits(in);  // becomes P - Y
    double sum = 0;
    for (Eigen::Index i = 0; i < error.rows(); ++i) {
      auto row = error.row(i);
      const auto label = static_cast<Eigen::Index>(labels[static_cast<std::size_t>(i)]);
      const float most = row.maxCoeff(), own = row(label);
      row = (row.array() - most).exp();
      const float total = row.sum();
      sum += std::log(static_cast<double>(total)) - static_cast<double>(own - most);
      row /= total;
      row(label) -= 1;
    }
    const auto w = p.head(weights());
    gradient.resize(p.size());
    Eigen::Map<Matrix> slope(gradient.data(), in.width(), width);
    slope.topRows(in.x.cols()).noalias() = in.x.transpose() * error;
    slope.bottomRows(static_cast<Eigen::Index>(in.words.buckets)).setZero();
    for_words(in,
              [&](Eigen::Index row, Eigen::Index place, float value) { slope.row(place) += value * error.row(row); });
    gradient.head(weights()) += static_cast<float>(penalty) * w;
    gradient.tail(width) = error.colwise().sum().transpose();
    return sum + penalty / 2 * static_cast<double>(w.squaredNorm());
  }
};

struct Move {
  Point step, change;
  double scale = 0;  // 1 / (step . change)
};

// -H * gradient, by the two loops over the last moves.
Point direction(const Point& gradient, const std::deque<Move>& moves) {
  Point d = -gradient;
  std::vector<double> alpha(moves.size());
  for (std::size_t i = moves.size(); i-- > 0;) {
    alpha[i] = moves[i].scale * static_cast<double>(moves[i].step.dot(d));
    d -= static_cast<float>(alpha[i]) * moves[i].change;
  }
  if (!moves.empty())
    d *= static_cast<float>(1 / (moves.back().scale * static_cast<double>(moves.back().change.squaredNorm())));
  for (std::size_t i = 0; i < moves.size(); ++i) {
    const double beta = moves[i].scale * static_cast<double>(moves[i].change.dot(d));
    d += static_cast<float>(alpha[i] - beta) * moves[i].step;
  }
  return d;
}

}  // namespace

Matrix Softmax::logits(const Inputs& in) const {
  Matrix out = in.x * weights.topRows(in.x.cols());
  for_words(in, [&](Eigen::Index row, Eigen::Index place, float value) { out.row(row) += value * weights.row(place); });
  out.rowwise() += bias.transpose();
  return out;
}

Scaling::Scaling(const Matrix& x) : mean(x.colwise().mean()), deviation(x.cols()) {
  for (Eigen::Index c = 0; c < x.cols(); ++c) {
    const float variance = (x.col(c).array() - mean(c)).square().mean();
    deviation(c) = variance > 1e-12F ? std::sqrt(variance) : 1.0F;
  }
}

Matrix Scaling::apply(const Matrix& x) const {
  return ((x.rowwise() - mean).array().rowwise() / deviation.array()).matrix();
}

Softmax Scaling::unscaled(const Softmax& fitted) const {
  Softmax out;
  const Eigen::Index states = mean.size();
  out.weights = fitted.weights;
  out.weights.topRows(states).array().colwise() /= deviation.transpose().array();
  out.bias = fitted.bias - (mean * out.weights.topRows(states)).transpose();
  return out;
}

Softmax fit_softmax(const Inputs& in, std::span<const std::size_t> labels, std::size_t kinds, double penalty,
                    const Softmax& start) {
  const Problem problem{in, labels, kinds, penalty};
  const auto width = static_cast<Eigen::Index>(kinds);
  Point p = Point::Zero(problem.weights() + width);
  if (start.weights.size() == problem.weights()) {
    Eigen::Map<Matrix>(p.data(), in.width(), width) = start.weights;
    p.tail(width) = start.bias;
  }
  Point gradient, next_gradient;
  double loss = problem.loss(p, gradient);
  std::deque<Move> moves;
  for (int step = 0; step < most_steps; ++step) {
    if (static_cast<double>(gradient.norm()) <= flat * static_cast<double>(in.x.rows())) break;
    Point d = direction(gradient, moves);
    double slope = static_cast<double>(gradient.dot(d));
    if (!(slope < 0)) {  // rounding has spoilt the moves
      moves.clear();
      d = -gradient;
      slope = -static_cast<double>(gradient.squaredNorm());
    }
    double length = moves.empty() ? 1 / std::max(1.0, static_cast<double>(gradient.norm())) : 1;
    Point next;
    double next_loss = loss;
    int halvings = 0;
    for (; halvings < 30; ++halvings, length /= 2) {  // Armijo
      next = p + static_cast<float>(length) * d;
      next_loss = problem.loss(next, next_gradient);
      if (next_loss <= loss + 1e-4 * length * slope) break;
    }
    if (halvings == 30) break;  // no descent left that single precision can see
    Move move{next - p, next_gradient - gradient, 0};
    const auto curvature = static_cast<double>(move.step.dot(move.change));
    if (curvature > 1e-10) {
      move.scale = 1 / curvature;
      moves.push_back(std::move(move));
      if (moves.size() > memory) moves.pop_front();
    }
    const bool done = loss - next_loss < 1e-7 * std::abs(loss);
    p.swap(next);
    gradient.swap(next_gradient);
    loss = next_loss;
    if (done) break;
  }
  return problem.model(p);
}

double log_loss(const Matrix& logits, std::span<const std::size_t> labels, double temperature) {
  double sum = 0;
  for (Eigen::Index i = 0; i < logits.rows(); ++i) {
    const Eigen::ArrayXd row = logits.row(i).cast<double>().transpose().array() / temperature;
    const double most = row.maxCoeff();
    sum +=
        most + std::log((row - most).exp().sum()) - row(static_cast<Eigen::Index>(labels[static_cast<std::size_t>(i)]));
  }
  return logits.rows() == 0 ? 0 : sum / static_cast<double>(logits.rows());
}

double fit_temperature(const Matrix& logits, std::span<const std::size_t> labels) {
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double low = std::log(0.05), high = std::log(20.0);
  for (int i = 0; i < 40; ++i) {
    const double a = high - golden * (high - low), b = low + golden * (high - low);
    if (log_loss(logits, labels, std::exp(a)) < log_loss(logits, labels, std::exp(b)))
      high = b;
    else
      low = a;
  }
  return std::exp((low + high) / 2);
}

}  // namespace frugal::head
