// The n-th allocation fails, for every n: of start on the caller's thread, and of the answer on the endpoint's own. The
// server is a process of its own, so that no allocation of its own is counted.
#include <frugal/http/http_endpoint.hpp>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include "http/api.hpp"
#include "http/local_server.hpp"
#include "support/failing_allocations.hpp"

using namespace frugal;
using namespace frugal::testing;
using namespace std::chrono_literals;

namespace {

/// A server in a process of its own, until this goes. Its answer ends at once, so no JSON is read: the library that reads
/// it allocates in a destructor, and so ends the process where memory is short.
class FarServer {
 public:
  FarServer() {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    process_ = ::fork();
    if (process_ == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (process_ == 0) serve(pipe[1]);
    ::close(pipe[1]);
    std::array<char, 128> url{};
    const ssize_t got = ::read(pipe[0], url.data(), url.size());
    ::close(pipe[0]);
    REQUIRE(got > 0);
    url_.assign(url.data(), static_cast<std::size_t>(got));
  }
  ~FarServer() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  FarServer(const FarServer&) = delete;
  FarServer& operator=(const FarServer&) = delete;
  const std::string& url() const { return url_; }

 private:
  [[noreturn]] static void serve(int to) {
    LocalServer server([](Connection& c) {
      c.begin_events();
      c.event("[DONE]");
    });
    const std::string url = server.url();
    static_cast<void>(!::write(to, url.data(), url.size()));
    for (;;) ::pause();
  }
  pid_t process_ = -1;
  std::string url_{};
};

struct Counting final : Sink {
  void on_delta(Delta) override {}
  void on_finish(Finish f) noexcept override {
    reason = f.reason;
    ++finishes;
  }
  bool ended_within(std::chrono::milliseconds most) const {
    for (const auto last = std::chrono::steady_clock::now() + most; std::chrono::steady_clock::now() < last;) {
      if (finishes.load() > 0) return true;
      std::this_thread::sleep_for(100us);
    }
    return false;
  }
  std::atomic<int> finishes{0};
  std::atomic<FinishReason> reason{};
};

HttpOptions options(const FarServer& server) {
  HttpOptions o;
  o.name = "a remote endpoint whose name is too long to be kept inside the string";
  o.url = server.url();
  o.model = "m";
  o.retries.most = 0;
  o.timeouts = {.connect = 5s, .first_byte = 10s, .gap = 10s};
  o.log = [](LogLevel, std::uint64_t, std::string_view) {};
  return o;
}

Request ask(const char* model = "") {
  Request r;
  r.prompt = Chat{{{"user", "a question that is too long to be kept inside the string"}}};
  r.id = "an id that is too long to be kept inside the string";
  r.model = model;
  return r;
}

enum Ending { well = 0, wrong = 1, beyond = 2, terminated = 99 };

/// What `run(n)` came to in a process of its own, because what the JSON library does ends it.
template <class Run>
Ending in_a_process(const Run& run, std::int64_t n) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::set_terminate([] { ::_exit(terminated); });
    ::_exit(run(n));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? static_cast<Ending>(WEXITSTATUS(status)) : wrong;
}

struct Tally {
  int well = 0, wrong = 0, terminated = 0;
};

/// Until there are no more allocations.
template <class Run>
Tally for_every_allocation(const Run& run) {
  Tally tally;
  for (std::int64_t n = 0; n < 10'000; ++n) {
    const Ending ending = in_a_process(run, n);
    if (ending == beyond) return tally;
    UNSCOPED_INFO("allocation " << n << ": ending " << ending);
    ++(ending == well ? tally.well : ending == terminated ? tally.terminated : tally.wrong);
  }
  return tally;
}

/// One request, whose n-th allocation in start fails.
Ending started(const FarServer& server, const char* model, std::int64_t n) {
  HttpEndpoint endpoint(options(server));
  const auto sink = std::make_shared<Counting>();
  Request request = ask(model);
  bool failed = false;
  {
    const FailingAllocation failing(n);
    try {
      static_cast<void>(endpoint.start(std::move(request), sink));
    } catch (...) {
      return wrong;
    }
    failed = failing.failed();
  }
  if (!sink->ended_within(10s) || sink->finishes != 1) return wrong;
  if (endpoint.run(ask()).finish.reason != FinishReason::error) return wrong;  // of a server that gives no reason
  return failed ? well : beyond;
}

}  // namespace

TEST_CASE("whichever allocation of a remote start fails, it does not throw, and the request ends once") {
  const FarServer server;
  const HttpOptions o = options(server);
  const Tally alone = for_every_allocation([&](std::int64_t n) {
    const Request request = ask();
    const FailingAllocation failing(n);
    try {
      static_cast<void>(http::openai_chat().post(request, o));
    } catch (const std::bad_alloc&) {
    }
    return failing.failed() ? well : beyond;
  });
  const Tally whole = for_every_allocation([&](std::int64_t n) { return started(server, "", n); });
  CHECK(whole.wrong == 0);
  CHECK(whole.terminated == alone.terminated);
  CHECK(whole.well > alone.well);
  const Tally refused = for_every_allocation([&](std::int64_t n) {
    return started(server, "a model whose name is too long to be kept inside the string", n);
  });
  CHECK(refused.wrong == 0);
  CHECK(refused.terminated == 0);
  CHECK(refused.well > 3);
}

TEST_CASE(
    "whichever allocation on a remote endpoint's thread fails, the request ends once, and the next one is served") {
  const FarServer server;
  const auto run = [&](std::int64_t n) {
    HttpOptions o = options(server);
    std::atomic<bool> armed{false};
    o.key = [&] {  // the thread waits here until start has done its own allocations
      while (!armed.load()) std::this_thread::yield();
      return std::string("a key that is too long to be kept inside the string");
    };
    HttpEndpoint endpoint(o);
    const auto sink = std::make_shared<Counting>();
    bool failed = false;
    {
      static_cast<void>(endpoint.start(ask(), sink));
      const FailingAllocation failing(n);
      armed = true;
      if (!sink->ended_within(10s)) return wrong;
      failed = failing.failed();
    }
    if (sink->finishes != 1 || endpoint.run(ask()).finish.reason != FinishReason::error) return wrong;
    if (endpoint.load().running != 0 || endpoint.load().waiting != 0) return wrong;
    return failed ? well : beyond;
  };
  const Tally tally = for_every_allocation(run);
  CHECK(tally.wrong == 0);
  CHECK(tally.terminated == 0);
  CHECK(tally.well > 20);
}
