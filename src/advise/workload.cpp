#include "advise/state.hpp"

#include "core/printable.hpp"
#include "meter/lever_costs.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace frugal {

using advisor::Row;

namespace {

constexpr std::size_t most_slices = 256, most_models = 4096, most_answers = 1024, most_in_flight = 65536;
constexpr double first_unix_time = 1e9;  // 2001: earlier timestamps count from some other moment
constexpr double million = 1e6;

/// Where no price is known: an input token is the unit. The ratios are those of most hosted models of 2025 and 2026.
Rates relative_rates() {
  Rates rates;
  rates.input = 1;
  rates.cached_read = 0.1;
  rates.output = 5;
  return rates;
}

std::uint64_t hash_of(const std::string& text) {
  return text.empty() ? 0 : std::hash<std::string>{}(text)*0x9E3779B97F4A7C15U;
}

/// As reports show it.
std::string shown_name(const std::string& name) { return name.empty() ? "(none)" : printable(name); }

/// A request without a price has no part in a bill of requests that have one.
void unprice(Row& row) {
  if (row.priced) return;
  row.cost = row.first_cost = row.later_cost = advisor::absent;
  row.per_input = row.per_read = row.per_write = row.per_output = 0;
}

bool has_failed(const TraceRecord& r) { return r.finish == FinishReason::refused || r.finish == FinishReason::error; }

}  // namespace

/// What one usage costs and by which rates; relative where `known` is false.
struct Workload::State::Quote {
  bool known = false;
  double cost = 0;
  Rates rates{};
};

void Workload::State::Money::add(const Quote& quote, const LeverCosts& more) {
  relative += quote.cost;
  relative_levers += more;
  if (!quote.known) return;
  dollars += quote.cost;
  levers += more;
}

Workload::State::State(WorkloadOptions o)
    : options(std::move(o)),
      sample(options.sample),
      order_(options.reorder),
      prefixes_(options.cache_blocks),
      repeats_(options.answers),
      traffic_(most_in_flight) {}

void Workload::State::add(TraceRecord record) {
  record.labels.clear();  // nobody asks for them, and thousands of records wait for their order
  order_.push(std::move(record), [this](TraceRecord& r, double at) { process(r, at); });
}

void Workload::State::finish() {
  order_.flush([this](TraceRecord& r, double at) { process(r, at); });
  traffic_.flush([this](std::uint64_t ordinal, double ahead, double others) { set_traffic(ordinal, ahead, others); });
  prefix.evicted = prefixes_.evicted();
  finished = true;
  const bool is_relative = recorded.priced == 0;
  if (!is_relative) sample.each(unprice);
  const auto settle = [&](SliceStats& slice, const Money& money) {
    slice.cost = is_relative ? money.relative : money.dollars;
    slice.levers = is_relative ? money.relative_levers : money.levers;
  };
  settle(total, total_money_);
  for (std::size_t i = 0; i < types.size(); ++i) settle(types[i], money_of_type_[i]);
  for (std::size_t i = 0; i < models.size(); ++i) settle(models[i], money_of_model_[i]);
  failed.cost = is_relative ? failed_money_.relative : failed_money_.dollars;
}

std::size_t Workload::State::type_index(const std::string& name) {
  const auto found = type_of_.find(name);
  if (found != type_of_.end()) return found->second;
  if (types.size() == most_slices) return types.size() - 1;
  const std::size_t index = types.size();
  const bool last = index + 1 == most_slices;
  types.emplace_back().name = last ? "(other)" : shown_name(name);
  bursts.emplace_back();
  answers.emplace_back();
  answered.push_back(0);
  money_of_type_.emplace_back();
  if (!last) type_of_.emplace(name, index);
  return index;
}

std::size_t Workload::State::model_slice(const std::string& name) {
  if (models.size() == most_slices) return models.size() - 1;
  const bool last = models.size() + 1 == most_slices;
  models.emplace_back().name = last ? "(other)" : shown_name(name);
  money_of_model_.emplace_back();
  return models.size() - 1;
}

