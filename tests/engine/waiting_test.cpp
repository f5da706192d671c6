// How threads wait: nobody polls, whoever is needed is woken, and whoever leaves hands the work on.
#include <frugal/endpoint/cascade.hpp>
#include <frugal/endpoint/wrapper.hpp>

#include <catch2/catch_test_macros.hpp>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

/// Its passes wait at a gate.
class Gated final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void forward(const Batch& batch) override {
    {
      std::unique_lock lock(mutex_);
      ++arrived_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return open_; });
    }
    BackendWrapper::forward(batch);
  }
  void wait_until_someone_is_inside() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

/// Counts the looks that threads take at an endpoint.
class Counted final : public EndpointWrapper {
 public:
  explicit Counted(Endpoint& inner) : EndpointWrapper(inner) {}
  ~Counted() override { leave(); }
  Progress step() override {
    ++steps;
    return EndpointWrapper::step();
  }
  std::atomic<std::uint64_t> steps{0};
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct EscalateAlways final : CascadePolicy {
  std::string_view name() const override { return "escalate"; }
  std::size_t first(const RequestView&, std::size_t) override { return 0; }
  Verdict judge(const AttemptView& a) override { return {.next = a.endpoint + 1, .score = {}}; }
};

/// Until nobody has taken a look for a while.
std::uint64_t settled(const std::function<std::uint64_t()>& looks) {
  std::uint64_t before = looks();
  for (;;) {
    std::this_thread::sleep_for(50ms);
    const std::uint64_t now = looks();
    if (now == before) return now;
    before = now;
  }
}

}  // namespace

/// 32 readers on a cascade of two engines whose passes wait at gates: `measure` is called while all of them wait, first
/// for the small engine and then for the big one.
void with_waiting_readers(bool own_thread,
                          const std::function<void(const std::function<std::uint64_t()>& looks)>& measure) {
  const auto gate_a = std::make_shared<Gated>(scripted()), gate_b = std::make_shared<Gated>(scripted());
  EngineOptions a = options_with(gate_a), b = options_with(gate_b);
  a.own_thread = b.own_thread = own_thread;
  Engine small(std::move(a)), big(std::move(b));
  Counted first(small), second(big);
  Cascade cascade({.name = "c", .tiers = {&first, &second}, .policy = std::make_shared<EscalateAlways>()});
  std::atomic<int> right{0};
  std::vector<std::thread> readers;
  for (std::uint32_t i = 0; i < 32; ++i)
    readers.emplace_back([&, i] {
      const std::vector<Token> prompt = prompt_of(10 + i);
      right += cascade.run(request_for(prompt, 5)).tokens == expected_answer(prompt, 5);
    });
  const std::function<std::uint64_t()> looks = [&] { return first.steps.load() + second.steps.load(); };
  for (const auto& gate : {gate_a, gate_b}) {
    gate->wait_until_someone_is_inside();
    settled(looks);
    measure(looks);
    gate->open();
  }
  for (std::thread& t : readers) t.join();
  CHECK(right == 32);
}

TEST_CASE(
    "32 readers that wait on a cascade of sleeping backends sleep: not one look at an endpoint, no processor time") {
  for (const bool own_thread : {false, true})
    with_waiting_readers(own_thread, [](const std::function<std::uint64_t()>& looks) {
      const std::uint64_t before = looks();
      const double cpu = cpu_seconds();
      std::this_thread::sleep_for(400ms);
      CHECK(looks() == before);
      CHECK(cpu_seconds() - cpu < 0.004);  // 1% of a core
    });
}

// Run by name: the figure over a longer time.
TEST_CASE("processor time of 32 waiting readers over 5 s", "[.]") {
  for (const bool own_thread : {false, true})
    with_waiting_readers(own_thread, [&](const std::function<std::uint64_t()>& looks) {
      const std::uint64_t before = looks();
      const double cpu = cpu_seconds();
      std::this_thread::sleep_for(5s);
      const double share = (cpu_seconds() - cpu) / 5;
      WARN((own_thread ? "own threads: " : "lent threads: ")
           << 100 * share << " % of a core, " << looks() - before << " looks");
      CHECK(share < 0.01);
      CHECK(looks() == before);
    });
}

TEST_CASE("a reader that reads again wakes the thread that waits in the engine, and one that cancels does too") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    Engine engine(std::move(options));
    Request slow = request_for(prompt_of(20), 40);
    slow.stream_capacity = 1;
    Stream paused = engine.submit(slow), other = engine.submit(slow);
    std::atomic<bool> over{false};
    std::thread driver([&] {
      engine.drive([&] { return over.load(); });  // until all are done: both readers are behind most of the time
    });
    std::size_t read = 0;
    while (!paused.done()) {
      if (paused.try_next()) ++read;
      std::this_thread::yield();
    }
    CHECK(read == 40);
    CHECK(other.try_next());
    other.cancel();
    CHECK(other.wait().finish.reason == FinishReason::cancelled);
    over = true;
    engine.wake();
    driver.join();
  }
}

