// HttpEndpoint against servers that answer well, badly, late or never: each request ends in one Finish.
#include <frugal/core/error.hpp>
#include <frugal/endpoint/cascade.hpp>
#include <frugal/http/http_endpoint.hpp>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>

#include "http/local_server.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

HttpOptions options(const LocalServer& server) {
  HttpOptions o;
  o.name = "remote";
  o.url = server.url();
  o.model = "m";
  o.retries.base = 5ms;
  o.timeouts = {.connect = 2s, .first_byte = 5s, .gap = 5s};
  return o;
}

Request ask(std::string text = "Hi") {
  Request r;
  r.prompt = Chat{{{"user", std::move(text)}}};
  return r;
}

std::string piece(const std::string& text) { return R"({"choices": [{"delta": {"content": ")" + text + R"("}}]})"; }
const char* const ending = R"({"choices": [{"delta": {}, "finish_reason": "stop"}]})";
const char* const usage =
    R"({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}})";

void answer_well(Connection& c) {
  c.begin_events();
  c.event(piece("Hel"));
  c.event(piece("lo"));
  c.event(ending);
  c.event(usage);
  c.event("[DONE]");
}

}  // namespace

TEST_CASE("a remote answer streams, ends and is accounted for") {
  std::string head, body;
  LocalServer server([&](Connection& c) {
    head = c.head();
    body = c.body();
    answer_well(c);
  });
  HttpOptions o = options(server);
  o.key = [] { return "secret-key"; };
  HttpEndpoint endpoint(o);
  Request r = ask();
  r.id = "mine";
  const Answer answer = endpoint.run(r);
  CHECK(answer.text == "Hello");
  const Finish& f = answer.finish;
  CHECK(f.reason == FinishReason::stop);
  CHECK_FALSE(f.error);
  CHECK(f.id == "mine");
  CHECK(f.request.value == 1);
  CHECK(f.usage == Usage{.input = 11, .cached_read = 4, .output = 2});
  REQUIRE(f.ledger.attempts.size() == 1);
  CHECK(f.ledger.attempts[0].endpoint == "remote");
  CHECK_FALSE(f.ledger.attempts[0].tokens.has_value());
  CHECK(f.ledger.consistent());
  CHECK(f.timing.ttft > Duration::zero());
  CHECK(f.timing.e2e >= f.timing.ttft);
  CHECK(head.find("POST /v1/chat/completions") == 0);
  CHECK(head.find("Authorization: Bearer secret-key") != std::string::npos);
  CHECK(body.find("\"Hi\"") != std::string::npos);
  CHECK(endpoint.load().running == 0);
}

TEST_CASE("an answer is booked under the name that has a price: the server's, else the one that was asked for") {
  for (const auto& [named, booked] :
       {std::pair("a-deployment", "gpt-4o"), std::pair("gpt-4o-mini", "gpt-4o-mini"), std::pair("gpt-4o", "gpt-4o")}) {
    LocalServer server([&](Connection& c) {
      c.begin_events();
      c.event(R"({"model": ")" + std::string(named) + R"(", "choices": [{"delta": {"content": "x"}}]})");
      c.event(ending);
      c.event(usage);
    });
    HttpOptions o = options(server);
    o.model = "gpt-4o";
    HttpEndpoint endpoint(o);
    const Finish f = endpoint.run(ask()).finish;
    CHECK(f.model == named);
    REQUIRE(f.ledger.attempts.size() == 1);
    CHECK(f.ledger.attempts[0].model == booked);
    CHECK(f.ledger.attempts[0].accepted);
  }
}

TEST_CASE("pieces arrive as they come, one byte at a time if need be") {
  LocalServer server([](Connection& c) {
    c.begin_events();
    for (const char byte : "data: " + piece("a\xC3\xA9") + "\r\n\r\ndata: " + std::string(ending) + "\r\n\r\n")
      c.send({&byte, 1});
  });
  HttpEndpoint endpoint(options(server));
  Stream stream = endpoint.submit(ask());
  const std::optional<Delta> first = stream.next();
  REQUIRE(first);
  CHECK(first->text == "a\xC3\xA9");
  CHECK(stream.wait().finish.reason == FinishReason::stop);
}

