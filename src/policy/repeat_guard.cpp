// repeat_guard: is the answer's tail a block of p tokens, r times over? Looked at from the end only: for each period p
// the newest tokens are compared with those p before them, and in text that does not loop the first comparison nearly
// always fails.
#include <frugal/core/error.hpp>
#include <frugal/policy/output.hpp>

#include <algorithm>
#include <utility>

namespace frugal {
namespace {

class RepeatGuard final : public OutputPolicy {
 public:
  explicit RepeatGuard(RepeatGuardOptions options) : options_(options) {
    if (options_.max_period == 0) throw Error(Errc::invalid_argument, "repeat_guard: max_period is 0");
    if (options_.repeats < 2) throw Error(Errc::invalid_argument, "repeat_guard: repeats must be at least 2");
  }
  std::string_view name() const override { return "repeat_guard"; }
  std::uint32_t budget(const RequestView&) override { return 0; }
  std::optional<Stop> after(const SequenceView& sequence) override {
    for (std::size_t period = 1; period <= options_.max_period; ++period) {
      const std::size_t copies = copies_needed(period);
      if (copies * period > sequence.output.size()) continue;
      if (!loops(sequence.output.last(copies * period), period)) continue;
      const std::size_t cut = options_.trim ? copies * period - period : 0;
      return Stop{.policy = "repeat_guard", .trim_tokens = static_cast<std::uint32_t>(cut)};
    }
    return std::nullopt;
  }

 private:
  // At least `repeats`, and enough to reach min_tokens.
  std::size_t copies_needed(std::size_t period) const {
    return std::max<std::size_t>(options_.repeats, (options_.min_tokens + period - 1) / period);
  }
  static bool loops(std::span<const Token> tail, std::size_t period) {
    return std::equal(tail.rbegin(), tail.rend() - static_cast<std::ptrdiff_t>(period),
                      tail.rbegin() + static_cast<std::ptrdiff_t>(period));
  }

  RepeatGuardOptions options_;
};

}  // namespace

std::shared_ptr<OutputPolicy> repeat_guard(RepeatGuardOptions options) {
  return std::make_shared<RepeatGuard>(options);
}

}  // namespace frugal
