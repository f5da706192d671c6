#include "calibrate/neighbours.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <utility>

namespace frugal::calibrate {

std::vector<double> Neighbours::shares(std::span<const float> vector) const {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto n = static_cast<Eigen::Index>(known()), d = static_cast<Eigen::Index>(width);
  const Eigen::VectorXf cosine =
      Eigen::Map<const Matrix>(at.data(), n, d) * Eigen::Map<const Eigen::VectorXf>(vector.data(), d);
  std::vector<std::pair<float, std::size_t>> order;
  order.reserve(known());
  for (Eigen::Index i = 0; i < n; ++i) order.emplace_back(-cosine(i), static_cast<std::size_t>(i));
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(order.begin(), end - 1, order.end());
  std::vector<double> out(tiers, 0);
  for (auto near = order.begin(); near != end; ++near)
    for (std::size_t t = 0; t < tiers; ++t)
      if (right[near->second * tiers + t] != 0) out[t] += 1;
  for (double& share : out) share /= static_cast<double>(count);
  return out;
}

std::vector<float> unit(std::span<const float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  if (!(squares > 0) || !std::isfinite(squares)) return {};
  const double by = 1 / std::sqrt(squares);
  std::vector<float> out;
  for (const float x : vector) out.push_back(static_cast<float>(static_cast<double>(x) * by));
  return out;
}

}  // namespace frugal::calibrate