TEST_CASE("an answer that is cut off is an error, and what came is accounted for") {
  LocalServer server([](Connection& c) {
    c.begin_events();
    c.event(piece("Hel"));
    c.event(piece("lo"));
  });
  HttpEndpoint endpoint(options(server));
  const Answer answer = endpoint.run(ask());
  CHECK(answer.text == "Hello");
  CHECK(answer.finish.reason == FinishReason::error);
  CHECK(mentions(*answer.finish.error, "cut off"));
  CHECK(answer.finish.usage.output == 2);
  CHECK(answer.finish.detail.find("counted here") != std::string::npos);
  CHECK(server.connections() == 1);  // nothing is repeated after the first byte
}

TEST_CASE("what a second try can mend is tried again, and only so often") {
  std::atomic<int> calls{0};
  LocalServer server([&](Connection& c) {
    if (++calls < 3)
      c.answer(503, R"({"error": {"message": "loading"}})");
    else
      answer_well(c);
  });
  {
    HttpEndpoint endpoint(options(server));
    CHECK(endpoint.run(ask()).text == "Hello");
    CHECK(calls == 3);
    CHECK(endpoint.stats().retries == 2);
  }
  calls = 0;
  HttpOptions o = options(server);
  o.retries.most = 1;
  HttpEndpoint endpoint(o);
  const Finish f = endpoint.run(ask()).finish;
  CHECK(f.reason == FinishReason::error);
  CHECK(mentions(*f.error, "answered 503: loading"));
  CHECK(calls == 2);
}

TEST_CASE("what no second try can mend is refused at once") {
  LocalServer server(
      [](Connection& c) { c.answer(401, R"({"error": {"message": "wrong key: Bearer planted-key"}})"); });
  HttpOptions o = options(server);
  o.key = [] { return "planted-key"; };
  HttpEndpoint endpoint(o);
  const Finish f = endpoint.run(ask()).finish;
  CHECK(f.reason == FinishReason::refused);
  CHECK(f.error->code() == Errc::denied);
  CHECK(mentions(*f.error, "answered 401: it refuses the key"));
  CHECK_FALSE(mentions(*f.error, "wrong"));
  CHECK(f.raw == R"x({"error": {"message": "wrong key: Bearer (key)"}})x");
  REQUIRE(f.ledger.attempts.size() == 1);
  CHECK_FALSE(f.ledger.attempts[0].accepted);
  CHECK(server.connections() == 1);
}

TEST_CASE("Retry-After is waited for, where it is not too long") {
  std::atomic<int> calls{0};
  const auto began = std::chrono::steady_clock::now();
  LocalServer server([&](Connection& c) {
    if (++calls == 1)
      c.answer(429, "{}", "Retry-After: 0.2\r\n");
    else
      answer_well(c);
  });
  HttpEndpoint endpoint(options(server));
  CHECK(endpoint.run(ask()).text == "Hello");
  CHECK(std::chrono::steady_clock::now() - began >= 200ms);

  LocalServer closed([](Connection& c) { c.answer(429, "{}", "Retry-After: 3600\r\n"); });
  HttpEndpoint other(options(closed));
  const Finish f = other.run(ask()).finish;
  CHECK(f.error->code() == Errc::busy);
  CHECK(closed.connections() == 1);
}

TEST_CASE("a server that never answers, or stops in mid-answer, is given up in time") {
  LocalServer silent([](Connection& c) { c.closed_within(5000); });
  HttpOptions o = options(silent);
  o.timeouts.first_byte = 60ms;
  HttpEndpoint endpoint(o);
  Finish f = endpoint.run(ask()).finish;
  CHECK(f.reason == FinishReason::error);
  CHECK(mentions(*f.error, "no answer began in time"));

  LocalServer stuck([](Connection& c) {
    c.begin_events();
    c.event(piece("Hel"));
    c.closed_within(5000);
  });
  o = options(stuck);
  o.timeouts.gap = 60ms;
  HttpEndpoint second(o);
  const auto began = std::chrono::steady_clock::now();
  f = second.run(ask()).finish;
  CHECK(std::chrono::steady_clock::now() - began < 3s);  // the gap counts from the last byte, not after first_byte
  REQUIRE(f.error);
  CHECK(mentions(*f.error, "stood still"));

  HttpEndpoint third(options(stuck));
  Request r = ask();
  r.deadline = steady_clock().now() + 80ms;
  CHECK(third.run(r).finish.reason == FinishReason::deadline);
}

