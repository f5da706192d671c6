#include "http/easy.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "core/ascii.hpp"
#include "core/splitmix.hpp"
#include "core/version_text.hpp"
#include "http/api.hpp"

namespace frugal::http {

namespace {

std::string user_agent() { return "frugal/" + version_text(); }

}  // namespace

void HeaderLines::add(const std::string& line) {
  curl_slist* const longer = curl_slist_append(lines_.get(), line.c_str());
  if (longer == nullptr) throw Error(Errc::out_of_memory, "endpoint " + options_->name + ": out of memory");
  static_cast<void>(lines_.release());  // it is the head of `longer`, or there was none
  lines_.reset(longer);
}

void HeaderLines::add_own() {
  for (const auto& [name, value] : options_->headers) add(name + ": " + value);
  key_ = options_->key ? options_->key() : std::string();
  if (key_.find_first_of("\r\n") != std::string::npos)
    throw Error(Errc::invalid_argument, "endpoint " + options_->name + ": the key holds a line end");
  const KeyHeader header = api_of(options_->api).key_header();
  if (!key_.empty()) add(std::string(header.first) + ": " + header.second + key_);
}

std::string HeaderLines::without_key(std::string text) const {
  constexpr std::string_view mark = "(key)";
  if (key_.empty()) return text;
  for (std::size_t at = 0; (at = text.find(key_, at)) != std::string::npos; at += mark.size())
    text.replace(at, key_.size(), mark);
  return text;
}

void set_common(CURL* easy, const HttpOptions& options) {
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent().c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());  // empty = none, whatever the environment says
  if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
  if (options.timeouts.connect > Duration::zero()) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(options.timeouts.connect).count();
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(1, ms)));
  }
}

std::optional<Duration> retry_wait(const HttpRetries& retries, std::uint32_t retry, double drawn,
                                   std::optional<Duration> asked) {
  if (asked && *asked > retries.longest) return std::nullopt;
  const double ceiling = std::min(std::ldexp(double(retries.base.count()), static_cast<int>(std::min(retry, 30U))),
                                  double(retries.longest.count()));
  return std::max(Duration(static_cast<Duration::rep>(drawn * ceiling)), asked.value_or(Duration::zero()));
}

std::optional<Duration> retry_after_in(std::string_view line) {
  constexpr std::string_view name = "retry-after:";
  if (line.size() <= name.size() || !same_word(line.substr(0, name.size()), name)) return std::nullopt;
  const std::string value(line.substr(name.size()));
  char* end = nullptr;
  double seconds = std::strtod(value.c_str(), &end);
  if (end == value.c_str()) {
    const std::time_t at = curl_getdate(value.c_str(), nullptr);
    if (at == -1) return std::nullopt;
    seconds = std::max(0.0, std::difftime(at, std::time(nullptr)));
  }
  if (!(seconds >= 0 && seconds < 86400)) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

double uniform(std::uint64_t& state) { return unit_interval(mix64(state += splitmix_gamma)); }

}  // namespace frugal::http
