// Which steps are padded to which shapes, and what becomes of recordings; without a device.
#include "torch/step_graphs.hpp"

#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace frugal::aten {
namespace {

/// `rows` of each sequence, all drawing, at position `start`.
struct Rows {
  std::vector<Token> tokens = std::vector<Token>(64, 1);
  std::vector<DrawSpec> draws = std::vector<DrawSpec>(64);
  std::vector<Segment> segments;

  void add(std::uint32_t rows, std::uint32_t start) {
    segments.push_back(
        {.tokens = std::span(tokens).first(rows), .start = start, .pages = {}, .draws = std::span(draws).first(rows)});
  }
  std::optional<StepShape> shape() const {
    return step_shape({.model = ModelId{0}, .segments = segments, .drawn = {}}, 16);
  }
};

Rows rows_of(std::uint32_t sequences, std::uint32_t rows, std::uint32_t start) {
  Rows r;
  for (std::uint32_t i = 0; i < sequences; ++i) r.add(rows, start);
  return r;
}

TEST_CASE("a decode step is padded to the next shape") {
  CHECK(rows_of(1, 1, 15).shape() == StepShape{1, 1, 1});
  CHECK(rows_of(1, 1, 16).shape() == StepShape{1, 1, 2});
  CHECK(rows_of(3, 1, 100).shape() == StepShape{3, 1, 8});
  CHECK(rows_of(5, 3, 100).shape() == StepShape{6, 4, 8});
  CHECK(rows_of(9, 8, 1000).shape() == StepShape{12, 8, 64});
  for (std::uint32_t n = 1; n <= 64; ++n) {
    const auto shape = rows_of(n, 1, 40).shape();
    REQUIRE(shape);
    CHECK(shape->sequences >= n);
    CHECK(shape->sequences * 2 <= n * 3);
  }
}

TEST_CASE("prefill, other outputs, too many rows and very uneven sequences are not padded") {
  CHECK(rows_of(0, 1, 0).shape() == std::nullopt);
  CHECK(rows_of(1, 9, 0).shape() == std::nullopt);
  CHECK(rows_of(33, 8, 0).shape() == std::nullopt);
  Rows logits = rows_of(1, 1, 5), hidden = logits, no_draw = logits, uneven = rows_of(8, 1, 5);
  std::vector<float> floats(8);
  logits.segments[0].logits = hidden.segments[0].hidden = floats;
  no_draw.segments[0].draws = {};
  uneven.add(1, 10000);
  for (const Rows* r : {&logits, &hidden, &no_draw, &uneven}) CHECK(r->shape() == std::nullopt);
  const Rows whole = rows_of(1, 1, 5);
  CHECK(step_shape({.model = ModelId{0}, .segments = whole.segments, .drawn = {}, .layers = 2}, 16) == std::nullopt);
}

/// Counts what is recorded, replayed and dropped.
struct Log {
  int recorded = 0, replayed = 0, dropped = 0;
  std::string fails;
};

class LoggedRecording final : public Recording {
 public:
  explicit LoggedRecording(Log& log) : log_(log) { ++log.recorded; }
  ~LoggedRecording() override { ++log_.dropped; }
  void replay() override { ++log_.replayed; }

 private:
  Log& log_;
};

class LoggedRecorder final : public Recorder {
 public:
  explicit LoggedRecorder(Log& log) : log_(log) {}
  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    if (!log_.fails.empty()) throw std::runtime_error(log_.fails);
    work();
    return std::make_unique<LoggedRecording>(log_);
  }

 private:
  Log& log_;
};

struct Graphs {
  Log log;
  int runs = 0;
  StepGraphs graphs{std::make_unique<LoggedRecorder>(log)};
  bool step(std::uint32_t pages, std::uint64_t moves = 1, std::uint32_t model = 0) {
    return graphs.run({ModelId{model}, {1, 1, pages}}, moves, [&] { ++runs; });
  }
};

TEST_CASE("a step runs as it is once, is recorded the second time, and replayed from then on") {
  Graphs g;
  CHECK_FALSE(g.step(1));
  CHECK(g.log.recorded == 0);
  CHECK(g.step(1));
  for (int i = 0; i < 5; ++i) CHECK(g.step(1));
  CHECK(g.log.recorded == 1);
  CHECK(g.log.replayed == 6);
  CHECK(g.runs == 2);
  CHECK_FALSE(g.step(2));
  CHECK_FALSE(g.step(1, 1, 1));  // another model
}

TEST_CASE("a thread runs a step as it is before it records it; a recording serves every thread") {
  Graphs g;
  const auto elsewhere = [&] {
    bool replayed = false;
    std::thread([&] { replayed = g.step(1); }).join();
    return replayed;
  };
  CHECK_FALSE(g.step(1));
  CHECK_FALSE(elsewhere());
  CHECK_FALSE(elsewhere());  // yet another thread
  CHECK(g.log.recorded == 0);
  CHECK(g.step(1));
  CHECK(elsewhere());
  CHECK(g.log.recorded == 1);
  CHECK(g.runs == 4);
}

TEST_CASE("recordings are dropped when memory has moved, or when they are asked to go") {
  Graphs g;
  for (int i = 0; i < 3; ++i) g.step(1), g.step(2);
  CHECK(g.log.recorded == 2);
  CHECK_FALSE(g.step(1, 2));
  CHECK(g.log.dropped == 2);
  CHECK(g.step(1, 2));
  g.graphs.clear();
  CHECK(g.log.dropped == 3);
  CHECK_FALSE(g.step(1, 2));
}

TEST_CASE("there are never more than so many recordings, and the one used longest ago goes first") {
  Graphs g;
  for (std::uint32_t pages = 1; pages <= 100; ++pages) {
    g.step(pages), g.step(pages);
    CHECK(g.step(1));
    CHECK(g.graphs.size() <= StepGraphs::most);
  }
  CHECK(g.log.recorded - g.log.dropped <= static_cast<int>(StepGraphs::most));
  CHECK(g.log.recorded == 100);
}

TEST_CASE("where recording fails steps go on as they are, and the reason is told once") {
  Graphs g;
  g.step(1), g.step(1);
  g.log.fails = "no graphs here\nand more";
  g.step(2);
  CHECK(g.graphs.failure().empty());
  const int before = g.runs;
  CHECK_FALSE(g.step(2));
  CHECK(g.runs == before + 1);
  CHECK(g.graphs.failure() == "no graphs here");
  CHECK(g.graphs.failure().empty());
  g.log.fails.clear();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(g.step(1));
  CHECK(g.log.dropped == 1);
}

}  // namespace
}  // namespace frugal::aten
