// How reports write figures and name things.
#pragma once

#include <frugal/advise/advisor.hpp>
#include <frugal/advise/outcome.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::advisor {

std::string percent(double share);         ///< "12 %", "1.3 %"
std::string number(double value);          ///< three significant digits at least, no exponent
std::string count(std::uint64_t value);    ///< "1,234,567"
std::string milliseconds_text(double ms);  ///< "12.3 ms", "1.23 s", "2.1 min"
/// Dollars, or units of an input token where the prices are relative.
std::string money(double value, bool relative);
/// The cost of a slice: "unknown" where nothing in it has a price, with a "+" after it where something has none.
std::string cost_text(const SliceStats& slice, bool relative);
std::string span_text(double seconds);                ///< "3.2 h"
std::string interval_text(const Interval& interval);  ///< "62 % (58 % to 66 %)"
/// "61.2 ms", "-" where there is none, "61.2 ms*" where n is too small.
std::string percentile_text(const Sketch& sketch, double q);
/// "the bill", "the wait for the first token", "the time to the whole answer"
std::string_view spoken(Metric metric);
std::string_view spoken(Bound bound);
/// "as predicted", or in which direction not; empty where nothing was predicted.
std::string_view verdict(const Change& change);
/// "refund", "refund and shipping", "refund, shipping and 3 more"
std::string list_of(const std::vector<std::string>& names);

/// Who owns how many tokens of a slice, in a fixed order; owners of nothing as well. The prompt is split by usage, the
/// answer by the token ledgers, and what no ledger tells of is one owner more.
struct OwnedTokens {
  std::string_view owner;
  std::uint64_t tokens = 0;
};
std::vector<OwnedTokens> owned_tokens(const SliceStats& slice);

/// "the prompts of chat share 960 tokens, 64 short of the 1,024 ..."
std::string short_prefix_text(const ShortPrefix& prefix);

/// What a lever that is at work did, from the ledgers of the trace.
struct LeverAtWork {
  std::string name, text;
};
std::vector<LeverAtWork> levers_at_work(const Workload& workload);

}  // namespace frugal::advisor
