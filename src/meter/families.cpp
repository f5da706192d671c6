// The table of names, and how each metric is read off the sums.
#include "meter/families.hpp"

#include "core/printable.hpp"
#include "core/short_number.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <type_traits>
#include <utility>

#include <frugal/core/finish.hpp>
#include <frugal/core/ledger_fields.hpp>

namespace frugal {
namespace {

enum Metric : std::size_t {
  requests,
  in_flight,
  request_seconds,
  ttft_seconds,
  tpot_seconds,
  gap_seconds,
  queue_seconds,
  input_tokens,
  cached_read_tokens,
  cache_write_tokens,
  cache_write_1h_tokens,
  output_tokens,
  reasoning_tokens,
  owned_tokens,
  cost,
  unpriced,
  lever_dollars,
  draft_tokens,
  speculation_seconds,
  promised,
  good,
  attempts,
  attempt_cost,
  recent_requests,
  recent_seconds,
  budget_limit,
  budget_spent,
  budget_reserved,
  budget_refused,
  load_requests,
  load_kv_bytes,
  load_free_tokens,
  provider_cache_tokens,
  provider_cache_requests,
  error_answers,
  metric_count
};

using enum MetricKind;
constexpr std::array<MetricName, metric_count> table{{
    {counter, "frugal_requests", "frugal.requests", "{request}", "Requests that ended, by how"},
    {gauge, "frugal_in_flight_requests", "frugal.in_flight.requests", "{request}", "Requests started and not ended"},
    {histogram, "frugal_request_seconds", "gen_ai.server.request.duration", "s", "Submission until the end"},
    {histogram, "frugal_ttft_seconds", "gen_ai.server.time_to_first_token", "s",
     "Submission until the first token that the caller saw"},
    {histogram, "frugal_tpot_seconds", "gen_ai.server.time_per_output_token", "s",
     "Time per output token after the first, one value a request"},
    {histogram, "frugal_token_gap_seconds", "frugal.token_gap", "s", "Time between tokens, one value a token"},
    {histogram, "frugal_queue_seconds", "frugal.queue", "s", "Submission until admission"},
    {counter, "frugal_input_tokens", "gen_ai.client.inference.usage.input_tokens", "{token}",
     "Prompt tokens, cached ones included"},
    {counter, "frugal_cached_read_tokens", "gen_ai.client.inference.usage.cache_read.input_tokens", "{token}",
     "Of the prompt: read from a cache"},
    {counter, "frugal_cache_write_tokens", "gen_ai.client.inference.usage.cache_write.input_tokens", "{token}",
     "Of the prompt: written to a provider's cache"},
    {counter, "frugal_cache_write_1h_tokens", "frugal.usage.cache_write_1h.input_tokens", "{token}",
     "Of the cache writes: to live an hour instead of minutes"},
    {counter, "frugal_output_tokens", "gen_ai.client.inference.usage.output_tokens", "{token}",
     "Answer tokens, reasoning included"},
    {counter, "frugal_reasoning_tokens", "gen_ai.client.inference.usage.reasoning.output_tokens", "{token}",
     "Of the answer: not shown to the caller"},
    {counter, "frugal_owned_tokens", "frugal.owned_tokens", "{token}", "Tokens by their owner in the ledger"},
    {counter, "frugal_cost_dollars", "frugal.cost", "{USD}",
     "Spent, by component; a lower bound where some had no price"},
    {counter, "frugal_unpriced_requests", "frugal.unpriced_requests", "{request}",
     "Requests with a part whose price is not known"},
    {gauge, "frugal_lever_dollars", "frugal.lever", "{USD}", "Saved or spent by a lever since the start"},
    {counter, "frugal_draft_tokens", "frugal.draft_tokens", "{token}", "Drafted tokens by what became of them"},
    {gauge, "frugal_speculation_seconds", "frugal.speculation", "s",
     "Time that speculation took by its part, and what it saved (an estimate)"},
    {counter, "frugal_promised_requests", "frugal.promised_requests", "{request}", "Requests under a stated objective"},
    {counter, "frugal_good_requests", "frugal.good_requests", "{request}", "Of those: answered within it"},
    {counter, "frugal_attempts", "frugal.attempts", "{attempt}", "Tries by model and endpoint"},
    {counter, "frugal_attempt_cost_dollars", "frugal.attempt_cost", "{USD}", "Spent by tries of a model and endpoint"},
    {gauge, "frugal_recent_requests", "frugal.recent.requests", "{request}", "Requests that ended in the last window"},
    {gauge, "frugal_recent_seconds", "frugal.recent", "s",
     "Percentiles over the last window, where it holds enough requests"},
    {gauge, "frugal_budget_limit_dollars", "frugal.budget.limit", "{USD}", "A budget's cap"},
    {gauge, "frugal_budget_spent_dollars", "frugal.budget.spent", "{USD}", "Spent of it in this period"},
    {gauge, "frugal_budget_reserved_dollars", "frugal.budget.reserved", "{USD}", "Set aside for running requests"},
    {counter, "frugal_budget_refused_requests", "frugal.budget.refused", "{request}", "Reservations that did not fit"},
    {gauge, "frugal_load_requests", "frugal.load.requests", "{request}", "Requests that an endpoint has, by state"},
    {gauge, "frugal_kv_pool_bytes", "frugal.kv_pool", "By", "An engine's KV pool: its size, and the parts in use"},
    {gauge, "frugal_load_free_tokens", "frugal.load.free_tokens", "{token}",
     "Tokens of prompt and answer for which an endpoint has room"},
    {counter, "frugal_provider_cache_tokens", "frugal.provider_cache.tokens", "{token}",
     "Of prompts sent to a provider: expected_read from its cache, billed_read, billed_write"},
    {counter, "frugal_provider_cache_requests", "frugal.provider_cache.requests", "{request}",
     "Requests to a provider that reported its usage, by what became of its prompt cache"},
    {counter, "frugal_error_answers", "frugal.error_answers", "{answer}",
     "Answers of a server that were errors, by HTTP status and code"},
}};

// The bucket edges that OpenTelemetry recommends for these metrics; gaps begin lower.
constexpr double request_bounds[] = {0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.64,
                                     1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};
constexpr double first_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                   0.25,  0.5,   0.75, 1.0,  2.5,  5.0,  7.5,  10.0};
constexpr double token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5};
constexpr double gap_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5};

