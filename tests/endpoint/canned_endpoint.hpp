// CannedEndpoint: answers from a list, a delta per drive, so that tests of composites need no engine.
#pragma once

#include <frugal/endpoint/endpoint.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/manual_clock.hpp"

namespace frugal::testing {

struct CannedAnswer {
  std::vector<std::string> pieces;
  float margin = 1.0F;
  FinishReason reason = FinishReason::stop;
  std::uint64_t prompt_tokens = 10;
};

class CannedEndpoint final : public Endpoint {
 public:
  CannedEndpoint(std::string name, CannedAnswer answer) : name_(std::move(name)), answer_(std::move(answer)) {}
  std::string_view name() const override { return name_; }

  Call start(Request request, std::shared_ptr<Sink> sink) override {
    requests.push_back(request);
    auto job = std::make_shared<Job>(Job{std::move(sink), request.scores});
    if (answer_.reason == FinishReason::refused) {
      finish(*job, FinishReason::refused);
      return {};
    }
    jobs_.push_back(job);
    return Call([job] { job->cancelled = true; });
  }

  Progress step() override {
    if (jobs_.empty()) return Progress::idle;
    const std::shared_ptr<Job> job = jobs_.front();
    jobs_.pop_front();
    if (job->cancelled || job->next == answer_.pieces.size()) {
      finish(*job, job->cancelled ? FinishReason::cancelled : answer_.reason);
      return Progress::worked;
    }
    Delta delta{answer_.pieces[job->next], {static_cast<Token>(job->next)}, {}};
    if (job->scores) delta.scores.push_back({static_cast<Token>(job->next), -0.1F, answer_.margin, {}});
    ++job->next;
    job->sink->on_delta(std::move(delta));
    jobs_.push_back(job);
    return Progress::worked;
  }

  std::vector<Request> requests;
  std::function<void(Usage&)> usage{};  ///< changes what is reported
  ManualClock* clock = nullptr;         ///< moves by 5 ms with every answer

 private:
  struct Job {
    std::shared_ptr<Sink> sink;
    bool scores = false;
    std::size_t next = 0;
    bool cancelled = false;
  };
  void finish(const Job& job, FinishReason reason) const {
    Finish end;
    end.reason = reason;
    end.model = name_;
    if (reason == FinishReason::refused) {
      end.error = Error(Errc::busy, name_ + " is full");
    } else {
      end.usage = {.input = answer_.prompt_tokens, .output = job.next};
      if (usage) usage(end.usage);
    }
    TokenLedger tokens;
    tokens.prompt_computed = end.usage.input, tokens.decoded = end.usage.output;
    end.ledger.attempts.push_back({name_, name_, end.usage, tokens});
    end.timing.e2e = std::chrono::milliseconds(5);
    if (clock != nullptr) clock->advance(end.timing.e2e);
    job.sink->on_finish(end);
  }

  std::string name_;
  CannedAnswer answer_;
  std::deque<std::shared_ptr<Job>> jobs_;
};

}  // namespace frugal::testing
