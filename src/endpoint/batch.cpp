#include <frugal/endpoint/batch.hpp>

#include <frugal/endpoint/endpoint.hpp>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>

#include "endpoint/lending.hpp"
#include "endpoint/prompt_text.hpp"
#include "endpoint/step_scope.hpp"

namespace frugal {
namespace {

using Ended = std::pair<std::size_t, Answer>;

/// Where the driving threads leave what has ended.
struct Basket {
  void put(Ended ended) {
    const std::lock_guard lock(mutex);
    full.push_back(std::move(ended));
    if (reader != nullptr) reader->wake();
  }
  std::deque<Ended> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(full, {});
  }
  bool empty() {
    const std::lock_guard lock(mutex);
    return full.empty();
  }
  void set_reader(Waker* waker) {
    const std::lock_guard lock(mutex);
    reader = waker;
  }

  std::mutex mutex;
  std::deque<Ended> full;
  Waker* reader = nullptr;
};

struct Collector final : Sink {
  Collector(std::shared_ptr<Basket> b, std::size_t i) : basket(std::move(b)), index(i) {}
  void on_delta(Delta delta) override { answer.add(std::move(delta)); }
  void on_finish(Finish finish) override {
    answer.finish = std::move(finish);
    basket->put({index, std::move(answer)});
  }
  std::shared_ptr<Basket> basket;
  std::size_t index;
  Answer answer;
};

// Requests of one model and tenant with the same beginning come next to each other.
std::vector<std::size_t> by_prefix(const std::vector<Request>& requests) {
  std::vector<std::string> texts;
  texts.reserve(requests.size());
  for (const Request& r : requests) texts.push_back(whole_text(r));
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto tokens = [&](std::size_t i) -> const std::vector<Token>& {
    static const std::vector<Token> none;
    const auto* given = std::get_if<TokenPrompt>(&requests[i].prompt);
    return given != nullptr ? given->tokens : none;
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(requests[a].model, requests[a].tenant, texts[a], tokens(a)) <
           std::tie(requests[b].model, requests[b].tenant, texts[b], tokens(b));
  });
  return order;
}

std::int32_t lowered(std::int32_t priority, std::int32_t by) {
  const std::int64_t sum = std::int64_t{priority} + by;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(sum, std::numeric_limits<std::int32_t>::min(),
                                                            std::numeric_limits<std::int32_t>::max()));
}

class BatchRun {
 public:
  BatchRun(Endpoint& endpoint, std::vector<Request> requests, const BatchOptions& options)
      : endpoint_(endpoint),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : steady_clock()),
        requests_(std::move(requests)),
        began_(clock_.now()) {
    for (const std::size_t i : by_prefix(requests_)) to_send_.push_back(i);
    for (Request& r : requests_) r.priority = lowered(r.priority, options_.priority);
    progress_.total = requests_.size();
    basket_->set_reader(&waker_);
  }
  ~BatchRun() { basket_->set_reader(nullptr); }
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  BatchProgress run() {
    try {
      while (progress_.done < progress_.total) {
        send();
        wait(was_busy_ ? std::optional(steady_clock().now() + std::chrono::milliseconds(20)) : std::nullopt);
        was_busy_ = false;
        take_all();
      }
    } catch (...) {
      give_up();
      throw;
    }
    return progress_;
  }

 private:
  void send() {
    while (!was_busy_ && !to_send_.empty() && calls_.size() < options_.in_flight) {
      const std::size_t i = to_send_.front();
      to_send_.pop_front();
      calls_.emplace(i, Call());
      calls_[i] = EndpointRef(endpoint_).start(requests_[i], std::make_shared<Collector>(basket_, i));
      if (!basket_->empty()) take_all();  // refused on the spot, perhaps
    }
  }

  void wait(std::optional<TimePoint> last) {
    if (progress_.done == progress_.total) return;
    const std::atomic<bool> gone{false};
    const std::function<bool()> ready = [this] { return !basket_->empty(); };
    lend_thread(endpoint_, gone, {.waker = waker_, .until = ready, .last = last});
  }

  void take_all() {
    std::deque<Ended> all = basket_->take();
    for (const Ended& ended : all) calls_.erase(ended.first);  // first of all: take() may throw what the caller throws
    for (Ended& ended : all) take(std::move(ended));
  }

  void take(Ended ended) {
    auto& [index, answer] = ended;
    const Finish& end = answer.finish;
    if (end.reason == FinishReason::refused && end.error && end.error->code() == Errc::busy) {
      was_busy_ = true;
      to_send_.push_front(index);
      return;
    }
    ++progress_.done;
    progress_.failed += end.reason == FinishReason::refused || end.reason == FinishReason::error ? 1 : 0;
    progress_.usage += end.usage;
    progress_.elapsed = clock_.now() - began_;
    const double pace = static_cast<double>(progress_.elapsed.count()) / static_cast<double>(progress_.done);
    progress_.left = Duration(static_cast<Duration::rep>(pace * static_cast<double>(progress_.total - progress_.done)));
    if (options_.on_answer) options_.on_answer(index, std::move(answer));
    if (options_.progress) options_.progress(progress_);
  }

  // Nobody may be left who writes into the basket's reader or counts on the endpoint.
  void give_up() {
    for (const auto& [index, call] : calls_) call.cancel();
    while (!calls_.empty()) {
      for (const Ended& ended : basket_->take()) calls_.erase(ended.first);
      if (calls_.empty()) return;
      const std::atomic<bool> gone{false};
      const std::function<bool()> ready = [this] { return !basket_->empty(); };
      lend_thread(endpoint_, gone, {.waker = waker_, .until = ready});
    }
  }

  Endpoint& endpoint_;
  const BatchOptions& options_;
  const Clock& clock_;
  std::vector<Request> requests_;
  const TimePoint began_;
  std::deque<std::size_t> to_send_;
  std::map<std::size_t, Call> calls_;
  Waker waker_;
  std::shared_ptr<Basket> basket_ = std::make_shared<Basket>();
  BatchProgress progress_;
  bool was_busy_ = false;
};

}  // namespace

BatchProgress run_batch(Endpoint& endpoint, std::vector<Request> requests, const BatchOptions& options) {
  refuse_inside_step("run_batch");
  if (options.in_flight == 0) throw Error(Errc::invalid_argument, "BatchOptions::in_flight is 0");
  return BatchRun(endpoint, std::move(requests), options).run();
}

std::vector<Answer> run_batch(Endpoint& endpoint, std::vector<Request> requests,
                              const std::function<void(const BatchProgress&)>& progress) {
  std::vector<Answer> answers(requests.size());
  BatchOptions options;
  options.progress = progress;
  options.on_answer = [&](std::size_t index, Answer answer) { answers[index] = std::move(answer); };
  run_batch(endpoint, std::move(requests), options);
  return answers;
}

}  // namespace frugal
