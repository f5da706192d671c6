#include "http/wire.hpp"

#include <catch2/catch_test_macros.hpp>
#include <chrono>

using namespace std::chrono_literals;

TEST_CASE("a ring between a sleep and the move after it ends the next sleep") {
  frugal::http::Wire wire;
  const auto asleep = [&] {
    const auto before = std::chrono::steady_clock::now();
    wire.sleep(5s);
    return std::chrono::steady_clock::now() - before;
  };
  wire.wake();
  CHECK(asleep() < 2s);
  wire.wake();  // what a request does that comes while the thread looks at other things
  wire.move();
  CHECK(asleep() < 2s);
  wire.move();
  const auto before = std::chrono::steady_clock::now();
  wire.sleep(50ms);  // each ring ends one sleep
  CHECK(std::chrono::steady_clock::now() - before >= 50ms);
}
