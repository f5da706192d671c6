// Server over real sockets: what clients send well, badly, slowly and not at all.
#include <frugal/server/server.hpp>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/hand_endpoint.hpp"
#include "server/raw_client.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

const std::string chat = "/v1/chat/completions";
const std::string hello = R"({"messages": [{"role": "user", "content": "planted words"}]})";
const std::string hello_stream = R"({"messages": [{"role": "user", "content": "planted words"}], "stream": true})";

struct Rig {
  explicit Rig(std::function<void(ServerOptions&)> change = {}) {
    ServerOptions o;
    o.port = 0;
    o.models = {{"m", &endpoint}};
    o.access_log = [this](std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
    };
    if (change) change(o);
    server = std::make_unique<Server>(std::move(o));
  }
  std::uint16_t port() const { return server->port(); }
  /// The lines of the access log, once there are so many.
  std::vector<std::string> log(std::size_t count) {
    for (int i = 0; i < 2000; ++i) {
      {
        const std::lock_guard lock(mutex);
        if (lines.size() >= count) return lines;
      }
      std::this_thread::sleep_for(5ms);
    }
    const std::lock_guard lock(mutex);
    return lines;
  }
  HandEndpoint endpoint;
  std::mutex mutex;
  std::vector<std::string> lines;
  std::unique_ptr<Server> server;
};

