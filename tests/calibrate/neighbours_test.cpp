// Policies of neighbours: the estimate, what they were fitted on, their certificate, their file, and what they refuse.
#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "calibrate/fitted.hpp"
#include "calibrate/training.hpp"
#include "calibrate/world.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

const std::vector<std::string> tiers{"small", "big"};

// How likely the small tier is right is in the vector's direction only: features and types say nothing.
Outcomes embedded(std::size_t n, std::uint64_t seed) {
  Outcomes all = make({.n = n, .seed = seed});
  std::mt19937_64 random(seed + 77);
  std::normal_distribution<float> noise(0, 0.1F);
  all.embedder = "test vectors";
  for (Outcome& row : all.rows) {
    const auto p = static_cast<float>(row.attempts[0].features.at(0).second);
    row.embedding = {2, 4 * p + noise(random), noise(random), noise(random)};
    row.attempts[0].features.clear();
    row.type = "one";
    row.prompt = row.id + *row.prompt;  // no two alike
  }
  return all;
}

FitOptions by_neighbours(Guarantee::Kind kind, double limit) {
  return {.guarantee = {.kind = kind, .limit = limit}, .router = Router::neighbours};
}

FittedCascade fitted(std::uint64_t seed = 1) {
  return fit_cascade(embedded(1500, seed), by_neighbours(Guarantee::Kind::max_loss, 0.05)).value();
}

// Finds a row by its prompt.
Embedder of(const Outcomes& all, const std::string& identity = "test vectors") {
  return {identity, [&all](std::string_view text) {
            const auto row =
                std::find_if(all.rows.begin(), all.rows.end(), [&](const Outcome& r) { return r.prompt == text; });
            return row == all.rows.end() ? std::vector<float>{} : row->embedding;
          }};
}

}  // namespace

TEST_CASE("shares are those of a plain search by cosine, and the vector's length says nothing") {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  constexpr std::size_t known = 150, width = 7;
  calibrate::Neighbours n{.count = 12, .width = width, .tiers = 2};
  std::vector<std::vector<double>> raw;
  for (std::size_t i = 0; i < known; ++i) {
    std::vector<float> v(width);
    for (float& x : v) x = 3 * normal(random);
    raw.emplace_back(v.begin(), v.end());
    v = calibrate::unit(v);
    n.at.insert(n.at.end(), v.begin(), v.end());
    for (std::size_t t = 0; t < 2; ++t) n.right.push_back(static_cast<std::uint8_t>(random() % 2));
  }
  for (int question = 0; question < 20; ++question) {
    std::vector<float> at(width);
    for (float& x : at) x = normal(random);
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t i = 0; i < known; ++i) {
      double dot = 0, squares = 0;
      for (std::size_t d = 0; d < width; ++d) dot += raw[i][d] * double(at[d]), squares += raw[i][d] * raw[i][d];
      order.emplace_back(-dot / std::sqrt(squares), i);
    }
    std::sort(order.begin(), order.end());
    double own = 0, last = 0;
    for (std::size_t i = 0; i < 12; ++i) own += n.right[2 * order[i].second], last += n.right[2 * order[i].second + 1];
    const std::vector<double> found = n.shares(calibrate::unit(at));
    CHECK(std::abs(found.at(0) - own / 12) < 1e-12);
    CHECK(std::abs(found.at(1) - last / 12) < 1e-12);
    for (float& x : at) x *= 100;
    CHECK(n.shares(calibrate::unit(at)) == found);
  }
  CHECK(calibrate::unit(std::vector<float>{0, 0}).empty());
  CHECK(calibrate::unit(std::vector<float>{1, INFINITY}).empty());
}

