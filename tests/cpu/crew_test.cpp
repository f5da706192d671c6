// The crew: every member runs, meetings order what they wrote, pieces are handed out once.
#include "cpu/pool.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <thread>
#include <vector>

using frugal::cpu::Attendance;
using frugal::cpu::Crew;
using namespace std::chrono_literals;

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

TEST_CASE(
    "A crew that waits for late members most of the time works with fewer, and tries all again, ever more rarely") {
  Attendance two(2);
  std::vector<int> rests;
  for (int trial = 0; trial < 6; ++trial) {
    for (int job = 0; two.working() == 2; ++job) {
      REQUIRE(job < 4);
      two.learn(20ms, 15ms);  // one waits for the other most of the time
    }
    int rest = 0;
    for (; two.working() == 1; ++rest) two.learn(6ms, 0ms);
    rests.push_back(rest);
  }
  CHECK(rests == std::vector<int>{8, 16, 32, 64, 128, 256});
  for (int job = 0; job < 4; ++job) two.learn(3ms, 0ms);  // quiet again
  CHECK(two.working() == 2);
  while (two.working() == 2) two.learn(20ms, 15ms);
  int rest = 0;
  for (; two.working() == 1; ++rest) two.learn(6ms, 0ms);
  CHECK(rest == 8);
}

TEST_CASE("Who left a job does not work on the next ones") {
  Attendance eight(8);
  eight.learn(10ms, 30ms, 2);
  CHECK(eight.working() == 6);
  for (int job = 0; job < 7; ++job) eight.learn(5ms, 0ms);
  CHECK(eight.working() == 6);
  eight.learn(5ms, 0ms);
  CHECK(eight.working() == 7);
}

TEST_CASE("A job goes on with one member fewer where the others waited half of the time, and not for a short wait") {
  CHECK(Attendance::hopeless(5ms, 3ms, 2));
  CHECK_FALSE(Attendance::hopeless(7ms, 3ms, 2));
  CHECK_FALSE(Attendance::hopeless(1ms, 900us, 2));
  CHECK(Attendance::hopeless(5ms, 8ms, 4));
  CHECK_FALSE(Attendance::hopeless(5ms, 7ms, 4));
  CHECK_FALSE(Attendance::hopeless(5ms, 30ms, 1));
}

TEST_CASE(
    "A crew whose members wait a little keeps them all; a big one gives up one after the other and takes them back") {
  Attendance two(2), eight(8);
  for (int job = 0; job < 100; ++job) two.learn(3ms, 1ms), eight.learn(3ms, 9ms);
  CHECK(two.working() == 2);
  CHECK(eight.working() == 8);
  for (int job = 0; job < 4; ++job) eight.learn(10ms, 50ms);
  CHECK(eight.working() == 7);
  for (int job = 0; job < 4; ++job) eight.learn(10ms, 50ms);
  CHECK(eight.working() == 6);
  for (int job = 0; job < 40; ++job) eight.learn(5ms, 0ms);
  CHECK(eight.working() == 8);
}

TEST_CASE("A yielding crew gives each piece out once, however many members work, also while they change") {
  constexpr std::uint32_t pieces = 40;
  Crew crew(4, true);
  std::vector<unsigned> done(pieces);
  for (int round = 1; round <= 300; ++round) {
    const unsigned working = crew.working();
    std::vector<int> ran(4);
    crew.run([&](unsigned m) {
      ++ran[m];
      if (m == working - 1 && round % 3 != 0) std::this_thread::sleep_for(1ms);  // late
      for (std::uint32_t i = crew.take(1); i < pieces; i = crew.take(1)) ++done[i];
      crew.meet();
    });
    for (unsigned m = 0; m < 4; ++m) REQUIRE(ran[m] == (m < working ? 1 : 0));
    for (const unsigned d : done) REQUIRE(d == static_cast<unsigned>(round));
  }
}

TEST_CASE("A member that is late again and again leaves a job; the others go on with it, and each piece is done once") {
  constexpr std::uint32_t pieces = 12;
  constexpr int phases = 200;
  const unsigned members = GENERATE(2U, 4U);
  Crew crew(members, true);
  const unsigned late = members - 1;
  for (int job = 0; job < 5; ++job) {
    const unsigned began_with = crew.working();
    std::vector<std::uint32_t> done(pieces);
    std::vector<int> passed(members);
    crew.run([&](unsigned m) {
      for (int phase = 0; phase < phases; ++phase) {
        if (m == late) std::this_thread::sleep_for(3ms);
        for (std::uint32_t i = crew.take(1); i < pieces; i = crew.take(1)) ++done[i];
        crew.meet();
        ++passed[m];
        if (!crew.stays(m)) return;
      }
    });
    for (const std::uint32_t d : done) REQUIRE(d == phases);
    REQUIRE(passed[0] == phases);
    if (began_with == members) REQUIRE(passed[late] < phases);
    REQUIRE(crew.working() < members);
    if (job == 0) REQUIRE(passed[late] > 0);
  }
}

TEST_CASE("A crew that does not yield keeps all members, however late they are") {
  Crew crew(2);
  std::vector<int> passed(2);
  crew.run([&](unsigned m) {
    for (int phase = 0; phase < 5; ++phase) {
      if (m == 1) std::this_thread::sleep_for(2ms);
      crew.meet();
      if (!crew.stays(m)) return;
      ++passed[m];
    }
  });
  CHECK(passed == std::vector<int>{5, 5});
}
