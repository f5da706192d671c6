#include "server/hub.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/socket_base.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/caught.hpp"
#include "server/access_line.hpp"
#include "server/connection.hpp"

namespace frugal::server {

namespace {

using Code = boost::system::error_code;

[[noreturn]] void wrong(const std::string& why) { throw Error(Errc::invalid_argument, "ServerOptions: " + why); }

void check(const ServerOptions& o) {
  if (o.models.empty()) wrong("models is empty");
  std::set<std::string> names;
  for (const ServedModel& m : o.models) {
    if (m.name.empty()) wrong("a model has no name");
    if (m.endpoint == nullptr) wrong("the model \"" + m.name + "\" has no endpoint");
    for (const std::shared_ptr<const Model>& tier : m.tiers)
      if (tier == nullptr) wrong("a tier of the model \"" + m.name + "\" is null");
    if (!names.insert(m.name).second) wrong("two models are called \"" + m.name + "\"");
  }
  std::set<std::string_view> keys;
  for (std::size_t i = 0; i < o.keys.size(); ++i) {
    const std::string at = "keys[" + std::to_string(i) + "]";
    if (o.keys[i].key.size() < ApiKey::least_length)
      wrong(at + " has less than " + std::to_string(ApiKey::least_length) + " characters");
    if (!keys.insert(o.keys[i].key).second) wrong(at + " is the same key as another");
  }
  const ServerLimits& l = o.limits;
  if (l.header_bytes < 1024 || l.header_bytes > (std::size_t{1} << 30))
    wrong("limits.header_bytes must be 1 KiB to 1 GiB");
  if (l.body_bytes == 0 || l.connections == 0 || l.unread_deltas == 0) wrong("a limit is 0");
  for (const Duration d : {l.idle, l.header_time, l.body_time, l.write_time, o.heartbeat})
    if (d <= Duration::zero()) wrong("a time is not above 0");
  if (o.drain_time < Duration::zero()) wrong("drain_time is negative");
  if (o.intake_threads == 0 || o.intake_threads > 256) wrong("intake_threads must be 1 to 256");
}

Catalogue catalogue_of(const ServerOptions& options) {
  Catalogue out;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  out.created = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  for (const ServedModel& m : options.models)
    out.models.push_back({m, m.model ? tool_style(*m.model) : common_style(m.tiers)});
  return out;
}

std::vector<Endpoint*> endpoints_of(const ServerOptions& options) {
  std::vector<Endpoint*> out;
  for (const ServedModel& m : options.models)
    for (Endpoint* const endpoint : {m.endpoint, m.embeddings})
      if (endpoint != nullptr && std::find(out.begin(), out.end(), endpoint) == out.end()) out.push_back(endpoint);
  return out;
}

}  // namespace

Hub::Hub(ServerOptions options)
    : options_((check(options), std::move(options))),
      catalogue_(catalogue_of(options_)),
      router_(options_, catalogue_, errors_) {
  listen();
}

Hub::~Hub() = default;

void Hub::listen() {
  Code code;
  const auto address = asio::ip::make_address(options_.address, code);
  if (code) wrong("address \"" + options_.address + "\" is not a numeric address");
  const asio::ip::tcp::endpoint place(address, options_.port);
  acceptor_.open(place.protocol(), code);
  if (!code) acceptor_.set_option(asio::socket_base::reuse_address(true), code);
  if (!code) acceptor_.bind(place, code);
  if (!code) acceptor_.listen(asio::socket_base::max_listen_connections, code);
  if (code)
    throw Error(Errc::unavailable, "Server: cannot listen on " + options_.address + ":" +
                                       std::to_string(options_.port) + ": " + code.message());
  port_ = acceptor_.local_endpoint().port();
}

void Hub::begin() {
  drivers_ = std::make_unique<Drivers>(endpoints_of(options_), options_.drive, options_.log);
  try {
    intake_.emplace(options_.intake_threads);
    accept();
    thread_ = std::thread([this, work = asio::make_work_guard(io_)]() mutable {
      for (;;) {
        try {
          io_.run();
          return;
        } catch (...) {  // a host's log, or no memory: the one event is lost, the server goes on
          if (options_.log) options_.log(LogLevel::error, 0, "an event of the server failed: " + caught_text());
        }
      }
    });
  } catch (...) {
    throw caught_error(Errc::unavailable, "Server: no thread");
  }
}

// --- connections ---

void Hub::accept() {
  if (accepting_ || !acceptor_.is_open() || connections_.size() >= options_.limits.connections) return;
  accepting_ = true;
  acceptor_.async_accept([this](Code code, asio::ip::tcp::socket socket) {
    accepting_ = false;
    if (!acceptor_.is_open()) return;
    if (code == asio::error::operation_aborted) return;
    if (code) return accept_later();  // out of descriptors, mostly
    std::make_shared<Connection>(std::move(socket), shared_from_this())->enter();
    accept();
  });
}

void Hub::accept_later() {
  later_.expires_after(std::chrono::milliseconds(100));
  later_.async_wait([this](Code code) {
    if (!code) accept();
  });
}

void Hub::entered(const std::shared_ptr<Connection>& connection) {
  ++accepted_;
  connections_.insert(connection);
  const std::lock_guard lock(mutex_);
  ++open_;
}

void Hub::left(const std::shared_ptr<Connection>& connection) {
  if (connections_.erase(connection) == 0) return;
  {
    const std::lock_guard lock(mutex_);
    --open_;
  }
  changed_.notify_all();
  accept();
}

void Hub::exchange_began() {
  const std::lock_guard lock(mutex_);
  ++running_;
}

void Hub::exchange_ended() {
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    last = --running_ == 0;
  }
  changed_.notify_all();
  if (!last || !draining()) return;
  asio::post(io_, [weak = weak_from_this()] {
    if (const std::shared_ptr<Hub> hub = weak.lock()) hub->close_door_when_done();
  });
}