TEST_CASE("the certificate of a policy of neighbours holds on fresh outcomes at the stated rate, and saves money") {
  for (const auto& [kind, limit] :
       {std::pair(Guarantee::Kind::max_loss, 0.05), std::pair(Guarantee::Kind::max_error, 0.12)}) {
    int feasible = 0, held = 0;
    double cost = 0;
    for (std::uint64_t i = 0; i < 60; ++i) {
      const expected<FittedCascade> f = fit_cascade(embedded(1500, 2 * i + 1), by_neighbours(kind, limit));
      if (!f) continue;
      ++feasible;
      REQUIRE(f->method() == "neighbours");
      const Evaluation e = evaluate(*f, embedded(1500, 2 * i + 2));
      held += e.held ? 1 : 0;
      cost += e.all.cost_share_of_last.value();
    }
    CHECK(feasible >= 50);
    CHECK(held >= feasible * 0.9);  // 95 % promised; sixty draws of it
    CHECK(cost < 0.9 * feasible);
  }
}

TEST_CASE("the neighbours are the training part's alone, so what certifies them is unseen") {
  const Outcomes all = embedded(1000, 3);
  const FitOptions options = by_neighbours(Guarantee::Kind::max_loss, 0.06);
  const FittedCascade f = fit_cascade(all, options).value();
  const calibrate::Neighbours& n = f.impl().neighbours.value();
  CHECK(n.known() == f.facts().train);
  const calibrate::Rows order = calibrate::shuffled(all.rows.size(), options.seed);
  for (std::size_t i = 0; i < n.known(); ++i) {
    const std::vector<float> own = calibrate::unit(all.rows[order[i]].embedding);
    REQUIRE(std::equal(own.begin(), own.end(), n.at.begin() + static_cast<std::ptrdiff_t>(i * n.width)));
  }
  Outcomes other = all;  // the calibration part turned round: neighbours and rule stay as they are
  for (std::size_t i = n.known(); i < order.size(); ++i) {
    other.rows[order[i]].attempts[0].quality = 1;
    other.rows[order[i]].embedding = {1, 0, 0, 0};
  }
  const FittedCascade g = fit_cascade(other, options).value();
  CHECK(g.impl().neighbours->at == n.at);
  CHECK(g.impl().neighbours->right == n.right);
  CHECK(g.impl().neighbours->count == n.count);
}

TEST_CASE("a policy of neighbours serves as it was evaluated, from its file as well") {
  const FittedCascade f = fitted();
  const FittedCascade again = FittedCascade::from_json(f.to_json(), "p.json");
  CHECK(again.to_json() == f.to_json());
  CHECK(again.embedder() == "test vectors");
  const Outcomes fresh = embedded(500, 9);
  const auto policy = again.policy(tiers, of(fresh));
  const auto tight = again.tightened(std::vector<ServedTier>{{.name = "small"}, {.name = "big"}}, of(fresh));
  std::size_t cheap = 0, cheap_when_tight = 0;
  for (const Outcome& row : fresh.rows) {
    RequestView view;
    view.type = row.type;
    view.text = *row.prompt;
    const Outcomes one{.tiers = fresh.tiers, .models = fresh.models, .rows = {row}, .embedder = fresh.embedder};
    const bool accepted = policy->first(view, 2) == 0;
    REQUIRE(accepted == (evaluate(again, one).all.accepted_share == 1));
    cheap += accepted ? 1 : 0;
    cheap_when_tight += tight->first(view, 2) == 0 ? 1 : 0;
  }
  CHECK(cheap > 50);
  CHECK(cheap < 500);
  CHECK(cheap_when_tight < cheap);
  RequestView odd;
  odd.type = "one";
  odd.text = "the embedder knows nothing of this";
  CHECK(policy->first(odd, 2) == 1);
  odd.text = {};
  CHECK(policy->first(odd, 2) == 1);
  const std::string known = *fresh.rows[0].prompt;
  odd.type = "unseen", odd.text = known;
  CHECK(policy->first(odd, 2) == 1);
  odd.type = "one";
  CHECK(policy->judge({.request = odd, .endpoint = 0, .endpoints = 2, .text = "", .finish = FinishReason::stop}).next ==
        1);
  CHECK(policy->judge({.request = odd, .endpoint = 0, .endpoints = 2, .text = "so", .finish = FinishReason::stop})
            .accepted());
}

