// bench_streams [--streams 1000] [--rate 20] [--seconds 10]: many streams at once through one HttpEndpoint, against a
// server in a process of its own that only sends the time. Prints one JSON object: the endpoint's CPU time for each
// stream and event, how late events arrive, how soon a cancelled stream is closed at the server, and what idle streams cost.
#include <frugal/http/http_endpoint.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](timeval t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

double at(std::vector<double> values, double share) {
  if (values.empty()) return -1;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * double(values.size())))];
}

// --- the server: one thread, one epoll; each event carries the time at which it was sent ---

struct Peer {
  int number = -1;
  std::string held{};
  std::int64_t due = 0;
};

class TimeServer {
 public:
  TimeServer(int listener, int report, double rate)
      : listener_(listener), report_(report), gap_(std::int64_t(1e9 / rate)) {
    poll_ = ::epoll_create1(0);
    watch(listener_, EPOLLIN);
  }

  [[noreturn]] void run(const std::atomic<bool>& silent) {
    for (;;) {
      std::array<epoll_event, 256> events{};
      const int count = ::epoll_wait(poll_, events.data(), int(events.size()), 1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[std::size_t(i)].data.fd;
        if (fd == listener_)
          accept();
        else
          hear(fd, events[std::size_t(i)].events);
      }
      if (!silent.load()) send_due();
    }
  }

 private:
  void watch(int fd, std::uint32_t events) {
    epoll_event wanted{};
    wanted.events = events;
    wanted.data.fd = fd;
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &wanted);
  }

  void accept() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    watch(fd, EPOLLIN | EPOLLRDHUP);
    peers_[fd];
  }

  void hear(int fd, std::uint32_t events) {
    Peer& peer = peers_[fd];
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0 || (events & (EPOLLRDHUP | EPOLLHUP)) != 0) return gone(fd, peer);
    if (peer.number >= 0) return;
    peer.held.append(buffer.data(), std::size_t(got));
    const std::size_t mark = peer.held.find("stream ");
    if (mark == std::string::npos) return;
    peer.number = std::atoi(peer.held.c_str() + mark + 7);
    peer.due = now_ns() + gap_ * (peer.number % 64) / 64;
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    static_cast<void>(::send(fd, head.data(), head.size(), MSG_NOSIGNAL));
  }

  void gone(int fd, const Peer& peer) {
    const std::array<std::int64_t, 2> said{peer.number, now_ns()};
    static_cast<void>(!::write(report_, said.data(), sizeof said));
    ::close(fd);
    peers_.erase(fd);
  }

  void send_due() {
    for (auto& [fd, peer] : peers_) {
      if (peer.number < 0 || now_ns() < peer.due) continue;
      peer.due += gap_;
      const std::string event =
          "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"" + std::to_string(now_ns()) + "\"}}]}\n\n";
      static_cast<void>(::send(fd, event.data(), event.size(), MSG_NOSIGNAL));
    }
  }

  int listener_, report_, poll_ = -1;
  std::int64_t gap_;
  std::map<int, Peer> peers_{};
};

std::atomic<bool> silent{false};
void toggle(int) { silent = !silent.load(); }

// --- the client ---

struct Reading final : frugal::Sink {
  void on_delta(frugal::Delta delta) override {
    const std::int64_t lag = now_ns() - std::strtoll(delta.text.c_str(), nullptr, 10);
    ++events;
    if (measure.load()) lags.push_back(1e-6 * double(lag));
  }
  void on_finish(frugal::Finish) override { ended = true; }
  static inline std::atomic<bool> measure{false};
  std::vector<double> lags{};
  std::atomic<std::uint64_t> events{0};
  std::atomic<bool> ended{false};
};

struct Options {
  std::size_t streams = 1000;
  double rate = 20, seconds = 10;
};

Options parsed(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--streams") == 0) o.streams = std::strtoul(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--rate") == 0) o.rate = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--seconds") == 0) o.seconds = std::atof(argv[i + 1]);
  }
  return o;
}

