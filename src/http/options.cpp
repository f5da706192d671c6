#include "http/options.hpp"

#include <curl/curl.h>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "core/ascii.hpp"
#include "core/printable.hpp"

namespace frugal::http {

namespace {

void refuse(const std::string& why) { throw Error(Errc::invalid_argument, "HttpOptions: " + why); }

// A name as RFC 9110 has it (a token), a value without control characters; and none that would change where a request
// ends or whom it is for.
void check_header(const std::string& name, const std::string& value) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  const auto of_token = [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           marks.find(c) != std::string_view::npos;
  };
  const auto control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; };
  if (name.empty() || !std::all_of(name.begin(), name.end(), of_token))
    refuse("a header is called \"" + printable(name) + "\", which is no name of a header");
  if (std::any_of(value.begin(), value.end(), control))
    refuse("the header " + name + " holds a line end or another control character");
  for (const char* const ours : {"content-length", "transfer-encoding", "host", "connection", "content-type"})
    if (same_word(name, ours)) refuse("the header " + name + " is made here");
}

// As the library that sends to it will read it.
bool is_url(const std::string& text) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), &curl_url_cleanup);
  if (!url) throw Error(Errc::out_of_memory, "HttpOptions: out of memory");
  constexpr unsigned lenient = CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME;  // of a proxy it is "http" unless said
  return curl_url_set(url.get(), CURLUPART_URL, text.c_str(), lenient) == CURLUE_OK;
}

void check_url(const std::string& url) {
  if (url.rfind("http://", 0) != 0 && url.rfind("https://", 0) != 0)
    refuse("url must begin with http:// or https://, and is \"" + url + "\"");
  if (url.find_first_of(" \r\n") != std::string::npos) refuse("url holds a blank or a line end");
  if (url.find_first_of("?#") != std::string::npos)
    refuse("url holds a query or a fragment; the API's path comes after it");
  if (!is_url(url)) refuse("url \"" + url + "\" names no host, or a port that is none");
  const std::size_t slash = url.find('/', url.find("://") + 3);
  const std::string_view path = slash == std::string::npos ? "" : std::string_view(url).substr(slash);
  for (const std::string_view added : {"/chat/completions", "/completions", "/responses", "/messages"})
    if (path.ends_with(added))
      refuse("url ends in " + std::string(added) + ", which is added here; it must be what comes before it");
}

// A key or a prompt must not go out before somebody sees that the certificate could not be checked.
void check_ca_file(const std::string& file) {
  if (file.empty()) return;
  std::ifstream in(file, std::ios::binary);
  if (!in || in.peek() == std::ifstream::traits_type::eof())
    refuse("ca_file \"" + file + "\" cannot be read, or is empty");
}

}  // namespace

HttpOptions checked(HttpOptions o) {
  if (o.name.empty()) refuse("name is empty");
  if (o.model.empty()) refuse("model is empty");
  while (!o.url.empty() && o.url.back() == '/') o.url.pop_back();
  check_url(o.url);
  check_ca_file(o.ca_file);
  if (!o.proxy.empty() && !is_url(o.proxy)) refuse("proxy is no address: host:port, with or without a scheme");
  if (!o.effort.empty() && o.api == HttpApi::openai_completions) refuse("effort: plain completions have no such field");
  if (o.thinking_tokens && o.api != HttpApi::anthropic_messages)
    refuse("thinking_tokens: only anthropic_messages has such a field");
  if (o.thinking_tokens && *o.thinking_tokens < 1024) refuse("thinking_tokens must be at least 1024");
  if (o.thinking_tokens && *o.thinking_tokens >= o.default_max_tokens)
    refuse("thinking_tokens must be below default_max_tokens, of which they are a part");
  if (o.max_running == 0) refuse("max_running is 0");
  if (!(o.retries.budget >= 0 && std::isfinite(o.retries.budget))) refuse("retries.budget is not a share");
  if (!(o.hedging.budget >= 0 && o.hedging.budget <= 1)) refuse("hedging.budget is not a share");
  if (!(o.hedging.quantile > 0 && o.hedging.quantile <= 1)) refuse("hedging.quantile is not a share");
  if (o.caching.most_prefixes == 0) refuse("caching.most_prefixes is 0");
  for (const auto& [name, value] : o.headers) check_header(name, value);
  return o;
}

}  // namespace frugal::http