void Hub::count_answer(int status, bool abandoned, std::optional<Errc> error) {
  ++requests_;
  if (abandoned)
    ++abandoned_;
  else if (status >= 400)
    ++refused_;
  if (error) errors_.add(status, *error);
}

void Hub::log_access(const AccessLine& line) {
  try {
    options_.access_log(written(line));
  } catch (...) {  // the host's own trouble: the connection has to end all the same
    if (options_.log) options_.log(LogLevel::error, 0, "the access log failed: " + caught_text());
  }
}

ServerStats Hub::stats() const {
  const std::lock_guard lock(mutex_);
  return {.connections = accepted_,
          .requests = requests_,
          .refused = refused_,
          .abandoned = abandoned_,
          .open = open_,
          .running = running_};
}

// --- the end ---

void Hub::close_door() {
  if (!acceptor_.is_open()) return;
  Code ignored;
  acceptor_.close(ignored);
  {
    const std::lock_guard lock(mutex_);
    door_closed_ = true;
  }
  finish_up_all();
  changed_.notify_all();
}

// A request that is being answered began before the drain, because none begins after it.
void Hub::close_door_when_done() {
  {
    const std::lock_guard lock(mutex_);
    if (running_ > 0) return;
  }
  close_door();
}

void Hub::finish_up_all() {
  const std::set<std::shared_ptr<Connection>> all = connections_;
  for (const auto& connection : all) connection->finish_up();
}

// The door stays open while requests run, so that a balancer in front hears from /ready that it should go elsewhere, and
// a client from a 503 that it may come again.
void Hub::drain(Duration grace) {
  const bool first = !draining_.exchange(true);
  asio::post(io_, [self = shared_from_this(), grace, first] {
    if (grace <= Duration::zero()) {
      self->close_door();
      return self->cancel_all(false);
    }
    if (!first) return;
    self->finish_up_all();
    self->close_door_when_done();
    self->grace_.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(grace));
    self->grace_.async_wait([weak = self->weak_from_this()](Code code) {
      const std::shared_ptr<Hub> hub = weak.lock();
      if (!hub || code) return;
      hub->close_door();
      hub->cancel_all(false);
    });
  });
}

// The ends of cancelled requests still go out; who does not take them in time is cut off.
void Hub::cancel_all(bool at_once) {
  const std::set<std::shared_ptr<Connection>> all = connections_;
  for (const auto& connection : all) at_once ? connection->close() : connection->cancel();
  if (at_once || all.empty()) return;
  grace_.expires_after(std::chrono::seconds(3));
  grace_.async_wait([weak = weak_from_this()](Code code) {
    if (const std::shared_ptr<Hub> hub = weak.lock(); hub && !code) hub->cancel_all(true);
  });
}

void Hub::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return over(); });
}

bool Hub::wait_for(Duration most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, most, [this] { return over(); });
}

void Hub::stop() {
  if (!thread_.joinable()) return;
  drain(Duration::zero());
  wait();
  intake_->join();
  drivers_.reset();
  asio::post(io_, [this] {
    grace_.cancel();
    later_.cancel();
    io_.stop();
  });
  thread_.join();
  io_.restart();
  io_.poll();  // what was posted last holds connections, and they hold this
}

}  // namespace frugal::server
