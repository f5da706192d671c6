#include "http/options.hpp"

#include <frugal/core/error.hpp>

#include <cmath>
#include <string>

namespace frugal::http {

HttpOptions checked(HttpOptions o) {
  const auto refuse = [](const std::string& why) { throw Error(Errc::invalid_argument, "HttpOptions: " + why); };
  if (o.name.empty()) refuse("name is empty");
  if (o.model.empty()) refuse("model is empty");
  if (o.url.rfind("http://", 0) != 0 && o.url.rfind("https://", 0) != 0)
    refuse("url must begin with http:// or https://, and is \"" + o.url + "\"");
  if (o.url.find_first_of(" \r\n") != std::string::npos) refuse("url holds a blank or a line end");
  if (!o.effort.empty() && o.api == HttpApi::openai_completions) refuse("effort: plain completions have no such field");
  if (o.thinking_tokens && o.api != HttpApi::anthropic_messages)
    refuse("thinking_tokens: only anthropic_messages has such a field");
  if (o.thinking_tokens && *o.thinking_tokens < 1024) refuse("thinking_tokens must be at least 1024");
  if (o.max_running == 0) refuse("max_running is 0");
  if (!(o.retries.budget >= 0 && std::isfinite(o.retries.budget))) refuse("retries.budget is not a share");
  if (!(o.hedging.budget >= 0 && o.hedging.budget <= 1)) refuse("hedging.budget is not a share");
  if (!(o.hedging.quantile > 0 && o.hedging.quantile <= 1)) refuse("hedging.quantile is not a share");
  if (o.caching.most_prefixes == 0) refuse("caching.most_prefixes is 0");
  for (const auto& [name, value] : o.headers)
    if (name.empty() || (name + value).find_first_of("\r\n") != std::string::npos)
      refuse("a header is empty or holds a line end");
  while (!o.url.empty() && o.url.back() == '/') o.url.pop_back();
  return o;
}

}  // namespace frugal::http
