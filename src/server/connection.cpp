#include "server/connection.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "core/ascii.hpp"
#include "server/access_line.hpp"
#include "server/reading.hpp"
#include "server/target.hpp"

namespace frugal::server {

namespace http = boost::beast::http;

namespace {

constexpr std::size_t most_read_ahead = 64 << 10;
constexpr Duration linger = std::chrono::seconds(2);

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Only what is short and plain is repeated in headers and logs.
bool fit_to_repeat(std::string_view id) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), plain);
}

std::string chunk_of(const std::string& bytes) {
  std::array<char, 16> size{};
  const auto end = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr;
  return std::string(size.data(), end) + "\r\n" + bytes + "\r\n";
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<Hub> hub)
    : socket_(std::move(socket)),
      hub_(std::move(hub)),
      read_timer_(hub_->io()),
      write_timer_(hub_->io()),
      beat_timer_(hub_->io()) {}

void Connection::enter() {
  hub_->entered(shared_from_this());
  Code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);  // a client that vanished without a word is noticed
  rest();
}

// --- time ---

void Connection::arm(asio::steady_timer& timer, Duration wait, void (Connection::*then)()) {
  timer.expires_after(std::chrono::duration_cast<asio::steady_timer::duration>(wait));
  timer.async_wait([self = shared_from_this(), &timer, then](Code code) {
    if (!code && timer.expiry() <= asio::steady_timer::clock_type::now() && !self->closed_) (self.get()->*then)();
  });
}

void Connection::too_slow() {
  if (doing_ != Doing::reading || !parser_ || !parser_->is_header_done()) return close();
  cannot_read(asio::error::timed_out);
}

void Connection::beat() {
  if (!exchange_ || doing_ != Doing::answering) return;
  if (!sending_)
    if (std::string bytes = exchange_->heartbeat(); !bytes.empty())
      send_events({std::nullopt, std::move(bytes), false});
  arm(beat_timer_, hub_->options().heartbeat, &Connection::beat);
}

// --- in ---

void Connection::rest() {
  doing_ = Doing::resting;
  arm(read_timer_, hub_->options().limits.idle, &Connection::close);
  if (buffer_.size() == 0) return listen();
  if (!listening_) return read_header();
  parse_next_ = true;  // the read that listened for the end of the client makes room for the parser
  Code ignored;
  socket_.cancel(ignored);
}

void Connection::listen() {
  if (std::exchange(listening_, true)) return;
  socket_.async_read_some(buffer_.prepare(4096), [self = shared_from_this()](Code code, std::size_t bytes) {
    self->listening_ = false;
    if (!self->closed_) self->heard(code, bytes);
  });
}

void Connection::heard(Code code, std::size_t bytes) {
  buffer_.commit(bytes);
  if (std::exchange(parse_next_, false)) return read_header();
  if (code) {
    if (doing_ == Doing::answering) account(status_ == 0 ? 499 : status_, true);
    return close();
  }
  if (doing_ == Doing::leaving) {
    buffer_.clear();
    return listen();
  }
  if (doing_ == Doing::resting) return read_header();
  if (buffer_.size() < most_read_ahead) listen();
}

void Connection::read_header() {
  doing_ = Doing::reading;
  const ServerLimits& limits = hub_->options().limits;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  parser_->body_limit(limits.body_bytes);
  arm(read_timer_, limits.header_time, &Connection::too_slow);
  began_ = steady_clock().now();
  http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](Code code, std::size_t) {
    if (self->closed_ || self->doing_ != Doing::reading) return;
    if (code) return self->cannot_read(code);
    self->read_body();
  });
}

// Who may not ask is told so before the body, which would only take memory.
void Connection::read_body() {
  take_head();
  if (!parser_->is_done())
    if (std::optional<Outgoing> refusal = hub_->router().refusal(incoming_)) {
      path_ = "(unread)";
      keep_ = false;
      doing_ = Doing::answering;
      return send_whole(std::move(*refusal));
    }
  arm(read_timer_, hub_->options().limits.body_time, &Connection::too_slow);
  if (same_word(view(parser_->get()[http::field::expect]), "100-continue") && !parser_->is_done()) {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    Code ignored;  // nothing is under way, so these few bytes find room at once
    socket_.write_some(asio::buffer(go_on), ignored);
  }
  http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](Code code, std::size_t) {
    if (self->closed_ || self->doing_ != Doing::reading) return;
    if (code) return self->cannot_read(code);
    self->dispatch();
  });
}

