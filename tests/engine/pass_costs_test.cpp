// PassCosts: rows that fit into a budget, on machines whose passes do not always take what they took before.
#include "engine/pass_costs.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <random>

using namespace frugal;

namespace {

constexpr double budget = 0.1;
constexpr std::uint32_t decode = 15, most = 512;

/// A pass of so many rows on a quiet machine, in seconds.
double quiet(std::uint32_t rows) { return 0.004 + 0.0008 * rows; }

struct Shares {
  double over = 0;  ///< of the passes: longer than the budget
  double rows = 0;  ///< prompt rows a pass, mean
};

/// Passes as the budget allows them, each `noise()` times as long as on a quiet machine; counted once it has settled.
template <class Noise>
Shares serve(Noise noise) {
  PassCosts costs;
  constexpr int settle = 2000, counted = 20000;
  Shares shares;
  for (int pass = 0; pass < settle + counted; ++pass) {
    const std::uint32_t prompt = costs.prompt_rows_within(budget, decode, most);
    const double took = quiet(prompt + decode) * noise();
    costs.observe({.prompt = prompt, .decode = decode}, took);
    if (pass % 3 != 0) costs.observe({.prompt = 0, .decode = decode}, quiet(decode) * noise());
    if (pass < settle) continue;
    shares.over += took > budget ? 1.0 / counted : 0;
    shares.rows += static_cast<double>(prompt) / counted;
  }
  return shares;
}

}  // namespace

TEST_CASE("on a steady machine a budget is used up and not exceeded") {
  const Shares shares = serve([] { return 1.0; });
  const double fit = (budget - 0.004) / 0.0008 - decode;
  CHECK(shares.over == 0);
  CHECK(shares.rows > 0.9 * fit);
  CHECK(shares.rows <= fit);
}

TEST_CASE("where passes scatter, 99 in 100 stay within the budget") {
  std::mt19937 random(3);
  std::lognormal_distribution<double> scatter(0.0, 0.15);
  const Shares shares = serve([&] { return scatter(random); });
  INFO(shares.over << " of the passes are longer, " << shares.rows << " rows in each");
  CHECK(shares.over < 0.02);
  CHECK(shares.rows > 40);  // e^(2.33 * 0.15) = 1.42 times fewer than on a steady machine would be 70
}

TEST_CASE("passes that take three times as long now and then cost rows, but no more than that") {
  std::mt19937 random(4);
  std::bernoulli_distribution hiccup(0.02);
  const Shares shares = serve([&] { return hiccup(random) ? 3.0 : 1.0; });
  INFO(shares.over << " of the passes are longer, " << shares.rows << " rows in each");
  CHECK(shares.over < 0.02);
  CHECK(shares.rows > 10);
}

TEST_CASE("a slow spell is forgotten") {
  PassCosts costs;
  const auto pass = [&](double noise) {
    const std::uint32_t prompt = costs.prompt_rows_within(budget, decode, most);
    costs.observe({.prompt = prompt, .decode = decode}, quiet(prompt + decode) * noise);
    return prompt;
  };
  for (int i = 0; i < 200; ++i) pass(1);
  const std::uint32_t before = pass(1);
  for (int i = 0; i < 20; ++i) pass(4);
  CHECK(pass(1) < before / 3);
  CHECK(costs.overrun() > 1.5);
  CHECK(costs.overrun() <= 4);
  for (int i = 0; i < 3000; ++i) pass(1);
  CHECK(pass(1) > 0.95 * before);
}
