#include "engine/endings.hpp"

#include <algorithm>
#include <utility>

#include "core/caught.hpp"
#include "engine/say.hpp"
#include "engine/views.hpp"

namespace frugal {

void Endings::send(Sequence& s) noexcept {
  if (s.held.tokens.empty() && s.held.text.empty()) return;
  try {
    s.sink->on_delta(std::exchange(s.held, {}));
  } catch (...) {  // nobody else may suffer for it
    s.cancelled.store(true);
  }
}

void Endings::offer(Sequence& s) noexcept {
  const std::uint32_t valid = std::min(s.lane.kv, static_cast<std::uint32_t>(s.tokens.size()));
  if (!s.lane.pages || store_.index == nullptr || !s.lane.has_news(store_, valid)) return;
  try {
    s.lane.offer(store_, s.prefix(), std::span(s.tokens).first(valid), s.slot->costs.prompt_token());
  } catch (...) {  // no memory for the name of its space
    say(options_.log, LogLevel::warning, s.id, [] { return "prefix not indexed: " + caught_text(); });
  }
}

// What the passes beside prompts took longer than as many plain ones.
std::optional<Duration> Endings::stalled(const Sequence& s) {
  if (s.beside_prompts == Duration{}) return Duration{};
  if (s.slot->costs.plain_pass() == 0) return std::nullopt;  // nothing to compare with yet
  const std::chrono::duration<double> plain(static_cast<double>(s.passes_beside_prompts) * s.slot->costs.plain_pass());
  return std::max(Duration{}, s.beside_prompts - std::chrono::duration_cast<Duration>(plain));
}

Finish Endings::finish_of(Sequence& s, std::string detail, std::optional<Error> error) {
  Finish end;
  end.reason = s.reason;
  end.detail = std::move(detail);
  end.error = std::move(error);
  end.model = s.slot->name;
  end.seed = s.seed;
  end.vocabulary = s.slot->tokenizer;
  end.usage = s.account.usage();
  end.timing.queue = (s.was_admitted ? s.admitted : s.ended) - s.submitted;
  end.timing.e2e = s.ended - s.submitted;
  if (s.output_tokens() > 0) {
    end.timing.ttft = s.first_token - s.submitted;
    end.timing.stalled = stalled(s);
  }
  if (s.constraint) end.document = s.constraint->report(s.output_tokens(), s.text.matched().has_value());
  end.request = s.id;
  end.id = s.request.id;
  Attempt attempt{.endpoint = options_.name, .model = s.slot->name, .usage = end.usage, .tokens = s.account.tokens()};
  attempt.drafts = s.account.drafts(s.slot->costs.plain_pass());
  stats_.tokens += *attempt.tokens;
  stats_.drafts += attempt.drafts;
  end.ledger.attempts.push_back(std::move(attempt));
  return end;
}

void Endings::tell_policy(const Sequence& s, const Finish& end) noexcept {
  if (!options_.output) return;
  try {
    const RequestView request = request_view(s, s.ended);
    options_.output->ended(sequence_view(s, request),
                           {.reason = end.reason, .detail = end.detail, .usage = end.usage, .timing = end.timing});
  } catch (...) {  // the answer has been given: nothing to take back
    say(options_.log, LogLevel::warning, s.id, [&] {
      return "output policy " + std::string(options_.output->name()) + ", on a finished answer: " + caught_text();
    });
  }
}

void Endings::finish(Sequence& s, FinishReason reason, std::string detail, std::optional<Error> error) noexcept {
  if (s.finished) return;
  s.finished = true;
  try {
    s.held.text += s.text.flush();
  } catch (...) {
    reason = FinishReason::error;
    error = caught_error(Errc::internal, "the end of the text");
  }
  s.reason = reason;
  send(s);
  offer(s);
  if (speculation_ != nullptr) speculation_->leave(s);
  s.lane.close();
  s.ended = clock_.now();
  Finish end;
  try {
    end = finish_of(s, std::move(detail), std::move(error));
    tell_policy(s, end);
    if (options_.observer) options_.observer->on_finished(s.id, end);
  } catch (...) {
    end = {};
    s.reason = end.reason = FinishReason::error;
    end.error = caught_error(Errc::internal, "the account of the request");
  }
  try {
    s.sink->on_finish(std::move(end));
  } catch (...) {
    say(options_.log, LogLevel::warning, s.id, [] { return "a sink threw: " + caught_text(); });
  }
}

void Endings::fail(Sequence& s, const char* where) noexcept {
  finish(s, FinishReason::error, {}, caught_error(Errc::internal, where));
}

}  // namespace frugal
