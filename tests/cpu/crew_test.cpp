// The crew: every member runs, meetings order what they wrote, pieces are handed out once.
#include "cpu/pool.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <thread>
#include <vector>

using frugal::cpu::Crew;

TEST_CASE("Every member runs a job once, job after job, also after a sleep") {
  const unsigned members = GENERATE(1U, 2U, 5U);
  Crew crew(members);
  std::vector<int> runs(members);
  for (int round = 1; round <= 50; ++round) {
    if (round % 25 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // past spinning
    crew.run([&](unsigned m) { ++runs[m]; });
    for (const int r : runs) REQUIRE(r == round);
  }
}

TEST_CASE("What was written before a meeting is read after it, and each phase hands out its pieces once") {
  const unsigned members = GENERATE(1U, 2U, 4U);
  constexpr std::uint32_t pieces = 97;
  Crew crew(members);
  std::vector<std::uint32_t> first(pieces), second(pieces);
  for (int round = 0; round < 20; ++round) {
    std::fill(first.begin(), first.end(), 0U);
    std::fill(second.begin(), second.end(), 0U);
    crew.run([&](unsigned) {
      for (std::uint32_t i = crew.take(1); i < pieces; i = crew.take(1)) ++first[i];
      crew.meet();
      for (std::uint32_t i = crew.take(1); i < pieces; i = crew.take(1)) second[i] += 1 + first[pieces - 1 - i];
      crew.meet();
    });
    for (std::uint32_t i = 0; i < pieces; ++i) REQUIRE(second[i] == 2);
  }
}
