#include "advise/state.hpp"

#include "meter/lever_costs.hpp"

#include <frugal/meter/trace_reader.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace frugal {

using advisor::Row;

namespace {

constexpr std::size_t most_types = 256, most_answers = 1024, most_in_flight = 65536;
constexpr double first_unix_time = 1e9;  // 2001: earlier timestamps count from some other moment
constexpr double million = 1e6;

/// Where no price is known: an input token is the unit. The ratios are those of most hosted models of 2025 and 2026.
Rates relative_rates() {
  Rates rates;
  rates.input = 1, rates.cached_read = 0.1, rates.output = 5;
  return rates;
}

std::uint64_t hash_of(const std::string& text) {
  return text.empty() ? 0 : std::hash<std::string>{}(text)*0x9E3779B97F4A7C15U;
}

Usage usage_of(const TraceRecord& r) {
  Usage usage;
  usage.input = r.prompt_tokens, usage.output = r.output_tokens, usage.cached_read = r.cached_tokens.value_or(0);
  return usage;
}

/// A request without a price has no part in a bill of requests that have one.
void unprice(Row& row) {
  if (row.priced) return;
  row.cost = row.first_cost = row.later_cost = 0;
  row.per_input = row.per_read = row.per_write = row.per_output = 0;
}

bool failed(const TraceRecord& r) { return r.finish == FinishReason::refused || r.finish == FinishReason::error; }

}  // namespace

/// What one usage costs and by which rates.
struct Workload::State::Quote {
  bool known = false;
  double cost = 0;
  Rates rates{};
};

Workload::State::State(WorkloadOptions o)
    : options(std::move(o)),
      sample(options.sample),
      order_(options.reorder),
      prefixes_(options.cache_blocks),
      repeats_(options.answers),
      traffic_(most_in_flight) {}

void Workload::State::add(TraceRecord record) {
  order_.push(std::move(record), [this](TraceRecord& r, double at) { serve(r, at); });
}

void Workload::State::finish() {
  order_.flush([this](TraceRecord& r, double at) { serve(r, at); });
  traffic_.flush([this](std::uint64_t ordinal, double ahead, double others) { meet(ordinal, ahead, others); });
  prefix.evicted = prefixes_.evicted();
  finished = true;
  if (recorded.priced > 0) return sample.each(unprice);
  const auto take = [](SliceStats& slice, const Money& money) { slice.cost = money.cost, slice.levers = money.levers; };
  take(total, relative_total_);
  for (std::size_t i = 0; i < types.size(); ++i) take(types[i], relative_of_type_[i]);
  for (std::size_t i = 0; i < models.size(); ++i) take(models[i], relative_of_model_[i]);
}

std::size_t Workload::State::type_index(const std::string& name) {
  const auto found = type_of_.find(name);
  if (found != type_of_.end()) return found->second;
  if (types.size() == most_types) return type_of_.at("(other)");
  const std::size_t index = types.size();
  const bool last = index + 1 == most_types;
  types.emplace_back().name = last ? "(other)" : name.empty() ? "(none)" : name;
  bursts.emplace_back(), answers.emplace_back(), answered.push_back(0), relative_of_type_.emplace_back();
  type_of_.emplace(last ? "(other)" : name, index);
  return index;
}

Workload::State::Model& Workload::State::model(const std::string& name) {
  const auto found = model_of_.find(name);
  if (found != model_of_.end()) return found->second;
  const std::string key = model_of_.size() < most_types ? name : "(other)";
  const auto [place, added] = model_of_.try_emplace(key);
  Model& m = place->second;
  if (!added) return m;
  m.slice = models.size();
  models.emplace_back().name = key.empty() ? "(none)" : key;
  relative_of_model_.emplace_back();
  m.hosted = !name.empty() && options.prices.contains(name);
  m.salt = hash_of(name);
  m.rules = options.cache ? *options.cache : cache_rules_for(name, m.hosted);
  return m;
}

Workload::State::Quote Workload::State::quote(const std::string& name, const Usage& usage, double at) {
  PriceQuery query;
  if (at > first_unix_time) query.at = std::chrono::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(at)));
  const auto known = model(name).hosted ? options.prices.rates(name, usage.input, query)
                                        : expected<Rates>(unexpected(Errc::unavailable, "no price"));
  Quote q{.known = known.has_value(), .rates = known.value_or(relative_rates())};
  const auto cost = cost_of(usage, q.rates, query);
  if (!cost) q.known = false;  // a component that has no rate
  q.cost = cost ? cost->total() : 0;
  return q;
}