class Builder {
 public:
  Builder() {
    for (std::size_t i = 0; i < metric_count; ++i) families_[i].name = &table[i];
  }

  void add(Metric m, Labels labels, double value) { families_[m].samples.push_back({std::move(labels), value}); }
  void add(Metric m, Labels labels, std::uint64_t value) { add(m, std::move(labels), static_cast<double>(value)); }
  void add(Metric m, Labels labels, const Sketch& sketch, std::span<const double> bounds) {
    HistogramSample h{{bounds.begin(), bounds.end()}, {}, sketch.count(), sketch.sum()};
    for (const double b : bounds) h.up_to.push_back(sketch.count_up_to(b));
    families_[m].samples.push_back({std::move(labels), std::move(h)});
  }

  std::vector<Family> take() {
    std::vector<Family> out;
    for (Family& f : families_)
      if (!f.samples.empty()) out.push_back(std::move(f));
    return out;
  }

 private:
  std::array<Family, metric_count> families_;
};

/// A label's value: printable, and a line end stays one, which both formats escape.
std::string label_text(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += printable(text.substr(at, end - at));
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return out;
}

Labels labels_of(const MeterKey& key, MeterBy by) {
  Labels out;
  if (by.type) out.emplace_back("type", key.type);
  if (by.tenant) out.emplace_back("tenant", key.tenant);
  if (by.model) out.emplace_back("model", key.model);
  if (by.endpoint) out.emplace_back("endpoint", key.endpoint);
  return out;
}

Labels with(Labels labels, std::string_view name, std::string_view value) {
  labels.emplace_back(name, std::string(value));
  return labels;
}

constexpr std::array usage_metrics{input_tokens,  cached_read_tokens, cache_write_tokens, cache_write_1h_tokens,
                                   output_tokens, reasoning_tokens};  // in the order of Usage's fields

void add_tokens(Builder& b, const Labels& l, const MeterStats& s) {
  std::size_t next = 0;
  for_each_field<Usage>([&](const LedgerField&, auto member) { b.add(usage_metrics.at(next++), l, s.usage.*member); });
  for_each_field<TokenLedger>([&](const LedgerField& field, auto member) {
    if (field.kind == FieldKind::tokens) b.add(owned_tokens, with(l, "owner", field.name), s.tokens.*member);
  });
}

