// Server-sent events, however the bytes are cut.
#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>
#include <vector>

#include "http/sse.hpp"

using frugal::http::SseEvent;
using frugal::http::SseParser;

namespace {

std::vector<std::pair<std::string, std::string>> parsed(std::string_view bytes,
                                                        const std::vector<std::size_t>& cuts = {}) {
  SseParser parser;
  std::vector<std::pair<std::string, std::string>> events;
  const auto keep = [&](SseEvent e) { events.emplace_back(e.type, e.data); };
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    REQUIRE(parser.feed(bytes.substr(from, cut - from), keep));
    from = cut;
  }
  REQUIRE(parser.feed(bytes.substr(from), keep));
  return events;
}

using Events = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("an event ends at an empty line, whichever line end is used") {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const std::string e(end);
    CHECK(parsed("data: a" + e + e + "event: ping" + e + "data:b" + e + e) == Events{{"", "a"}, {"ping", "b"}});
  }
}

TEST_CASE("several data lines are one text, and one blank after the colon is not part of it") {
  CHECK(parsed("data: a\ndata:b\ndata:  c\n\n") == Events{{"", "a\nb\n c"}});
  CHECK(parsed("data\n\n") == Events{{"", ""}});
  CHECK(parsed("data: a: b\n\n") == Events{{"", "a: b"}});
}

TEST_CASE("comments, unknown fields and a byte order mark are passed over") {
  CHECK(parsed("\xEF\xBB\xBF: hello\nid: 7\nretry: 3\nfoo: x\ndata: a\n\n") == Events{{"", "a"}});
  CHECK(parsed("data: \xEF\xBB\xBF\n\n") == Events{{"", "\xEF\xBB\xBF"}});
}

TEST_CASE("an event without data and an unfinished one are dropped") {
  CHECK(parsed("event: ping\n\n\n\ndata: a\n\n") == Events{{"", "a"}});
  CHECK(parsed("data: a\n\ndata: cut off").size() == 1);
  CHECK(parsed("data: a\n\ndata: no empty line\n").size() == 1);
}

TEST_CASE("however the bytes are cut, the events are the same") {
  std::mt19937_64 random(11);
  const std::string alphabet = "\r\n\n\n: daetv\xEF\xBB\xBF\xC3\xA9";
  const char* words[] = {"data: ", "data:", "event: x", "\n\n", "\r\n\r\n", "\r", ": c\n", "data\n"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i)
      if (random() % 3 == 0)
        bytes += words[random() % 8];
      else
        bytes += alphabet[random() % alphabet.size()];
    const Events whole = parsed(bytes);
    std::vector<std::size_t> each, some;
    for (std::size_t i = 1; i < bytes.size(); ++i) each.push_back(i);
    for (std::size_t i = 1; i < bytes.size(); ++i)
      if (random() % 4 == 0) some.push_back(i);
    CHECK(parsed(bytes, each) == whole);
    CHECK(parsed(bytes, some) == whole);
  }
}

TEST_CASE("an event that is larger than the limit ends the reading, and memory stays bounded") {
  SseParser parser(1000);
  int events = 0;
  const auto count = [&](const SseEvent&) { ++events; };
  CHECK(parser.feed("data: " + std::string(900, 'x') + "\n\n", count));
  bool fine = true;
  for (int i = 0; i < 100 && fine; ++i) fine = parser.feed("data: " + std::string(300, 'x') + "\n", count);
  CHECK_FALSE(fine);
  CHECK_FALSE(parser.feed("\n\ndata: b\n\n", count));
  CHECK(events == 1);
}
