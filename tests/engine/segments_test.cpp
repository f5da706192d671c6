// What the engine tells a backend of each sequence beside its tokens: the slot, the adapter. And what it makes of a row
// from which nothing can be drawn.
#include <catch2/catch_test_macros.hpp>

#include <limits>
#include <map>
#include <set>

#include "engine/fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

/// Sees every pass on its way to a scripted backend. Knows an adapter "legal" of number 7, if asked to.
class Witness final : public BackendWrapper {
 public:
  explicit Witness(std::shared_ptr<Backend> inner, bool knows = false)
      : BackendWrapper(std::move(inner)), knows_(knows) {}
  void forward(const Batch& batch) override {
    std::set<std::uint32_t> seen;
    std::vector<Segment> segments(batch.segments.begin(), batch.segments.end());
    for (Segment& s : segments) {
      twice += seen.insert(s.slot).second ? 0 : 1;
      most = std::max(most, s.slot);
      slots[s.pages.front()].insert(s.slot);
      adapters.push_back(s.adapter);
      rows += s.tokens.size();
      s.adapter = {};  // the inner backend has none
    }
    inner().forward({batch.model, segments, batch.drawn});
  }
  std::optional<AdapterId> find_adapter(ModelId, std::string_view name) const override {
    return knows_ && name == "legal" ? std::optional(AdapterId{7}) : std::nullopt;
  }

  bool healthy() const noexcept override { return !broken; }

  bool broken = false;
  int twice = 0;
  std::uint32_t most = 0;
  std::map<Granule, std::set<std::uint32_t>> slots;  // by the first page of a sequence
  std::vector<AdapterId> adapters;
  std::size_t rows = 0;

 private:
  bool knows_;
};

Request with_adapter(std::vector<Token> prompt, std::string name) {
  Request request = request_for(std::move(prompt));
  request.adapter = std::move(name);
  return request;
}

}  // namespace

TEST_CASE("every running sequence has a slot of its own, below max_running, from its first row to its last") {
  const auto witness = std::make_shared<Witness>(scripted());
  EngineOptions options = options_with(witness);
  options.max_running = 3;
  options.prefill_chunk = 8;
  Engine engine(std::move(options));
  std::vector<Stream> streams;
  for (std::uint32_t i = 0; i < 3; ++i) streams.push_back(engine.submit(request_for(prompt_of(20 + i, i), 30 + i)));
  for (Stream& s : streams) s.wait();
  for (const auto& [page, slots] : witness->slots) CHECK(slots.size() == 1);  // three sequences, three first pages
  CHECK(witness->slots.size() == 3);
  streams.clear();
  for (std::uint32_t i = 0; i < 9; ++i) streams.push_back(engine.submit(request_for(prompt_of(20 + i, i), 5 + i)));
  for (Stream& s : streams) CHECK(s.wait().finish.reason == FinishReason::length);
  CHECK(witness->twice == 0);
  CHECK(witness->most == 2);
}

TEST_CASE("an adapter that no backend knows refuses the request by name") {
  Engine engine(options_with(scripted()));
  const Answer answer = engine.run(with_adapter(prompt_of(20), "legal"));
  CHECK(answer.finish.reason == FinishReason::refused);
  REQUIRE(answer.finish.error.has_value());
  CHECK(answer.finish.error->code() == Errc::invalid_argument);
  CHECK(answer.finish.error->message().find("no adapter named \"legal\"") != std::string::npos);
}

TEST_CASE("a backend that has failed for good refuses what comes, and the engine lives on") {
  const auto witness = std::make_shared<Witness>(scripted());
  Engine engine(options_with(witness));
  CHECK(engine.run(request_for(prompt_of(20))).finish.reason == FinishReason::length);
  witness->broken = true;
  const std::size_t rows = witness->rows;
  const Answer answer = engine.run(request_for(prompt_of(20)));
  CHECK(answer.finish.reason == FinishReason::refused);
  REQUIRE(answer.finish.error.has_value());
  CHECK(answer.finish.error->code() == Errc::device);
  CHECK(witness->rows == rows);
}

TEST_CASE("a known adapter reaches every row, and shares no prefix with the model alone") {
  const auto witness = std::make_shared<Witness>(scripted(), true);
  EngineOptions options = options_with(witness);
  options.prefix_cache = lru();
  Engine engine(std::move(options));
  engine.run(request_for(prompt_of(60)));
  for (const AdapterId id : witness->adapters) CHECK(id == AdapterId{});
  witness->adapters.clear();
  const Answer first = engine.run(with_adapter(prompt_of(60), "legal"));
  CHECK(first.finish.usage.cached_read == 0);
  CHECK_FALSE(witness->adapters.empty());
  for (const AdapterId id : witness->adapters) CHECK(id == AdapterId{7});
  CHECK(engine.run(with_adapter(prompt_of(60), "legal")).finish.usage.cached_read > 0);
  CHECK(engine.run(with_adapter(prompt_of(60), "other")).finish.reason == FinishReason::refused);
}

TEST_CASE("a row without a finite logit ends its own request with an error, and no other") {
  for (const float temperature : {0.0F, 0.8F}) {
    Engine engine(options_with(scripted_by([](std::span<const Token> tokens) {
      std::vector<float> logits = hashed_logits(tokens);
      if (tokens.front() == prompt_of(1, 9).front() && tokens.size() >= 24)
        std::fill(logits.begin(), logits.end(), std::numeric_limits<float>::quiet_NaN());
      return logits;
    })));
    Request broken = request_for(prompt_of(20, 9)), other = request_for(prompt_of(21, 1));
    broken.sampling.temperature = temperature;
    Stream a = engine.submit(broken), b = engine.submit(other);
    const Answer bad = a.wait(), good = b.wait();
    CHECK(bad.finish.reason == FinishReason::error);
    REQUIRE(bad.finish.error.has_value());
    CHECK(bad.finish.error->code() == Errc::bad_model);
    CHECK(bad.tokens.size() == 4);
    CHECK(bad.finish.ledger.consistent());
    CHECK(good.tokens == expected_answer(prompt_of(21, 1), 12));
    engine.check_integrity();
    CHECK(engine.stats().kv_bytes_leased == 0);
  }
}