/// The tables have limits, what is known of a model has none: beyond them it is looked up each time.
const Workload::State::Model& Workload::State::model(const std::string& name) {
  const auto found = model_of_.find(name);
  if (found != model_of_.end()) return found->second;
  const bool hosted = !name.empty() && options.prices.contains(name);
  Model m{.slice = model_slice(name), .hosted = hosted, .salt = hash_of(name)};
  m.rules = options.cache ? *options.cache : cache_rules_for(name, hosted);
  if (model_of_.size() < most_models) return model_of_.emplace(name, std::move(m)).first->second;
  return uncached_ = std::move(m);
}

Workload::State::Quote Workload::State::quote(const std::string& name, const Usage& usage, const TraceRecord& record,
                                              double at, bool batch) {
  PriceQuery query{.service_tier = record.service_tier, .batch = batch};
  if (at > first_unix_time) query.at = std::chrono::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(at)));
  const auto known = model(name).hosted ? options.prices.rates(name, usage.input, query)
                                        : expected<Rates>(unexpected(Errc::unavailable, "no price"));
  Quote q{.known = known.has_value(), .rates = known.value_or(relative_rates())};
  expected<Cost> cost = cost_of(usage, q.rates, query);
  if (!cost && q.known) {  // a component that has no rate
    q = {.rates = relative_rates()};
    cost = cost_of(usage, q.rates, query);
  }
  q.cost = cost ? cost->total() : 0;
  return q;
}

void Workload::State::fill_attempt_costs(const TraceRecord& r, double at, Row& row) {
  row.priced = true;
  for (const TraceAttempt& attempt : r.attempts) {
    const Quote q = quote(attempt.model, attempt.usage, r, at, r.batch);
    row.priced = row.priced && (q.known || attempt.usage == Usage{});
    LeverCosts levers = lever_costs(q.rates, attempt);
    if (!attempt.accepted) levers.cascade_spent += q.cost;
    money_.add(q, levers);
    (&attempt == r.attempts.data() ? row.first_cost : row.later_cost) += q.cost;
  }
  row.cost = row.first_cost + row.later_cost;
  if (r.attempts.front().score) row.score = *r.attempts.front().score;
  row.first_accepted = r.attempts.front().accepted;
}

void Workload::State::fill_costs(const TraceRecord& r, double at, Row& row) {
  money_ = {};
  const Usage usage = usage_of(r);
  const Quote own = quote(r.model, usage, r, at, r.batch);
  const double input = own.rates.input.value_or(0) / million;
  row.per_input = input;
  row.per_read = own.rates.cached_read ? *own.rates.cached_read / million : input;
  row.per_write = own.rates.cache_write ? *own.rates.cache_write / million : input;
  row.per_output = own.rates.output.value_or(0) / million;
  if (r.attempts.size() < 2) {
    TraceAttempt only = r.attempts.empty() ? TraceAttempt{} : r.attempts.front();
    only.usage = usage;
    row.priced = own.known;
    row.cost = own.cost;
    money_.add(own, lever_costs(own.rates, only));
  } else {
    fill_attempt_costs(r, at, row);
  }
  if (!own.known || r.batch) return;
  const Quote batch = quote(r.model, usage, r, at, true);
  if (batch.known) row.batch_cost = batch.cost;
}

void Workload::State::replay_caches(const TraceRecord& r, double at, Row& row) {
  const Model& m = model(r.model);
  const std::uint64_t salt = m.salt ^ hash_of(r.tenant) * 31;
  const advisor::Repeat repeat = repeats_.request(r, salt);
  row.repeat_known = repeat.known;
  row.repeat = repeat.likely;
  row.repeat_sure = repeat.sure;
  row.has_blocks = !r.prefix_blocks.empty() || r.prompt_tokens < r.block_tokens;
  row.whole_chain = r.prefix_blocks.size() == r.prompt_tokens / r.block_tokens;
  row.block = r.block_tokens;
  if (r.prefix_blocks.empty()) return;
  const double ready_ms = came_whole(r) ? r.e2e_ms.value_or(0) : r.ttft_ms.value_or(r.e2e_ms.value_or(0));
  const auto result = prefixes_.request({.salt = salt,
                                         .blocks = r.prefix_blocks,
                                         .block_tokens = r.block_tokens,
                                         .prompt_tokens = r.prompt_tokens,
                                         .at = at,
                                         .ready_at = at + ready_ms / 1000},
                                        m.rules);
  row.hit = static_cast<double>(result.hit_tokens);
  row.written = static_cast<double>(result.written_tokens);
  row.seen = static_cast<double>(result.seen_tokens);
  row.short_by_little = static_cast<double>(result.short_tokens);
  row.least = static_cast<double>(m.rules.least_tokens);
  row.hit_low = m.rules.reliability_low;
  row.hit_likely = m.rules.reliability;
  row.hit_high = m.rules.reliability_high;
  prefix.prompt += r.prompt_tokens;
  prefix.cached += r.cached_tokens.value_or(0);
  prefix.hits += result.hit_tokens;
}

