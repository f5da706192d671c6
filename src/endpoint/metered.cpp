// One Measuring per request: a sink in front of the caller's that notes times and hashes as the answer passes.
#include <frugal/endpoint/metered.hpp>

#include <frugal/meter/prefix_hash.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "endpoint/prompt_text.hpp"
#include "endpoint/refusal.hpp"

namespace frugal {

struct Metered::Measuring final : Sink {
  Measuring(Meter& m, const MeteredOptions& o, std::string_view endpoint, const Request& r, std::shared_ptr<Sink> s)
      : meter(m), out(std::move(s)), started(m.clock().now()) {
    question.sampling = r.sampling, question.max_tokens = r.max_tokens, question.stop = r.stop;
    measured.gaps = Sketch(meter.options().alpha);
    measured.is_attempt = o.is_tier;
    TraceRecord& record = measured.record;
    record.timestamp = std::chrono::duration<double>(meter.clock().wall_now().time_since_epoch()).count();
    record.id = r.id, record.type = r.type, record.tenant = r.tenant, record.labels = r.labels;
    record.service_tier = o.service_tier, record.batch = o.batch;
    record.endpoint = endpoint, record.model = r.model;
    record.max_tokens = r.max_tokens;
    record.prompt_hash = question_hash(r);
    if (meter.options().text) measured.text.prompt = whole_text(r);
    if (!o.is_tier) meter.started();
  }

  // A cascade tells of every try's prompt; the last one is the answer's.
  void on_prompt(std::span<const Token> prompt) override {
    measured.record.prefix_blocks = prefix_blocks(prompt, measured.record.tenant);
    measured.record.prompt_hash = question_hash(question, prompt);
    out->on_prompt(prompt);
  }

  void on_delta(Delta delta) override {
    note(delta);
    out->on_delta(std::move(delta));
  }

  bool full() const override { return out->full(); }

  void on_finish(Finish finish) override {
    try {
      complete(finish);
      meter.record(std::move(measured));
    } catch (...) {  // a measurement may be lost, the caller's Finish may not
    }
    out->on_finish(std::move(finish));
  }

  // n tokens in one delta are n equal gaps, so that the mean gap is the time per output token.
  void note(const Delta& delta) {
    if (delta.revises) {  // what stays is measured: times, hash and text begin anew
      first.reset();
      pieces = 0;
      answer = {};
      measured.gaps = Sketch(meter.options().alpha);
      measured.text.answer.clear();
    }
    if (delta.empty()) return;
    const TimePoint now = meter.clock().now();
    ++pieces;
    const std::size_t tokens = std::max<std::size_t>(delta.tokens.size(), 1);
    if (!first) {
      first = now;
    } else {
      measured.gaps.add(std::chrono::duration<double>(now - last).count() / static_cast<double>(tokens), tokens);
    }
    last = now;
    delta.tokens.empty() ? answer.add(delta.text) : answer.add(delta.tokens);
    if (meter.options().text) measured.text.answer += delta.text;
  }

  void complete(const Finish& finish) {
    TraceRecord& record = measured.record;
    const TimePoint now = meter.clock().now();
    record.finish = finish.reason;
    if (!finish.model.empty()) record.model = finish.model;
    record.queue_ms = milliseconds(finish.timing.queue);
    if (first) record.ttft_ms = milliseconds(*first - started), record.answer_hash = answer.value();
    if (pieces > 0) record.pieces = finish.timing.in_one_piece ? 1 : pieces;
    if (finish.request.value != 0) record.request_id = finish.request.value;
    record.e2e_ms = milliseconds(now - started);
    if (finish.timing.stalled) record.stalled_ms = milliseconds(*finish.timing.stalled);
    Usage usage = finish.usage;
    for (const Attempt& a : finish.ledger.attempts) {
      if (a.accepted) usage = a.usage;
      record.attempts.push_back(a);
    }
    record.prompt_tokens = usage.input, record.output_tokens = usage.output, record.cached_tokens = usage.cached_read;
    record.cache_write_tokens = usage.cache_write, record.cache_write_1h_tokens = usage.cache_write_1h;
    record.reasoning_tokens = usage.reasoning;
    if (record.attempts.empty())
      record.attempts.push_back({.endpoint = record.endpoint,
                                 .model = record.model,
                                 .usage = finish.usage,
                                 .accepted = !is_failure(finish.reason)});
    auto& blocks = record.prefix_blocks;
    blocks.resize(std::min<std::size_t>(blocks.size(), record.prompt_tokens / trace_block_tokens));
  }

  Meter& meter;
  Request question;  ///< without its prompt: how to answer
  std::shared_ptr<Sink> out;
  const TimePoint started;
  std::optional<TimePoint> first;
  TimePoint last{};
  std::uint64_t pieces = 0;  ///< deltas with something in them
  RunningHash answer;
  Measured measured;
};

Metered::Metered(Endpoint& inner, Meter& meter, MeteredOptions options)
    : EndpointWrapper(inner), meter_(meter), options_(std::move(options)) {}
Metered::~Metered() { leave(); }

Call Metered::start(Request request, std::shared_ptr<Sink> sink) {
  try {
    sink = std::make_shared<Measuring>(meter_, options_, name(), request, sink);
  } catch (...) {  // unmeasured is better than unserved
  }
  return EndpointWrapper::start(std::move(request), std::move(sink));
}

}  // namespace frugal
