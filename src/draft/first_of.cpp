#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>

#include <utility>

namespace frugal {
namespace {

// Each learns only when it is asked, so what stands behind a good drafter costs no time.
class FirstIdea final : public Drafting {
 public:
  explicit FirstIdea(std::vector<std::unique_ptr<Drafting>> inner) {
    for (auto& drafting : inner) inner_.push_back({std::move(drafting), 0});
  }
  void learn(std::span<const Token> accepted) override { text_.insert(text_.end(), accepted.begin(), accepted.end()); }
  void propose(std::uint32_t most, std::vector<Token>& out) override {
    const std::size_t before = out.size();
    for (Inner& inner : inner_) {
      if (inner.learned < text_.size()) inner.drafting->learn(std::span(text_).subspan(inner.learned));
      inner.learned = text_.size();
      inner.drafting->propose(most, out);
      if (out.size() > before) return;
    }
  }

 private:
  struct Inner {
    std::unique_ptr<Drafting> drafting;
    std::size_t learned;
  };
  std::vector<Inner> inner_;
  std::vector<Token> text_;
};

class FirstOf final : public Drafter {
 public:
  explicit FirstOf(std::vector<std::shared_ptr<Drafter>> drafters) : drafters_(std::move(drafters)) {
    if (drafters_.empty()) throw Error(Errc::invalid_argument, "first_of: nothing to ask");
    for (const auto& drafter : drafters_)
      if (!drafter) throw Error(Errc::invalid_argument, "first_of: nothing to ask");
  }
  std::string_view name() const override { return "first_of"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    std::vector<std::unique_ptr<Drafting>> inner;
    for (const auto& drafter : drafters_)
      if (auto drafting = drafter->open(request)) inner.push_back(std::move(drafting));
    return inner.empty() ? nullptr : std::make_unique<FirstIdea>(std::move(inner));
  }
  void finished(const SequenceView& sequence) override {
    for (const auto& drafter : drafters_) drafter->finished(sequence);
  }

 private:
  std::vector<std::shared_ptr<Drafter>> drafters_;
};

}  // namespace

std::shared_ptr<Drafter> first_of(std::vector<std::shared_ptr<Drafter>> drafters) {
  return std::make_shared<FirstOf>(std::move(drafters));
}

}  // namespace frugal