void Connection::take_head() {
  const Parser::value_type& message = parser_->get();
  incoming_ = {};
  incoming_.method = std::string(message.method_string());
  const auto target = message.target();
  incoming_.path = path_of(std::string_view(target.data(), target.size()));
  for (const auto& field : message) {
    const auto value = field.value();
    incoming_.headers.emplace_back(lower_ascii(view(field.name_string())), std::string(value.begin(), value.end()));
  }
  const std::string_view given = incoming_.header("x-request-id");
  incoming_.id = fit_to_repeat(given) ? std::string(given) : fresh_name("req_");
}

// What cannot be parsed gets an answer where the client still listens; then the connection ends, because nobody knows
// where the next request would begin.
void Connection::cannot_read(Code code) {
  const auto say = [&](int status, const char* what) {
    incoming_ = {};
    incoming_.id = fresh_name("req_");
    path_ = "(unread)";
    keep_ = false;
    doing_ = Doing::answering;
    const auto target = parser_->is_header_done() ? parser_->get().target() : boost::beast::string_view();
    send_whole(Router::error(std::string(target.begin(), target.end()),
                             {status, Error(Errc::invalid_argument, what), {}, {}, true}, incoming_.id));
  };
  if (code == http::error::body_limit) return say(413, "the body is larger than this server takes");
  if (code == http::error::header_limit) return say(431, "the header is larger than this server takes");
  if (code == asio::error::timed_out) return say(408, "the body did not come in time");
  if (code == http::error::end_of_stream || code == http::error::partial_message ||
      code.category() != make_error_code(http::error::bad_target).category())
    return close();
  say(400, "this is not HTTP/1.1 as it should be");
}

void Connection::dispatch() {
  read_timer_.cancel();
  Parser::value_type& message = parser_->get();
  incoming_.body = std::move(message.body());
  keep_ = message.keep_alive() && !hub_->draining();
  chunked_ = message.version() >= 11;
  quiet_ = message.method() == http::verb::head;
  parser_.reset();
  doing_ = Doing::answering;
  Route route = hub_->router().route(incoming_, hub_->draining());
  path_ = std::move(route.path);
  listen();
  if (route.answer) return send_whole(std::move(*route.answer));
  if (route.work) return begin_work(route.work);
  begin_exchange(*route.dialect);
}

// --- answers ---

void Connection::begin_work(const std::function<Outgoing(const Incoming&)>& work) {
  hub_->exchange_began();
  asio::post(hub_->intake(), [self = shared_from_this(), hub = hub_, work, asked = incoming_] {
    Outgoing out;
    try {
      out = work(asked);
    } catch (...) {
      out = Router::error(asked.path, {500, Error(Errc::internal, "the answer could not be made"), {}, {}, false},
                          asked.id);
    }
    asio::post(hub->io(), [self, out = std::move(out)]() mutable {
      if (!self->closed_) self->send_whole(std::move(out));
    });
    hub->exchange_ended();
  });
}

void Connection::begin_exchange(const Dialect& dialect) {
  Exchange::Hooks hooks;
  hooks.ready = [weak = weak_from_this(), hub = hub_] {
    asio::post(hub->io(), [weak] {
      const std::shared_ptr<Connection> self = weak.lock();
      if (self && !self->closed_) self->pump();
    });
  };
  hooks.started = [hub = hub_](const Endpoint& endpoint) { hub->drivers().started(endpoint); };
  hooks.ended = [hub = hub_](const Endpoint* endpoint) {
    if (endpoint != nullptr) hub->drivers().ended(*endpoint);
    hub->exchange_ended();
  };
  Incoming asked = std::move(incoming_);
  incoming_ = {};
  incoming_.id = asked.id;
  incoming_.method = asked.method;
  incoming_.tenant = asked.tenant;
  hub_->exchange_began();
  exchange_ = std::make_shared<Exchange>(std::move(asked), dialect, hub_->catalogue(),
                                         hub_->options().limits.unread_deltas, std::move(hooks));
  asio::post(hub_->intake(), [exchange = exchange_] { exchange->start(); });
  arm(beat_timer_, hub_->options().heartbeat, &Connection::beat);
}

void Connection::pump() {
  if (sending_ || !exchange_ || doing_ != Doing::answering || last_sent_) return;
  Exchange::Output out = exchange_->take();
  if (out.whole && !stream_begun_) return send_whole(std::move(*out.whole));
  if (!out.events.empty() || out.ended) send_events(std::move(out));
}

