// Endpoints of a stranger's beside frugal's own: waking, load, timed reads, deadlines, progress, wrappers, handles, batches.
#include "own_endpoints.hpp"

#include <frugal/core/error.hpp>
#include <frugal/endpoint/batch.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/meter/meter.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <thread>

using namespace stranger;
using namespace std::chrono_literals;

namespace {

Request saying(std::string text) { return Request{RawPrompt{std::move(text)}}; }

/// Until nobody has looked for a while.
int settled(const std::function<int()>& looks) {
  int before = looks();
  for (;;) {
    std::this_thread::sleep_for(30ms);
    const int now = looks();
    if (now == before) return now;
    before = now;
  }
}

}  // namespace

TEST_CASE("readers of a stranger's composite sleep until an answer comes, whoever's it is") {
  Post north("north"), south("south");
  Fleet fleet({&north, &south});
  std::atomic<int> right{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 8; ++i) {
    std::string text = "letter " + std::to_string(i);
    readers.emplace_back([&right, text, stream = fleet.submit(saying(text))]() mutable {
      const Answer answer = stream.wait();
      right += answer.text == text && answer.finish.reason == FinishReason::stop;
    });
  }
  REQUIRE(north.load().running == 4);  // each took the member with less to do
  const auto looks = [&] { return north.steps + south.steps; };
  const int before = settled(looks);
  std::this_thread::sleep_for(200ms);
  CHECK(looks() == before);
  for (int i = 0; i < 4; ++i) {  // from outside, one at a time
    south.deliver(1);
    north.deliver(1);
  }
  for (std::thread& t : readers) t.join();
  CHECK(right == 8);
  CHECK(fleet.step() == Progress::idle);
}

TEST_CASE("a timed next gives up in time, and a deadline ends what nobody answered") {
  Post post("post");
  Fleet fleet({&post});
  Request request = saying("slow");
  request.deadline = steady_clock().now() + 80ms;
  Stream stream = fleet.submit(request);
  CHECK(fleet.next_deadline() == request.deadline);
  const TimePoint began = steady_clock().now();
  CHECK_FALSE(stream.next_for(20ms));
  CHECK(steady_clock().now() - began >= 20ms);
  CHECK_FALSE(stream.done());
  CHECK(stream.wait().finish.reason == FinishReason::deadline);
  CHECK(steady_clock().now() >= *request.deadline);
  CHECK_FALSE(fleet.next_deadline());
}

TEST_CASE("where a member refuses or is gone, the request goes to the next; where all do, the caller hears of it") {
  auto full = std::make_unique<Post>("full", 0), spare = std::make_unique<Post>("spare");
  Fleet fleet({full.get(), spare.get()});
  Stream stream = fleet.submit(saying("one two"));
  spare->deliver(1);
  CHECK(stream.wait().text == "one two");
  full.reset();
  Stream second = fleet.submit(saying("three"));
  spare->deliver(1);
  CHECK(second.wait().finish.model == "spare");
  CHECK(fleet.may_answer("") == std::vector<std::string>{"spare"});
  spare.reset();
  const Answer nobody = fleet.run(saying("four"));
  CHECK(nobody.finish.reason == FinishReason::refused);
  CHECK(nobody.finish.error->code() == Errc::unavailable);
  CHECK_FALSE(fleet.load().accepting);
}

TEST_CASE("cancelling reaches a member that sleeps, and a stream outlives a wrapper, a composite and a leaf") {
  auto post = std::make_unique<Post>("post");
  auto fleet = std::make_unique<Fleet>(std::vector<Endpoint*>{post.get()});
  auto labelled = std::make_unique<Labelled>(*fleet, "vip");
  Stream unwanted = labelled->submit(saying("unwanted"));
  unwanted.cancel();
  CHECK(unwanted.wait().finish.reason == FinishReason::cancelled);

  Stream kept = labelled->submit(saying("kept"));
  labelled.reset();
  post->deliver(1);
  const Answer answer = kept.wait();  // through the fleet, which is there
  CHECK(answer.text == "kept");
  CHECK(answer.finish.detail == "vip");
  CHECK(post->seen().back().labels == std::vector<std::pair<std::string, std::string>>{{"label", "vip"}});

  Stream orphan = fleet->submit(saying("orphan"));
  fleet.reset();
  post.reset();
  CHECK(orphan.wait().finish.reason == FinishReason::error);
}

