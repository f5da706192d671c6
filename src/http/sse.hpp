// SseParser: server-sent events (WHATWG HTML, section 9.2) out of bytes that come in pieces of any size.
//
// Lines may end in CR, LF or CRLF, split anywhere between two pieces. A byte order mark at the start, comments and unknown
// fields are ignored; several data lines are joined by LF; an event without data is dropped; what is unfinished at the
// end of the stream is dropped too. One thread. Linear in the bytes; keeps at most `most_bytes` of an unfinished event.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace frugal::http {

struct SseEvent {
  std::string type{};  ///< the event field; empty = "message"
  std::string data{};
};

class SseParser {
 public:
  explicit SseParser(std::size_t most_bytes = std::size_t{4} << 20) : most_bytes_(most_bytes) {}

  /// Calls `on_event` for each event that these bytes complete. False once an event is larger than the limit: nothing
  /// more is read from then on.
  bool feed(std::string_view bytes, const std::function<void(SseEvent)>& on_event);

 private:
  void end_line(const std::function<void(SseEvent)>& on_event);
  void field(std::string_view name, std::string_view value);

  std::size_t most_bytes_;
  std::string line_{};
  SseEvent event_{};
  bool has_data_ = false;  // a data field came, even an empty one
  bool after_cr_ = false;  // a LF right after it belongs to the same line end
  bool first_line_ = true;
  bool overflown_ = false;
};

}  // namespace frugal::http
