// One Spending per request: it holds the reservation until the answer has ended.
#include <frugal/endpoint/budgeted.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "core/caught.hpp"
#include "endpoint/guarded_sink.hpp"
#include "endpoint/refusal.hpp"

namespace frugal {
namespace {

struct PromptSize {
  const BudgetedOptions& options;
  double operator()(const TokenPrompt& p) const { return static_cast<double>(p.tokens.size()); }
  double operator()(const RawPrompt& p) const { return bytes(p.text); }
  double operator()(const Chat& chat) const {
    double sum = bytes(chat.tools) + bytes(chat.variables) + options.tokens_per_message;  // the header of the answer
    for (const Message& m : chat.messages) {
      sum += bytes(m.role) + bytes(m.content) + bytes(m.name) + options.tokens_per_message;
      sum += bytes(m.reasoning) + bytes(m.extra);
      for (const std::string& part : m.parts) sum += bytes(part);
      for (const ToolCall& call : m.tool_calls)
        sum += bytes(call.name) + bytes(call.arguments) + bytes(call.id) + bytes(call.extra);
    }
    return sum;
  }
  double bytes(const std::string& text) const { return static_cast<double>(text.size()) * options.tokens_per_byte; }
};

std::uint64_t most_prompt_tokens(const Request& request, const BudgetedOptions& options) {
  return static_cast<std::uint64_t>(std::ceil(std::visit(PromptSize{options}, request.prompt)));
}

// Zero where it has passed, at most a century.
Duration left_until(TimePoint deadline, TimePoint now) {
  constexpr Duration century = std::chrono::hours(24 * 36525);
  if (deadline <= now) return Duration{};
  Duration::rep left = 0;
  if (__builtin_sub_overflow(deadline.time_since_epoch().count(), now.time_since_epoch().count(), &left))
    return century;
  return std::min(Duration(left), century);
}

// A budget that is used up is no queue: asking again later is not the cure.
Error over_budget(const Error& error) {
  return error.code() == Errc::busy ? Error(Errc::over_budget, error.message()) : error;
}

}  // namespace

struct Budgeted::Spending final : Sink {
  Spending(std::shared_ptr<const BudgetedOptions> o, const Request& r, const std::vector<std::string>& may_answer,
           std::shared_ptr<Sink> s)
      : shared(std::move(o)),
        options(*shared),
        model(r.model.empty() ? options.model : r.model),
        most_output(r.max_tokens > 0 ? r.max_tokens : options.most_output),
        prompt(most_prompt_tokens(r, options)),
        began(now()),
        latest(latest_end(r)),
        out(std::move(s)) {
    for (const std::string& m : may_answer) models.push_back(billed_as(m));
    if (models.empty()) models.push_back(model);
  }

  const std::string& billed_as(const std::string& m) const { return options.prices.contains(m) ? m : model; }

  std::chrono::sys_seconds now() const {
    return options.now ? options.now() : std::chrono::floor<std::chrono::seconds>(clock().wall_now());
  }

  const Clock& clock() const { return options.clock != nullptr ? *options.clock : steady_clock(); }

  std::chrono::sys_seconds latest_end(const Request& r) const {
    if (!r.deadline) return std::chrono::sys_seconds::max();
    return began + std::chrono::ceil<std::chrono::seconds>(left_until(*r.deadline, clock().now())) +
           std::chrono::ceil<std::chrono::seconds>(options.past_deadline);
  }

  PriceQuery query(std::chrono::sys_seconds until) const {
    return {.at = began, .until = until, .service_tier = options.service_tier, .batch = options.batch};
  }

  // The highest bill in dollars that this usage may come to: any model that may answer; the prompt read from a cache or
  // written to one, for minutes or for an hour; the answer reasoning or not.
  expected<double> most(const Usage& usage) const {
    struct Cached {
      std::uint64_t read, written, written_1h;
    };
    const std::uint64_t all = usage.input;
    double highest = 0;
    for (const std::string& m : models)
      for (const Cached& c : {Cached{0, 0, 0}, {all, 0, 0}, {0, all, 0}, {0, all, all}})
        for (const std::uint64_t reasoning : {std::uint64_t{0}, usage.output}) {
          Usage u = usage;
          u.cached_read = c.read;
          u.cache_write = c.written;
          u.cache_write_1h = c.written_1h;
          u.reasoning = reasoning;
          const expected<Priced> priced = price(options.prices, options.price_rules, m, u, query(latest));
          if (!priced) return unexpected(priced.error());
          highest = std::max(highest, priced->cost ? priced->cost->total() : 0);
        }
    return highest;
  }

