// One Spending per request: it holds the reservation until the answer has ended.
#include <frugal/endpoint/budgeted.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>

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

Finish refusal(const Error& error, const std::string& model) {
  Finish end;
  end.reason = FinishReason::refused;
  end.error = error;
  end.model = model;
  return end;
}

}  // namespace

struct Budgeted::Spending final : Sink {
  Spending(const BudgetedOptions& o, const Request& r, std::shared_ptr<Sink> s)
      : options(o),
        model(r.model.empty() ? o.model : r.model),
        most_output(r.max_tokens > 0 ? r.max_tokens : o.most_output),
        prompt(most_prompt_tokens(r, o)),
        began(now()),
        latest(latest_end(r)),
        out(std::move(s)) {}

  std::chrono::sys_seconds now() const {
    return options.now ? options.now() : std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  std::chrono::sys_seconds latest_end(const Request& r) const {
    if (!r.deadline) return std::chrono::sys_seconds::max();
    const Duration left = std::max(Duration{}, *r.deadline - steady_clock().now()) + options.past_deadline;
    return began + std::chrono::ceil<std::chrono::seconds>(left);
  }

  PriceQuery query(std::chrono::sys_seconds until) const {
    return {.at = began, .until = until, .service_tier = options.service_tier, .batch = options.batch};
  }

  // Dollars of the dearest way in which this usage may be billed: the prompt may be read from a cache or written to it,
  // the answer may be reasoning.
  expected<double> most(const Usage& usage) const {
    double dearest = 0;
    for (const auto& [read, written] :
         {std::pair<std::uint64_t, std::uint64_t>{0, 0}, {usage.input, 0}, {0, usage.input}})
      for (const std::uint64_t reasoning : {std::uint64_t{0}, usage.output}) {
        Usage u = usage;
        u.cached_read = read, u.cache_write = written, u.reasoning = reasoning;
        const expected<Priced> priced = price(options.prices, options.price_rules, model, u, query(latest));
        if (!priced) return unexpected(priced.error());
        dearest = std::max(dearest, priced->cost ? priced->cost->total() : 0);
      }
    return dearest;
  }

  expected<void> reserve(Budget& budget, const Request& r) {
    if (most_output == 0)
      return unexpected(Errc::invalid_argument,
                        "a request within a budget needs max_tokens, or BudgetedOptions::most_output");
    const expected<double> usd = most({.input = prompt, .output = most_output});
    if (!usd) return unexpected(usd.error());
    expected<Reservation> made = budget.reserve(r.tenant, r.type, *usd);
    if (!made) return unexpected(made.error());
    reservation = std::move(*made);
    return {};
  }

  // Now the length is exact. A cascade tells of every try's prompt, and each is paid for.
  void on_prompt(std::span<const Token> tokens) override {
    ++tries;
    prompt = exact += tokens.size();
    if (const expected<double> usd = most({.input = prompt, .output = most_output * tries})) {
      const expected<void> fits = reservation.resize(*usd);
      if (!fits) give_up(fits.error());
    }
    out->on_prompt(tokens);
  }

  // An endpoint may end the request inside cancel(), so that is called without the lock.
  void give_up(const Error& error) {
    Call running;
    {
      const std::lock_guard lock(mutex);
      broke = error;
      running = call;
    }
    running.cancel();
  }

  // The call is known only when start() has returned; the answer may be over by then.
  Call keep(Call started) {
    bool late = false;
    {
      const std::lock_guard lock(mutex);
      if (!over) call = started;
      late = broke.has_value();
    }
    if (late) started.cancel();
    return started;
  }

  std::optional<Error> end() {
    const std::lock_guard lock(mutex);
    over = true;
    call = {};  // it may hold its sink, which is this
    return broke;
  }

  void on_delta(Delta delta) override {
    seen += std::max<std::size_t>(delta.tokens.size(), delta.text.empty() ? 0 : 1);
    out->on_delta(std::move(delta));
  }

  bool full() const override { return out->full(); }

  void on_finish(Finish finish) override {
    const std::optional<Error> broken = end();
    reservation.settle(spent(finish));
    if (broken && finish.reason == FinishReason::cancelled)
      finish.reason = FinishReason::refused, finish.error = broken;
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
      const std::string& whose = options.prices.contains(a.model) ? a.model : model;
      const expected<Priced> priced = price(options.prices, options.price_rules, whose, a.usage, query(now()));
      if (!priced) return reservation.usd();  // a bill that cannot be read is taken for the dearest
      if (priced->cost) sum += priced->cost->total();
    }
    return sum;
  }

  const BudgetedOptions& options;
  std::string model;
  std::uint64_t most_output, prompt;
  const std::chrono::sys_seconds began, latest;  ///< what may be billed by
  std::uint64_t exact = 0, tries = 0, seen = 0;
  std::shared_ptr<Sink> out;
  Reservation reservation;
  std::mutex mutex;  // guards the three below
  std::optional<Error> broke{};
  bool over = false;
  Call call;
};

Budgeted::Budgeted(Endpoint& inner, Budget& budget, BudgetedOptions options)
    : inner_(inner), budget_(budget), options_(std::move(options)) {
  if (!(options_.tokens_per_byte > 0) || !std::isfinite(options_.tokens_per_byte))
    throw Error(Errc::invalid_argument, "BudgetedOptions::tokens_per_byte is not positive");
}
Budgeted::~Budgeted() = default;

std::string_view Budgeted::name() const { return inner_.name(); }

Call Budgeted::start(Request request, std::shared_ptr<Sink> sink) {
  auto spending = std::make_shared<Spending>(options_, request, sink);
  if (const expected<void> reserved = spending->reserve(budget_, request); !reserved) {
    sink->on_finish(refusal(reserved.error(), request.model));
    return {};
  }
  return spending->keep(inner_.start(std::move(request), spending));
}

bool Budgeted::step() { return inner_.step(); }
void Budgeted::drive(const std::function<bool()>& until) { inner_.drive(until); }

}  // namespace frugal