TEST_CASE("an event loop hears of an engine and of a remote answer by one waker, and learns what a step came to") {
  Engine engine(options_with(std::make_shared<OwnBackend>()));
  Post post("post");
  Fleet fleet({&post});
  std::atomic<int> rings{0};
  Waker bell([&] { ++rings; });
  engine.watch(bell);
  fleet.watch(bell, false);
  CHECK(fleet.step() == Progress::idle);
  Stream local = engine.submit(request_of(prompt_of(20), 5)), remote = fleet.submit(saying("a b c"));
  CHECK(rings >= 2);
  while (engine.step() == Progress::worked) continue;
  CHECK(local.done() == false);  // its deltas are still to be read
  CHECK(local.wait().tokens == answer_to(prompt_of(20), 5));
  CHECK(fleet.step() == Progress::waiting);
  const int heard = rings;
  post.deliver(1);
  CHECK(rings > heard);
  CHECK(fleet.step() == Progress::worked);
  CHECK(remote.wait().text == "a b c");
  engine.unwatch(bell);
  fleet.unwatch(bell);
}

TEST_CASE("drive serves a composite until it is told to stop, and nothing waits for itself inside a callback") {
  Post post("post");
  Fleet fleet({&post});
  int ends = 0;
  Errc inside = Errc::internal;
  for (int i = 0; i < 5; ++i)
    fleet.submit(
        saying("x"), [](const Delta&) {},
        [&](const Finish&) {
          ++ends;
          try {
            fleet.drive([] { return true; });
          } catch (const Error& e) {
            inside = e.code();
          }
        });
  post.deliver(3);
  fleet.drive([&] { return ends >= 2; });
  CHECK(ends == 2);
  CHECK(inside == Errc::invalid_argument);
  post.deliver(2);
  fleet.drive([] { return false; });  // until none is live
  CHECK(ends == 5);
}

TEST_CASE(
    "a batch over a stranger's endpoints: each answer once, refusals as busy come again, priority lowered, labels "
    "kept") {
  Post post("post", 3);
  Labelled labelled(post, "night");
  std::vector<Request> requests;
  for (int i = 0; i < 20; ++i) {
    requests.push_back(saying("line " + std::to_string(i)));
    requests.back().id = std::to_string(i);
  }
  std::atomic<bool> over{false};
  std::thread postman([&] {
    while (!over) {
      post.deliver(1);
      std::this_thread::sleep_for(200us);
    }
  });
  std::vector<int> heard(20);
  BatchOptions options;
  options.in_flight = 6;
  options.priority = -7;
  options.on_answer = [&](std::size_t index, const Answer& answer) {
    ++heard[index];
    CHECK(answer.text == "line " + std::to_string(index));
    CHECK(answer.finish.id == std::to_string(index));
  };
  const BatchProgress end = run_batch(labelled, std::move(requests), options);
  over = true;
  postman.join();
  CHECK(heard == std::vector<int>(20, 1));
  CHECK(end.failed == 0);
  CHECK(end.usage.output == 40);
  for (const Request& r : post.seen()) {
    CHECK(r.priority == -7);
    CHECK(r.labels.size() == 1);
  }
}

TEST_CASE("a batch on an engine leaves room for interactive requests: they overtake all of it that waits") {
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.max_running = 2;
  options.own_thread = true;
  Engine engine(std::move(options));
  std::vector<Request> requests;
  for (std::uint32_t i = 0; i < 40; ++i) requests.push_back(request_of(prompt_of(30, i), 30));
  std::optional<std::size_t> done_before;
  std::atomic<bool> interactive_done{false};
  BatchOptions batch;
  batch.on_answer = [&](std::size_t, const Answer&) {
    if (done_before) return;
    done_before = 0;
    engine.submit(
        request_of(prompt_of(25), 3), [](const Delta&) {}, [&](const Finish&) { interactive_done = true; });
  };
  batch.progress = [&](const BatchProgress& p) {
    if (!interactive_done) done_before = p.done;
  };
  run_batch(engine, std::move(requests), batch);
  CHECK(interactive_done);
  CHECK(*done_before < 10);
}

TEST_CASE("labels and ids reach the meter's record through a stranger's wrapper") {
  Engine engine(options_with(std::make_shared<OwnBackend>()));
  std::vector<TraceRecord> records;
  MeterOptions options;
  options.trace = [&](const Measured& measured) { records.push_back(measured.record); };
  Meter meter(std::move(options));
  Metered metered(engine, meter);
  Labelled labelled(metered, "vip");
  Request request = request_of(prompt_of(20), 4);
  request.id = "order-7", request.type = "faq", request.labels = {{"region", "north"}};
  CHECK(labelled.run(request).tokens == answer_to(prompt_of(20), 4));
  REQUIRE(records.size() == 1);
  CHECK(records[0].id == "order-7");
  CHECK(records[0].labels == std::vector<std::pair<std::string, std::string>>{{"region", "north"}, {"label", "vip"}});
}
