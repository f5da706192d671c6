#include <frugal/endpoint/batch.hpp>

#include <catch2/catch_test_macros.hpp>

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

std::vector<Request> questions(std::size_t n) {
  std::vector<Request> all;
  for (std::size_t i = 0; i < n; ++i) {
    Request r{RawPrompt{"topic " + std::to_string(i % 3) + ": question " + std::to_string(i)}};
    r.id = std::to_string(i);
    r.priority = 5;
    all.push_back(std::move(r));
  }
  return all;
}

/// Says the prompt back, with room for so many at a time.
struct Echo final : Endpoint {
  explicit Echo(std::size_t r) : room(r) {}
  std::string_view name() const override { return "echo"; }
  Call start(Request r, std::shared_ptr<Sink> sink) override {
    seen.push_back(r);
    if (jobs.size() >= room) {
      Finish full;
      full.reason = FinishReason::refused;
      full.error = Error(Errc::busy, "full");
      ++refused;
      sink->on_finish(full);
      return {};
    }
    auto job =
        std::make_shared<std::pair<std::string, std::shared_ptr<Sink>>>(std::get<RawPrompt>(r.prompt).text, sink);
    jobs.push_back(job);
    most = std::max(most, jobs.size());
    return Call([this, weak = std::weak_ptr(job)] {
      const auto j = weak.lock();
      if (!j || std::erase(jobs, j) == 0) return;
      Finish end;
      end.reason = FinishReason::cancelled;
      ++cancelled;
      j->second->on_finish(end);
    });
  }
  Progress step() override {
    if (jobs.empty()) return Progress::idle;
    const auto job = jobs.front();
    jobs.pop_front();
    job->second->on_delta({job->first, {1}, {}});
    Finish end;
    end.usage = {.input = 2, .output = 1};
    end.reason = job->first == fails ? FinishReason::error : FinishReason::stop;
    job->second->on_finish(end);
    return Progress::worked;
  }
  std::size_t room, most = 0;
  int refused = 0, cancelled = 0;
  std::string fails;
  std::vector<Request> seen;
  std::deque<std::shared_ptr<std::pair<std::string, std::shared_ptr<Sink>>>> jobs;
};

}  // namespace

TEST_CASE("a batch answers every request once, in its place, with what they have in common next to each other") {
  Echo echo(100);
  std::vector<BatchProgress> reports;
  const std::vector<Answer> answers =
      run_batch(echo, questions(30), [&](const BatchProgress& p) { reports.push_back(p); });
  REQUIRE(answers.size() == 30);
  for (std::size_t i = 0; i < 30; ++i)
    CHECK(answers[i].text == "topic " + std::to_string(i % 3) + ": question " + std::to_string(i));
  REQUIRE(reports.size() == 30);
  CHECK(reports.back().done == 30);
  CHECK(reports.back().total == 30);
  CHECK(reports.back().usage == Usage{.input = 60, .output = 30});
  CHECK(reports.back().left == Duration{});
  std::size_t changes = 0;
  for (std::size_t i = 1; i < echo.seen.size(); ++i)
    changes += std::get<RawPrompt>(echo.seen[i].prompt).text.substr(0, 7) !=
               std::get<RawPrompt>(echo.seen[i - 1].prompt).text.substr(0, 7);
  CHECK(changes == 2);
  CHECK(echo.seen[0].priority == -995);  // behind interactive requests, in its own order
}

TEST_CASE("no more than in_flight are sent at a time, and one that finds the queue full is sent again") {
  Echo echo(4);
  std::size_t answered = 0;
  const BatchProgress end =
      run_batch(echo, questions(40), {.in_flight = 8, .on_answer = [&](std::size_t, const Answer&) { ++answered; }});
  CHECK(end.done == 40);
  CHECK(end.failed == 0);
  CHECK(answered == 40);
  CHECK(echo.most == 4);
  CHECK(echo.refused > 0);
  Echo wide(100);
  run_batch(wide, questions(40), {.in_flight = 8});
  CHECK(wide.most == 8);
}

TEST_CASE("requests that fail are answers too, and are counted") {
  Echo echo(100);
  echo.fails = "topic 1: question 1";
  const BatchProgress end = run_batch(echo, questions(6), BatchOptions{});
  CHECK(end.done == 6);
  CHECK(end.failed == 1);
  CHECK(run_batch(echo, {}, BatchOptions{}).total == 0);
  CHECK(error_of([&] { run_batch(echo, questions(2), {.in_flight = 0}); }).code() == Errc::invalid_argument);
}

TEST_CASE("what a batch's callback throws reaches its caller, after what still ran was cancelled") {
  Echo echo(100);
  std::size_t answered = 0;
  const auto stop = [&](std::size_t, const Answer&) {
    if (++answered == 3) throw 42;
  };
  CHECK_THROWS_AS(run_batch(echo, questions(20), {.in_flight = 10, .on_answer = stop}), int);
  CHECK(answered == 3);
  CHECK(echo.jobs.empty());
  CHECK(echo.cancelled > 0);
}