  expected<void> reserve(Budget& budget, const Request& r) {
    if (most_output == 0)
      return unexpected(Errc::invalid_argument,
                        "a request within a budget needs max_tokens, or BudgetedOptions::most_output");
    const expected<double> usd = most({.input = prompt, .output = most_output});
    if (!usd) return unexpected(usd.error());
    expected<Reservation> made = budget.reserve(r.tenant, r.type, *usd);
    if (!made) return unexpected(over_budget(made.error()));
    reservation = std::move(*made);
    return {};
  }

  // Now the length is exact. A cascade tells of every try's prompt, and each is paid for; a try that does not fit is
  // declined, as Sink::on_prompt allows.
  void on_prompt(std::span<const Token> tokens) override {
    if (over) return;
    const std::uint64_t before = prompt;
    prompt = exact + tokens.size();
    if (const expected<double> usd = most({.input = prompt, .output = most_output * (tries + 1)})) {
      if (const expected<void> fits = reservation.resize(*usd); !fits) {
        prompt = before;
        throw over_budget(fits.error());
      }
    }
    ++tries;
    exact = prompt;
    out->on_prompt(tokens);
  }

  void on_delta(Delta delta) override {
    if (over) return;
    seen += std::max<std::size_t>(delta.tokens.size(), delta.empty() ? 0 : 1);
    out->on_delta(std::move(delta));
  }

  bool full() const override { return out->full(); }

  void on_finish(Finish finish) override {
    if (std::exchange(over, true)) return;
    try {
      reservation.settle(spent(finish));
    } catch (...) {  // a clock of the host's; a bill that cannot be made is taken to be the highest
      reservation.settle(reservation.usd());
    }
    out->on_finish(std::move(finish));
  }

  // All attempts; of a stream that was broken off and has no usage, what was seen of it.
  double spent(const Finish& finish) const {
    std::vector<Attempt> attempts = finish.ledger.attempts;
    if (attempts.empty()) attempts.push_back({.model = finish.model, .usage = finish.usage});
    Usage& last = attempts.back().usage;
    const std::uint64_t counted = finish.usage.output;
    if (seen > counted) last.output += seen - counted;
    if (seen > 0 && last.input == 0) last.input = prompt;
    double sum = 0;
    for (const Attempt& a : attempts) {
      if (a.usage == Usage{}) continue;  // never computed anything
      const std::optional<double> usd = bill_of(a);
      if (!usd) return reservation.usd();
      sum += *usd;
    }
    return sum;
  }

  // By the model's own price, else by the dearest of those that may have answered. None: a bill that cannot be read.
  std::optional<double> bill_of(const Attempt& a) const {
    const bool known = options.prices.contains(a.model);
    double highest = 0;
    for (const std::string& m : known ? std::vector{a.model} : models) {
      const expected<Priced> priced = price(options.prices, options.price_rules, m, a.usage, query(now()));
      if (!priced) return std::nullopt;
      if (priced->cost) highest = std::max(highest, priced->cost->total());
    }
    return highest;
  }

  const std::shared_ptr<const BudgetedOptions> shared;  ///< the endpoint may go first
  const BudgetedOptions& options;
  std::string model;                ///< whose price, where a model's own is not in the book
  std::vector<std::string> models;  ///< whose prices it may be billed at
  std::uint64_t most_output, prompt;
  const std::chrono::sys_seconds began, latest;  ///< what may be billed by
  std::uint64_t exact = 0, tries = 0, seen = 0;
  bool over = false;
  std::shared_ptr<Sink> out;
  Reservation reservation;
};

Budgeted::Budgeted(Endpoint& inner, Budget& budget, BudgetedOptions options)
    : EndpointWrapper(inner), budget_(budget), options_(std::make_shared<BudgetedOptions>(std::move(options))) {
  if (!(options_->tokens_per_byte > 0) || !std::isfinite(options_->tokens_per_byte))
    throw Error(Errc::invalid_argument, "BudgetedOptions::tokens_per_byte is not positive");
}
Budgeted::~Budgeted() { leave(); }

Call Budgeted::start(Request request, std::shared_ptr<Sink> sink) {
  std::shared_ptr<Spending> spending;
  std::optional<Error> refused;
  try {
    spending = std::make_shared<Spending>(options_, request, may_answer(request.model), sink);
    if (const expected<void> reserved = spending->reserve(budget_, request); !reserved) refused = reserved.error();
  } catch (...) {
    refused = caught_error(Errc::internal, "the request's price");
  }
  if (!refused) return EndpointWrapper::start(std::move(request), std::move(spending));
  Finish end = refusal(std::move(*refused), std::move(request.model));
  end.id = std::move(request.id);
  GuardedSink(std::move(sink)).on_finish(std::move(end));
  return {};
}

}  // namespace frugal
