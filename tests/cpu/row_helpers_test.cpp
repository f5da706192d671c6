// RowHelpers: each piece of a work is done once, whoever comes when, and none is left when run() returns.
#include "cpu/row_helpers.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

using namespace frugal;
using namespace frugal::cpu;

namespace {

struct Counted {
  std::array<std::uint32_t, 64> done{};  // not atomic: a piece is one thread's
  std::uint32_t value = 0;               // written before the run, read by the helpers
  std::array<std::uint32_t, 64> seen{};
};

void count(const void* self, std::uint32_t piece) {
  auto& c = *const_cast<Counted*>(static_cast<const Counted*>(self));
  ++c.done[piece];
  c.seen[piece] = c.value;
}

}  // namespace

TEST_CASE("helpers do each piece once, in thousands of works of all sizes") {
  RowHelpers helpers;
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!over.load()) helpers.help();
    });
  std::size_t wrong = 0;
  for (std::uint32_t work = 1; work <= 5000; ++work) {
    Counted counted;  // gone when the next one begins
    counted.value = work;
    const std::uint32_t pieces = work % 65;
    helpers.run(pieces, {&counted, count});
    for (std::uint32_t p = 0; p < 64; ++p) {
      wrong += counted.done[p] == (p < pieces ? 1U : 0U) ? 0 : 1;
      wrong += counted.seen[p] == (p < pieces ? work : 0U) ? 0 : 1;
    }
  }
  over = true;
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK_FALSE(helpers.help());
}
