#include <frugal/policy/output.hpp>

#include "policy/wrapped.hpp"

#include <algorithm>
#include <utility>

namespace frugal {

OutputPolicy::~OutputPolicy() = default;

namespace {

class MaxTokens final : public OutputPolicy {
 public:
  explicit MaxTokens(std::uint32_t n) : n_(n) {}
  std::string_view name() const override { return "max_tokens"; }
  std::uint32_t budget(const RequestView&) override { return n_; }
  std::optional<Stop> after(const SequenceView&) override { return std::nullopt; }  // the engine keeps the budget

 private:
  std::uint32_t n_;
};

class StopOn final : public OutputPolicy {
 public:
  explicit StopOn(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (const std::string& text : texts_)
      if (text.empty()) throw Error(Errc::invalid_argument, "stop_on: an empty text is in every answer");
  }
  std::string_view name() const override { return "stop_on"; }
  std::uint32_t budget(const RequestView&) override { return 0; }
  std::optional<Stop> after(const SequenceView& sequence) override {
    const auto found = [&](const std::string& text) { return ends_in_new_part(sequence, text); };
    if (std::ranges::none_of(texts_, found)) return std::nullopt;
    return Stop{.policy = "stop_on"};
  }

 private:
  // Older text was looked at when it was new: only a match that ends within the newest bytes can be one.
  static bool ends_in_new_part(const SequenceView& sequence, std::string_view wanted) {
    const std::size_t fresh = std::min(sequence.new_text, sequence.text.size());
    if (fresh == 0) return false;
    const std::size_t reach = std::min(sequence.text.size(), fresh + wanted.size() - 1);
    return sequence.text.substr(sequence.text.size() - reach).find(wanted) != std::string_view::npos;
  }

  std::vector<std::string> texts_;
};

class FirstOf final : public OutputPolicy {
 public:
  explicit FirstOf(std::vector<std::shared_ptr<OutputPolicy>> policies) : policies_(std::move(policies)) {
    if (policies_.empty()) throw Error(Errc::invalid_argument, "first_of: nothing to ask");
    for (const auto& policy : policies_) present(policy, "first_of");
  }
  std::string_view name() const override { return "first_of"; }
  std::uint32_t budget(const RequestView& request) override {
    for (const auto& policy : policies_)
      if (const std::uint32_t tokens = policy->budget(request)) return tokens;
    return 0;
  }
  std::optional<Stop> after(const SequenceView& sequence) override {
    for (const auto& policy : policies_)
      if (std::optional<Stop> stop = policy->after(sequence)) return stop;
    return std::nullopt;
  }
  void ended(const SequenceView& sequence, const AnswerOutcome& outcome) override {
    for (const auto& policy : policies_) policy->ended(sequence, outcome);
  }

 private:
  std::vector<std::shared_ptr<OutputPolicy>> policies_;
};

class When final : public OutputPolicy {
 public:
  When(std::function<bool(const RequestView&)> predicate, std::shared_ptr<OutputPolicy> inner)
      : predicate_(std::move(predicate)), inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  std::uint32_t budget(const RequestView& request) override {
    return predicate_(request) ? inner_->budget(request) : 0;
  }
  std::optional<Stop> after(const SequenceView& sequence) override {
    return predicate_(sequence.request) ? inner_->after(sequence) : std::nullopt;
  }
  void ended(const SequenceView& sequence, const AnswerOutcome& outcome) override {
    if (predicate_(sequence.request)) inner_->ended(sequence, outcome);
  }

 private:
  std::function<bool(const RequestView&)> predicate_;
  std::shared_ptr<OutputPolicy> inner_;
};

class Limited final : public OutputPolicy {
 public:
  Limited(std::shared_ptr<OutputPolicy> inner, std::uint32_t most) : inner_(std::move(inner)), most_(most) {}
  std::string_view name() const override { return inner_->name(); }
  std::uint32_t budget(const RequestView& request) override {
    const std::uint32_t tokens = inner_->budget(request);
    return tokens == 0 ? most_ : std::min(tokens, most_);
  }
  std::optional<Stop> after(const SequenceView& sequence) override { return inner_->after(sequence); }
  void ended(const SequenceView& sequence, const AnswerOutcome& outcome) override { inner_->ended(sequence, outcome); }

 private:
  std::shared_ptr<OutputPolicy> inner_;
  std::uint32_t most_;
};

}  // namespace

std::shared_ptr<OutputPolicy> max_tokens(std::uint32_t n) {
  if (n == 0)
    throw Error(Errc::invalid_argument, "max_tokens: the limit must be at least 1; leave the policy out for no limit");
  return std::make_shared<MaxTokens>(n);
}

std::shared_ptr<OutputPolicy> stop_on(std::vector<std::string> texts) {
  return std::make_shared<StopOn>(std::move(texts));
}

std::shared_ptr<OutputPolicy> first_of(std::vector<std::shared_ptr<OutputPolicy>> policies) {
  return std::make_shared<FirstOf>(std::move(policies));
}

std::shared_ptr<OutputPolicy> when(std::function<bool(const RequestView&)> predicate,
                                   std::shared_ptr<OutputPolicy> inner) {
  return std::make_shared<When>(present(std::move(predicate), "when"), present(std::move(inner), "when"));
}

std::shared_ptr<OutputPolicy> for_type(std::string type, std::shared_ptr<OutputPolicy> inner) {
  return when([type = std::move(type)](const RequestView& request) { return request.type == type; }, std::move(inner));
}

std::shared_ptr<OutputPolicy> limited(std::shared_ptr<OutputPolicy> inner, std::uint32_t most) {
  if (most == 0) throw Error(Errc::invalid_argument, "limited: the limit must be at least 1");
  return std::make_shared<Limited>(present(std::move(inner), "limited"), most);
}

}  // namespace frugal
