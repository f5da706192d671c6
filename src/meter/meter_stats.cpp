// Sums of one key: how an ended request enters them, and how they add up.
#include "meter/meter_stats.hpp"

#include "meter/lever_costs.hpp"

#include <algorithm>

namespace frugal {

MeterStats::MeterStats(double alpha) : queue(alpha), ttft(alpha), tpot(alpha), gap(alpha), e2e(alpha) {}

MeterStats& MeterStats::operator+=(const MeterStats& o) {
  requests += o.requests, attempts += o.attempts, rejected += o.rejected, promised += o.promised, good += o.good;
  unpriced += o.unpriced, assumed_price += o.assumed_price;
  for (std::size_t i = 0; i < by_finish.size(); ++i) by_finish[i] += o.by_finish[i];
  usage += o.usage, tokens += o.tokens, drafts += o.drafts, cost += o.cost, levers += o.levers;
  queue.merge(o.queue), ttft.merge(o.ttft), tpot.merge(o.tpot), gap.merge(o.gap), e2e.merge(o.e2e);
  return *this;
}

MeterStats MeterSnapshot::total() const {
  MeterStats sum(requests.empty() ? 0.01 : requests.front().stats.e2e.alpha());
  for (const MeterRow& row : requests) sum += row.stats;
  return sum;
}

std::optional<double> tpot_ms(const TraceRecord& r) {
  if (!r.ttft_ms || !r.e2e_ms || r.output_tokens < 2 || came_whole(r)) return std::nullopt;
  return (*r.e2e_ms - *r.ttft_ms) / static_cast<double>(r.output_tokens - 1);
}

void add_times(MeterStats& to, const Measured& m) {
  const auto add = [](Sketch& sketch, const std::optional<double>& ms) {
    if (ms) sketch.add(*ms / 1e3);
  };
  add(to.queue, m.record.queue_ms), add(to.ttft, m.record.ttft_ms), add(to.e2e, m.record.e2e_ms);
  add(to.tpot, tpot_ms(m.record));
  to.gap.merge(m.gaps);
}

bool is_answered(const TraceRecord& r) {
  return r.finish == FinishReason::stop || r.finish == FinishReason::length || r.finish == FinishReason::capped;
}

bool keeps(const Slo& slo, const TraceRecord& r) {
  const auto within = [](Duration most, const std::optional<double>& ms) {
    return most == Duration{} || (ms && *ms <= milliseconds(most));
  };
  // One token, or one piece, has no time between tokens, so it cannot break that promise.
  return is_answered(r) && within(slo.ttft, r.ttft_ms) && within(slo.e2e, r.e2e_ms) &&
         (r.output_tokens < 2 || came_whole(r) || within(slo.tpot, tpot_ms(r)));
}

const Slo* promise(const std::vector<Slo>& slos, const std::string& type) {
  const Slo* found = nullptr;
  for (const Slo& slo : slos)
    if (slo.type == type || (slo.type.empty() && found == nullptr)) found = &slo;
  return found;
}

// --- money -----------------------------------------------------------------------------------------------------------

namespace {

PriceQuery query_of(const Measured& m) {
  PriceQuery query{.service_tier = m.record.service_tier, .batch = m.record.batch};
  if (m.record.timestamp)
    query.at = std::chrono::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(*m.record.timestamp)));
  return query;
}

// What `usage` would cost at `rates`; nothing where a rate is missing.
double at(const Rates& rates, const Usage& usage) {
  const expected<Cost> cost = cost_of(usage, rates);
  return cost ? cost->total() : 0;
}

}  // namespace

AttemptBill Till::bill(const Measured& m, const TraceAttempt& a) const {
  const PriceQuery query = query_of(m);
  AttemptBill out;
  if (a.usage == Usage{}) return out.cost = Cost{}, out;  // refused, or gone before it began: nothing is billed
  const expected<Priced> priced = price(book, rules, a.model, a.usage, query);
  if (!priced) return out.warning = priced.error().message(), out;
  out.cost = priced->cost, out.is_assumed = priced->is_assumed, out.warning = priced->warning;
  if (!out.cost || out.is_assumed) return out;
  const expected<Rates> rates = book.rates(a.model, a.usage.input, query);
  out.levers = lever_costs(*rates, a);
  if (!a.accepted) {
    out.levers.cascade_spent = out.cost->total();
  } else if (!reference.empty() && reference != a.model) {
    if (const expected<Rates> big = book.rates(reference, a.usage.input, query))
      out.levers.cascade_saved = at(*big, a.usage) - out.cost->total();
  }
  return out;
}

void add_attempt(MeterStats& to, const TraceAttempt& a, const AttemptBill& bill) {
  ++to.attempts;
  to.rejected += a.accepted ? 0 : 1;
  to.usage += a.usage;
  if (a.tokens) to.tokens += *a.tokens;
  to.drafts += a.drafts;
  if (bill.cost) to.cost += *bill.cost;
  to.levers += bill.levers;
}

}  // namespace frugal
