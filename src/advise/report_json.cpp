#include <frugal/advise/report.hpp>

#include <nlohmann/json.hpp>

#include "meter/ledger_json.hpp"

namespace frugal {

using json = nlohmann::ordered_json;

namespace {

using meter::to_json;

json to_json(const Interval& i) { return {{"estimate", i.estimate}, {"low", i.low}, {"high", i.high}}; }

json to_json(Metric of, const Interval& i) {
  return {{"of", to_string(of)}, {"estimate", i.estimate}, {"low", i.low}, {"high", i.high}};
}

json to_json(const Advice& advice) {
  json slices = json::array(), levers = json::array();
  for (const SliceAdvice& s : advice.slices)
    slices.push_back({{"type", s.type},
                      {"requests", s.requests},
                      {"share", {{"cost", s.cost}, {"ttft", s.ttft}, {"e2e", s.e2e}, {"tail", s.tail}}}});
  for (const LeverAdvice& l : advice.levers)
    if (l.worth)
      levers.push_back({{"lever", to_string(l.lever)},
                        {"saving", to_json(advice.metric(), *l.on(advice.metric()))},
                        {"assumption", l.assumption},
                        {"experiment", l.experiment}});
  json near = json::array();
  for (const ShortPrefix& p : advice.short_prefixes)
    near.push_back({{"type", p.type},
                    {"requests", p.requests},
                    {"shared_tokens", p.shared_tokens},
                    {"least_tokens", p.least_tokens},
                    {"tokens_short", p.lacks()},
                    {"saving", to_json(Metric::cost, p.cost)}});
  return {{"bound_by", to_string(advice.bound)},
          {"slices", std::move(slices)},
          {"levers", std::move(levers)},
          {"short_prefixes", std::move(near)}};
}

/// Quantiles that rest on too few values are null; "n" says how many there are.
json to_json(const Sketch& sketch) {
  json object{{"n", sketch.count()}};
  for (const auto& [name, q] : {std::pair("p50", 0.5), std::pair("p90", 0.9), std::pair("p99", 0.99)}) {
    const Percentile p = percentile(sketch, q);
    object[name] = p.value ? json(*p.value) : json();
    if (p.n_too_small) object[std::string(name) + "_n_too_small"] = true;
  }
  return object;
}

json to_json(const LeverCosts& v) {
  return {{"prefix_cache", {{"saved", v.cache_saved}, {"spent", v.cache_spent}}},
          {"cascade", {{"spent", v.cascade_spent}}},
          {"speculation", {{"saved", v.speculation_saved}, {"spent", v.speculation_spent}}}};
}

/// Null where nothing in the slice has a price.
json cost_json(const SliceStats& s, bool relative) { return relative || !s.cost_is_unknown() ? json(s.cost) : json(); }

json to_json(const SliceStats& s, bool relative) {
  return {{"name", s.name},
          {"requests", s.requests},
          {"cost", cost_json(s, relative)},
          {"unpriced", s.unpriced},
          {"usage", to_json(s.usage)},
          {"cost_by_lever", to_json(s.levers)},
          {"ttft_ms", to_json(s.ttft_ms)},
          {"tpot_ms", to_json(s.tpot_ms)},
          {"e2e_ms", to_json(s.e2e_ms)}};
}

json to_json(const std::vector<SliceStats>& slices, bool relative) {
  json list = json::array();
  for (const SliceStats& s : slices) list.push_back(to_json(s, relative));
  return list;
}

json to_json(const LeverOutcome& outcome) {
  json changes = json::array();
  for (const Change& c : outcome.changes)
    changes.push_back({{"of", to_string(c.metric)},
                       {"before", c.before},
                       {"after", c.after},
                       {"saving", to_json(c.saving)},
                       {"predicted", c.predicted ? to_json(*c.predicted) : json()},
                       {"as_predicted", c.predicted ? json(c.as_predicted) : json()}});
  return {{"lever", outcome.lever ? json(to_string(*outcome.lever)) : json()},
          {"changes", std::move(changes)},
          {"notes", outcome.notes}};
}

std::string line(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

}  // namespace

std::string advice_json(const Advice& advice) { return line(to_json(advice)); }

std::string replay_json(const Report& report) {
  const Workload& w = *report.workload;
  const SliceStats& all = w.total();
  const PrefixOutcome& prefix = w.prefix();
  const bool relative = w.relative_prices();
  json object{{"requests", all.requests},
              {"span_s", w.span_s()},
              {"cost", cost_json(all, relative)},
              {"unpriced", all.unpriced},
              {"failed",
               {{"requests", w.failed().requests},
                {"unpriced", w.failed().unpriced},
                {"cost", w.failed().cost},
                {"usage", to_json(w.failed().usage)}}},
              {"relative_prices", relative},
              {"usage", to_json(all.usage)},
              {"tokens", to_json(all.tokens)},
              {"drafts", to_json(all.drafts)},
              {"cost_by_lever", to_json(all.levers)},
              {"ttft_ms", to_json(all.ttft_ms)},
              {"tpot_ms", to_json(all.tpot_ms)},
              {"e2e_ms", to_json(all.e2e_ms)},
              {"types", to_json(w.types(), relative)},
              {"models", to_json(w.models(), relative)},
              {"prefix_cache",
               {{"prompt_tokens", prefix.prompt},
                {"cached_tokens", prefix.cached},
                {"replayed_hits", prefix.hits},
                {"evicted_blocks", prefix.evicted}}},
              {"unknowable", w.unknowable()}};
  if (report.advice != nullptr) object["advice"] = to_json(*report.advice);
  if (report.outcome != nullptr) object["outcome"] = to_json(*report.outcome);
  return line(object);
}

}  // namespace frugal