void add_money(Builder& b, const Labels& l, const MeterStats& s) {
  const Cost& c = s.cost;
  for (const auto& [component, usd] : {std::pair{"input", c.input},
                                       {"cached_read", c.cached_read},
                                       {"cache_write", c.cache_write},
                                       {"output", c.output},
                                       {"reasoning", c.reasoning},
                                       {"call", c.call},
                                       {"storage", c.storage}})
    b.add(cost, with(l, "component", component), usd);
  b.add(unpriced, l, s.unpriced);
  const LeverCosts& v = s.levers;
  const auto lever = [&](const char* name, const char* what, double usd) {
    b.add(lever_dollars, with(with(l, "lever", name), "effect", what), usd);
  };
  lever("prefix_cache", "saved", v.cache_saved), lever("prefix_cache", "spent", v.cache_spent);
  lever("cascade", "saved", v.cascade_saved), lever("cascade", "spent", v.cascade_spent);
  lever("speculation", "saved", v.speculation_saved), lever("speculation", "spent", v.speculation_spent);
}

std::string_view without_unit(std::string_view name) {
  return name.substr(0, name.size() - std::string_view("_ms").size());
}

void add_drafts(Builder& b, const Labels& l, const DraftLedger& d) {
  if (d.drafted == 0) return;
  for_each_field<DraftLedger>([&](const LedgerField& field, auto member) {
    if constexpr (std::is_same_v<decltype(member), std::uint64_t DraftLedger::*>) {
      if (field.kind == FieldKind::tokens) b.add(draft_tokens, with(l, "state", field.name), d.*member);
    } else if constexpr (std::is_same_v<decltype(member), Duration DraftLedger::*>) {
      b.add(speculation_seconds, with(l, "part", without_unit(field.name)),
            std::chrono::duration<double>(d.*member).count());
    }
  });
  b.add(draft_tokens, with(l, "state", "wasted"), d.wasted());
}

void add_request_row(Builder& b, const MeterRow& row, MeterBy by) {
  const Labels l = labels_of(row.key, by);
  const MeterStats& s = row.stats;
  for (std::size_t i = 0; i < s.by_finish.size(); ++i)
    if (s.by_finish[i] > 0) b.add(requests, with(l, "finish", to_string(static_cast<FinishReason>(i))), s.by_finish[i]);
  b.add(request_seconds, l, s.e2e, request_bounds);
  b.add(ttft_seconds, l, s.ttft, first_bounds), b.add(queue_seconds, l, s.queue, first_bounds);
  b.add(tpot_seconds, l, s.tpot, token_bounds), b.add(gap_seconds, l, s.gap, gap_bounds);
  add_tokens(b, l, s), add_money(b, l, s), add_drafts(b, l, s.drafts);
  if (s.promised > 0) b.add(promised, l, s.promised), b.add(good, l, s.good);
}

void add_attempt_row(Builder& b, const MeterRow& row, MeterBy by) {
  const Labels l = labels_of(row.key, by);
  b.add(attempts, with(l, "accepted", "true"), row.stats.attempts - row.stats.rejected);
  b.add(attempts, with(l, "accepted", "false"), row.stats.rejected);
  b.add(attempt_cost, l, row.stats.cost.total());
}

void add_recent_row(Builder& b, const MeterRow& row, MeterBy by) {
  const Labels l = labels_of(row.key, by);
  b.add(recent_requests, l, row.stats.requests);
  const MeterStats& s = row.stats;
  for (const auto& [of, sketch] :
       {std::pair{"queue", &s.queue}, {"ttft", &s.ttft}, {"tpot", &s.tpot}, {"gap", &s.gap}, {"e2e", &s.e2e}}) {
    for (const auto& [name, q] : {std::pair{"0.5", 0.5}, {"0.9", 0.9}, {"0.99", 0.99}}) {
      const Percentile p = percentile(*sketch, q);
      if (!p.n_too_small) b.add(recent_seconds, with(with(l, "of", of), "q", name), *p.value);
    }
  }
}

void add_load(Builder& b, const LoadGauges& g) {
  const Labels l{{"endpoint", label_text(g.endpoint)}};
  const auto add = [&](Metric m, const char* state, const std::optional<std::uint64_t>& value) {
    if (value) b.add(m, with(l, "state", state), *value);
  };
  add(load_requests, "running", g.running);
  add(load_requests, "waiting", g.waiting);
  add(load_kv_bytes, "total", g.kv_bytes_total);
  add(load_kv_bytes, "leased", g.kv_bytes_leased);
  add(load_kv_bytes, "indexed", g.kv_bytes_indexed);
  if (g.free_tokens) b.add(load_free_tokens, l, *g.free_tokens);
}

void add_provider_cache(Builder& b, const ProviderCacheCounts& c) {
  const Labels l{{"endpoint", label_text(c.endpoint)}, {"type", label_text(c.type)}};
  b.add(provider_cache_tokens, with(l, "state", "expected_read"), c.expected_read);
  b.add(provider_cache_tokens, with(l, "state", "billed_read"), c.billed_read);
  b.add(provider_cache_tokens, with(l, "state", "billed_write"), c.billed_write);
  b.add(provider_cache_requests, with(l, "state", "reported"), c.requests);
  b.add(provider_cache_requests, with(l, "state", "missed"), c.missed);
  b.add(provider_cache_requests, with(l, "state", "ignored"), c.ignored);
  b.add(provider_cache_requests, with(l, "state", "too_short"), c.too_short);
}

