// The few out-of-line pieces of the vocabulary: names of enumerators, sums, and the virtual destructors that anchor
// vtables.
#include <frugal/core/clock.hpp>
#include <frugal/core/constraint.hpp>
#include <frugal/core/error.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/ledger.hpp>
#include <frugal/version.hpp>

namespace frugal {

Version version() noexcept { return header_version; }

Error::~Error() = default;
Clock::~Clock() = default;
Constraint::~Constraint() = default;
ConstraintSource::~ConstraintSource() = default;

void Constraint::forced(std::size_t /*most*/, std::vector<Token>& /*out*/) {}

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

const Clock& steady_clock() noexcept {
  struct Steady final : Clock {
    TimePoint now() const override { return std::chrono::steady_clock::now(); }
  };
  static const Steady clock;
  return clock;
}

TokenLedger& TokenLedger::operator+=(const TokenLedger& o) {
  prompt_computed += o.prompt_computed, prompt_cached += o.prompt_cached;
  decoded += o.decoded, accepted += o.accepted, forced += o.forced;
  wasted_drafts += o.wasted_drafts, recomputed += o.recomputed, trimmed += o.trimmed, avoided += o.avoided;
  passes += o.passes, rows += o.rows;
  return *this;
}

namespace {

void add_each(std::vector<std::uint64_t>& sum, const std::vector<std::uint64_t>& more) {
  if (sum.size() < more.size()) sum.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) sum[i] += more[i];
}

}  // namespace

DraftLedger& DraftLedger::operator+=(const DraftLedger& o) {
  drafted += o.drafted, verified += o.verified, accepted += o.accepted, wasted += o.wasted;
  passes += o.passes, catch_up += o.catch_up;
  add_each(verified_at, o.verified_at);
  add_each(accepted_at, o.accepted_at);
  draft_time += o.draft_time, catch_up_time += o.catch_up_time, verify_time += o.verify_time, saved += o.saved;
  return *this;
}

TokenLedger Ledger::total() const {
  TokenLedger sum;
  for (const Attempt& a : attempts) sum += a.tokens;
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
  for (const Attempt& a : attempts) {
    const TokenLedger& t = a.tokens;
    if (t.prompt_computed + t.prompt_cached != a.usage.input) return false;
    if (t.prompt_cached != a.usage.cached_read) return false;
    if (t.decoded + t.accepted + t.forced != a.usage.output) return false;
    const DraftLedger& d = a.drafts;
    if (d.accepted > d.verified || d.accepted + d.wasted != d.drafted || d.wasted != t.wasted_drafts) return false;
  }
  return true;
}

}  // namespace frugal
