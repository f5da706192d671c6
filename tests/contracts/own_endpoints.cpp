#include "own_endpoints.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <utility>

namespace stranger {
namespace {

Finish ended(FinishReason reason, const Request& request) {
  Finish end;
  end.reason = reason;
  end.id = request.id;
  return end;
}

Finish refused(Errc code, std::string message) {
  Finish end;
  end.reason = FinishReason::refused;
  end.error = Error(code, std::move(message));
  return end;
}

std::optional<TimePoint> earlier(std::optional<TimePoint> a, std::optional<TimePoint> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

}  // namespace

Call Post::start(Request request, std::shared_ptr<Sink> sink) {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (letters_.size() < room_) {
      number = next_++;
      seen_.push_back(request);
      std::string text = std::get<RawPrompt>(request.prompt).text;
      letters_.push_back(std::make_shared<Letter>(Letter{std::move(request), sink, number, std::move(text)}));
    }
  }
  if (number == 0) {
    sink->on_finish(refused(Errc::busy, name_ + " has no room"));
    return {};
  }
  watchers().call_one();
  const EndpointRef self(*this);
  return Call(
      [self, number] {
        const EndpointRef::Visit visit = self.enter();
        if (!visit) return;
        auto& post = static_cast<Post&>(*visit.operator->());
        {
          const std::lock_guard lock(post.mutex_);
          for (const auto& letter : post.letters_) letter->cancelled |= letter->number == number;
        }
        post.watchers().call_one();
      },
      RequestId(number));
}

bool Post::is_due(const Letter& letter) const {
  return letter.arrived || letter.cancelled ||
         (letter.request.deadline && *letter.request.deadline <= steady_clock().now());
}

std::shared_ptr<Post::Letter> Post::first_due() const {
  for (const std::shared_ptr<Letter>& letter : letters_)
    if (is_due(*letter)) return letter;
  return nullptr;
}

// The next word; how it ended where that was the last.
std::optional<FinishReason> Post::hand_over(Letter& letter) {
  if (letter.left.empty()) return FinishReason::stop;
  const std::size_t at = std::min(letter.left.find(' '), letter.left.size() - 1);
  letter.sink->on_delta({letter.left.substr(0, at + 1), {}, {}});
  letter.left.erase(0, at + 1);
  ++letter.usage.input;
  ++letter.usage.output;
  return std::nullopt;
}

Progress Post::step() {
  ++steps;
  const Working here(watchers());
  Progress came_to = Progress::elsewhere;
  {
    const std::unique_lock wheel(wheel_, std::try_to_lock);
    if (!wheel.owns_lock()) return came_to;
    watchers().answered();
    came_to = turn();
  }
  // Who was called while this thread had the wheel found it taken and sleeps again: look once more for it.
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    more = first_due() != nullptr;
  }
  if (more) watchers().call_one();
  watchers().step_ended();
  return came_to;
}

Progress Post::turn() {
  std::shared_ptr<Letter> letter;
  std::optional<FinishReason> end;
  {
    const std::lock_guard lock(mutex_);
    if (letters_.empty()) return Progress::idle;
    letter = first_due();
    if (letter == nullptr) return Progress::waiting;
    if (letter->cancelled || !letter->arrived)
      end = letter->cancelled ? FinishReason::cancelled : FinishReason::deadline;
  }
  if (!end) end = hand_over(*letter);
  if (end) {
    {
      const std::lock_guard lock(mutex_);
      letters_.remove(letter);
    }
    Finish finish = ended(*end, letter->request);
    finish.model = name_, finish.usage = letter->usage;
    finish.ledger.attempts.push_back({.endpoint = name_, .model = name_, .usage = letter->usage});
    letter->sink->on_finish(std::move(finish));
  }
  return Progress::worked;
}

std::optional<TimePoint> Post::next_deadline() const {
  const std::lock_guard lock(mutex_);
  std::optional<TimePoint> first;
  for (const auto& letter : letters_) first = earlier(first, letter->request.deadline);
  return first;
}

Load Post::load() const {
  const std::lock_guard lock(mutex_);
  return {.running = static_cast<std::uint32_t>(letters_.size()), .waiting = 0, .free_tokens = {}, .accepting = true};
}

std::vector<std::string> Post::may_answer(std::string_view model) const {
  return model.empty() || model == name_ ? std::vector<std::string>{name_} : std::vector<std::string>();
}

void Post::deliver(std::size_t n) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& letter : letters_)
      if (!letter->arrived && n > 0) letter->arrived = true, --n;
  }
  watchers().call_one();
}

std::vector<Request> Post::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

/// Hands the request to the next member where one refuses before it began.
class Fleet::Retrying final : public Sink, public std::enable_shared_from_this<Retrying> {
 public:
  Retrying(Request request, std::shared_ptr<Sink> out, std::vector<EndpointRef> members)
      : request_(std::move(request)), out_(std::move(out)), left_(std::move(members)) {}