TEST_CASE("what the vectors cost is paid for every request, whoever answers it") {
  Outcomes all = embedded(1500, 1);
  const double before = fitted().facts().cost_share;
  double last = 0;
  for (Outcome& row : all.rows) last += row.attempts[1].cost;
  for (Outcome& row : all.rows) row.embedding_cost = 0.1 * last / 1500;
  const FittedCascade f = fit_cascade(all, by_neighbours(Guarantee::Kind::max_loss, 0.05)).value();
  CHECK(std::abs(f.facts().cost_share - before - 0.1) < 0.02);
  CHECK(evaluate(f, all).all.cost_share_of_last.value() >
        evaluate(fitted(), embedded(1500, 1)).all.cost_share_of_last.value() + 0.09);
}

TEST_CASE("without embeddings, with another embedder's, or without an embedder a policy of neighbours is refused") {
  const FitOptions options = by_neighbours(Guarantee::Kind::max_loss, 0.05);
  CHECK(mentions(error_of([&] { (void)fit_cascade(make({.n = 500}), options); }), "these have none"));
  Outcomes gap = embedded(500, 1);
  gap.rows[7].embedding.clear();
  CHECK(mentions(error_of([&] { (void)fit_cascade(gap, options); }), "outcome \"7\""));
  const FittedCascade f = fitted();
  const Outcomes fresh = embedded(100, 2);
  CHECK(mentions(error_of([&] { (void)f.policy(tiers); }), "handed no embedder"));
  CHECK(mentions(error_of([&] { (void)f.policy(tiers, of(fresh, "other")); }), "handed those of \"other\""));
  Outcomes other = fresh;
  other.embedder = "other";
  CHECK(mentions(error_of([&] { (void)evaluate(f, other); }), "embeddings by \"other\""));
  CHECK(mentions(error_of([&] { (void)evaluate(f, make({.n = 100})); }), "no embeddings"));
  other = fresh;
  other.rows[4].embedding = {1, 2};
  CHECK(mentions(error_of([&] { (void)evaluate(f, other); }), "outcome \"4\""));
  // Another policy reads no vectors, whatever outcomes and caller have.
  const FittedCascade plain = fit_cascade(embedded(2000, 1), {.guarantee = {.limit = 0.09}}).value();
  CHECK(plain.embedder().empty());
  CHECK_FALSE(plain.to_json().find("\"neighbours\"") != std::string::npos);
  (void)plain.policy(tiers, of(fresh));
}

TEST_CASE("a file of neighbours that makes no sense is refused by name") {
  const auto altered = [](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json object = nlohmann::json::parse(fitted().to_json());
    change(object);
    object.erase("checksum");
    std::uint64_t hash = 0xcbf29ce484222325ULL;  // as the file's checksum is made
    for (const char c : object.dump()) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    object["checksum"] = text;
    return error_of([&] { (void)FittedCascade::from_json(object.dump(), "p.json"); });
  };
  const std::pair<const char*, std::function<void(nlohmann::json&)>> faults[] = {
      {"neighbours.vectors", [](nlohmann::json& o) { o["neighbours"]["vectors"] = "AAA"; }},
      {"neighbours.vectors", [](nlohmann::json& o) { o["neighbours"]["width"] = 0; }},
      {"neighbours.count", [](nlohmann::json& o) { o["neighbours"]["count"] = 0; }},
      {"neighbours.count", [](nlohmann::json& o) { o["neighbours"]["count"] = 100000; }},
      {"neighbours.right", [](nlohmann::json& o) { o["neighbours"]["right"][0] = "01"; }},
      {"neighbours.right", [](nlohmann::json& o) { o["neighbours"]["right"].erase(0); }},
      {"neighbours.embedder", [](nlohmann::json& o) { o["neighbours"].erase("embedder"); }},
      {"\"neighbours\" is missing", [](nlohmann::json& o) { o.erase("neighbours"); }},
      {"\"method\"", [](nlohmann::json& o) { o["method"] = "guess"; }},
      {"\"features\"", [](nlohmann::json& o) { o["features"] = {"answer.digits"}; }},
  };
  for (const auto& [what, change] : faults) {
    const Error error = altered(change);
    CAPTURE(what, error.message());
    CHECK(error.code() == Errc::bad_file);
    CHECK(mentions(error, what));
  }
}
