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

namespace {

/// Jobs of `took`, each of which loses `lost`, until `working` members work; how many.
int jobs_until(Attendance& crew, unsigned working, std::chrono::milliseconds took, std::chrono::milliseconds lost) {
  int jobs = 0;
  for (; crew.working() != working; ++jobs) {
    REQUIRE(jobs < 10'000);
    crew.learn(took, lost);
  }
  return jobs;
}

}  // namespace

TEST_CASE("A crew that loses most of its time works with fewer, and tries all again, ever more rarely") {
  Attendance two(2);
  std::vector<int> rests;
  for (int trial = 0; trial < 7; ++trial) {
    CHECK(jobs_until(two, 1, 5ms, 5ms) == 4);  // a busy program beside it: 2.5 ms too much each, 8 ms are borne
    rests.push_back(jobs_until(two, 2, 5ms, 0ms) * 5);
  }
  CHECK(rests == std::vector<int>{50, 100, 200, 400, 800, 1600, 1600});
}

TEST_CASE("A crew in peace forgets, step by step, how long its rests were") {
  Attendance two(2);
  for (int trial = 0; trial < 3; ++trial) jobs_until(two, 1, 5ms, 5ms), jobs_until(two, 2, 5ms, 0ms);
  for (int job = 0; job < 80 + 40; ++job) two.learn(5ms, 1ms);  // the next rest were 400 ms; now it is 100
  jobs_until(two, 1, 5ms, 5ms);
  CHECK(jobs_until(two, 2, 5ms, 0ms) == 20);
  for (int job = 0; job < 10'000; ++job) two.learn(5ms, 1ms);
  jobs_until(two, 1, 5ms, 5ms);
  CHECK(jobs_until(two, 2, 5ms, 0ms) == 10);
}

TEST_CASE(
    "One time slice of another program drives nobody out, however short or long the job; a second one at once may") {
  for (const auto job : {3ms, 300ms}) {
    Attendance two(2);
    for (int slice = 0; slice < 20; ++slice) {
      two.learn(job + 4ms, 8ms);  // one has no core for 4 ms, the other waits for it
      CHECK(two.working() == 2);
      for (int quiet = 0; quiet < 5; ++quiet) two.learn(job, 0ms);
    }
  }
  Attendance two(2);
  two.learn(7ms, 8ms);
  two.learn(7ms, 8ms);
  CHECK(two.working() == 1);
}

TEST_CASE("The rest is time, not jobs: after a long job all work again") {
  Attendance two(2);
  two.learn(300ms, 300ms);
  CHECK(two.working() == 1);
  two.learn(500ms, 0ms);
  CHECK(two.working() == 2);
}

TEST_CASE("Who left a job does not work on the next ones") {
  Attendance eight(8);
  eight.learn(10ms, 30ms, 2);
  CHECK(eight.working() == 6);
  for (int job = 0; job < 9; ++job) eight.learn(5ms, 0ms);
  CHECK(eight.working() == 6);
  eight.learn(5ms, 0ms);
  CHECK(eight.working() == 7);
  eight.learn(5ms, 0ms);
  CHECK(eight.working() == 8);
}

TEST_CASE("A job goes on with one member fewer where too much was lost to late ones, counted with the jobs before") {
  Attendance two(2), four(4), one(1);
  CHECK_FALSE(two.hopeless(5ms, 5ms));  // 10 ms lost of 10, 7.5 too many
  CHECK(two.hopeless(6ms, 6ms));
  two.learn(5ms, 7ms);  // 4.5 too many
  CHECK_FALSE(two.hopeless(2ms, 2ms));
  CHECK(two.hopeless(3ms, 3ms));
  CHECK_FALSE(two.hopeless(3ms, 3ms));  // what was before is forgotten
  CHECK_FALSE(four.hopeless(10ms, 28ms));
  CHECK(four.hopeless(10ms, 30ms));
  CHECK_FALSE(one.hopeless(50ms, 0ms));
}

TEST_CASE("A crew that loses a little keeps all; a big one gives up one after the other and takes them back") {
  Attendance two(2), eight(8);
  for (int job = 0; job < 100; ++job) two.learn(3ms, 1ms), eight.learn(3ms, 9ms);
  CHECK(two.working() == 2);
  CHECK(eight.working() == 8);
  CHECK(jobs_until(eight, 7, 10ms, 50ms) == 4);
  CHECK(jobs_until(eight, 6, 10ms, 50ms) == 3);
  CHECK(jobs_until(eight, 8, 5ms, 0ms) == 11);
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
    if (job == 0) REQUIRE(passed[late] > 0);
    if (began_with < members) continue;  // it rests, or is back after a job that took long
    REQUIRE(passed[late] < phases);
    REQUIRE(crew.working() < members);
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
