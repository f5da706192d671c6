// Any bytes as an event stream, cut anywhere: the events are those of the whole text in one piece, and both dialects read
// them or end with an error.
#include <frugal/core/request.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/api.hpp"
#include "http/sse.hpp"

namespace {

using frugal::http::SseEvent;
using frugal::http::SseParser;

struct Heard {
  std::vector<SseEvent> events{};
  bool whole = true;
};

// The first byte of the input says how long the pieces are; 0 = all at once.
Heard heard(std::string_view text, std::size_t piece) {
  SseParser parser(4096);
  Heard out;
  for (std::size_t at = 0; at < text.size() && out.whole; at += piece)
    out.whole = parser.feed(text.substr(at, piece), [&](SseEvent event) { out.events.push_back(std::move(event)); });
  return out;
}

bool same(const Heard& a, const Heard& b) {
  return a.whole == b.whole &&
         std::equal(a.events.begin(), a.events.end(), b.events.begin(), b.events.end(),
                    [](const SseEvent& x, const SseEvent& y) { return x.type == y.type && x.data == y.data; });
}

bool readable(const frugal::http::Api& api, const Heard& heard) {
  const std::unique_ptr<frugal::http::Reader> reader = api.reader(frugal::Request{});
  for (const SseEvent& event : heard.events) reader->event(event);
  const frugal::http::Progressed& p = reader->progress();
  if (p.error && p.error->message().empty()) return false;
  return !p.usage ||
         (p.usage->cached_read + p.usage->cache_write <= p.usage->input && p.usage->reasoning <= p.usage->output);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Heard whole = heard(text, std::max<std::size_t>(text.size(), 1));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{data[0] % 16U + 1U}})
    if (!same(whole, heard(text, piece))) return 1;
  return readable(frugal::http::openai_chat(), whole) && readable(frugal::http::anthropic_messages(), whole) ? 0 : 1;
}