  void next() {
    const EndpointRef member = left_.front();
    left_.erase(left_.begin());
    Call call = member.start(request_, shared_from_this());
    const std::lock_guard lock(mutex_);
    if (!over_) call_ = std::move(call);
  }
  void cancel() {
    Call call;
    {
      const std::lock_guard lock(mutex_);
      call = call_;
    }
    call.cancel();
  }
  void on_prompt(std::span<const Token> prompt) override { out_->on_prompt(prompt); }
  void on_delta(Delta delta) override { out_->on_delta(std::move(delta)); }
  bool full() const override { return out_->full(); }
  void on_finish(Finish finish) override {
    const bool again = finish.reason == FinishReason::refused && !left_.empty() &&
                       (finish.error->code() == Errc::busy || finish.error->code() == Errc::unavailable);
    if (again) return next();
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      call_ = {};
    }
    out_->on_finish(std::move(finish));
  }

 private:
  Request request_;
  std::shared_ptr<Sink> out_;
  std::vector<EndpointRef> left_;
  std::mutex mutex_{};
  Call call_{};
  bool over_ = false;
};

Fleet::Fleet(const std::vector<Endpoint*>& members) {
  for (Endpoint* member : members) members_.emplace_back(*member);
}

std::vector<EndpointRef> Fleet::by_load() const {
  std::vector<std::pair<std::uint32_t, EndpointRef>> order;
  for (const EndpointRef& member : members_) {
    const EndpointRef::Visit visit = member.enter();
    const Load load = visit ? visit->load() : Load{.accepting = false};
    order.emplace_back(load.accepting ? load.running.value_or(0) + load.waiting.value_or(0) : ~0U, member);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<EndpointRef> out;
  for (const auto& entry : order) out.push_back(entry.second);
  return out;
}

Call Fleet::start(Request request, std::shared_ptr<Sink> sink) {
  auto retrying = std::make_shared<Retrying>(std::move(request), std::move(sink), by_load());
  retrying->next();
  return Call([weak = std::weak_ptr(retrying)] {
    if (const auto it = weak.lock()) it->cancel();
  });
}

Progress Fleet::step() {
  Progress said = Progress::idle;
  for (const EndpointRef& member : members_) {
    const EndpointRef::Visit visit = member.enter();
    said = visit ? std::min(said, visit->step()) : said;  // worked before elsewhere before waiting before idle
  }
  return said;
}

void Fleet::watch(Waker& waker, bool every_step) {
  for (const EndpointRef& member : members_)
    if (const EndpointRef::Visit visit = member.enter()) visit->watch(waker, every_step);
}

void Fleet::unwatch(Waker& waker) {
  for (const EndpointRef& member : members_)
    if (const EndpointRef::Visit visit = member.enter()) visit->unwatch(waker);
}

void Fleet::wake() {
  for (const EndpointRef& member : members_)
    if (const EndpointRef::Visit visit = member.enter()) visit->wake();
}

std::optional<TimePoint> Fleet::next_deadline() const {
  std::optional<TimePoint> first;
  for (const EndpointRef& member : members_)
    if (const EndpointRef::Visit visit = member.enter()) first = earlier(first, visit->next_deadline());
  return first;
}

Load Fleet::load() const {
  Load sum{.running = 0, .waiting = 0, .free_tokens = {}, .accepting = false};
  for (const EndpointRef& member : members_) {
    const EndpointRef::Visit visit = member.enter();
    if (!visit) continue;
    const Load load = visit->load();
    *sum.running += load.running.value_or(0);
    *sum.waiting += load.waiting.value_or(0);
    sum.accepting |= load.accepting;
  }
  return sum;
}

std::vector<std::string> Fleet::may_answer(std::string_view model) const {
  std::vector<std::string> all;
  for (const EndpointRef& member : members_)
    if (const EndpointRef::Visit visit = member.enter())
      for (std::string& name : visit->may_answer(model)) all.push_back(std::move(name));
  return all;
}

namespace {

class Marking final : public Sink {
 public:
  Marking(std::shared_ptr<Sink> out, std::string mark) : out_(std::move(out)), mark_(std::move(mark)) {}
  void on_prompt(std::span<const Token> prompt) override { out_->on_prompt(prompt); }
  void on_delta(Delta delta) override { out_->on_delta(std::move(delta)); }
  void on_finish(Finish finish) override {
    finish.detail = mark_;
    out_->on_finish(std::move(finish));
  }
  bool full() const override { return out_->full(); }

 private:
  std::shared_ptr<Sink> out_;
  std::string mark_;
};

}  // namespace

Call Labelled::start(Request request, std::shared_ptr<Sink> sink) {
  request.labels.emplace_back("label", label_);
  return EndpointWrapper::start(std::move(request), std::make_shared<Marking>(std::move(sink), label_));
}

}  // namespace stranger
