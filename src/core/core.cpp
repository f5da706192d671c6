// The few out-of-line pieces of the vocabulary: names of enumerators, sums, and the virtual destructors that anchor
// vtables.
#include <frugal/core/clock.hpp>
#include <frugal/core/constraint.hpp>
#include <frugal/core/error.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/json_schema_source.hpp>
#include <frugal/core/ledger_fields.hpp>
#include <frugal/version.hpp>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace frugal {

Version version() noexcept { return header_version; }

Error::~Error() = default;
Clock::~Clock() = default;
std::chrono::sys_time<Duration> Clock::wall_now() const { return std::chrono::system_clock::now(); }
std::chrono::sys_seconds Clock::calendar_now() const { return std::chrono::floor<std::chrono::seconds>(wall_now()); }
Constraint::~Constraint() = default;
ConstraintSource::~ConstraintSource() = default;
JsonSchemaSource::~JsonSchemaSource() = default;

void Constraint::forced(std::size_t /*most*/, std::vector<Token>& /*out*/) {}
std::optional<DocumentVerdict> Constraint::judge() { return std::nullopt; }
bool Constraint::closes(std::size_t /*most*/, std::vector<Token>* /*way*/) { return false; }

void Constraint::closing_mask(std::size_t most, std::span<std::uint32_t> words) {
  if (most == 0) return std::fill(words.begin(), words.end(), 0U);
  mask(words);
  const bool may_end = state() != ConstraintState::open;
  for (std::size_t t = 0; t < words.size() * 32; ++t) {
    const std::uint32_t bit = std::uint32_t{1} << (t % 32);
    if ((words[t / 32] & bit) == 0) continue;
    if (advance(static_cast<Token>(t))) {
      if (!closes(most - 1, nullptr)) words[t / 32] &= ~bit;
      rollback(1);
    } else if (!may_end) {  // what is allowed and not taken is an end token
      words[t / 32] &= ~bit;
    }
  }
}

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::bad_file:
      return "bad_file";
    case Errc::bad_model:
      return "bad_model";
    case Errc::unsupported:
      return "unsupported";
    case Errc::too_large:
      return "too_large";
    case Errc::out_of_memory:
      return "out_of_memory";
    case Errc::busy:
      return "busy";
    case Errc::device:
      return "device";
    case Errc::policy:
      return "policy";
    case Errc::unavailable:
      return "unavailable";
    case Errc::cancelled:
      return "cancelled";
    case Errc::internal:
      return "internal";
    case Errc::over_budget:
      return "over_budget";
    case Errc::denied:
      return "denied";
  }
  return "unknown";
}

bool is_retryable(Errc code) noexcept {
  return code == Errc::busy || code == Errc::device || code == Errc::out_of_memory;
}

std::string_view to_string(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::capped:
      return "capped";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::deadline:
      return "deadline";
    case FinishReason::refused:
      return "refused";
    case FinishReason::error:
      return "error";
  }
  return "unknown";
}

void Answer::add(Delta delta) {
  if (delta.revises) *this = {};
  text += delta.text;
  reasoning += delta.reasoning;
  tokens.insert(tokens.end(), delta.tokens.begin(), delta.tokens.end());
  std::move(delta.scores.begin(), delta.scores.end(), std::back_inserter(scores));
}

const Clock& steady_clock() noexcept {
  struct Steady final : Clock {
    TimePoint now() const override { return std::chrono::steady_clock::now(); }
  };
  static const Steady clock;
  return clock;
}

namespace {

std::uint64_t capped_sum(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  return b > most - a ? most : a + b;
}

Duration capped_sum(Duration a, Duration b) {
  if (b > Duration{} && a > Duration::max() - b) return Duration::max();
  if (b < Duration{} && a < Duration::min() - b) return Duration::min();
  return a + b;
}

std::vector<std::uint64_t> capped_sum(std::vector<std::uint64_t> sum, const std::vector<std::uint64_t>& more) {
  if (sum.size() < more.size()) sum.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) sum[i] = capped_sum(sum[i], more[i]);
  return sum;
}

template <class L>
L& add_fields(L& sum, const L& more) {
  for_each_field<L>(
      [&](const LedgerField&, auto member) { sum.*member = capped_sum(std::move(sum.*member), more.*member); });
  return sum;
}

bool adds_up(const Usage& u) {
  return u.cached_read <= u.input && u.cache_write <= u.input - u.cached_read && u.cache_write_1h <= u.cache_write &&
         u.reasoning <= u.output;
}

bool adds_up(const Attempt& a) {
  if (!adds_up(a.usage)) return false;
  if (!a.tokens) return true;
  const TokenLedger& t = *a.tokens;
  if (t.prompt_computed + t.prompt_cached != a.usage.input || t.prompt_cached != a.usage.cached_read) return false;
  if (t.decoded + t.accepted + t.forced != a.usage.output) return false;
  const DraftLedger& d = a.drafts;
  return d.accepted <= d.verified && d.verified <= d.drafted && d.wasted() == t.wasted_drafts;
}

}  // namespace

Usage& Usage::operator+=(const Usage& o) { return add_fields(*this, o); }
TokenLedger& TokenLedger::operator+=(const TokenLedger& o) { return add_fields(*this, o); }
DraftLedger& DraftLedger::operator+=(const DraftLedger& o) { return add_fields(*this, o); }

TokenLedger Ledger::total() const {
  TokenLedger sum;
  for (const Attempt& a : attempts)
    if (a.tokens) sum += *a.tokens;
  return sum;
}

DraftLedger Ledger::drafts() const {
  DraftLedger sum;
  for (const Attempt& a : attempts) sum += a.drafts;
  return sum;
}

Usage Ledger::usage() const {
  Usage sum;
  for (const Attempt& a : attempts) sum += a.usage;
  return sum;
}

bool Ledger::consistent() const {
  return std::all_of(attempts.begin(), attempts.end(), [](const Attempt& a) { return adds_up(a); });
}

}  // namespace frugal
