#include <frugal/core/error.hpp>
#include <frugal/policy/cascade.hpp>

#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

// Two directions: texts with "hard" in them lie along one, all others along the other.
std::vector<float> embed(std::string_view text) {
  if (text == "nothing") return {0, 0};
  if (text == "short") return {1};
  return text.find("hard") == std::string_view::npos ? std::vector<float>{3, 0.2F} : std::vector<float>{0.1F, 2};
}

std::vector<KnownRequest> known(std::size_t n) {
  std::mt19937_64 random(1);
  std::vector<KnownRequest> out;
  for (std::size_t i = 0; i < n; ++i) {
    const bool hard = i % 2 == 0;
    const auto noise = static_cast<float>(random() % 100) / 300.0F;
    out.push_back({hard ? std::vector<float>{noise, 1} : std::vector<float>{1, noise},
                   {hard ? (random() % 10 < 4 ? 1.0 : 0.0) : 1.0, hard ? 0.9 : 1.0}});
  }
  return out;
}

NeighbourOptions options() { return {.embed = embed, .neighbours = 30, .most_loss = 0.05}; }

std::size_t first(CascadePolicy& policy, std::string_view text, std::size_t endpoints = 2) {
  RequestView request;
  request.text = text;
  return policy.first(request, endpoints);
}

}  // namespace

TEST_CASE("a request goes where its neighbours were answered as well as by the last endpoint, else to the last") {
  const auto policy = nearest_neighbours(known(200), options());
  CHECK(first(*policy, "easy") == 0);
  CHECK(first(*policy, "hard") == 1);
  NeighbourOptions lenient = options();
  lenient.most_loss = 0.9;
  CHECK(first(*nearest_neighbours(known(200), lenient), "hard") == 0);
}

TEST_CASE("what cannot be embedded or compared goes to the last endpoint, and a failed answer does too") {
  const auto policy = nearest_neighbours(known(200), options());
  for (const char* text : {"", "nothing", "short"}) CHECK(first(*policy, text) == 1);
  CHECK(first(*policy, "easy", 3) == 2);
  const RequestView request;
  AttemptView attempt{.request = request, .endpoints = 2, .text = "an answer", .finish = FinishReason::stop};
  CHECK(policy->judge(attempt).accepted());
  attempt.finish = FinishReason::error;
  CHECK(policy->judge(attempt).next == 1);
  attempt.endpoint = 1;
  CHECK(policy->judge(attempt).accepted());
}

TEST_CASE("known requests that do not fit together are refused by name") {
  const auto refused = [](std::vector<KnownRequest> k, NeighbourOptions o, const char* what) {
    CHECK(mentions(error_of([&] { (void)nearest_neighbours(std::move(k), std::move(o)); }), what));
  };
  refused(known(10), options(), "10 known requests are fewer");
  refused(known(100), {.neighbours = 3}, "no embedding");
  refused(known(100), {.embed = embed, .neighbours = 0}, "no neighbours");
  refused(known(100), {.embed = embed, .neighbours = 3, .most_loss = 2}, "most_loss");
  std::vector<KnownRequest> odd = known(100);
  odd[7].quality.pop_back();
  refused(odd, options(), "must all have");
  odd = known(100);
  odd[7].quality[0] = 1.5;
  refused(odd, options(), "a quality");
  odd = known(100);
  odd[7].embedding = {0, 0};
  refused(odd, options(), "zero or not finite");
}