TEST_CASE("cancelling closes the connection at once") {
  std::atomic<bool> closed{false};
  LocalServer server([&](Connection& c) {
    c.begin_events();
    c.event(piece("a"));
    closed = c.closed_within(3000);
  });
  Finish f;
  {
    HttpEndpoint endpoint(options(server));
    Stream stream = endpoint.submit(ask());
    REQUIRE(stream.next());
    stream.cancel();
    f = stream.wait().finish;
  }
  for (int i = 0; i < 300 && !closed.load(); ++i) std::this_thread::sleep_for(10ms);
  CHECK(closed);
  CHECK(f.reason == FinishReason::cancelled);
  CHECK(f.usage.output == 1);
}

TEST_CASE("an answer that is not an event stream, or an event without end, is an error") {
  LocalServer html([](Connection& c) { c.answer(200, "<html>login</html>"); });
  HttpEndpoint endpoint(options(html));
  const Finish login = endpoint.run(ask()).finish;
  CHECK(mentions(*login.error, "not an event stream"));
  CHECK(login.error->code() == Errc::denied);
  CHECK_FALSE(mentions(*login.error, "login"));
  CHECK(login.raw == "<html>login</html>");

  LocalServer nonsense([](Connection& c) {
    c.begin_events();
    c.event(piece("Hel"));
    c.event("{\"choices\": oops");
  });
  HttpEndpoint third(options(nonsense));
  const Answer answer = third.run(ask());
  CHECK(answer.text == "Hel");
  CHECK(answer.finish.reason == FinishReason::error);
  CHECK_FALSE(mentions(*answer.finish.error, "oops"));
  CHECK(answer.finish.raw == "{\"choices\": oops");

  LocalServer endless([](Connection& c) {
    c.begin_events();
    c.send("data: ");
    const std::string much(1 << 20, 'x');
    for (int i = 0; i < 64 && c.send(much); ++i) continue;
  });
  HttpEndpoint second(options(endless));
  CHECK(mentions(*second.run(ask()).finish.error, "larger than any should be"));
}

TEST_CASE("a stop text that the API does not look for ends the answer here, and the connection with it") {
  std::atomic<bool> closed{false};
  LocalServer server([&](Connection& c) {
    c.begin_events();
    for (const char* text : {"one E", "N", "E EN", "D two"}) c.event(piece(text));
    while (c.send(": more\n\n")) std::this_thread::sleep_for(5ms);
    closed = true;
  });
  HttpEndpoint endpoint(options(server));
  Request r = ask();
  r.stop = {"two", "END"};
  std::string shown;
  Stream stream = endpoint.submit(r);
  while (const std::optional<Delta> delta = stream.next()) shown += delta->text;
  const Finish f = stream.finish().value();
  CHECK(shown == "one ENE ");
  CHECK(f.reason == FinishReason::stop);
  CHECK(f.detail == "END");
  CHECK(f.usage.output == 4);  // pieces, because no report came
  CHECK(f.usage.input > 20);   // a token for four bytes of what was sent
  CHECK(f.raw.empty());
  for (int i = 0; i < 200 && !closed; ++i) std::this_thread::sleep_for(5ms);
  CHECK(closed);
}

TEST_CASE("what was held back for a stop text comes out at the end, whatever the end is") {
  LocalServer server([](Connection& c) {
    c.begin_events();
    c.event(piece("one EN"));
    if (c.body().find("cut") == std::string::npos) c.event(ending);
  });
  HttpEndpoint endpoint(options(server));
  for (const char* how : {"end", "cut"}) {
    Request r = ask(how);
    r.stop = {"END"};
    const Answer answer = endpoint.run(r);
    CHECK(answer.text == "one EN");
    CHECK(answer.finish.reason == (how == std::string("end") ? FinishReason::stop : FinishReason::error));
  }
}

