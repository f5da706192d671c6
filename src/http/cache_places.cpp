// A chat as a provider's cache sees it: in which order its parts come, where a beginning may end, and what is marked.
#include <frugal/meter/prefix_hash.hpp>
#include <frugal/meter/prompt_cache.hpp>

#include <algorithm>
#include <cstdio>
#include <variant>

#include "http/cache_places.hpp"

namespace frugal::http {

namespace {

bool is_system(const Message& m) { return m.role == "system" || m.role == "developer"; }

/// Anthropic's API has system texts before everything else.
std::vector<std::size_t> order_of(const Chat& chat, HttpApi api) {
  std::vector<std::size_t> out(chat.messages.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = i;
  if (api == HttpApi::anthropic_messages)
    std::stable_partition(out.begin(), out.end(), [&](std::size_t i) { return is_system(chat.messages[i]); });
  return out;
}

/// A hash and a length that grow with what is sent. Each text's length goes in as well, so that texts cannot run together.
class Beginning {
 public:
  void add(const std::string& text) {
    const std::string length = std::to_string(text.size()) + ":";
    hash_.add(length);
    hash_.add(text);
    bytes_ += text.size();
  }
  void add(const Message& m) {
    for (const std::string* text : {&m.role, &m.content, &m.name, &m.tool_call_id, &m.reasoning, &m.extra}) add(*text);
    for (const std::string& part : m.parts) add(part);
    for (const ToolCall& call : m.tool_calls)
      for (const std::string* text : {&call.id, &call.name, &call.arguments}) add(*text);
    bytes_ += 16;  // what a message costs beside its texts
  }
  std::uint64_t hash() const { return hash_.value(); }
  std::uint64_t bytes() const { return bytes_; }

 private:
  RunningHash hash_{};
  std::uint64_t bytes_ = 0;
};

std::size_t blocks_in(const Message& m) { return (m.content.empty() ? 0 : 1) + m.parts.size() + m.tool_calls.size(); }

bool carries_mark(const Message& m, HttpApi api) {
  if (blocks_in(m) == 0) return false;
  if (api == HttpApi::anthropic_messages) return true;
  if (m.role == "assistant") return false;
  return api != HttpApi::openai_responses || m.role != "tool";
}

}  // namespace

std::size_t most_marks(const HttpOptions& options) {
  if (!options.caching.on) return 0;
  if (options.api == HttpApi::anthropic_messages) return 4;  // whoever made the model: the API refuses more
  return takes_breakpoints(options) ? prompt_cache_terms(options.model).most_marks : 0;
}

std::vector<CachePlace> places_of(const Request& request, const HttpOptions& options) {
  std::vector<CachePlace> out;
  const Chat* const chat = std::get_if<Chat>(&request.prompt);
  if (chat == nullptr) return out;
  Beginning beginning;
  beginning.add(request.adapter);
  beginning.add(chat->tools);
  std::size_t blocks = 0;
  for (const std::size_t i : order_of(*chat, options.api)) {
    beginning.add(chat->messages[i]);
    blocks += blocks_in(chat->messages[i]);
    out.push_back({i, beginning.hash(), beginning.bytes(), blocks});
  }
  return out;
}

std::vector<std::size_t> wanted_marks(const Chat& chat, const std::vector<CachePlace>& places, HttpApi api) {
  std::vector<std::size_t> out;
  for (std::size_t p = 0; p < places.size(); ++p) {
    if (!chat.messages[places[p].message].cache_point) continue;
    std::size_t at = p + 1;
    while (at > 0 && !carries_mark(chat.messages[places[at - 1].message], api)) --at;
    if (at > 0 && (out.empty() || out.back() != at - 1)) out.push_back(at - 1);
  }
  return out;
}

std::vector<std::size_t> last_marks(std::vector<std::size_t> wanted, std::size_t most) {
  if (wanted.size() > most) wanted.erase(wanted.begin(), wanted.end() - static_cast<std::ptrdiff_t>(most));
  return wanted;
}

bool takes_cache_key(const HttpOptions& o) {
  if (!o.caching.on || (o.api != HttpApi::openai_chat && o.api != HttpApi::openai_responses)) return false;
  if (o.caching.openai_fields) return *o.caching.openai_fields;
  const std::size_t host = o.url.find("://") + 3;
  const std::string name = o.url.substr(host, o.url.find_first_of(":/", host) - host);
  const auto ends = [&](std::string_view end) {
    return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  return name == "api.openai.com" || ends(".openai.azure.com");
}

bool takes_breakpoints(const HttpOptions& o) {
  return takes_cache_key(o) && prompt_cache_terms(o.model).most_marks > 0;
}

// Requests with one key reach the same machines: those that share the tools and the first marked beginning, else the
// leading system texts, else the first message.
std::string cache_key(const Request& request, const std::vector<CachePlace>& places,
                      const std::vector<std::size_t>& wanted, const HttpOptions& options) {
  const Chat& chat = std::get<Chat>(request.prompt);
  std::size_t at = wanted.empty() ? 0 : wanted.front();
  if (wanted.empty())
    while (at + 1 < places.size() && is_system(chat.messages[places[at].message]) &&
           is_system(chat.messages[places[at + 1].message]))
      ++at;
  RunningHash whose;
  whose.add(std::string_view(options.model));
  whose.add(std::string_view("/"));
  whose.add(std::string_view(request.tenant));
  char out[40];
  std::snprintf(out, sizeof out, "%016llx%016llx", static_cast<unsigned long long>(whose.value()),
                static_cast<unsigned long long>(places[at].hash));
  return out;
}

CachePlan plain_plan(const Request& request, const HttpOptions& options) {
  CachePlan plan;
  const std::vector<CachePlace> places = places_of(request, options);
  if (places.empty() || !options.caching.on) return plan;
  const std::vector<std::size_t> wanted = wanted_marks(std::get<Chat>(request.prompt), places, options.api);
  for (const std::size_t at : last_marks(wanted, most_marks(options)))
    plan.marks.push_back({places[at].message, options.caching.ttl.value_or(CacheTtl::minutes5)});
  if (takes_cache_key(options)) plan.key = cache_key(request, places, wanted, options);
  return plan;
}

}  // namespace frugal::http
