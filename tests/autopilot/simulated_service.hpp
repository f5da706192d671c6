// A made service: the last tier is right; the small one has a margin that tells how likely it is right, until it drifts.
#pragma once

#include <frugal/calibrate/outcomes.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

namespace frugal::testing {

/// Answers inside start(), with what `answer` says to the request's text.
class InstantTier final : public Endpoint {
 public:
  struct Said {
    std::string text;
    float margin = 1;
    FinishReason reason = FinishReason::stop;
  };
  InstantTier(std::string name, double seconds, std::function<Said(const Request&)> answer)
      : name_(std::move(name)), seconds_(seconds), answer_(std::move(answer)) {}
  std::string_view name() const override { return name_; }
  Progress step() override { return Progress::idle; }
  std::vector<std::string> may_answer(std::string_view model) const override {
    return model.empty() || model == name_ ? std::vector<std::string>{name_} : std::vector<std::string>();
  }
  Call start(Request request, std::shared_ptr<Sink> sink) override {
    ++calls;
    last_priority = request.priority;
    const Said said = answer_(request);
    Finish end;
    end.reason = said.reason;
    if (said.reason == FinishReason::error) end.error = Error(Errc::internal, name_ + " is broken");
    end.model = name_;
    end.id = request.id;
    end.usage = {.input = 10, .output = 1};
    TokenLedger tokens;
    tokens.prompt_computed = 10, tokens.decoded = 1;
    end.ledger.attempts.push_back({name_, name_, end.usage, tokens});
    end.timing.e2e = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_));
    Delta delta{said.text, {0}, {}};
    if (request.scores) delta.scores.push_back({0, -0.1F, said.margin, {}});
    if (said.reason == FinishReason::stop) sink->on_delta(std::move(delta));
    sink->on_finish(std::move(end));
    return {};
  }

  std::uint64_t calls = 0;
  std::int32_t last_priority = 0;

 private:
  std::string name_;
  double seconds_;
  std::function<Said(const Request&)> answer_;
};

/// P(right) of the small tier is 0.4 + 0.6 * margin, less `drift`; the margin is even in [0, 1].
struct SimulatedService {
  explicit SimulatedService(std::uint64_t seed) : random(seed) {}

  std::mt19937_64 random;
  double drift = 0;
  double margin = 0;
  bool right = true;
  std::string truth = "west", other = "left";  // alike in length and letters: only the margin tells
  bool big_fails = false;
  InstantTier small{"small", 0.1, [this](const Request&) {
                      return InstantTier::Said{right ? truth : other, static_cast<float>(margin)};
                    }};
  InstantTier big{"big", 1.0, [this](const Request&) {
                    return InstantTier::Said{truth, 1, big_fails ? FinishReason::error : FinishReason::stop};
                  }};

  /// What the next request will meet.
  void draw() {
    std::uniform_real_distribution<double> uniform;
    margin = uniform(random);
    right = uniform(random) < 0.4 + 0.6 * margin - drift;
    if (random() % 2 == 0) std::swap(truth, other);
  }
  Request next() {
    draw();
    Request request{Chat{.messages = {{.role = "user", .content = "Where is it, left or west?"}}}};
    request.type = "question";
    return request;
  }
};

}  // namespace frugal::testing
