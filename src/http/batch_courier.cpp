#include "http/batch_courier.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstdio>
#include <system_error>
#include <utility>

#include "core/caught.hpp"
#include "core/splitmix.hpp"

namespace frugal::http {

namespace {

// Two FNV-1a hashes, of the text and of the text backwards.
std::string hash_of(std::string_view text) {
  std::uint64_t a = 0xcbf29ce484222325ULL, b = a;
  for (std::size_t i = 0; i < text.size(); ++i) {
    a = (a ^ static_cast<unsigned char>(text[i])) * 0x100000001b3ULL;
    b = (b ^ static_cast<unsigned char>(text[text.size() - 1 - i])) * 0x100000001b3ULL;
  }
  char out[33];
  std::snprintf(out, sizeof out, "%016llx%016llx", static_cast<unsigned long long>(mix64(a)),
                static_cast<unsigned long long>(mix64(b)));
  return out;
}

std::string hash_in(const std::string& item) { return item.substr(0, item.find('-')); }

std::chrono::sys_seconds utc_now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

BatchEntry::BatchEntry(Request r, std::shared_ptr<Sink> to, const LogSink& log, RequestId number, std::string b)
    : request(std::move(r)),
      sink(std::make_shared<GuardedSink>(std::move(to), &log, number)),
      id(number),
      body(std::move(b)),
      hash(hash_of(body)),
      submitted(steady_clock().now()) {}

BatchCourier::BatchCourier(const HttpBatchOptions& options, Watchers& watchers)
    : options_(options),
      api_(&batch_api_of(options.http.api)),
      watchers_(watchers),
      who_("endpoint " + options.http.name),
      state_(options.state_file, options.http),
      errands_(options.http.log) {
  for (SentBatch& sent : state_.batches()) {
    Going& batch = going_.emplace_back(Going{.sent = &sent});
    for (const std::string& item : sent.items) batch.untaken.emplace(hash_in(item), item);
  }
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    throw Error(Errc::unavailable, std::string("HttpBatchEndpoint: no thread: ") + error.what());
  }
}

RequestId BatchCourier::next_id() {
  const std::lock_guard lock(mutex_);
  return RequestId(++last_id_);
}

bool BatchCourier::enqueue(const Held& entry) {
  std::list<Held> one{entry};
  {
    const std::lock_guard lock(mutex_);
    if (stopped_.is_set()) return false;
    inbox_.splice(inbox_.end(), one);
    ++live_;
  }
  news_.notify_one();
  return true;
}

void BatchCourier::wake() noexcept {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  news_.notify_one();
}

void BatchCourier::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_.set();
  }
  news_.notify_one();
  if (thread_.joinable()) thread_.join();
  while (errands_.run()) {
  }
}

bool BatchCourier::idle() const {
  const std::lock_guard lock(mutex_);
  return live_ == 0;
}

Load BatchCourier::load() const {
  const std::lock_guard lock(mutex_);
  return {.running = static_cast<std::uint32_t>(sent_),
          .waiting = static_cast<std::uint32_t>(live_ - std::min(live_, sent_)),
          .accepting = !stopped_.is_set()};
}

HttpBatchStats BatchCourier::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void BatchCourier::run() {
  while (!stopped_.is_set()) {
    try {
      const Errands::Scope scope(errands_);
      turn(steady_clock().now());
    } catch (...) {
      note("a turn failed: " + caught_text());
    }
    errands_.hand_on(watchers_);
    watchers_.step_ended();
    const TimePoint next = next_turn().value_or(steady_clock().now() + std::chrono::hours(1));
    std::unique_lock lock(mutex_);
    news_.wait_until(lock, next, [&] { return woken_ || stopped_.is_set() || !inbox_.empty(); });
    woken_ = false;
  }
  end_everything();
}

void BatchCourier::turn(TimePoint now) {
  std::list<Held> arrived;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(inbox_);
  }
  for (const Held& entry : arrived) place(entry, now);
  end_late(now);
  send_due(now);
  for (Going& batch : going_)
    if (!batch.asked.empty() && batch.next_look <= now && !stopped_.is_set()) look_after(batch, now);
}