void Workload::State::price(const TraceRecord& r, double at, Row& row) {
  const Quote own = quote(r.model, usage_of(r), at);
  const double input = own.rates.input.value_or(0) / million;
  row.per_input = input;
  row.per_read = own.rates.cached_read ? *own.rates.cached_read / million : input;
  row.per_write = own.rates.cache_write ? *own.rates.cache_write / million : input;
  row.per_output = own.rates.output.value_or(0) / million;
  row.priced = own.known, row.cost = own.cost;
  if (r.attempts.size() < 2) {
    TraceAttempt only = r.attempts.empty() ? TraceAttempt{} : r.attempts.front();
    only.usage = usage_of(r);
    levers_ = lever_costs(own.rates, only);
  } else {
    row.cost = 0, levers_ = {};
    for (const TraceAttempt& attempt : r.attempts) {
      const Quote q = quote(attempt.model, attempt.usage, at);
      row.priced = row.priced && q.known;
      levers_ += lever_costs(q.rates, attempt);
      if (!attempt.accepted) levers_.cascade_spent += q.cost;
      (&attempt == r.attempts.data() ? row.first_cost : row.later_cost) += q.cost;
    }
    row.cost = row.first_cost + row.later_cost;
    if (r.attempts.front().score) row.score = *r.attempts.front().score;
    row.first_accepted = r.attempts.front().accepted;
  }
  if (!own.known) return;
  PriceQuery batch;
  batch.batch = true;
  if (at > first_unix_time) batch.at = std::chrono::sys_seconds(std::chrono::seconds(static_cast<std::int64_t>(at)));
  if (const auto cost = options.prices.cost(r.model, usage_of(r), batch)) row.batch_cost = cost->total();
}

void Workload::State::replay(const TraceRecord& r, double at, Row& row) {
  const Model& m = model(r.model);
  const std::uint64_t salt = m.salt ^ hash_of(r.tenant) * 31;
  const advisor::Repeat repeat = repeats_.request(r, salt);
  row.repeat_known = repeat.known, row.repeat = repeat.likely, row.repeat_sure = repeat.sure;
  row.has_blocks = !r.prefix_blocks.empty() || r.prompt_tokens < r.block_tokens;
  row.whole_chain = r.prefix_blocks.size() == r.prompt_tokens / r.block_tokens;
  row.block = r.block_tokens;
  if (r.prefix_blocks.empty()) return;
  const auto result = prefixes_.request({.salt = salt,
                                         .blocks = r.prefix_blocks,
                                         .block_tokens = r.block_tokens,
                                         .prompt_tokens = r.prompt_tokens,
                                         .at = at,
                                         .ready_at = at + r.ttft_ms.value_or(0) / 1000},
                                        m.rules);
  row.hit = static_cast<double>(result.hit_tokens), row.written = static_cast<double>(result.written_tokens);
  row.seen = static_cast<double>(result.seen_tokens);
  row.hit_low = m.rules.reliability_low, row.hit_likely = m.rules.reliability, row.hit_high = m.rules.reliability_high;
  prefix.prompt += r.prompt_tokens, prefix.cached += r.cached_tokens.value_or(0), prefix.hits += result.hit_tokens;
}

void Workload::State::clock(const TraceRecord& r, double at, Row& row) {
  if (r.queue_ms) row.queue_ms = *r.queue_ms;
  if (r.ttft_ms && r.output_tokens > 0) row.ttft_ms = *r.ttft_ms;
  if (r.e2e_ms && r.output_tokens > 0) row.decode_ms = std::max(0.0, *r.e2e_ms - r.ttft_ms.value_or(0));
  if (r.stalled_ms && !std::isnan(row.decode_ms)) row.stalled_ms = std::min(*r.stalled_ms, row.decode_ms);
  if (!r.timestamp || !r.e2e_ms) return;
  while (!ends_.empty() && ends_.top() <= at) ends_.pop();
  row.in_flight = static_cast<double>(ends_.size() + 1);
  if (ends_.size() < most_in_flight) ends_.push(at + *r.e2e_ms / 1000);
}

/// What others compute while it decodes is known once they have come.
void Workload::State::watch(const TraceRecord& r, double at, const Row& row) {
  if (!r.timestamp || !r.ttft_ms || !r.e2e_ms) return;
  traffic_.request({.ordinal = row.ordinal,
                    .at = at,
                    .admitted = at + std::min(r.queue_ms.value_or(0), *r.ttft_ms) / 1000,
                    .first_token = at + *r.ttft_ms / 1000,
                    .end = at + *r.e2e_ms / 1000,
                    .tokens = row.prompt - row.cached,
                    .asks = !std::isnan(row.decode_ms) && sample.wants(row.ordinal)},
                   [this](std::uint64_t ordinal, double ahead, double others) { meet(ordinal, ahead, others); });
}

