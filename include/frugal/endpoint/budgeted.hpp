// Budgeted: an endpoint that spends within a Budget. Before a request starts it reserves the most the request may cost;
// when it ends, however it ends, it settles what its tokens cost. What does not fit is refused with
// Errc::over_budget.
//
// The reservation is the price of the prompt plus that of the longest answer, of the most expensive model that may
// answer (Endpoint::may_answer); each further attempt of a cascade is reserved for when it begins, and where that does not
// fit, the cascade gives the best answer it has. The prompt's length is exact where the
// endpoint tells it (Sink::on_prompt); before that, and for remote endpoints, it is estimated from the text. Where
// prices change with the hour or the day, both are the highest ones that hold at any time while the request may run:
// until its deadline, or whenever where it has none. The bill is settled at the highest price that held while it did
// run, because some providers bill by the beginning and some by the end.
//
// Threads: as the inner endpoint. Cost: a price and two locks a request.
#pragma once

#include <frugal/config.hpp>
#include <frugal/endpoint/wrapper.hpp>
#include <frugal/meter/budget.hpp>
#include <frugal/meter/price_book.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace frugal {

struct BudgetedOptions {
  PriceBook prices = PriceBook::built_in();
  PriceRules price_rules{};       ///< `fail` refuses what has no price; `warn` lets it pass for nothing
  std::string model{};            ///< whose price, where a request names no model
  std::string service_tier{};     ///< of this endpoint's calls
  bool batch = false;             ///< likewise
  std::uint32_t most_output = 0;  ///< tokens assumed for a request without max_tokens; 0 = such a request is refused
  double tokens_per_byte = 1;     ///< of prompt text: 1 is never too low for a byte-level vocabulary, 0.3 is usual
  std::uint32_t tokens_per_message = 16;             ///< what a chat template adds to each
  Duration past_deadline = std::chrono::minutes(1);  ///< a request may end, and be billed, so much after its deadline
  std::function<std::chrono::sys_seconds()> now{};   ///< UTC, for prices; null = clock's wall_now()
  const Clock* clock = nullptr;                      ///< deadlines, dates of prices; null = the steady clock
};

class FRUGAL_API Budgeted final : public EndpointWrapper {
 public:
  /// Both are lent. The budget outlives every request that was started through this; this itself need not.
  Budgeted(Endpoint& inner, Budget& budget, BudgetedOptions options = {});
  ~Budgeted() override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;

 private:
  struct Spending;
  Budget& budget_;
  std::shared_ptr<const BudgetedOptions> options_;  // shared with the requests that run
};

}  // namespace frugal
