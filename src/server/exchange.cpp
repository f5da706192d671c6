#include "server/exchange.hpp"

#include <utility>

#include "core/caught.hpp"

namespace frugal::server {

Exchange::Exchange(Incoming incoming, const Dialect& dialect, const Catalogue& catalogue, std::uint32_t most_unread,
                   Hooks hooks)
    : incoming_(std::move(incoming)),
      dialect_(dialect),
      catalogue_(catalogue),
      most_unread_(most_unread),
      hooks_(std::move(hooks)) {}

void Exchange::start() {
  try {
    begin();
  } catch (const Refused& refused) {
    fail(refused.why);
  } catch (...) {
    fail(api_error(caught_error(Errc::internal, "reading the request")));
  }
}

// What is known of a request that is refused is kept for the log.
void Exchange::read(Job& job) {
  const auto note = [&] {
    const std::lock_guard lock(mutex_);
    if (job.served != nullptr) account_.model = job.served->model.name;
    account_.stream = job.stream;
  };
  try {
    dialect_.read(incoming_, catalogue_, job);
  } catch (...) {
    note();
    throw;
  }
  note();
}

void Exchange::begin() {
  Job job;
  read(job);
  incoming_.body = {};
  target_ = job.endpoint;
  endpoint_.emplace(*target_);
  {
    const std::lock_guard lock(mutex_);
    writer_ = std::move(job.writer);
    stream_ = job.stream;
    started_ = true;  // from here on nothing but the endpoint ends it
  }
  Call call = endpoint_->start(std::move(job.request), shared_from_this());
  if (hooks_.started) hooks_.started(*target_);
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    call_ = call;
    cancelled = cancelled_;
  }
  if (cancelled) call.cancel();
}

void Exchange::fail(ApiError error) {
  std::function<void(Account)> then;
  Account account;
  {
    const std::lock_guard lock(mutex_);
    if (started_) return;  // the endpoint has it, and will end it
    account_.error = error.error.code();
    account_.field = error.field;
    failure_ = std::move(error);
    over_ = true;
    if (then_) account = account_now();
    then = std::exchange(then_, nullptr);
  }
  if (then) then(std::move(account));
  if (hooks_.ended) hooks_.ended(nullptr);
  tell();
}

void Exchange::cancel() {
  Call call;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    call = call_;
  }
  call.cancel();
}

// One call for all that has come since take() was last called.
void Exchange::tell() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(told_, true)) return;
  }
  if (hooks_.ready) hooks_.ready();
}

void Exchange::on_prompt(std::span<const Token> prompt) {
  const std::lock_guard lock(mutex_);
  if (!prompt_tokens_) prompt_tokens_ = prompt.size();
}

void Exchange::on_delta(Delta delta) {
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return;
    deltas_.push_back(std::move(delta));
  }
  tell();
}

void Exchange::on_finish(Finish finish) {
  std::function<void(Account)> then;
  Account account;
  {
    const std::lock_guard lock(mutex_);
    finish_ = std::move(finish);
    over_ = true;
    if (then_) account = account_now();
    then = std::exchange(then_, nullptr);
  }
  if (then) then(std::move(account));
  if (hooks_.ended) hooks_.ended(target_);
  tell();
}

bool Exchange::full() const {
  const std::lock_guard lock(mutex_);
  return deltas_.size() >= most_unread_;
}

Exchange::Account Exchange::account_now() const {
  Account out = account_;
  if (finish_) out.finish = *finish_;
  return out;
}

Exchange::Account Exchange::account() const {
  const std::lock_guard lock(mutex_);
  return account_now();
}

void Exchange::when_ended(std::function<void(Account)> then) {
  Account account;
  {
    const std::lock_guard lock(mutex_);
    if (!over_) {
      then_ = std::move(then);
      return;
    }
    account = account_now();
  }
  then(std::move(account));
}

Exchange::Output Exchange::take() {
  Output out;
  std::vector<Delta> deltas;
  std::optional<Finish> finish;
  std::optional<ApiError> failure;
  std::optional<std::uint64_t> prompt;
  bool has_writer = false;
  {
    const std::lock_guard lock(mutex_);
    told_ = false;
    deltas.swap(deltas_);
    finish = std::exchange(finish_, std::nullopt);
    if (finish) account_.finish = *finish;
    failure = std::exchange(failure_, std::nullopt);
    prompt = prompt_tokens_;
    has_writer = writer_ != nullptr;
  }
  if (failure) return give_up(*failure, std::move(out));
  if (!has_writer) return out;
  if (deltas.size() >= most_unread_)
    if (const EndpointRef::Visit visit = endpoint_->enter()) visit->wake();
  try {
    if (prompt) writer_->prompt(*prompt);
    write(std::move(deltas), finish, out);
  } catch (...) {
    cancel();
    return give_up(api_error(caught_error(Errc::internal, "writing the answer")), std::move(out));
  }
  return out;
}

void Exchange::write(std::vector<Delta> deltas, const std::optional<Finish>& finish, Output& out) {
  std::string bytes;
  for (Delta& delta : deltas) writer_->delta(std::move(delta), bytes);
  if (finish) {
    if (std::optional<ApiError> error = failure_of(*finish)) {
      if (error->field.empty()) error->field = field_at_fault(error->error, dialect_.prompt_field());
      out.events = std::move(bytes);
      begun_ = begun_ || !out.events.empty();
      out = give_up(*error, std::move(out));
      return;
    }
    writer_->finish(*finish, bytes);
    out.ended = true;
  }
  begun_ = begun_ || (stream_ && !bytes.empty());
  if (stream_)
    out.events = std::move(bytes);
  else if (out.ended)
    out.whole = Outgoing{.body = std::move(bytes)};
}

// An error is an answer of its own until a stream has begun, and the stream's last event from then on.
Exchange::Output Exchange::give_up(const ApiError& error, Output out) {
  {
    const std::lock_guard lock(mutex_);
    account_.error = error.error.code();
    account_.field = error.field;
  }
  out.ended = true;
  if (begun_) {
    out.events += dialect_.error_event(error, incoming_.id);
    return out;
  }
  Outgoing whole{.status = error.status, .body = dialect_.error(error, incoming_.id)};
  if (error.final) whole.headers.emplace_back("x-should-retry", "false");
  if (!error.final && (error.status == 429 || error.status == 503)) whole.headers.emplace_back("retry-after", "1");
  out.whole = std::move(whole);
  return out;
}

std::string Exchange::heartbeat() {
  const std::lock_guard lock(mutex_);
  if (!stream_ || !writer_) return {};
  begun_ = true;
  return writer_->heartbeat();
}

}  // namespace frugal::server
