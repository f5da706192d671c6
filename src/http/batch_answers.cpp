// The part of BatchCourier that reads results and gives each request its end.
#include <frugal/core/error.hpp>

#include <utility>

#include "http/batch_courier.hpp"
#include "http/stop_cutter.hpp"

namespace frugal::http {

bool BatchCourier::read_results(Going& batch, const BatchLook& look) {
  for (const std::string& url : look.results) {
    const expected<Got> got = fetch(options_.http, {.url = url}, stopped_, [&](std::string_view line) {
      if (const std::optional<BatchResult> result = api_->read(line, options_.http.name)) take(batch, *result, line);
    });
    if (!got || got->status != 200) {
      note("the results of batch " + batch.sent->id + " could not be read to their end");
      return false;
    }
  }
  return true;
}

void BatchCourier::take(Going& batch, const BatchResult& result, std::string_view line) {
  const auto found = batch.asked.find(result.id);
  if (found == batch.asked.end()) return;
  const Held entry = found->second;
  batch.asked.erase(found);
  if (result.error) batch.sent->items.erase(result.id);  // the next run may send it again
  {
    const std::lock_guard lock(mutex_);
    --sent_;
  }
  if (result.error)
    end_as(entry, is_final(*result.error) ? FinishReason::refused : FinishReason::error, result.error, line);
  else
    answer(entry, result.events);
}

void BatchCourier::fail_all(Going& batch, const Error& error) {
  const auto asked = std::exchange(batch.asked, {});
  {
    const std::lock_guard lock(mutex_);
    sent_ -= asked.size();
  }
  for (const auto& [item, entry] : asked)
    end_as(entry, is_final(error) ? FinishReason::refused : FinishReason::error, error);
}

Finish BatchCourier::base_of(const BatchEntry& entry) const {
  Finish f;
  f.model = options_.http.model;
  f.id = entry.request.id;
  f.request = entry.id;
  f.timing.e2e = steady_clock().now() - entry.submitted;
  f.timing.in_one_piece = true;
  return f;
}

void BatchCourier::answer(const Held& entry, const std::vector<SseEvent>& events) {
  Finish f = base_of(*entry);
  const std::unique_ptr<Reader> reader = api_of(options_.http.api).reader(entry->request);
  StopCutter stops(entry->request.stop);
  try {
    for (const SseEvent& event : events) {
      Delta delta = reader->event(event);
      stops.cut(delta);
      if (!delta.empty()) entry->sink->on_delta(std::move(delta));
    }
    if (Delta rest = stops.rest(); !rest.empty()) entry->sink->on_delta(std::move(rest));
  } catch (...) {  // the caller has given up; GuardedSink has noted why
    f.reason = FinishReason::cancelled;
    return finish(entry, std::move(f));
  }
  const Progressed& p = reader->progress();
  f.reason = p.reason.value_or(FinishReason::error);
  f.error = p.error;
  if (f.error || !p.reason) f.reason = FinishReason::error;
  if (!f.error && !p.reason) f.error = Error(Errc::unavailable, who_ + ": a result is no whole answer");
  reader->tell(f);
  if (stops.matched() != nullptr) f.reason = FinishReason::stop, f.detail = *stops.matched();
  f.timing.ttft = f.timing.e2e;
  f.ledger.attempts.push_back(attempt_of(f, options_.http));
  finish(entry, std::move(f));
}

void BatchCourier::end_as(const Held& entry, FinishReason reason, std::optional<Error> error,
                          std::string_view raw) noexcept {
  Finish end;
  try {
    end = base_of(*entry);
    end.raw = raw.substr(0, most_raw);
  } catch (...) {
    end.request = entry->id;
  }
  end.reason = reason;
  end.error = std::move(error);
  finish(entry, std::move(end));
}

void BatchCourier::finish(const Held& entry, Finish end) noexcept {
  {
    const std::lock_guard lock(mutex_);
    --live_;
  }
  entry->sink->on_finish(std::move(end));
}

}  // namespace frugal::http
