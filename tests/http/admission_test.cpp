// HttpEndpoint and a provider's limits; second tries beside slow ones.
#include <frugal/http/http_endpoint.hpp>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "http/local_server.hpp"
#include "support/manual_clock.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

const std::string text =
    "data: {\"choices\": [{\"delta\": {\"content\": \"Hello\"}, \"finish_reason\": \"stop\"}], \"usage\": "
    "{\"prompt_tokens\": 7, \"completion_tokens\": 1}}\n\ndata: [DONE]\n\n";

bool answer(Connection& c, const std::string& headers = "") {
  return c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n" + headers + "\r\n" +
                text);
}

HttpOptions options(const LocalServer& server) {
  HttpOptions o;
  o.name = "remote";
  o.url = server.url();
  o.model = "m";
  o.timeouts = {.connect = 5s, .first_byte = 10s, .gap = 10s};
  return o;
}

Request ask() {
  Request r;
  r.prompt = Chat{{{"user", "Hi"}}};
  return r;
}

HttpOptions hedged(const LocalServer& server) {
  HttpOptions o = options(server);
  o.hedging = {.budget = 0.2, .learn = 10, .least = 30ms};
  o.retries.most = 0;
  return o;
}

// So many quick answers that a slow one is known for what it is.
void learn(HttpEndpoint& endpoint) {
  for (int i = 0; i < 12; ++i) REQUIRE(endpoint.run(ask()).text == "Hello");
}

}  // namespace

TEST_CASE("a request waits where the provider says that it would refuse it, and starts when that is over") {
  for (const char* headers :
       {"x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\r\nX-RateLimit-Reset-Requests: 60s\r\n",
        "anthropic-ratelimit-tokens-limit: 10\r\nanthropic-ratelimit-tokens-remaining: 0\r\n"
        "anthropic-ratelimit-tokens-reset: 2025-06-15T15:07:40Z\r\n"}) {  // a minute after the manual clock's date
    LocalServer server([&](Connection& c) { answer(c, headers); });
    ManualClock clock;
    HttpOptions o = options(server);
    o.clock = &clock;
    HttpEndpoint endpoint(o);
    CHECK(endpoint.run(ask()).text == "Hello");
    Stream second = endpoint.submit(ask());
    std::this_thread::sleep_for(50ms);
    CHECK(server.connections() == 1);
    clock.advance(30s);
    endpoint.wake();
    std::this_thread::sleep_for(50ms);
    CHECK(server.connections() == 1);
    CHECK(endpoint.load().waiting == 1);
    clock.advance(31s);
    endpoint.wake();
    CHECK(second.wait().text == "Hello");
    CHECK(server.connections() == 2);
  }
}

TEST_CASE("a request that limits hold back can be cancelled, and ends at its deadline") {
  LocalServer server([&](Connection& c) {
    answer(c,
           "x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1h\r\n");
  });
  HttpEndpoint endpoint(options(server));
  CHECK(endpoint.run(ask()).text == "Hello");
  Stream stream = endpoint.submit(ask());
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  Request late = ask();
  late.deadline = steady_clock().now() + 40ms;
  CHECK(endpoint.run(late).finish.reason == FinishReason::deadline);
  CHECK(server.connections() == 1);
  HttpOptions o = options(server);
  o.obey_rate_limits = false;
  HttpEndpoint heedless(o);
  CHECK(heedless.run(ask()).text == "Hello");
  CHECK(heedless.run(ask()).text == "Hello");
}

TEST_CASE("a pause that one answer asks for holds the others back too") {
  std::atomic<int> calls{0};
  LocalServer server([&](Connection& c) {
    if (++calls == 1)
      c.answer(429, "{}", "Retry-After: 2\r\n");
    else
      answer(c);
  });
  ManualClock clock;
  HttpOptions o = options(server);
  o.clock = &clock;
  HttpEndpoint endpoint(o);
  std::vector<Stream> streams;
  streams.push_back(endpoint.submit(ask()));
  while (endpoint.stats().retries == 0) std::this_thread::sleep_for(1ms);
  for (int i = 0; i < 5; ++i) streams.push_back(endpoint.submit(ask()));
  std::this_thread::sleep_for(50ms);
  CHECK(calls == 1);
  clock.advance(3s);
  endpoint.wake();
  for (Stream& s : streams) CHECK(s.wait().text == "Hello");
  CHECK(calls == 7);
}

namespace {

void wait_for(const std::atomic<int>& count, int wanted) {
  for (int i = 0; i < 2000 && count.load() < wanted; ++i) std::this_thread::sleep_for(5ms);
}

}  // namespace

