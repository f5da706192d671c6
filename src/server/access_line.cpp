#include "server/access_line.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <string_view>

#include "server/json.hpp"

namespace frugal::server {

namespace {

double rounded_ms(Duration d) { return std::round(milliseconds(d) * 1000) / 1000; }

double unix_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) / 1000;
}

// A field that is not known has the client's own name.
bool fit_for_log(std::string_view field) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' || c == '[' || c == ']';
  };
  return !field.empty() && field.size() <= 80 && std::all_of(field.begin(), field.end(), plain);
}

}  // namespace

std::string written(const AccessLine& line) {
  Json out{{"time", unix_time()},
           {"id", line.id},
           {"method", line.method.substr(0, 16)},
           {"path", line.path},
           {"status", line.status}};
  if (!line.tenant.empty()) out["tenant"] = line.tenant;
  if (line.abandoned) out["abandoned"] = true;
  if (line.error) out["error"] = std::string(to_string(*line.error));
  if (fit_for_log(line.field)) out["field"] = line.field;
  if (line.account) {
    const Exchange::Account& account = *line.account;
    if (!account.model.empty()) {
      out["model"] = account.model;
      out["stream"] = account.stream;
    }
    if (account.finish) {
      const Usage& usage = account.finish->usage;
      out["finish"] = std::string(to_string(account.finish->reason));
      out["input_tokens"] = usage.input;
      out["cached_tokens"] = usage.cached_read;
      out["output_tokens"] = usage.output;
      out["queue_ms"] = rounded_ms(account.finish->timing.queue);
    }
  }
  if (line.first_byte) out["first_byte_ms"] = rounded_ms(*line.first_byte);
  out["total_ms"] = rounded_ms(line.took);
  out["bytes"] = line.bytes;
  return dumped(out);
}

}  // namespace frugal::server