int open_listener(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof place;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&place), size) != 0 || ::listen(fd, 4096) != 0) std::exit(2);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&place), &size);
  port = ntohs(place.sin_port);
  return fd;
}

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

struct Streams {
  Streams(frugal::HttpEndpoint& endpoint, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      frugal::Request request;
      request.prompt = frugal::Chat{{{"user", "stream " + std::to_string(i)}}};
      sinks.push_back(std::make_shared<Reading>());
      calls.push_back(endpoint.start(std::move(request), sinks.back()));
    }
  }
  std::uint64_t events() const {
    std::uint64_t sum = 0;
    for (const auto& s : sinks) sum += s->events.load();
    return sum;
  }
  bool all_speak() const {
    return std::all_of(sinks.begin(), sinks.end(), [](const auto& s) { return s->events.load() > 0; });
  }
  std::vector<std::shared_ptr<Reading>> sinks{};
  std::vector<frugal::Call> calls{};
};

// Milliseconds from each cancel() to the close that the server saw; streams are cancelled one after the other.
std::vector<double> cancelled(const Streams& streams, int report) {
  std::vector<double> out;
  for (std::size_t i = 0; i < streams.calls.size(); ++i) {
    const std::int64_t before = now_ns();
    streams.calls[i].cancel();
    std::array<std::int64_t, 2> said{};
    if (::read(report, said.data(), sizeof said) != sizeof said || said[0] != std::int64_t(i)) std::exit(3);
    out.push_back(1e-6 * double(said[1] - before));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const Options o = parsed(argc, argv);
  std::uint16_t port = 0;
  const int listener = open_listener(port);
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) return 2;
  const pid_t server = ::fork();
  if (server == 0) {
    std::signal(SIGUSR1, toggle);
    TimeServer(listener, pipe[1], o.rate).run(silent);
  }
  ::close(listener);
  frugal::HttpOptions options;
  options.name = "streams";
  options.url = "http://127.0.0.1:" + std::to_string(port);
  options.model = "m";
  options.max_running = std::uint32_t(o.streams);
  options.timeouts = {.connect = 60s, .first_byte = 60s, .gap = 60s};
  double busy = 0, idle = 0;
  std::uint64_t events = 0;
  std::vector<double> lags, cancels;
  {
    frugal::HttpEndpoint endpoint(options);
    const Streams streams(endpoint, o.streams);
    while (!streams.all_speak()) sleep_for(0.05);
    Reading::measure = true;
    const double cpu = cpu_seconds();
    const std::uint64_t before = streams.events();
    sleep_for(o.seconds);
    Reading::measure = false;
    busy = cpu_seconds() - cpu;
    events = streams.events() - before;
    ::kill(server, SIGUSR1);
    sleep_for(0.5);
    const double quiet = cpu_seconds();
    sleep_for(o.seconds);
    idle = cpu_seconds() - quiet;
    ::kill(server, SIGUSR1);
    sleep_for(0.2);  // events flow again while streams are cancelled
    cancels = cancelled(streams, pipe[0]);
    for (const auto& sink : streams.sinks) lags.insert(lags.end(), sink->lags.begin(), sink->lags.end());
  }
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  std::printf(
      "{\"streams\": %zu, \"events\": %llu, \"cpu_us_per_event\": %.2f, \"cpu_percent_per_stream\": %.4f, "
      "\"lag_p50_ms\": %.3f, "
      "\"lag_p99_ms\": %.3f, \"cancel_p50_ms\": %.3f, \"cancel_p99_ms\": %.3f, \"idle_cpu_percent\": %.3f}\n",
      o.streams, static_cast<unsigned long long>(events), 1e6 * busy / double(std::max<std::uint64_t>(events, 1)),
      100 * busy / o.seconds / double(o.streams), at(lags, 0.5), at(lags, 0.99), at(cancels, 0.5), at(cancels, 0.99),
      100 * idle / o.seconds);
  return 0;
}
