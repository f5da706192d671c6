#include "http/wire.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <string>

#ifdef __linux__
#include <sys/eventfd.h>
#include <unistd.h>
#endif

namespace frugal::http {

namespace {

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw Error(Errc::unavailable, std::string("libcurl: ") + curl_easy_strerror(started));
}

CURLM* new_multi() {
  start_curl_once();
  CURLM* const multi = curl_multi_init();
  if (multi == nullptr) throw Error(Errc::out_of_memory, "HttpEndpoint: out of memory");
  return multi;
}

}  // namespace

const CURLMsg* Wire::next_done() noexcept {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left))
    if (message->msg == CURLMSG_DONE) return message;
  return nullptr;
}

#ifdef __linux__

using std::chrono::steady_clock;

Wire::File::~File() {
  if (number_ >= 0) ::close(number_);
}

Wire::Wire()
    : multi_(new_multi()), set_(::epoll_create1(EPOLL_CLOEXEC)), bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.fd = bell_.number();
  if (set_.number() < 0 || bell_.number() < 0 ||
      ::epoll_ctl(set_.number(), EPOLL_CTL_ADD, bell_.number(), &wanted) != 0)
    throw Error(Errc::unavailable, "HttpEndpoint: the system gives no further epoll set or eventfd");
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &Wire::on_socket);
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &Wire::on_timer);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
}

// curl closes its sockets, and says so to the callbacks, while the set is still there.
Wire::~Wire() { multi_.reset(); }

void Wire::wake() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(bell_.number(), &one, sizeof one));  // full = it will ring anyway
}

int Wire::on_socket(CURL*, curl_socket_t socket, int what, void* self, void* known) noexcept {
  Wire& wire = *static_cast<Wire*>(self);
  wire.watch(socket, what, known != nullptr);
  if (known == nullptr && what != CURL_POLL_REMOVE) curl_multi_assign(wire.multi_.get(), socket, self);
  return 0;
}

void Wire::watch(curl_socket_t socket, int what, bool known) noexcept {
  epoll_event wanted{};
  wanted.data.fd = socket;
  if (what == CURL_POLL_REMOVE) {
    ::epoll_ctl(set_.number(), EPOLL_CTL_DEL, socket, &wanted);  // a closed one has left already
    return;
  }
  if ((what & CURL_POLL_IN) != 0) wanted.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) wanted.events |= EPOLLOUT;
  const int first = known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, second = known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  // Where both fail, the system is out of memory: the request's own timeouts end it.
  if (::epoll_ctl(set_.number(), first, socket, &wanted) != 0) ::epoll_ctl(set_.number(), second, socket, &wanted);
}

int Wire::on_timer(CURLM*, long wait_ms, void* self) noexcept {
  auto& timer = static_cast<Wire*>(self)->timer_;
  timer.reset();
  if (wait_ms >= 0) timer = steady_clock::now() + std::chrono::milliseconds(wait_ms);
  return 0;
}

void Wire::sleep(std::chrono::milliseconds most) noexcept {
  using std::chrono::milliseconds;
  if (timer_) most = std::min(most, std::chrono::ceil<milliseconds>(*timer_ - steady_clock::now()));
  const int wait = static_cast<int>(std::clamp<milliseconds::rep>(most.count(), 0, 1'000'000));
  const int count = ::epoll_wait(set_.number(), ready_.data(), static_cast<int>(ready_.size()), wait);
  ready_count_ = static_cast<std::size_t>(std::max(count, 0));
  // Silenced here and not in move(): what is ordered from now on, before move() as well, rings for the next sleep.
  for (std::size_t i = 0; i < ready_count_; ++i)
    if (ready_[i].data.fd == bell_.number()) silence();
}

void Wire::silence() noexcept {
  std::uint64_t rings = 0;
  static_cast<void>(!::read(bell_.number(), &rings, sizeof rings));
}

void Wire::move() noexcept {
  int running = 0;
  for (std::size_t i = 0; i < ready_count_; ++i) {
    const epoll_event& ready = ready_[i];
    if (ready.data.fd == bell_.number()) continue;
    int what = 0;
    if ((ready.events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
    if ((ready.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((ready.events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(multi_.get(), ready.data.fd, what, &running);
  }
  ready_count_ = 0;
  if (!timer_ || *timer_ > steady_clock::now()) return;
  timer_.reset();  // curl sets the next one
  curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running);
}

#else

Wire::Wire() : multi_(new_multi()) {}
Wire::~Wire() = default;
void Wire::wake() noexcept { curl_multi_wakeup(multi_.get()); }

void Wire::sleep(std::chrono::milliseconds most) noexcept {
  curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(most.count()), nullptr);
}

void Wire::move() noexcept {
  int running = 0;
  curl_multi_perform(multi_.get(), &running);
}

#endif

}  // namespace frugal::http