// A request that was sent before, and whose answer nobody took, waits for that one.
void BatchCourier::place(const Held& entry, TimePoint now) {
  for (Going& batch : going_) {
    const auto item = batch.untaken.find(entry->hash);
    if (item == batch.untaken.end()) continue;
    batch.asked.emplace(item->second, entry);
    batch.untaken.erase(item);
    batch.next_look = now;
    const std::lock_guard lock(mutex_);
    ++sent_;
    ++stats_.resumed;
    return;
  }
  pending_.push_back(entry);
  pending_bytes_ += entry->body.size();
  last_arrival_ = now;
}

void BatchCourier::end_late(TimePoint now) {
  const auto over = [&](const Held& e) -> std::optional<FinishReason> {
    if (e->cancelled->load()) return FinishReason::cancelled;
    if (e->request.deadline && now >= *e->request.deadline) return FinishReason::deadline;
    return std::nullopt;
  };
  for (auto e = pending_.begin(); e != pending_.end();) {
    const Held entry = *e;
    const std::optional<FinishReason> reason = over(entry);
    if (!reason) {
      ++e;
      continue;
    }
    pending_bytes_ -= entry->body.size();
    e = pending_.erase(e);
    end_as(entry, *reason, std::nullopt);
  }
  for (Going& batch : going_)
    for (auto e = batch.asked.begin(); e != batch.asked.end();) {
      const Held entry = e->second;
      const std::optional<FinishReason> reason = over(entry);
      if (!reason) {
        ++e;
        continue;
      }
      batch.untaken.emplace(entry->hash, e->first);
      e = batch.asked.erase(e);
      {
        const std::lock_guard lock(mutex_);
        --sent_;
      }
      end_as(entry, *reason, std::nullopt);
    }
}

void BatchCourier::send_due(TimePoint now) {
  while (!pending_.empty() && !stopped_.is_set()) {
    const bool full = pending_.size() >= options_.most_requests || pending_bytes_ >= options_.most_bytes;
    if (!full && now < last_arrival_ + options_.linger) return;
    std::vector<Held> chunk;
    std::size_t bytes = 0;
    while (!pending_.empty() && chunk.size() < options_.most_requests &&
           (chunk.empty() || bytes + pending_.front()->body.size() <= options_.most_bytes)) {
      chunk.push_back(pending_.front());
      bytes += chunk.back()->body.size();
      pending_.pop_front();
    }
    pending_bytes_ -= bytes;
    send(std::move(chunk), now);
  }
}

// The state is on the disk before the first byte is sent, and again when the provider has given the batch its name.
void BatchCourier::send(std::vector<Held> chunk, TimePoint now) {
  std::vector<BatchItem> items;
  std::unordered_map<std::string, std::size_t> seen;
  SentBatch& sent = state_.batches().emplace_back();
  sent.sent = utc_now();
  Going& batch = going_.emplace_back(Going{.sent = &sent});
  std::string all = std::to_string(sent.sent.time_since_epoch().count());
  for (Held& entry : chunk) {
    const std::string item = entry->hash + "-" + std::to_string(seen[entry->hash]++);
    items.push_back({item, entry->body});
    sent.items.insert(item);
    batch.asked.emplace(item, std::move(entry));
    all += item;
  }
  sent.mark = hash_of(all);
  {
    const std::lock_guard lock(mutex_);
    sent_ += items.size();
  }
  batch.next_look = now + options_.poll;
  try {
    state_.save();
  } catch (...) {  // what cannot be kept is not sent
    fail_all(batch, caught_error(Errc::internal, who_));
    return forget(batch);
  }
  expected<std::string> id = api_->submit({options_.http, stopped_}, items, sent.mark);
  if (id) {
    sent.id = std::move(*id);
    note("batch " + sent.id + " was sent with " + std::to_string(items.size()) + " requests");
    const std::lock_guard lock(mutex_);
    ++stats_.batches;
  } else if (is_final(id.error())) {
    fail_all(batch, id.error());
    return forget(batch);
  } else {
    batch.doubt = id.error();
  }
  save();
}