void Workload::State::meet(std::uint64_t ordinal, double ahead, double others) {
  if (Row* row = sample.find(ordinal)) row->ahead = ahead, row->others = others;
}

Row Workload::State::row_of(const TraceRecord& r, double at) {
  Row row;
  row.ordinal = ordinal_++;
  row.type = static_cast<std::uint32_t>(type_index(r.type));
  row.prompt = static_cast<double>(r.prompt_tokens), row.output = static_cast<double>(r.output_tokens);
  row.cached = static_cast<double>(r.cached_tokens.value_or(0));
  row.finish_known = r.finish.has_value();
  row.cut = r.finish == FinishReason::length || r.finish == FinishReason::capped;
  for (const TraceAttempt& a : r.attempts) {
    if (!a.tokens) continue;
    row.decoded += static_cast<double>(a.tokens->decoded);
    row.accepted += static_cast<double>(a.tokens->accepted);
    row.wasted += static_cast<double>(a.tokens->wasted_drafts);
  }
  price(r, at, row);
  replay(r, at, row);
  clock(r, at, row);
  return row;
}

void Workload::State::sum(const TraceRecord& r, const Row& row, SliceStats& slice) const {
  ++slice.requests;
  if (r.attempts.size() > 1)
    for (const TraceAttempt& a : r.attempts) slice.usage += a.usage;
  else
    slice.usage += usage_of(r);
  for (const TraceAttempt& a : r.attempts) {
    if (a.tokens) slice.tokens += *a.tokens;
    slice.drafts += a.drafts;
  }
  if (row.priced) slice.cost += row.cost, slice.levers += levers_;
  slice.prompt_tokens.add(row.prompt), slice.output_tokens.add(row.output);
  if (!std::isnan(row.ttft_ms)) slice.ttft_ms.add(row.ttft_ms), slice.ttft_ms_sum += row.ttft_ms;
  if (std::isnan(row.decode_ms)) return;
  slice.e2e_ms.add(*r.e2e_ms), slice.decode_ms_sum += row.decode_ms;
  if (r.output_tokens > 1 && r.ttft_ms) slice.tpot_ms.add(row.decode_ms / (row.output - 1));
}

void Workload::State::count(const TraceRecord& r, const Row& row) {
  recorded.timestamp += r.timestamp.has_value(), recorded.type += !r.type.empty(), recorded.model += !r.model.empty();
  recorded.cached_tokens += r.cached_tokens.has_value(), recorded.queue_ms += r.queue_ms.has_value();
  recorded.ttft_ms += r.ttft_ms.has_value(), recorded.e2e_ms += r.e2e_ms.has_value();
  recorded.stalled_ms += r.stalled_ms.has_value();
  short_chains += row.has_blocks && !row.whole_chain;
  recorded.prefix_blocks += row.has_blocks, recorded.prompt_hash += r.prompt_hash.has_value();
  recorded.scores += !std::isnan(row.score), recorded.drafts += row.accepted + row.wasted > 0;
  recorded.priced += row.priced;
  if (!r.answer_hash) return;
  ++answered[row.type];
  if (answers[row.type].size() <= most_answers) answers[row.type].insert(*r.answer_hash);
}

void Workload::State::serve(TraceRecord& r, double at) {
  if (failed(r)) {
    ++empty_answers;
    return;
  }
  if (total.requests == 0) first_at = at;
  last_at = std::max(last_at, at);
  const Row row = row_of(r, at);
  if (r.timestamp) bursts[row.type].add(at);
  const std::size_t which = model(r.model).slice;
  sum(r, row, total), sum(r, row, types[row.type]), sum(r, row, models[which]);
  for (Money* sum : {&relative_total_, &relative_of_type_[row.type], &relative_of_model_[which]})
    sum->cost += row.cost, sum->levers += levers_;
  count(r, row);
  if (sample.wants(row.ordinal)) sample.add(row);
  watch(r, at, row);
}

