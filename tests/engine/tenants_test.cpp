#include "engine/tenants.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>

using namespace frugal;
using namespace std::chrono_literals;

TEST_CASE("a tenant's counter grows by what it is served, slower with more weight, and priorities count apart") {
  const std::map<std::string, double> weights{{"gold", 4.0}};
  Tenants tenants(weights);
  Tenants::Group& gold = tenants.arrive(0, "gold", TimePoint(1s));
  Tenants::Group& iron = tenants.arrive(0, "iron", TimePoint(1s));
  Tenants::Group& batch = tenants.arrive(-1, "gold", TimePoint(1s));
  Tenants::charge(gold, 100, TimePoint(2s));
  Tenants::charge(iron, 100, TimePoint(3s));
  CHECK(gold.served == 25);
  CHECK(iron.served == 100);
  CHECK(batch.served == 0);
  CHECK(gold.last_served == TimePoint(2s));
  CHECK(&tenants.arrive(0, "gold", TimePoint(9s)) == &gold);
  CHECK(gold.last_served == TimePoint(2s));
  CHECK(gold.live == 2);
}

TEST_CASE("who comes or comes back starts level with the least served live tenant, and keeps a debt") {
  const std::map<std::string, double> none;
  Tenants tenants(none);
  Tenants::Group& a = tenants.arrive(0, "a", TimePoint(1s));
  Tenants::charge(a, 500, TimePoint(1s));
  Tenants::Group& b = tenants.arrive(0, "b", TimePoint(5s));
  CHECK(b.served == 500);
  CHECK(b.last_served == TimePoint(5s));
  Tenants::charge(b, 300, TimePoint(6s));
  tenants.leave(b);
  CHECK(tenants.arrive(0, "b", TimePoint(7s)).served == 800);
}

TEST_CASE("ten thousand tenants that come and go leave no crowd behind") {
  const std::map<std::string, double> none;
  Tenants tenants(none);
  Tenants::Group& stays = tenants.arrive(0, "stays", TimePoint(1s));
  for (int i = 0; i < 10'000; ++i) tenants.leave(tenants.arrive(0, "t" + std::to_string(i), TimePoint(1s)));
  CHECK(tenants.groups() <= 257);
  CHECK(&tenants.arrive(0, "stays", TimePoint(1s)) == &stays);
}