void add_budget(Builder& b, const BudgetGauges& watched) {
  if (watched.budget == nullptr) return;
  std::map<Labels, LimitState> limits;  // of equal ones the tightest is the one that holds
  for (LimitState s : watched.budget->state()) {
    const double seconds = std::chrono::duration<double>(s.limit.period).count();
    Labels l{{"model", label_text(watched.model)},
             {"tenant", label_text(s.limit.tenant)},
             {"type", label_text(s.limit.type)},
             {"period", seconds == 0 ? "none" : short_number(seconds)}};
    const auto [place, fresh] = limits.try_emplace(std::move(l), s);
    if (!fresh && s.limit.usd < place->second.limit.usd) place->second = std::move(s);
  }
  for (const auto& [l, s] : limits) {
    b.add(budget_limit, l, s.limit.usd);
    b.add(budget_spent, l, s.spent);
    b.add(budget_reserved, l, s.reserved);
    b.add(budget_refused, l, s.refused);
  }
}

/// Rows whose keys are printable. Keys that become equal thereby are added up, as two samples of one name and labels are
/// no valid export.
std::vector<MeterRow> printable_rows(std::vector<MeterRow> rows) {
  const auto fields = [](MeterKey& key) { return std::array{&key.type, &key.tenant, &key.model, &key.endpoint}; };
  const auto is_plain = [&](MeterRow& row) {
    const auto all = fields(row.key);
    return std::all_of(all.begin(), all.end(), [](const std::string* f) { return is_printable(*f); });
  };
  if (std::all_of(rows.begin(), rows.end(), is_plain)) return rows;
  std::map<MeterKey, MeterStats> sums;
  for (MeterRow& row : rows) {
    for (std::string* field : fields(row.key)) *field = label_text(*field);
    const auto [place, is_new] = sums.try_emplace(row.key, row.stats);
    if (!is_new) place->second += row.stats;
  }
  std::vector<MeterRow> out;
  for (auto& [key, stats] : sums) out.push_back({key, std::move(stats)});
  return out;
}

}  // namespace

std::span<const MetricName> metric_names() { return table; }

std::string_view otel_attribute(std::string_view label) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 17> names{
      {{"model", "gen_ai.response.model"},
       {"type", "frugal.request.type"},
       {"tenant", "frugal.tenant"},
       {"endpoint", "frugal.endpoint"},
       {"finish", "frugal.finish"},
       {"owner", "frugal.token.owner"},
       {"component", "frugal.cost.component"},
       {"lever", "frugal.lever.name"},
       {"effect", "frugal.lever.effect"},
       {"state", "frugal.draft.state"},
       {"period", "frugal.budget.period"},
       {"part", "frugal.speculation.part"},
       {"accepted", "frugal.attempt.accepted"},
       {"of", "frugal.recent.of"},
       {"status", "http.response.status_code"},
       {"code", "error.type"},
       {"q", "frugal.recent.quantile"}}};
  for (const auto& [ours, theirs] : names)
    if (ours == label) return theirs;
  return label;
}

std::vector<Family> families_of(const Meter& meter, const MetricsOptions& options, double* seconds) {
  Builder b;
  MeterSnapshot total = meter.total(options.by), recent = meter.recent(options.by);
  total.requests = printable_rows(std::move(total.requests));
  total.attempts = printable_rows(std::move(total.attempts));
  recent.requests = printable_rows(std::move(recent.requests));
  if (seconds != nullptr) *seconds = total.seconds;
  b.add(in_flight, {}, total.in_flight);
  for (const MeterRow& row : total.requests) add_request_row(b, row, options.by);
  for (const MeterRow& row : total.attempts) add_attempt_row(b, row, options.by);
  for (const MeterRow& row : recent.requests) add_recent_row(b, row, options.by);
  for (const BudgetGauges& watched : options.budgets) add_budget(b, watched);
  for (const LoadGauges& load : options.loads) add_load(b, load);
  for (const ProviderCacheCounts& counts : options.provider_caches) add_provider_cache(b, counts);
  for (const ErrorAnswers& e : options.errors)
    b.add(error_answers, {{"status", std::to_string(e.status)}, {"code", std::string(to_string(e.code))}}, e.count);
  return b.take();
}

}  // namespace frugal