/// An answer in one piece, and one without a time to its first token, has a time to the whole answer and nothing else:
/// which part of it was decoding is unknown.
void Workload::State::fill_times(const TraceRecord& r, double at, Row& row) {
  if (r.queue_ms) row.queue_ms = *r.queue_ms;
  const bool has_answer = r.output_tokens > 0, streamed = !came_whole(r);
  if (has_answer && r.e2e_ms) row.e2e_ms = *r.e2e_ms;
  if (has_answer && r.ttft_ms && streamed) row.ttft_ms = *r.ttft_ms;
  if (has_answer && r.ttft_ms && r.e2e_ms && streamed) row.decode_ms = std::max(0.0, *r.e2e_ms - *r.ttft_ms);
  if (r.stalled_ms && !std::isnan(row.decode_ms)) row.stalled_ms = std::min(*r.stalled_ms, row.decode_ms);
  if (!r.timestamp || !r.e2e_ms) return;
  while (!ends_.empty() && ends_.top() <= at) ends_.pop();
  row.in_flight = static_cast<double>(ends_.size() + 1);
  if (ends_.size() < most_in_flight) ends_.push(at + *r.e2e_ms / 1000);
}

/// What others compute while it decodes is known once they have come.
void Workload::State::follow_traffic(const TraceRecord& r, double at, const Row& row) {
  if (!r.timestamp || !r.ttft_ms || !r.e2e_ms || came_whole(r)) return;
  traffic_.request({.ordinal = row.ordinal,
                    .at = at,
                    .admitted = at + std::min(r.queue_ms.value_or(0), *r.ttft_ms) / 1000,
                    .first_token = at + *r.ttft_ms / 1000,
                    .end = at + *r.e2e_ms / 1000,
                    .tokens = row.prompt - row.cached,
                    .asks = !std::isnan(row.decode_ms) && sample.wants(row.ordinal)},
                   [this](std::uint64_t ordinal, double ahead, double others) { set_traffic(ordinal, ahead, others); });
}

void Workload::State::set_traffic(std::uint64_t ordinal, double ahead, double others) {
  Row* const row = sample.find(ordinal);
  if (row == nullptr) return;
  row->ahead = ahead;
  row->others = others;
}

Row Workload::State::row_of(const TraceRecord& r, double at) {
  Row row;
  row.ordinal = ordinal_++;
  row.type = static_cast<std::uint32_t>(type_index(r.type));
  row.prompt = static_cast<double>(r.prompt_tokens);
  row.output = static_cast<double>(r.output_tokens);
  row.cached = static_cast<double>(r.cached_tokens.value_or(0));
  row.finish_known = r.finish.has_value();
  row.cut = r.finish == FinishReason::length || r.finish == FinishReason::capped;
  for (const TraceAttempt& a : r.attempts) {
    if (!a.tokens) continue;
    row.decoded += static_cast<double>(a.tokens->decoded);
    row.accepted += static_cast<double>(a.tokens->accepted);
    row.wasted += static_cast<double>(a.tokens->wasted_drafts);
  }
  fill_costs(r, at, row);
  replay_caches(r, at, row);
  fill_times(r, at, row);
  return row;
}

void Workload::State::add_to_slice(const TraceRecord& r, const Row& row, SliceStats& slice) const {
  ++slice.requests;
  slice.unpriced += row.priced ? 0 : 1;
  if (r.attempts.size() > 1)
    for (const TraceAttempt& a : r.attempts) slice.usage += a.usage;
  else
    slice.usage += usage_of(r);
  for (const TraceAttempt& a : r.attempts) {
    if (a.tokens) slice.tokens += *a.tokens;
    slice.drafts += a.drafts;
  }
  slice.prompt_tokens.add(row.prompt);
  slice.output_tokens.add(row.output);
  if (!std::isnan(row.ttft_ms)) {
    slice.ttft_ms.add(row.ttft_ms);
    slice.ttft_ms_sum += row.ttft_ms;
  }
  if (!std::isnan(row.e2e_ms)) {
    slice.e2e_ms.add(row.e2e_ms);
    slice.e2e_ms_sum += row.e2e_ms;
  }
  if (std::isnan(row.decode_ms)) return;
  slice.decode_ms_sum += row.decode_ms;
  if (r.output_tokens > 1) slice.tpot_ms.add(row.decode_ms / (row.output - 1));
}