TEST_CASE("a timed next gives up in time and loses nothing") {
  auto gate = std::make_shared<Gated>(scripted());
  EngineOptions options = options_with(gate);
  options.own_thread = true;
  Engine engine(std::move(options));
  Stream stream = engine.submit(request_for(prompt_of(20), 3));
  const auto before = std::chrono::steady_clock::now();
  CHECK_FALSE(stream.next_for(30ms));
  CHECK_FALSE(stream.done());
  CHECK(std::chrono::steady_clock::now() - before >= 30ms);
  gate->open();
  std::vector<Token> tokens;
  while (!stream.done())
    if (const auto delta = stream.next_for(1s)) tokens.insert(tokens.end(), delta->tokens.begin(), delta->tokens.end());
  CHECK(tokens == expected_answer(prompt_of(20), 3));
}

TEST_CASE("a deadline ends a request whose reader is behind, although nothing else happens") {
  for (const bool own_thread : {false, true}) {
    EngineOptions options = options_with(scripted());
    options.own_thread = own_thread;
    Engine engine(std::move(options));
    Request slow = request_for(prompt_of(20), 100);
    slow.stream_capacity = 1;
    slow.deadline = steady_clock().now() + 60ms;
    Stream stream = engine.submit(slow);
    engine.drive([] { return false; });  // returns when no request is live
    CHECK(stream.wait().finish.reason == FinishReason::deadline);
  }
}

TEST_CASE("step tells work from waiting, idleness and another thread's turn, and next_deadline when to look again") {
  auto gate = std::make_shared<Gated>(scripted());
  Engine engine(options_with(gate));
  CHECK(engine.step() == Progress::idle);
  CHECK_FALSE(engine.next_deadline());
  Request request = request_for(prompt_of(20), 3);
  request.stream_capacity = 1;
  request.deadline = steady_clock().now() + 1h;
  Stream stream = engine.submit(request);
  std::thread driver([&] { CHECK(engine.step() == Progress::worked); });
  gate->wait_until_someone_is_inside();
  CHECK(engine.step() == Progress::elsewhere);
  gate->open();
  driver.join();
  CHECK(engine.step() == Progress::waiting);  // its reader is behind
  REQUIRE(engine.next_deadline());
  CHECK(*engine.next_deadline() - *request.deadline < 1s);
  CHECK(stream.wait().tokens.size() == 3);
  CHECK(engine.step() == Progress::idle);
}

TEST_CASE("an event loop hears when to step, and sleeps otherwise") {
  Engine engine(options_with(scripted()));
  std::atomic<int> rings{0};
  Waker bell([&] { ++rings; });
  engine.watch(bell);
  const auto run = [&] {
    while (engine.step() == Progress::worked) {
    }
  };
  run();
  CHECK(rings == 0);
  Request request = request_for(prompt_of(20), 6);
  request.stream_capacity = 2;
  Stream stream = engine.submit(request);
  CHECK(rings == 1);
  run();  // until the reader is behind
  int heard = rings;
  CHECK(stream.try_next());
  CHECK(rings == heard + 1);
  run();
  heard = rings;
  stream.cancel();
  CHECK(rings == heard + 1);
  run();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  engine.unwatch(bell);
}

TEST_CASE("rounds of random use by several threads: every request ends once, nobody hangs") {
  for (std::uint32_t round = 0; round < 6; ++round) {
    EngineOptions a = options_with(scripted()), b = options_with(scripted());
    a.own_thread = round % 2 == 1;
    b.own_thread = round % 3 == 1;
    a.prefix_cache = lru();
    auto small = std::make_unique<Engine>(std::move(a)), big = std::make_unique<Engine>(std::move(b));
    auto cascade = std::make_unique<Cascade>(
        CascadeOptions{.name = "c", .tiers = {small.get(), big.get()}, .policy = margin_threshold(0.2)});
    std::atomic<int> ends{0}, wrong{0}, asked{0};
    const auto use = [&](std::uint32_t seed) {
      std::mt19937 generator(seed);
      const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
      for (int i = 0; i < 25; ++i) {
        Endpoint& at = random() % 3 == 0 ? static_cast<Endpoint&>(*cascade) : random() % 2 == 0 ? *small : *big;
        Request request = request_for(prompt_of(5 + random() % 60, random() % 4), 1 + random() % 12);
        request.stream_capacity = 1 + random() % 4;
        if (random() % 6 == 0) request.deadline = steady_clock().now() + std::chrono::microseconds(random() % 3000);
        ++asked;
        if (random() % 4 == 0) {
          const Call call = at.submit(
              request, [](const Delta&) {}, [&](const Finish&) { ++ends; });
          if (random() % 2 == 0) call.cancel();
          if (random() % 2 == 0) at.step();
          continue;
        }
        Stream stream = at.submit(request);
        if (random() % 5 == 0) static_cast<void>(stream.next_for(std::chrono::microseconds(random() % 400)));
        if (random() % 5 == 0) stream.cancel();
        const Answer answer = stream.wait();
        ++ends;
        wrong += answer.finish.reason == FinishReason::error;
      }
    };
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < 6; ++t) threads.emplace_back(use, round * 100 + t);
    for (std::thread& t : threads) t.join();
    if (round % 2 == 0) cascade.reset();
    small.reset();
    big.reset();
    cascade.reset();
    CHECK(ends == asked);
    CHECK(wrong == 0);
  }
}