std::string Connection::head(int status, const std::string& type, const Headers& more,
                             std::optional<std::size_t> length) const {
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  std::string out = "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason.begin(), reason.end()) + "\r\n";
  const auto add = [&](const std::string& name, const std::string& value) { out += name + ": " + value + "\r\n"; };
  add("content-type", type);
  add("cache-control", "no-store");
  add("x-content-type-options", "nosniff");
  add("x-request-id", incoming_.id);  // OpenAI's name for it
  add("request-id", incoming_.id);    // Anthropic's
  for (const auto& [name, value] : more) add(name, value);
  if (length)
    add("content-length", std::to_string(*length));
  else if (chunked_)
    add("transfer-encoding", "chunked");
  if (!keep_) add("connection", "close");
  return out + "\r\n";
}

void Connection::send_whole(Outgoing out) {
  if (hub_->draining()) keep_ = false;
  status_ = out.status;
  error_ = out.error;
  field_ = std::move(out.field);
  last_sent_ = true;
  std::string bytes = head(out.status, out.type, out.headers, out.body.size());
  if (!quiet_) bytes += out.body;
  send(std::move(bytes));
}

void Connection::send_events(Exchange::Output out) {
  if (hub_->draining()) keep_ = false;
  std::string bytes;
  if (!std::exchange(stream_begun_, true)) {
    status_ = 200;
    if (!chunked_) keep_ = false;
    bytes = head(200, "text/event-stream; charset=utf-8", {{"x-accel-buffering", "no"}}, std::nullopt);
  }
  if (!out.events.empty()) bytes += chunked_ ? chunk_of(out.events) : out.events;
  if (out.ended && chunked_) bytes += "0\r\n\r\n";
  last_sent_ = out.ended;
  send(std::move(bytes));
}

void Connection::send(std::string bytes) {
  sending_ = true;
  bytes_out_ += bytes.size();
  if (!first_byte_) first_byte_ = steady_clock().now();
  arm(write_timer_, hub_->options().limits.write_time, &Connection::close);
  auto held = std::make_shared<std::string>(std::move(bytes));
  asio::async_write(socket_, asio::buffer(*held), [self = shared_from_this(), held](Code code, std::size_t) {
    if (!self->closed_) self->sent(code);
  });
}

void Connection::sent(Code code) {
  sending_ = false;
  write_timer_.cancel();
  if (code) {
    account(status_, true);
    return close();
  }
  if (last_sent_) return answered();
  pump();
}

void Connection::answered() {
  beat_timer_.cancel();
  account(status_, false);
  const bool keep = keep_ && !hub_->draining();
  exchange_.reset();
  incoming_ = {};
  stream_begun_ = last_sent_ = quiet_ = false;
  status_ = 0;
  error_.reset();
  field_.clear();
  bytes_out_ = 0;
  first_byte_.reset();
  if (!keep) return leave();
  rest();
}

// Each request ends here once, however it ends. What a client that left has cost is known when its request has ended.
void Connection::account(int status, bool abandoned) {
  if (path_.empty()) return;
  AccessLine line{.id = incoming_.id, .method = incoming_.method, .path = std::exchange(path_, {})};
  line.tenant = incoming_.tenant;
  line.status = status;
  line.abandoned = abandoned;
  line.bytes = bytes_out_;
  line.took = steady_clock().now() - began_;
  if (first_byte_) line.first_byte = *first_byte_ - began_;
  if (exchange_) line.account = exchange_->account();
  line.error = line.account ? line.account->error : error_;
  line.field = line.account ? line.account->field : field_;
  hub_->count_answer(status, abandoned, abandoned ? std::nullopt : line.error);
  if (!hub_->options().access_log) return;
  if (!abandoned || !exchange_) return hub_->log_access(line);
  exchange_->when_ended([hub = hub_, line](Exchange::Account account) mutable {
    try {
      line.account = std::move(account);
      asio::post(hub->io(), [hub, line = std::move(line)] { hub->log_access(line); });
    } catch (...) {  // no memory: the line is lost, the request's end is not
    }
  });
}

// --- the end ---

void Connection::finish_up() {
  keep_ = false;
  if (doing_ == Doing::resting) close();
}

void Connection::cancel() {
  if (exchange_) exchange_->cancel();
}

// Says that nothing more comes, then waits for the client to close: closing at once could destroy what it has not read.
void Connection::leave() {
  doing_ = Doing::leaving;
  Code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  arm(read_timer_, linger, &Connection::close);
  buffer_.clear();
  if (!listening_) listen();
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  if (exchange_) {
    exchange_->cancel();
    account(status_ == 0 ? 499 : status_, true);
  }
  Code ignored;
  socket_.close(ignored);
  read_timer_.cancel();
  write_timer_.cancel();
  beat_timer_.cancel();
  hub_->left(shared_from_this());
}

}  // namespace frugal::server
