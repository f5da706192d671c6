// SampleMeter: a meter with a thousand chats of known numbers, one odd request, and one still running.
#pragma once

#include <frugal/meter/meter.hpp>

#include <string>
#include <utility>

namespace frugal::testing {

inline Measured sample_measured(std::string type, double ttft_ms, FinishReason finish) {
  Measured m;
  TraceRecord& r = m.record;
  r.timestamp = 1764000000.25 + ttft_ms, r.id = type + std::to_string(ttft_ms);
  r.type = std::move(type), r.tenant = "acme", r.model = "m", r.endpoint = "here";
  r.prompt_tokens = 100, r.cached_tokens = 40, r.output_tokens = 11;
  r.queue_ms = 1, r.ttft_ms = ttft_ms, r.e2e_ms = ttft_ms + 100, r.finish = finish, r.max_tokens = 64;
  r.prefix_blocks = {1, 2, (std::uint64_t{1} << 63) - 1, 4, 5, 6}, r.prompt_hash = 7, r.answer_hash = 8;
  TokenLedger tokens;
  tokens.prompt_computed = 60, tokens.prompt_cached = 40, tokens.decoded = 11, tokens.passes = 11, tokens.rows = 70;
  r.attempts.push_back({"here", "m", {.input = 100, .cached_read = 40, .output = 11}, tokens, std::nullopt, true});
  m.gaps.add(0.010, 10);
  return m;
}

struct SampleMeter {
  explicit SampleMeter(std::function<void(const Measured&)> trace = {})
      : meter({.prices = PriceBook().with("m", {.input = 1, .cached_read = 0.1, .output = 5}),
               .slos = {{.ttft = std::chrono::milliseconds(500)}},
               .trace = std::move(trace)}) {
    for (int i = 1; i <= 1000; ++i) pass(sample_measured("chat", i, FinishReason::stop));
    pass(sample_measured("odd \"\\\n", 5, FinishReason::length));
    meter.started();
  }
  void pass(Measured m) { meter.started(), meter.record(std::move(m)); }
  Meter meter;
};

}  // namespace frugal::testing