TEST_CASE("a slow answer gets a second try, the first byte decides, and both are accounted for") {
  std::atomic<int> calls{0};
  std::atomic<bool> closed{false};
  LocalServer server([&](Connection& c) {
    if (++calls == 13)
      closed = c.closed_within(5000);
    else
      answer(c);
  });
  HttpEndpoint endpoint(hedged(server));
  learn(endpoint);
  const Answer slow = endpoint.run(ask());
  CHECK(slow.text == "Hello");
  CHECK(calls == 14);
  CHECK(endpoint.stats().hedges == 1);
  REQUIRE(slow.finish.ledger.attempts.size() == 2);
  CHECK(slow.finish.ledger.attempts[0].accepted);
  CHECK_FALSE(slow.finish.ledger.attempts[1].accepted);
  CHECK(slow.finish.ledger.attempts[1].usage == Usage{.input = 7});
  CHECK(slow.finish.usage == Usage{.input = 14, .output = 1});
  CHECK(slow.finish.answer_usage() == Usage{.input = 7, .output = 1});
  CHECK(slow.finish.ledger.consistent());
  CHECK(slow.finish.detail.find("hedged") == 0);
  for (int i = 0; i < 300 && !closed.load(); ++i) std::this_thread::sleep_for(10ms);
  CHECK(closed);  // the loser is not left running
  CHECK(endpoint.load().running == 0);
}

TEST_CASE("a first try that answers after all is kept, and the second one is closed") {
  std::atomic<int> calls{0};
  std::atomic<bool> closed{false};
  LocalServer server([&](Connection& c) {
    const int call = ++calls;
    if (call == 13) wait_for(calls, 14);
    if (call == 14)
      closed = c.closed_within(5000);
    else
      answer(c);
  });
  HttpEndpoint endpoint(hedged(server));
  learn(endpoint);
  CHECK(endpoint.run(ask()).text == "Hello");
  CHECK(endpoint.stats().hedges == 1);
  for (int i = 0; i < 300 && !closed.load(); ++i) std::this_thread::sleep_for(10ms);
  CHECK(closed);
}

TEST_CASE("where one of two tries fails the other answers, and where both fail the request ends once") {
  std::atomic<int> calls{0};
  std::atomic<bool> all{false};
  LocalServer server([&](Connection& c) {
    const int call = ++calls;
    if (call == 13) {
      wait_for(calls, 14);  // on a busy machine the second try comes late
      c.answer(500, "{}");
    } else if (call == 14) {
      std::this_thread::sleep_for(200ms);
      if (all.load())
        c.answer(500, "{}");
      else
        answer(c);
    } else {
      answer(c);
    }
  });
  for (const bool both : {false, true}) {
    calls = 0;
    all = both;
    HttpEndpoint endpoint(hedged(server));
    learn(endpoint);
    const Finish f = endpoint.run(ask()).finish;
    CHECK(f.reason == (both ? FinishReason::error : FinishReason::stop));
    CHECK(calls == 14);
    CHECK(f.ledger.attempts.size() == 1);  // a try that failed is not paid for
  }
}

TEST_CASE("cancelling a request ends both of its tries") {
  std::atomic<int> calls{0}, closed{0};
  LocalServer server([&](Connection& c) {
    if (++calls > 12)
      closed += c.closed_within(5000) ? 1 : 0;
    else
      answer(c);
  });
  HttpEndpoint endpoint(hedged(server));
  learn(endpoint);
  Stream stream = endpoint.submit(ask());
  for (int i = 0; i < 500 && calls.load() < 14; ++i) std::this_thread::sleep_for(5ms);
  CHECK(calls == 14);
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  for (int i = 0; i < 300 && closed.load() < 2; ++i) std::this_thread::sleep_for(10ms);
  CHECK(closed == 2);
}

TEST_CASE("second tries stay within their share of the requests, and there are none unless asked for") {
  std::atomic<int> calls{0};
  LocalServer server([&](Connection& c) {
    if (++calls > 12) std::this_thread::sleep_for(100ms);
    answer(c);
  });
  {
    HttpEndpoint endpoint(hedged(server));
    learn(endpoint);
    for (int i = 0; i < 8; ++i) CHECK(endpoint.run(ask()).text == "Hello");
    CHECK(endpoint.stats().hedges >= 1);
    CHECK(endpoint.stats().hedges <= 4);  // a fifth of 20
  }
  calls = 0;
  HttpEndpoint plain(options(server));
  for (int i = 0; i < 14; ++i) CHECK(plain.run(ask()).text == "Hello");
  CHECK(plain.stats().hedges == 0);
  CHECK(calls == 14);
}