void BatchCourier::look_after(Going& batch, TimePoint now) {
  batch.next_look = now + options_.poll;
  if (batch.sent->id.empty() && !find(batch)) return;
  const expected<BatchLook> look = api_->look({options_.http, stopped_}, batch.sent->id);
  if (!look) {
    if (is_final(look.error())) return fail_all(batch, look.error());
    return note("a look at batch " + batch.sent->id + " failed; the next one is in " +
                std::to_string(options_.poll / std::chrono::seconds(1)) + " s");
  }
  if (!look->ended) return;
  if (!look->fault.empty()) {
    fail_all(batch, Error(Errc::invalid_argument, who_ + ": the batch was refused: " + look->fault));
    return forget(batch);
  }
  if (!read_results(batch, *look)) return save();  // which of those that were read may be sent again
  const std::unordered_map<std::string, Held> without = batch.asked;
  fail_all(batch, Error(Errc::unavailable, who_ + ": the batch ended without a result for this request"));
  for (const auto& [item, entry] : without) batch.sent->items.erase(item);
  save();
}

// Whether the batch that was being sent has arrived. False = it has not, or that is still not known.
bool BatchCourier::find(Going& batch) {
  BatchApi::Sought sought{batch.sent->mark, batch.sent->items.size(), batch.sent->sent - std::chrono::minutes(5), {}};
  for (const Going& other : going_)
    if (!other.sent->id.empty()) sought.others.push_back(other.sent->id);
  expected<std::optional<std::string>> id = api_->find({options_.http, stopped_}, sought);
  if (!id) {
    if (is_final(id.error()) || batch.doubt) fail_all(batch, batch.doubt.value_or(id.error()));
    note("it is not known yet whether a batch arrived");
    return false;
  }
  if (*id) {
    batch.sent->id = std::move(**id);
    save();
    return true;
  }
  // It never arrived: after a crash it is sent now, after a failure its requests have failed.
  if (batch.doubt) {
    fail_all(batch, *batch.doubt);
  } else {
    const std::lock_guard lock(mutex_);
    sent_ -= batch.asked.size();
    stats_.resumed -= std::min(stats_.resumed, batch.asked.size());
  }
  for (auto& [item, entry] : batch.asked) {
    pending_bytes_ += entry->body.size();
    pending_.push_back(std::move(entry));
  }
  batch.asked.clear();
  forget(batch);
  save();
  return false;
}

void BatchCourier::forget(Going& batch) {
  // Both entries stay in their lists, where a loop may be: without items they are never looked at.
  batch.untaken.clear();
  batch.sent->items.clear();
  save();
}

void BatchCourier::save() noexcept {
  try {
    state_.save();
  } catch (...) {
    note("the state file: " + caught_text());
  }
}

std::optional<TimePoint> BatchCourier::next_turn() const {
  std::optional<TimePoint> next;
  const auto add = [&](TimePoint at) { next = next ? std::min(*next, at) : at; };
  if (!pending_.empty()) add(last_arrival_ + options_.linger);
  for (const Held& e : pending_)
    if (e->request.deadline) add(*e->request.deadline);
  for (const Going& batch : going_) {
    if (!batch.asked.empty()) add(batch.next_look);
    for (const auto& [item, e] : batch.asked)
      if (e->request.deadline) add(*e->request.deadline);
  }
  return next;
}

void BatchCourier::end_everything() noexcept {
  const Errands::Scope scope(errands_);
  {
    const std::lock_guard lock(mutex_);
    pending_.splice(pending_.end(), inbox_);
    sent_ = 0;
  }
  for (Going& batch : going_)
    for (const auto& [item, entry] : std::exchange(batch.asked, {}))
      end_as(entry, FinishReason::cancelled, std::nullopt);
  for (const Held& entry : std::exchange(pending_, {})) end_as(entry, FinishReason::cancelled, std::nullopt);
}

void BatchCourier::note(const std::string& line) const {
  if (options_.http.log) options_.http.log(LogLevel::info, 0, who_ + ": " + line);
}

}  // namespace frugal::http
