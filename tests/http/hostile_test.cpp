// HttpEndpoint against a server that does everything wrong: every request ends in exactly one Finish, none hangs, memory
// stays bounded. 400 requests by default; FRUGAL_HOSTILE=10000 in the environment asks for more.
#include <frugal/http/http_endpoint.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/local_server.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

const std::string event = "data: {\"choices\": [{\"delta\": {\"content\": \"word \xE2\x82\xAC\"}}]}\n\n";
const std::string ending = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\ndata: [DONE]\n\n";
const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

std::string noise(std::size_t size, unsigned seed) {
  std::string out(size, ' ');
  for (char& c : out) c = static_cast<char>((seed = seed * 1103515245U + 12345U) >> 16);
  return out;
}

void rest(const Connection&, std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

using Mood = void (*)(Connection&, unsigned);
const std::vector<std::pair<const char*, Mood>> moods{
    {"well", [](Connection& c, unsigned) { c.begin_events() && c.send(event + event + ending); }},
    {"byte by byte",
     [](Connection& c, unsigned) {
       for (const char b : head + "Connection: close\r\n\r\n" + event + ending)
         if (!c.send(std::string_view(&b, 1))) return;
     }},
    {"garbage instead of HTTP", [](Connection& c, unsigned n) { c.send(noise(300, n)); }},
    {"garbage instead of events",
     [](Connection& c, unsigned n) { c.begin_events() && c.send(noise(3000, n) + "\n\ndata: {]\n\n" + ending); }},
    {"nothing, and closed", [](Connection&, unsigned) {}},
    {"a head, and closed", [](Connection& c, unsigned) { c.begin_events(); }},
    {"cut in the middle", [](Connection& c, unsigned) { c.begin_events() && c.send(event + event.substr(0, 30)); }},
    {"cut in a chunk",
     [](Connection& c, unsigned) { c.send(head + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + event); }},
    {"a wrong chunk",
     [](Connection& c, unsigned) { c.send(head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + event); }},
    {"a length that is too long",
     [](Connection& c, unsigned) { c.send(head + "Content-Length: 99999\r\n\r\n" + event); }},
    {"a length that is too short",
     [](Connection& c, unsigned) { c.send(head + "Content-Length: 20\r\n\r\n" + event + ending); }},
    {"no answer at all", [](Connection& c, unsigned) { c.closed_within(3000); }},
    {"silence in the middle",
     [](Connection& c, unsigned) { c.begin_events() && c.send(event) && c.closed_within(3000); }},
    {"events for ever",
     [](Connection& c, unsigned) {
       if (!c.begin_events()) return;
       while (c.send(event)) rest(c, 2ms);
     }},
    {"a line without an end",
     [](Connection& c, unsigned) {
       const std::string megabyte(1 << 20, 'x');
       if (!c.begin_events() || !c.send("data: ")) return;
       for (int i = 0; i < 1024 && c.send(megabyte);) ++i;
     }},
    {"an error body without an end",
     [](Connection& c, unsigned) {
       c.send("HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\n\r\n");
       while (c.send(std::string(1 << 16, ' '))) rest(c, 1ms);
     }},
    {"headers without an end",
     [](Connection& c, unsigned) {
       c.send("HTTP/1.1 200 OK\r\n");
       while (c.send("X-A: " + std::string(1000, 'b') + "\r\n")) rest(c, 1ms);
     }},
    {"too busy", [](Connection& c,
                    unsigned n) { c.answer(429, "{}", n % 2 ? "Retry-After: 0\r\n" : "Retry-After: nonsense\r\n"); }},
    {"broken", [](Connection& c, unsigned) { c.answer(500, R"({"error": {"message": "no"}})"); }},
    {"another type", [](Connection& c, unsigned) { c.answer(200, "<html>", ""); }},
    {"a redirect", [](Connection& c, unsigned) { c.answer(302, "", "Location: http://127.0.0.1:9/\r\n"); }},
    {"an error event",
     [](Connection& c, unsigned) { c.begin_events() && c.send("data: {\"error\": {\"message\": \"no\"}}\n\n"); }},
    {"odd values",
     [](Connection& c, unsigned) {
       c.begin_events() &&
           c.send(
               "data: {\"choices\": [3], \"usage\": {\"prompt_tokens\": -4, \"completion_tokens\": 1e300}}\n\ndata: "
               "{\"choices\": {}}\n\ndata: {\"choices\": [{\"delta\": {\"tool_calls\": [{\"index\": "
               "4000000000}]}}]}\n\n" +
               ending);
     }},
    {"nested",
     [](Connection& c, unsigned) { c.begin_events() && c.send("data: " + std::string(100'000, '[') + "\n\n"); }},
};

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * 4096;
}

struct Outcome {
  std::atomic<int> ends{0};
  std::atomic<FinishReason> reason{};
  std::atomic<std::int64_t> took_ms{0};
};

struct CountingSink final : Sink {
  explicit CountingSink(std::shared_ptr<Outcome> o) : outcome(std::move(o)), began(std::chrono::steady_clock::now()) {}
  void on_delta(Delta) override {
    if (outcome->ends.load() > 0) outcome->ends += 100;  // after the end
  }
  void on_finish(Finish finish) override {
    outcome->reason = finish.reason;
    outcome->took_ms = (std::chrono::steady_clock::now() - began) / 1ms;
    ++outcome->ends;
  }
  std::shared_ptr<Outcome> outcome;
  std::chrono::steady_clock::time_point began;
};

// One round: so many requests, a mood each in turn. Returns how often each reason came.
std::map<FinishReason, std::size_t> round(std::size_t requests, unsigned seed) {
  std::atomic<unsigned> next{seed};
  LocalServer server([&](Connection& c) {
    const unsigned n = next++;
    moods[n % moods.size()].second(c, n);
  });
  HttpOptions options;
  options.name = "hostile";
  options.url = server.url();
  options.model = "m";
  options.max_running = 64;
  options.max_waiting = 100'000;
  options.retries = {.most = 1, .base = 2ms, .longest = 20ms};
  options.timeouts = {.connect = 1s, .first_byte = 1s, .gap = 500ms};
  std::vector<std::shared_ptr<Outcome>> outcomes;
  {
    HttpEndpoint endpoint(options);
    for (std::size_t i = 0; i < requests; ++i) {
      outcomes.push_back(std::make_shared<Outcome>());
      Request request;
      request.prompt = Chat{{{"user", "Hi"}}};
      request.deadline = steady_clock().now() + (i % 3 == 0 ? 1s : 5s);
      const Call call = endpoint.start(std::move(request), std::make_shared<CountingSink>(outcomes.back()));
      if (i % 17 == 5) call.cancel();
      while (endpoint.load().waiting > 64U) std::this_thread::sleep_for(1ms);
    }
    const auto last = std::chrono::steady_clock::now() + 60s;
    while (endpoint.step() != Progress::idle && std::chrono::steady_clock::now() < last)
      std::this_thread::sleep_for(2ms);
    CHECK(endpoint.step() == Progress::idle);  // nothing hangs
  }
  std::map<FinishReason, std::size_t> reasons;
  for (const auto& outcome : outcomes) {
    CHECK(outcome->ends.load() == 1);
    ++reasons[outcome->reason.load()];
  }
  return reasons;
}

}  // namespace

TEST_CASE("whatever a server does, every request ends in one Finish and memory stays bounded") {
  const char* const wanted = std::getenv("FRUGAL_HOSTILE");
  const std::size_t requests = wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 400;
  std::map<FinishReason, std::size_t> reasons;
  std::size_t first = 0, done = 0;
  for (unsigned seed = 0; done < requests; ++seed) {
    const std::size_t now = std::min<std::size_t>(400, requests - done);
    for (const auto& [reason, count] : round(now, seed)) reasons[reason] += count;
    done += now;
    if (first == 0) first = resident_bytes();
  }
  CHECK(resident_bytes() < first + (std::size_t{64} << 20));
  CHECK(reasons[FinishReason::stop] > 0);
  CHECK(reasons[FinishReason::error] > requests / 4);
  CHECK(reasons[FinishReason::cancelled] > 0);
  std::string said;
  for (const auto& [reason, count] : reasons)
    said += std::string(to_string(reason)) + " " + std::to_string(count) + " ";
  INFO(said << "resident " << resident_bytes() / 1000000 << " MB, after the first round " << first / 1000000 << " MB");
  if (wanted != nullptr)
    WARN(said << "resident " << resident_bytes() / 1000000 << " MB, after the first round " << first / 1000000);
}