TEST_CASE("a reader that is behind holds the stream up, and nothing is lost") {
  LocalServer server([](Connection& c) {
    c.begin_events();
    for (int i = 0; i < 3000; ++i) c.event(piece("x"));
    c.event(ending);
  });
  HttpEndpoint endpoint(options(server));
  Request r = ask();
  r.stream_capacity = 4;
  Stream stream = endpoint.submit(r);
  std::this_thread::sleep_for(50ms);
  CHECK(stream.wait().text == std::string(3000, 'x'));
}

TEST_CASE("a sink that throws costs its own request only") {
  LocalServer server(answer_well);
  HttpEndpoint endpoint(options(server));
  std::atomic<int> finished{0};
  endpoint.submit(
      ask(), [](const Delta&) { throw 42; },
      [&](const Finish& f) { finished += f.reason == FinishReason::cancelled ? 1 : 100; });
  CHECK(endpoint.run(ask()).text == "Hello");
  for (int i = 0; i < 200 && finished.load() == 0; ++i) std::this_thread::sleep_for(5ms);
  CHECK(finished == 1);
}

TEST_CASE("destroying the endpoint ends what is live") {
  LocalServer server([](Connection& c) {
    c.begin_events();
    c.event(piece("a"));
    c.closed_within(3000);
  });
  std::atomic<int> cancelled{0};
  {
    HttpEndpoint endpoint(options(server));
    for (int i = 0; i < 20; ++i)
      endpoint.submit(ask(), nullptr,
                      [&](const Finish& f) { cancelled += f.reason == FinishReason::cancelled ? 1 : 0; });
    std::this_thread::sleep_for(30ms);
  }
  CHECK(cancelled == 20);
}

TEST_CASE("options that make no sense are refused by name") {
  const auto refused = [](const HttpOptions& o, const char* what) {
    const Error error = error_of([&] { HttpEndpoint endpoint(o); });
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(mentions(error, what));
  };
  HttpOptions o;
  refused(o, "name");
  o.name = "a";
  refused(o, "model");
  o.model = "m";
  refused(o, "url");
  o.url = "ftp://x";
  refused(o, "http://");
  o.url = "http://x";
  o.headers = {{"X", "a\r\nY: b"}};
  refused(o, "header");
  for (const char* name : {"", "bad header", "a:b", "x\n", "Content-Length", "transfer-encoding", "Host"}) {
    o.headers = {{name, "v"}};
    refused(o, "header");
  }
  o.headers = {{"x-fine_1", "any \t value"}};
  for (const char* url : {"http://x/v1?version=1", "http://x/#a"}) {
    o.url = url;
    refused(o, "url");
  }
  for (const char* path : {"chat/completions", "chat/completions/", "completions", "responses", "messages"}) {
    o.url = std::string("http://x/v1/") + path;
    refused(o, "which is added here");
  }
  for (const char* url : {"http://x/v1/", "http://messages", "http://x/my-messages"}) {
    o.url = url;
    CHECK_NOTHROW(HttpEndpoint(o));
  }
  for (const char* url : {"http://", "http://x:99999/v1", "https://x:y/v1", "http://[::1/v1"}) {
    o.url = url;
    refused(o, "url");
  }
  o.url = "http://x";
  for (const char* proxy : {"zz:zz:zz", "proxy:99999", "http://"}) {
    o.proxy = proxy;
    refused(o, "proxy is no address");
  }
  for (const char* proxy :
       {"proxy:3128", "http://user:word@proxy:3128", "socks5h://127.0.0.1:1080", "http://[::1]:8080"}) {
    o.proxy = proxy;
    CHECK_NOTHROW(HttpEndpoint(o));
  }
  o.proxy.clear();
  o.ca_file = "/nowhere/ca.pem";
  refused(o, "ca_file \"/nowhere/ca.pem\" cannot be read");
  o.ca_file.clear();
  o.thinking_tokens = 2000;
  refused(o, "thinking_tokens");  // not this API's
  o.api = HttpApi::anthropic_messages;
  o.thinking_tokens = 1000;
  refused(o, "1024");
  o.thinking_tokens = 5000;
  refused(o, "default_max_tokens");
  o.thinking_tokens = 2000;
  CHECK_NOTHROW(HttpEndpoint(o));
  o.thinking_tokens.reset();
  o.api = HttpApi::openai_chat;
  HttpEndpoint fine(o);
  Request other = ask();
  other.model = "gpt-9";
  const Finish f = fine.run(other).finish;
  CHECK(f.reason == FinishReason::refused);
  CHECK(mentions(*f.error, "gpt-9"));
}

