#include "http/sse.hpp"

#include <utility>

namespace frugal::http {

bool SseParser::feed(std::string_view bytes, const std::function<void(SseEvent)>& on_event) {
  while (!bytes.empty() && !overflown_) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    line_.append(bytes.substr(0, end));
    if (line_.size() + event_.data.size() > most_bytes_) {
      overflown_ = true;
      line_.clear();
      event_ = {};
      break;
    }
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    end_line(on_event);
  }
  return !overflown_;
}

void SseParser::end_line(const std::function<void(SseEvent)>& on_event) {
  std::string_view line(line_);
  if (std::exchange(first_line_, false) && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);
  if (line.empty()) {
    SseEvent done = std::exchange(event_, {});
    const bool complete = std::exchange(has_data_, false);
    line_.clear();
    if (complete) on_event(std::move(done));
    return;
  }
  const std::size_t colon = line.find(':');
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  field(line.substr(0, colon), value);
  line_.clear();
}

void SseParser::field(std::string_view name, std::string_view value) {
  if (name == "event") event_.type = value;
  if (name != "data") return;
  if (has_data_) event_.data += '\n';
  has_data_ = true;
  event_.data += value;
}

}  // namespace frugal::http
