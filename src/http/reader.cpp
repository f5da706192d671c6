#include "http/reader.hpp"

#include <frugal/core/error.hpp>

#include "endpoint/refusal.hpp"

namespace frugal::http {

Attempt attempt_of(const Finish& finish, const HttpOptions& options) {
  Attempt attempt;
  attempt.endpoint = options.name;
  attempt.model = options.caching.prices.contains(finish.model) ? finish.model : options.model;
  attempt.usage = finish.usage;
  attempt.accepted = !is_failure(finish.reason);
  return attempt;
}

Delta Reader::event(const SseEvent& event) {
  if (so_far_.ended || so_far_.error) return {};
  if (event.data == "[DONE]") {
    so_far_.ended = true;
    return {};
  }
  Delta out;
  if (const std::optional<Json> object = object_of(event.data))
    out = read(*object);
  else
    so_far_.error = Error(Errc::unavailable, "an event that is not a JSON object; it is in Finish::raw only");
  if (so_far_.error) so_far_.raw = event.data.substr(0, most_raw);
  return out;
}

void Reader::note_usage(const Json& reported, const Usage& usage) {
  so_far_.usage = usage;
  const std::string line = dumped(reported) + "\n";
  if (line.size() > most_raw) return;
  so_far_.raw.resize(first_report_);
  so_far_.raw += line;
  if (first_report_ == 0) first_report_ = line.size();
}

void Reader::tell(Finish& f) const {
  if (!so_far_.model.empty()) f.model = so_far_.model;
  f.detail = so_far_.detail;
  f.tool_calls = so_far_.tool_calls;
  if (so_far_.usage) f.usage = *so_far_.usage;
  f.raw = so_far_.raw;
}

}  // namespace frugal::http