TEST_CASE("a key appears in no error and no log, and one with a line end is not sent") {
  LocalServer server([](Connection& c) { c.answer(500, "{}"); });
  HttpOptions o = options(server);
  std::string logged;
  std::mutex mutex;
  o.log = [&](LogLevel, std::uint64_t, std::string_view line) {
    const std::lock_guard lock(mutex);
    logged += line;
  };
  o.key = [] { return "sk-planted"; };
  o.retries.most = 0;
  {
    HttpEndpoint endpoint(o);
    CHECK_FALSE(mentions(*endpoint.run(ask("planted prompt")).finish.error, "planted"));
  }
  CHECK_FALSE(logged.empty());
  CHECK(logged.find("planted") == std::string::npos);
  o.key = [] { return "sk\r\nX-Evil: 1"; };
  HttpEndpoint endpoint(o);
  CHECK(mentions(*endpoint.run(ask()).finish.error, "line end"));
  o.key = []() -> std::string { throw 7; };
  HttpEndpoint third(o);
  CHECK(third.run(ask()).finish.reason == FinishReason::error);
}

TEST_CASE("a remote tier stands in a cascade, and its failure escalates") {
  LocalServer broken([](Connection& c) { c.answer(500, "{}"); });
  LocalServer good(answer_well);
  HttpOptions first = options(broken), second = options(good);
  first.name = "cheap";
  second.name = "dear";
  first.retries.most = 0;
  HttpEndpoint cheap(first), dear(second);
  Cascade cascade({.tiers = {&cheap, &dear}, .policy = margin_threshold(0.0)});
  const Answer answer = cascade.run(ask());
  CHECK(answer.text == "Hello");
  CHECK(answer.finish.ledger.attempts.size() == 2);
  CHECK(answer.finish.ledger.attempts[1].endpoint == "dear");
}

TEST_CASE("a thousand requests against a server of moods each end in exactly one finish") {
  LocalServer server([](Connection& c) {
    thread_local std::mt19937_64 random(std::hash<std::thread::id>()(std::this_thread::get_id()));
    switch (random() % 8) {
      case 0:
        c.answer(429, "{}");
        break;
      case 1:
        c.answer(500, "oops");
        break;
      case 2:
        c.answer(400, R"({"error": "bad"})");
        break;
      case 3:
        c.begin_events();
        c.event(piece("a"));
        break;
      case 4:
        c.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Type: text/event-stream\r\n\r\ndata: x");
        break;
      case 5:
        c.send("garbage");
        break;
      case 6:
        break;
      default:
        answer_well(c);
    }
  });
  HttpOptions o = options(server);
  o.retries = {.most = 1, .base = 1ms, .budget = 1};
  std::atomic<int> finished{0}, twice{0}, whole{0};
  {
    HttpEndpoint endpoint(o);
    constexpr int n = 1000;
    std::vector<std::atomic<int>> ends(n);
    for (int i = 0; i < n; ++i)
      endpoint.submit(ask(), nullptr, [&, i](const Finish& f) {
        if (ends[static_cast<std::size_t>(i)].fetch_add(1) > 0) ++twice;
        ++finished;
        whole += f.reason == FinishReason::stop ? 1 : 0;
      });
    endpoint.drive([&] { return finished.load() == n; });
    CHECK(finished == n);
    CHECK(endpoint.load().running == 0);
    CHECK(endpoint.load().waiting == 0);
  }
  CHECK(twice == 0);
  CHECK(whole > 100);
}