Workload::Workload(WorkloadOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Workload::~Workload() = default;
Workload::Workload(Workload&&) noexcept = default;
Workload& Workload::operator=(Workload&&) noexcept = default;

void Workload::add(TraceRecord record) { state_->add(std::move(record)); }
void Workload::note_bad_line() { ++state_->bad_lines; }
void Workload::finish() { state_->finish(); }
const SliceStats& Workload::total() const { return state_->total; }
const std::vector<SliceStats>& Workload::types() const { return state_->types; }
const std::vector<SliceStats>& Workload::models() const { return state_->models; }
const Recorded& Workload::recorded() const { return state_->recorded; }
const PrefixOutcome& Workload::prefix() const { return state_->prefix; }
double Workload::span_s() const { return state_->last_at - state_->first_at; }
bool Workload::relative_prices() const { return state_->recorded.priced == 0; }
const PriceBook& Workload::prices() const { return state_->options.prices; }
double Workload::first_at() const { return state_->first_at; }

std::vector<std::string> Workload::unknowable() const {
  const Recorded& known = recorded();
  const std::uint64_t n = total().requests;
  std::vector<std::string> said;
  const auto missing = [&](std::uint64_t count, const char* field, const char* consequence) {
    if (count == 0)
      said.push_back(std::string(field) + " is not recorded: " + consequence);
    else if (count < n)
      said.push_back(std::string(field) + " is recorded for " + std::to_string(count) + " of " + std::to_string(n) +
                     " requests: the others are left out where it is needed");
  };
  if (n == 0) return {"there is no answered request in the trace"};
  missing(known.timestamp, "timestamp", "a cache's time to live, bursts and requests in flight are unknown");
  missing(known.type, "type", "no request type can be named, capped on its own or given a model of its own");
  missing(known.model, "model", "nothing can be priced");
  missing(known.cached_tokens, "cached_tokens", "taken as 0: a prefix cache that is at work already is not seen");
  missing(known.ttft_ms, "ttft_ms", "waiting for the first token is unknown");
  missing(known.e2e_ms, "e2e_ms", "time per output token is unknown, so what speculation would save as well");
  if (known.e2e_ms > 0 && known.stalled_ms == 0)
    said.push_back(
        "stalled_ms is not recorded: how much of the time after the first token goes to other requests' prompts is "
        "estimated from the pace beside them, where that tells");
  missing(known.prefix_blocks, "prefix_blocks",
          "whether prompts share a beginning is unknown, so prefix_cache and "
          "context cannot be judged");
  if (known.prompt_hash == 0 && known.prefix_blocks == 0)
    said.push_back("prompt_hash is not recorded: repeated questions are unknown, so answer_cache cannot be judged");
  if (known.scores == 0)
    said.push_back("no attempt of a smaller model with its score is recorded: cascade cannot be judged");
  if (known.drafts == 0)
    said.push_back("no drafted token is recorded: speculation is judged by usual acceptance rates");
  if (known.priced < n && known.priced > 0)
    said.push_back(std::to_string(n - known.priced) +
                   " requests are of models without a known price and are left out "
                   "of all costs");
  if (known.priced == 0 && known.model > 0)
    said.push_back(
        "no model of the trace has a known price: costs are relative, an output token counting 5 and a "
        "cached one 0.1 input tokens");
  if (state_->short_chains > 0)
    said.push_back("prefix_blocks end before the prompt does in " + std::to_string(state_->short_chains) +
                   " requests: whether these repeat another one, and whether their rest is shared, is unknown");
  if (state_->bad_lines > 0)
    said.push_back(std::to_string(state_->bad_lines) + " lines could not be read and are left out");
  if (state_->empty_answers > 0)
    said.push_back(std::to_string(state_->empty_answers) + " requests were refused or failed and are left out");
  return said;
}

Workload read_workload(const std::string& path, WorkloadOptions options, const ReadHooks& hooks) {
  constexpr std::uint64_t every = 8192;
  Workload workload(std::move(options));
  TraceReader reader(path);
  TraceRecord record;
  std::uint64_t good = 0, bad = 0;
  for (bool more = true; more;) {
    try {
      more = reader.next(record);
      if (more) workload.add(std::move(record)), ++good;
    } catch (const Error& e) {
      if (!hooks.bad_line || e.code() != Errc::bad_file) throw;  // no line, the file
      hooks.bad_line(e), workload.note_bad_line(), ++bad;
    }
    if (hooks.progress && (good + bad) % every == 0) hooks.progress(reader.bytes_read());
  }
  if (good == 0) throw Error(Errc::bad_file, path + ": no request in it");
  if (bad > good)
    throw Error(Errc::bad_file, path + ": no trace: " + std::to_string(bad) + " lines cannot be read, and only " +
                                    std::to_string(good) + " requests can");
  workload.finish();
  return workload;
}

}  // namespace frugal