bool has(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("an answer goes out whole, and the connection serves the next request") {
  Rig rig;
  RawClient client(rig.port());
  for (std::size_t i = 0; i < 3; ++i) {
    client.send(post(chat, hello));
    rig.endpoint.say(i, "Hel");
    rig.endpoint.say(i, "lo");
    rig.endpoint.end(i);
    const RawClient::Answer answer = client.answer();
    CHECK(answer.status == 200);
    CHECK(has(answer.body, R"("content":"Hello")"));
    CHECK(has(answer.body, R"("usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7)"));
    CHECK(has(answer.head, "request-id: req_"));
  }
  CHECK(rig.server->stats().connections == 1);
  CHECK(rig.log(3).size() == 3);
}

TEST_CASE("a stream sends each piece when it comes") {
  Rig rig;
  RawClient client(rig.port());
  client.send(post(chat, hello_stream));
  rig.endpoint.say(0, "first");
  CHECK(has(client.until("\"first\""), "text/event-stream"));
  rig.endpoint.say(0, "second");
  CHECK(has(client.until("\"second\""), "chat.completion.chunk"));
  rig.endpoint.end(0, FinishReason::length);
  const std::string end = client.until("0\r\n\r\n");
  CHECK(has(end, R"("finish_reason":"length")"));
  CHECK(has(end, "data: [DONE]"));
  client.send(get("/health"));
  CHECK(client.answer().status == 200);
}

TEST_CASE("a client of HTTP/1.0 gets a stream that ends with the connection") {
  Rig rig;
  RawClient client(rig.port());
  client.send("POST " + chat + " HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(hello_stream.size()) + "\r\n\r\n" + hello_stream);
  rig.endpoint.say(0, "word");
  rig.endpoint.end(0);
  const std::string all = client.rest();
  CHECK_FALSE(has(all, "chunked"));
  CHECK(all.substr(all.size() - 14) == "data: [DONE]\n\n");
}

TEST_CASE("requests sent ahead are answered in their order") {
  Rig rig;
  RawClient client(rig.port());
  client.send(post(chat, hello) + get("/health") + post(chat, hello));
  rig.endpoint.say(0, "one");
  rig.endpoint.end(0);
  CHECK(has(client.answer().body, "one"));
  CHECK(has(client.answer().body, "ok"));
  rig.endpoint.say(1, "two");
  rig.endpoint.end(1);
  CHECK(has(client.answer().body, "two"));
}

TEST_CASE("a client that leaves cancels its request at once") {
  Rig rig;
  for (const bool stream : {true, false}) {
    const std::size_t n = rig.endpoint.count();
    RawClient client(rig.port());
    client.send(post(chat, stream ? hello_stream : hello));
    rig.endpoint.say(n, "word");
    if (stream) client.until("word");
    client.close();
    CHECK(rig.endpoint.cancelled_within(n, 5s));
  }
  const std::vector<std::string> lines = rig.log(2);
  REQUIRE(lines.size() == 2);
  CHECK(has(lines[0], R"("abandoned":true)"));
  CHECK(has(lines[1], R"("status":499)"));
  for (const std::string& line : lines)  // what it has cost is known when the endpoint has ended it
    CHECK(has(line, R"("finish":"cancelled","input_tokens":5,"cached_tokens":3,"output_tokens":2)"));
  CHECK(rig.server->stats().abandoned == 2);
}

TEST_CASE("a client that has sent its next request and then leaves is noticed, too") {
  Rig rig;
  RawClient client(rig.port());
  client.send(post(chat, hello_stream) + post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  client.until("word");
  client.close();
  CHECK(rig.endpoint.cancelled_within(0, 5s));
  CHECK(rig.endpoint.count() == 1);
}

TEST_CASE("a client that reads slowly pauses its own request and loses nothing") {
  Rig rig([](ServerOptions& o) { o.limits.unread_deltas = 8; });
  RawClient slow(rig.port(), 4096), quick(rig.port());
  slow.send(post(chat, hello_stream));
  const std::string big(20'000, 'x');
  std::size_t said = 0;
  while (said < 2000 && rig.endpoint.say(0, big)) {
    ++said;
    std::this_thread::sleep_for(100us);
  }
  REQUIRE(said < 2000);  // the reader is behind
  quick.send(post(chat, hello));
  rig.endpoint.say(1, "others go on");
  rig.endpoint.end(1);
  CHECK(has(quick.answer().body, "others go on"));
  rig.endpoint.end(0);
  const RawClient::Answer answer = slow.answer();
  std::size_t pieces = 0;
  for (std::size_t at = answer.body.find(big); at != std::string::npos; at = answer.body.find(big, at + big.size()))
    ++pieces;
  CHECK(pieces == said + 1);
  CHECK(has(answer.body, "[DONE]"));
}

TEST_CASE("a client that takes nothing for too long is cut off and its request cancelled") {
  Rig rig([](ServerOptions& o) { o.limits.write_time = 200ms; });
  RawClient client(rig.port(), 4096);
  client.send(post(chat, hello_stream));
  for (int i = 0; i < 100 && !rig.endpoint.cancelled_within(0, 0ms); ++i) {
    rig.endpoint.say(0, std::string(100'000, 'x'));
    std::this_thread::sleep_for(5ms);
  }
  CHECK(rig.endpoint.cancelled_within(0, 5s));
}

TEST_CASE("what is not a request of ours is answered in the API's own form") {
  Rig rig([](ServerOptions& o) {
    o.limits.header_bytes = 2048;
    o.limits.body_bytes = 1000;
  });
  const auto ask = [&](const std::string& bytes) {
    RawClient client(rig.port());
    client.send(bytes);
    return client.answer();
  };
  const std::string big = R"({"messages": ")" + std::string(2000, 'x') + "\"}";
  CHECK(ask(get("/nothing")).status == 404);
  CHECK(ask(get(chat)).status == 405);
  CHECK(ask(post("/health", "{}")).status == 405);
  CHECK(ask("POST " + chat + " HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}").status == 415);
  CHECK(ask(post(chat, "{")).status == 400);
  CHECK(has(ask(post(chat, "{\"messages\": [1]}")).body, R"("param":"messages")"));
  CHECK(has(ask(post("/v1/messages", "[]")).body, R"({"type":"error","error":{"type":"invalid_request_error")"));
  CHECK(ask(post(chat, big)).status == 413);
  CHECK(ask(post(chat, "{}", "X-Long: " + std::string(4000, 'x') + "\r\n")).status == 431);
  CHECK(ask("nonsense\r\n\r\n").status == 400);
  const std::string chunked =
      "POST " + chat + " HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(ask(chunked + "7d0\r\n" + std::string(2000, ' ') + "\r\n0\r\n\r\n").status == 413);
  CHECK(ask(chunked + "2\r\n{}\r\n0\r\n\r\n").status == 400);
  CHECK(ask(chunked + "zz\r\n").status == 400);
  CHECK(ask("POST " + chat + " HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}").status == 400);
  CHECK(rig.endpoint.count() == 0);
}

TEST_CASE("slow senders are cut off") {
  Rig rig([](ServerOptions& o) {
    o.limits.idle = 300ms;
    o.limits.header_time = 300ms;
    o.limits.body_time = 300ms;
  });
  RawClient silent(rig.port()), half_header(rig.port()), half_body(rig.port());
  half_header.send("GET /health HT");
  half_body.send("POST " + chat + " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{");
  CHECK(half_body.answer().status == 408);
  CHECK(half_header.closed_within(5000));
  CHECK(silent.closed_within(5000));
}

TEST_CASE("a header that asks for leave to send the body gets it") {
  Rig rig;
  RawClient client(rig.port());
  client.send("POST " + chat +
              " HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(client.until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("{}");
  CHECK(client.answer().status == 400);
}

TEST_CASE("keys open the door, give the tenant, and stand in no log") {
  std::vector<std::string> said;
  Rig rig([&](ServerOptions& o) {
    o.keys = {{"planted-key-1", "a", 0}, {"planted-key-2", "b", 5}};
    o.log = [&](LogLevel, std::uint64_t, std::string_view line) { said.emplace_back(line); };
  });
  const auto status = [&](const std::string& headers, const std::string& path = "/v1/models") {
    RawClient client(rig.port());
    client.send(get(path, headers));
    return client.answer().status;
  };
  CHECK(status("") == 401);
  CHECK(status("Authorization: Bearer planted-key-3\r\n") == 401);
  CHECK(status("Authorization: planted-key-1\r\n") == 401);
  CHECK(status("Authorization: Bearer planted-key-1\r\n") == 200);
  CHECK(status("x-api-key: planted-key-2\r\n") == 200);
  CHECK(status("", "/health") == 200);
  CHECK(status("", "/metrics") == 401);
  CHECK(status("x-api-key: planted-key-2\r\n", "/v1/models?key=planted-key-2") == 200);
  CHECK(status("x-api-key: planted-key-2\r\n", "/planted-key-2") == 404);
  RawClient client(rig.port());
  client.send(post(chat, hello, "x-api-key: planted-key-2\r\nx-frugal-priority: 6\r\n"));
  CHECK(client.answer().status == 400);
  client.send(
      post(chat, hello,
           "x-api-key: planted-key-2\r\nx-frugal-priority: 5\r\nx-frugal-type: refund\r\nx-frugal-label-team: red\r\n"
           "x-request-id: mine.1\r\n"));
  const Request request = rig.endpoint.request(0);
  CHECK(request.tenant == "b");
  CHECK(request.priority == 5);
  CHECK(request.type == "refund");
  CHECK(request.labels == std::vector<std::pair<std::string, std::string>>{{"team", "red"}});
  CHECK(request.id == "mine.1");
  rig.endpoint.end(0);
  CHECK(has(client.answer().head, "x-request-id: mine.1\r\n"));
  for (const std::string& line : rig.log(11)) CHECK_FALSE(has(line, "planted"));
  for (const std::string& line : said) CHECK_FALSE(has(line, "planted"));
}

TEST_CASE("an id that is not plain is replaced") {
  Rig rig;
  RawClient client(rig.port());
  client.send(get("/health", "x-request-id: a b\"c\r\n"));
  CHECK(has(client.answer().head, "x-request-id: req_"));
}

TEST_CASE("an endpoint's refusal becomes a status that the official clients understand") {
  Rig rig;
  const auto ask = [&](Errc why, const std::string& path) {
    rig.endpoint.refuses = why;
    RawClient client(rig.port());
    client.send(post(path, path == chat
                               ? hello_stream
                               : R"({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})"));
    return client.answer();
  };
  CHECK(ask(Errc::busy, chat).status == 429);
  CHECK(has(ask(Errc::busy, chat).head, "retry-after: 1"));
  CHECK(has(ask(Errc::over_budget, chat).head, "x-should-retry: false"));
  CHECK(has(ask(Errc::over_budget, chat).body, "insufficient_quota"));
  CHECK(ask(Errc::unavailable, chat).status == 503);
  CHECK(ask(Errc::denied, chat).status == 502);
  CHECK(has(ask(Errc::denied, chat).head, "x-should-retry: false"));
  CHECK(has(ask(Errc::too_large, chat).body, "context_length_exceeded"));
  CHECK(has(ask(Errc::busy, "/v1/messages").body, "rate_limit_error"));
  CHECK(has(ask(Errc::unavailable, "/v1/messages").body, "overloaded_error"));
  rig.endpoint.refuses = {};
  rig.endpoint.throws = true;
  CHECK(ask({}, chat).status == 500);
}

TEST_CASE("errors are counted by status and code, and the access log says where a request was wrong") {
  Rig rig([](ServerOptions& o) { o.models[0].model = nullptr; });
  const auto ask = [&](const std::string& request) {
    RawClient client(rig.port());
    client.send(request);
    return client.answer().status;
  };
  CHECK(ask(post(chat, R"({"model": "m", "stream": true, "messages": 3})")) == 400);
  CHECK(ask(post(chat, R"({"model": "m", "messages": [{"role": "user", "content": "x"}], "planted words": 1})")) ==
        400);
  CHECK(ask(post(chat, R"({"model": "planted words", "messages": []})")) == 404);
  CHECK(ask(post("/v1/messages/count_tokens", R"({"model": "m", "messages": 3})")) == 400);
  rig.endpoint.refuses = Errc::too_large;
  CHECK(ask(post(chat, hello)) == 400);
  CHECK(ask(post("/v1/completions", R"({"prompt": "x", "x": 1})")) == 400);
  CHECK(ask(get("/nowhere")) == 404);
  rig.endpoint.refuses = {};
  RawClient broken(rig.port());
  broken.send(post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  broken.until("word");
  rig.endpoint.end(0, FinishReason::error);
  CHECK(has(broken.until("[DONE]"), "error"));
  const std::vector<std::string> lines = rig.log(8);
  REQUIRE(lines.size() == 8);
  CHECK(has(lines[0], R"("status":400,"error":"invalid_argument","field":"messages","model":"m","stream":true)"));
  CHECK(has(lines[1], R"("status":400,"error":"unsupported","model":"m")"));
  CHECK(has(lines[2], R"("status":404,"error":"invalid_argument","field":"model",)"));
  CHECK(has(lines[3], R"("status":400,"error":"invalid_argument","field":"messages",)"));
  CHECK(has(lines[4], R"("status":400,"error":"too_large","field":"messages","model":"m","stream":false)"));
  CHECK(has(lines[5], R"("error":"unsupported","field":"x","model":"m")"));
  CHECK(has(lines[6], R"("status":404,"error":"invalid_argument",)"));
  CHECK_FALSE(has(lines[6], "field"));
  CHECK(has(lines[7], R"("status":200,"error":"internal","model":"m")"));
  for (const std::string& line : lines) CHECK_FALSE(has(line, "planted"));
  RawClient scrape(rig.port());
  scrape.send(get("/metrics"));
  const std::string metrics = scrape.answer().body;
  CHECK(has(metrics, "# TYPE frugal_error_answers counter"));
  CHECK(has(metrics, R"(frugal_error_answers_total{status="400",code="invalid_argument"} 2)"));
  CHECK(has(metrics, R"(frugal_error_answers_total{status="400",code="unsupported"} 2)"));
  CHECK(has(metrics, R"(frugal_error_answers_total{status="400",code="too_large"} 1)"));
  CHECK(has(metrics, R"(frugal_error_answers_total{status="404",code="invalid_argument"} 2)"));
  CHECK(has(metrics, R"(frugal_error_answers_total{status="200",code="internal"} 1)"));
}

TEST_CASE("thoughts that a remote model told apart go out as each API has them, streamed and whole") {
  Rig rig;
  const std::string turn = R"("model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}])";
  std::size_t number = 0;
  const auto ask = [&](const std::string& path, bool stream) {
    RawClient client(rig.port());
    client.send(post(path, "{" + turn + ", \"stream\": " + (stream ? "true" : "false") + "}"));
    rig.endpoint.think(number, "Hm.");
    rig.endpoint.say(number, "word");
    rig.endpoint.end(number++);
    return client.answer().body;
  };
  const std::string streamed = ask(chat, true), claude = ask("/v1/messages", true);
  CHECK(has(streamed, R"({"reasoning_content":"Hm."})"));
  CHECK(has(streamed, R"({"content":"word"})"));
  CHECK(has(claude, R"({"type":"thinking_delta","thinking":"Hm."})"));
  CHECK(has(claude, R"({"type":"text_delta","text":"word"})"));
  CHECK(has(ask(chat, false), R"("content":"word","refusal":null,"reasoning_content":"Hm.")"));
  CHECK(has(ask("/v1/messages", false),
            R"("content":[{"type":"thinking","thinking":"Hm.","signature":""},{"type":"text","text":"word"}])"));
}

TEST_CASE("an error in mid-stream is the stream's last event") {
  Rig rig;
  RawClient openai(rig.port()), anthropic(rig.port());
  openai.send(post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  rig.endpoint.end(0, FinishReason::error);
  CHECK(has(openai.answer().body, "data: {\"error\":"));
  anthropic.send(
      post("/v1/messages",
           R"({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "x"}]})"));
  rig.endpoint.say(1, "word");
  rig.endpoint.end(1, FinishReason::error);
  CHECK(has(anthropic.answer().body, "event: error\ndata: {\"type\":\"error\""));
}

TEST_CASE("a stream with nothing to say stays alive") {
  Rig rig([](ServerOptions& o) { o.heartbeat = 50ms; });
  RawClient client(rig.port());
  client.send(post(chat, hello_stream));
  CHECK(has(client.until(": waiting\n\n"), "200 OK"));
  client.until(": waiting\n\n");
  rig.endpoint.say(0, "late");
  rig.endpoint.end(0);
  CHECK(has(client.until("[DONE]"), "late"));
}

TEST_CASE("while requests run, a drain answers whoever comes: alive, not ready, come again") {
  Rig rig;
  const std::uint16_t port = rig.port();
  RawClient running(port);
  running.send(post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  running.until("word");
  RawClient silent(port);  // accepted and never asks: it must not hold the end up
  rig.server->drain();
  const auto ask = [&](const std::string& request) {
    RawClient client(port);
    client.send(request);
    RawClient::Answer answer = client.answer();
    CHECK(has(answer.head, "connection: close"));
    return answer;
  };
  for (int round = 0; round < 3; ++round) {
    CHECK(ask(get("/health")).status == 200);
    const RawClient::Answer ready = ask(get("/ready"));
    CHECK(ready.status == 503);
    CHECK(ready.body == R"({"status":"draining"})");
    const RawClient::Answer openai = ask(post(chat, hello));
    CHECK(openai.status == 503);
    CHECK(has(openai.head, "retry-after: 1"));
    CHECK_FALSE(has(openai.head, "x-should-retry"));
    CHECK(has(openai.body, R"("type":"server_error")"));
    CHECK(has(openai.body, R"("code":"shutting_down")"));
    const RawClient::Answer anthropic = ask(post("/v1/messages", R"({"model": "m", "max_tokens": 1, "messages": []})"));
    CHECK(anthropic.status == 503);
    CHECK(has(anthropic.head, "retry-after: 1"));
    CHECK(has(anthropic.body, R"("type":"overloaded_error")"));
  }
  CHECK_FALSE(rig.server->wait_for(50ms));
  RawClient late(port);
  rig.endpoint.end(0);
  CHECK(has(running.rest(), "[DONE]"));
  CHECK(late.closed_within(20000));
  running.close();
  rig.server->wait();
  CHECK(rig.endpoint.count() == 1);
  CHECK_THROWS(RawClient(port));
}

TEST_CASE("when the time of a drain is over, the door is closed although a request does not end") {
  Rig rig([](ServerOptions& o) { o.drain_time = 50ms; });
  RawClient running(rig.port());
  running.send(post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  running.until("word");
  rig.server->drain();
  CHECK(has(running.rest(), "cancelled by the server"));
  running.close();
  rig.server->wait();
  CHECK_THROWS(RawClient(rig.port()));
}

TEST_CASE("a drain lets what runs end, and takes nothing new") {
  Rig rig;
  RawClient running(rig.port()), idle(rig.port()), partial(rig.port());
  running.send(post(chat, hello_stream));
  rig.endpoint.say(0, "word");
  running.until("word");
  idle.send(get("/ready"));
  CHECK(idle.answer().status == 200);
  const std::string late = post(chat, hello);
  partial.send(late.substr(0, 40));
  std::this_thread::sleep_for(50ms);
  rig.server->drain();
  CHECK(idle.closed_within(5000));
  partial.send(late.substr(40));
  CHECK(partial.answer().status == 503);
  CHECK_FALSE(rig.server->wait_for(100ms));
  rig.endpoint.say(0, "more");
  rig.endpoint.end(0);
  const std::string rest = running.rest();
  CHECK(has(rest, R"("finish_reason":"stop")"));
  CHECK(has(rest, "[DONE]"));
  running.close();
  rig.server->wait();
  CHECK(rig.endpoint.count() == 1);
  CHECK_THROWS(RawClient(rig.port()));
}

TEST_CASE("a drain that takes too long cancels, and each stream still gets its end") {
  Rig rig([](ServerOptions& o) { o.drain_time = 100ms; });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(rig.port()));
    clients.back()->send(post(chat, hello_stream));
    rig.endpoint.say(i, "word");
    clients.back()->until("word");
  }
  rig.server->drain();
  for (const auto& client : clients) {
    const std::string rest = client->rest();
    CHECK(has(rest, "cancelled by the server"));
    CHECK(has(rest, "data: [DONE]\n\n"));
    client->close();
  }
  rig.server->wait();
}

TEST_CASE("a server can go while requests run") {
  for (int round = 0; round < 10; ++round) {
    HandEndpoint endpoint;
    ServerOptions o;
    o.port = 0;
    o.models = {{"m", &endpoint}};
    auto server = std::make_unique<Server>(std::move(o));
    RawClient a(server->port()), b(server->port()), c(server->port());
    a.send(post(chat, hello_stream));
    b.send(post(chat, hello));
    c.send("POST");
    if (round % 2 == 0) endpoint.say(1, "word");
    server.reset();
    for (std::size_t i = 0; i < endpoint.count(); ++i) CHECK(endpoint.cancelled_within(i, 0ms));
  }
}

TEST_CASE("more connections than allowed wait until there is room") {
  Rig rig([](ServerOptions& o) { o.limits.connections = 2; });
  auto first = std::make_unique<RawClient>(rig.port());
  RawClient second(rig.port()), third(rig.port());
  first->send(get("/health"));
  CHECK(first->answer().status == 200);
  third.send(get("/health"));
  CHECK_FALSE(third.closed_within(200));
  CHECK(rig.server->stats().open == 2);
  first.reset();
  CHECK(third.answer().status == 200);
}

TEST_CASE("an access log that throws costs nothing but its line") {
  Rig rig([](ServerOptions& o) { o.access_log = [](std::string_view) { throw 42; }; });
  for (int i = 0; i < 2; ++i) {
    RawClient client(rig.port());
    client.send(get("/health"));
    CHECK(client.answer().status == 200);
    RawClient gone(rig.port());
    gone.send(post(chat, hello));
    rig.endpoint.request(static_cast<std::size_t>(i));
  }
}

TEST_CASE("set-up refuses options by name") {
  HandEndpoint endpoint;
  const auto why = [&](const std::function<void(ServerOptions&)>& change) {
    ServerOptions o;
    o.port = 0;
    o.models = {{"m", &endpoint}};
    change(o);
    return error_of([&] { Server server(std::move(o)); }).message();
  };
  CHECK(has(why([](ServerOptions& o) { o.models.clear(); }), "models is empty"));
  CHECK(has(why([](ServerOptions& o) { o.models[0].endpoint = nullptr; }), "no endpoint"));
  CHECK(has(why([](ServerOptions& o) { o.models.push_back(o.models[0]); }), "two models"));
  CHECK(has(why([](ServerOptions& o) { o.address = "somewhere"; }), "address"));
  CHECK(has(why([](ServerOptions& o) { o.keys = {{"long-enough"}, {"short"}}; }), "keys[1] has less than 8"));
  CHECK(has(why([](ServerOptions& o) {
              o.keys = {{"the-same-key", "a"}, {"the-same-key", "b"}};
            }),
            "keys[1] is the same key as another"));
  CHECK(has(why([](ServerOptions& o) { o.limits.idle = {}; }), "time"));
  Rig rig;
  CHECK(has(why([&](ServerOptions& o) { o.port = rig.port(); }), "cannot listen"));
}

TEST_CASE("embeddings go to the model's own endpoint, which is driven, watched and shown like any other") {
  HandEndpoint vectors;
  Rig rig([&](ServerOptions& o) { o.models[0].embeddings = &vectors; });
  RawClient client(rig.port());
  client.send(post("/v1/embeddings", R"({"input": "planted words", "encoding_format": "base64"})"));
  CHECK(std::get<Chat>(vectors.request(0).prompt).messages.at(0).content == "planted words");
  vectors.say(0, "AACAPw==\n");
  vectors.end(0, FinishReason::stop, 0);
  const RawClient::Answer answer = client.answer();
  CHECK(answer.status == 200);
  CHECK(has(answer.body, R"("embedding":"AACAPw==")"));
  CHECK(has(answer.body, R"("usage":{"prompt_tokens":5,"total_tokens":5})"));
  CHECK(rig.endpoint.count() == 0);
  CHECK(has(rig.log(1).at(0), R"("path":"/v1/embeddings")"));
  CHECK_FALSE(has(rig.log(1).at(0), "planted"));
  RawClient gone(rig.port());
  gone.send(post("/v1/embeddings", R"({"input": "a"})"));
  vectors.request(1);
  gone.close();
  CHECK(vectors.cancelled_within(1, 5s));
}

TEST_CASE("a page that makes its own name stand for this machine gets nothing") {
  Rig open;
  const auto status = [](Rig& rig, const std::string& host) {
    RawClient client(rig.port());
    client.send("GET /v1/models HTTP/1.1\r\n" + (host.empty() ? "" : "Host: " + host + "\r\n") + "\r\n");
    return client.answer().status;
  };
  for (const char* host :
       {"", "127.0.0.1", "127.0.0.1:8080", "[::1]:80", "localhost", "LocalHost:9", "app.localhost", "10.0.0.7"})
    CHECK(status(open, host) == 200);
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example",
                           "1.2.3.evil", "xlocalhost"})
    CHECK(status(open, host) == 403);
  Rig named([](ServerOptions& o) { o.hosts = {"llm.example"}; });
  CHECK(status(named, "LLM.example:443") == 200);
  CHECK(status(named, "127.0.0.1") == 200);
  CHECK(status(named, "evil.example") == 403);
  Rig keyed([](ServerOptions& o) { o.keys = {{"a-long-key"}}; });
  CHECK(status(keyed, "evil.example") == 401);
  RawClient client(open.port());
  client.send("GET /health HTTP/1.1\r\nHost: any.example\r\n\r\n");
  CHECK(client.answer().status == 200);
}

TEST_CASE("methods, types and forms of a target that clients may use") {
  Rig rig;
  const auto ask = [&](const std::string& request) {
    RawClient client(rig.port());
    client.send(request);
    const std::string all = client.until("\r\n\r\n");
    return all;
  };
  const std::string head = ask("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(has(head, "HTTP/1.1 200"));
  CHECK_FALSE(has(head, "\"object\""));
  CHECK(has(ask("OPTIONS " + chat + " HTTP/1.1\r\nHost: localhost\r\n\r\n"), "\r\nallow: POST\r\n"));
  CHECK(has(ask("DELETE /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), "\r\nallow: GET, HEAD\r\n"));
  CHECK(has(ask("GET http://localhost:80/v1/models/%6d?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"), "HTTP/1.1 200"));
  CHECK(has(ask("GET /v1/models/%6 HTTP/1.1\r\nHost: localhost\r\n\r\n"), "HTTP/1.1 404"));
  const auto posted = [&](const std::string& headers) {
    return ask("POST " + chat + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n" + headers + "\r\n{}");
  };
  CHECK(has(posted("Content-Type: APPLICATION/JSON ; charset=utf-8\r\n"),
            "HTTP/1.1 400"));  // read, and messages is missing
  CHECK(has(posted("Content-Type: application/jsonp\r\n"), "HTTP/1.1 415"));
  CHECK(has(posted("Content-Type: application/json\r\nContent-Encoding: gzip\r\n"), "HTTP/1.1 415"));
  Rig keyed([](ServerOptions& o) { o.keys = {{"a-long-key"}}; });
  RawClient client(keyed.port());
  client.send(get("/v1/models"));
  CHECK(has(client.answer().head, "www-authenticate: Bearer"));
}

TEST_CASE("who may not ask is told so before the body is read") {
  Rig rig([](ServerOptions& o) { o.keys = {{"a-long-key"}}; });
  const std::string head = "POST " + chat +
                           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           "Content-Length: 4000000\r\nExpect: 100-continue\r\n";
  RawClient stranger(rig.port());
  stranger.send(head + "\r\n");
  const std::string answer = stranger.until("\r\n\r\n");
  CHECK(has(answer, "HTTP/1.1 401"));
  CHECK_FALSE(has(answer, "100 Continue"));
  CHECK(has(answer, "connection: close"));
  RawClient known(rig.port());
  known.send(head + "Authorization: Bearer a-long-key\r\n\r\n");
  CHECK(has(known.until("\r\n\r\n"), "100 Continue"));
  CHECK(rig.log(1).front().find("\"status\":401") != std::string::npos);
}
