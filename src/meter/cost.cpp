// The arithmetic of a bill.
#include <frugal/meter/price_book.hpp>

#include <cmath>
#include <string>

namespace frugal {
namespace {

expected<void> check(const Usage& u, const PriceQuery& query) {
  const auto bad = [](const char* what) { return unexpected(Errc::invalid_argument, std::string("usage: ") + what); };
  if (u.cached_read > u.input || u.cache_write > u.input - u.cached_read)
    return bad("cached_read and cache_write are together more than input");
  if (u.reasoning > u.output) return bad("reasoning is more than output");
  if (u.cache_write_1h > u.cache_write) return bad("cache_write_1h is more than cache_write");
  if (!(query.storage_token_hours >= 0) || !std::isfinite(query.storage_token_hours))
    return bad("PriceQuery::storage_token_hours is not a finite positive number");
  return {};
}

using Rate = std::optional<double>;
const Rate& first_known(const Rate& a, const Rate& b) { return a ? a : b; }

// Millions of `amount` at a rate. Nothing of something without a price costs nothing.
struct Bill {
  std::string missing;
  double operator()(double amount, const Rate& rate, const char* what) {
    if (amount == 0) return 0;
    if (!rate) return missing = what, 0;
    return amount * *rate / 1e6;
  }
};

}  // namespace

Cost& Cost::operator+=(const Cost& o) {
  input += o.input, cached_read += o.cached_read, cache_write += o.cache_write, output += o.output;
  reasoning += o.reasoning, call += o.call, storage += o.storage;
  return *this;
}

expected<Cost> cost_of(const Usage& usage, const Rates& rates, const PriceQuery& query) {
  if (const expected<void> valid = check(usage, query); !valid) return unexpected(valid.error());
  Bill bill;
  const auto tokens = [](std::uint64_t n) { return static_cast<double>(n); };
  const Rate& write = first_known(rates.cache_write, rates.input);
  Cost cost;
  cost.input = bill(tokens(usage.input - usage.cached_read - usage.cache_write), rates.input, "input tokens");
  cost.cached_read = bill(tokens(usage.cached_read), first_known(rates.cached_read, rates.input), "cached tokens");
  cost.cache_write = bill(tokens(usage.cache_write - usage.cache_write_1h), write, "cache writes") +
                     bill(tokens(usage.cache_write_1h), first_known(rates.cache_write_1h, write), "cache writes");
  cost.output = bill(tokens(usage.output - usage.reasoning), rates.output, "output tokens");
  cost.reasoning = bill(tokens(usage.reasoning), first_known(rates.reasoning, rates.output), "reasoning tokens");
  cost.storage = bill(query.storage_token_hours, rates.storage, "cache storage");
  cost.call = rates.call.value_or(0);
  if (!bill.missing.empty()) return unexpected(Errc::unavailable, "no price for " + bill.missing);
  return cost;
}

expected<Rates> self_hosted(const MachineUse& use) {
  const auto usable = [](double x) { return std::isfinite(x) && x >= 0; };
  if (!usable(use.usd_per_hour) || !usable(use.prefill_seconds) || !usable(use.decode_seconds))
    return unexpected(Errc::invalid_argument, "MachineUse: money and seconds must be finite and not negative");
  if (!(use.busy > 0) || use.busy > 1) return unexpected(Errc::invalid_argument, "MachineUse::busy is not in (0, 1]");
  const double usd_per_second = use.usd_per_hour / 3600 / use.busy;
  const auto per_million = [&](double seconds, std::uint64_t tokens) {
    return tokens == 0 ? Rate{} : Rate{usd_per_second * seconds / static_cast<double>(tokens) * 1e6};
  };
  Rates rates;
  rates.input = per_million(use.prefill_seconds, use.prefill_tokens);
  rates.output = per_million(use.decode_seconds, use.decode_tokens);
  rates.cached_read = 0;
  return rates;
}

expected<Priced> price(const PriceBook& book, const PriceRules& rules, std::string_view model, const Usage& usage,
                       const PriceQuery& query) {
  const expected<Cost> known = book.cost(model, usage, query);
  if (known) return Priced{.cost = *known};
  if (known.error().code() != Errc::unavailable || rules.unknown == UnknownPrice::fail)
    return unexpected(known.error());
  if (rules.unknown == UnknownPrice::warn) return Priced{.warning = known.error().message()};
  const expected<Cost> assumed = cost_of(usage, rules.assumed ? *rules.assumed : book.dearest(query), query);
  if (!assumed) return unexpected(assumed.error());
  return Priced{*assumed, true, known.error().message() + ": assumed"};
}

}  // namespace frugal