void Workload::State::count_recorded(const TraceRecord& r, const Row& row) {
  const bool whole = came_whole(r);
  recorded.timestamp += r.timestamp.has_value();
  recorded.type += !r.type.empty();
  recorded.model += !r.model.empty();
  recorded.cached_tokens += r.cached_tokens.has_value();
  recorded.queue_ms += r.queue_ms.has_value();
  recorded.ttft_ms += r.ttft_ms.has_value() && !whole;
  recorded.in_one_piece += whole;
  recorded.e2e_ms += r.e2e_ms.has_value();
  recorded.stalled_ms += r.stalled_ms.has_value();
  recorded.prefix_blocks += row.has_blocks;
  recorded.prompt_hash += r.prompt_hash.has_value();
  recorded.scores += !std::isnan(row.score);
  recorded.drafts += row.accepted + row.wasted > 0;
  recorded.priced += row.priced;
  short_chains += row.has_blocks && !row.whole_chain;
  if (!r.answer_hash) return;
  ++answered[row.type];
  if (answers[row.type].size() <= most_answers) answers[row.type].insert(*r.answer_hash);
}

/// Attempts that were made before it failed were paid for.
void Workload::State::process_failed(const TraceRecord& r, double at) {
  ++failed.requests;
  bool priced = true;
  const auto pay = [&](const std::string& name, const Usage& usage) {
    if (usage == Usage{}) return;
    const Quote q = quote(name, usage, r, at, r.batch);
    priced = priced && q.known;
    failed_money_.add(q, {});
    failed.usage += usage;
  };
  if (r.attempts.size() < 2)
    pay(r.model, usage_of(r));
  else
    for (const TraceAttempt& a : r.attempts) pay(a.model, a.usage);
  failed.unpriced += priced ? 0 : 1;
}

void Workload::State::process(TraceRecord& r, double at) {
  if (has_failed(r)) return process_failed(r, at);
  if (total.requests == 0) first_at = at;
  last_at = std::max(last_at, at);
  const Row row = row_of(r, at);
  if (r.timestamp) bursts[row.type].add(at);
  const std::size_t which = model(r.model).slice;
  for (SliceStats* slice : {&total, &types[row.type], &models[which]}) add_to_slice(r, row, *slice);
  for (Money* sum : {&total_money_, &money_of_type_[row.type], &money_of_model_[which]}) {
    sum->relative += money_.relative;
    sum->relative_levers += money_.relative_levers;
    sum->dollars += money_.dollars;
    sum->levers += money_.levers;
  }
  count_recorded(r, row);
  if (sample.wants(row.ordinal)) sample.add(row);
  follow_traffic(r, at, row);
}

Workload::Workload(WorkloadOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Workload::~Workload() = default;
Workload::Workload(Workload&&) noexcept = default;
Workload& Workload::operator=(Workload&&) noexcept = default;

void Workload::add(TraceRecord record) { state_->add(std::move(record)); }
void Workload::note_bad_line() { ++state_->bad_lines; }
void Workload::note_unread_field(const std::string& name) { state_->unread_fields.push_back(printable(name)); }
void Workload::finish() { state_->finish(); }
const SliceStats& Workload::total() const { return state_->total; }
const std::vector<SliceStats>& Workload::types() const { return state_->types; }
const std::vector<SliceStats>& Workload::models() const { return state_->models; }
const Recorded& Workload::recorded() const { return state_->recorded; }
const PrefixOutcome& Workload::prefix() const { return state_->prefix; }
const FailedRequests& Workload::failed() const { return state_->failed; }
double Workload::span_s() const { return state_->last_at - state_->first_at; }
bool Workload::relative_prices() const { return state_->recorded.priced == 0; }
const PriceBook& Workload::prices() const { return state_->options.prices; }
double Workload::first_at() const { return state_->first_at; }

}  // namespace frugal
