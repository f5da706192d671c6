// Which price is in force: find the model, take the last dated price that holds, lay the variants over it, pick the
// context tier.
#include <frugal/meter/price_book.hpp>

#include <algorithm>
#include <unordered_set>

#include "core/ascii.hpp"
#include "meter/price_table.hpp"

namespace frugal {
namespace {

constexpr std::string_view built_in_json =
#include "meter/price_table.inc"
    ;

std::chrono::sys_seconds time_of(const PriceQuery& query) {
  return query.at.value_or(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
}

std::string day_of(std::chrono::sys_seconds at) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(at));
  const auto two = [](unsigned n) { return std::string(n < 10 ? "-0" : "-") + std::to_string(n); };
  return std::to_string(static_cast<int>(day.year())) + two(static_cast<unsigned>(day.month())) +
         two(static_cast<unsigned>(day.day()));
}

bool is_standard(std::string_view tier) { return tier.empty() || tier == "default" || tier == "standard"; }

// Where in `name` an end of this shape begins (d = a digit); npos where it has none.
std::size_t end_of_shape(std::string_view name, std::string_view shape) {
  if (name.size() <= shape.size()) return std::string_view::npos;
  const auto fits = [](char s, char c) { return s == 'd' ? c >= '0' && c <= '9' : s == c; };
  const std::size_t at = name.size() - shape.size();
  return std::equal(shape.begin(), shape.end(), name.begin() + static_cast<std::ptrdiff_t>(at), fits)
             ? at
             : std::string_view::npos;
}

// The names a model may be listed under, the best first: as it is, with its date spelled "-2026-03-14", without a date.
std::vector<std::string> spellings(std::string_view model) {
  const std::string name = lower_ascii(model);
  std::vector<std::string> out{name};
  for (const std::string_view shape : {"-dddddddd", "@dddddddd", "-dddd-dd-dd", "-latest"}) {
    const std::size_t at = end_of_shape(name, shape);
    if (at == std::string::npos) continue;
    const std::string plain = name.substr(0, at), date = name.substr(at + 1);
    if (date.size() == 8)
      out.push_back(plain + "-" + date.substr(0, 4) + "-" + date.substr(4, 2) + "-" + date.substr(6));
    out.push_back(plain);
    break;
  }
  return out;
}

const PricedModel* look_up(const PriceBook::Table* table, std::string_view model) {
  for (const std::string& name : spellings(model))
    for (const PriceBook::Table* t = table; t != nullptr; t = t->below.get())
      if (const PricedModel* found = t->find(name)) return found;
  return nullptr;
}

void lay(Rates& rates, const DatedPrice& price, std::uint64_t prompt_tokens) {
  for (std::size_t i = 0; i < rate_names.size(); ++i)
    if (price.rates[i]) rates.*rate_names[i].member = price.rates[i]->at(prompt_tokens);
}

unexpected no_price(const std::string& what) { return unexpected(Errc::unavailable, "no price for " + what); }

expected<Rates> resolve_at(const PricedModel& model, std::uint64_t prompt_tokens, const PriceQuery& query,
                           std::chrono::sys_seconds at) {
  const auto standard =
      std::find_if(model.prices.rbegin(), model.prices.rend(), [&](const DatedPrice& p) { return p.when.holds(at); });
  if (standard == model.prices.rend()) return no_price("model \"" + model.id + "\" on " + day_of(at));
  Rates rates;
  lay(rates, *standard, prompt_tokens);
  bool tier_found = is_standard(query.service_tier), batch_found = !query.batch;
  for (auto v = model.variants.rbegin(); v != model.variants.rend(); ++v) {
    if (!v->matches(query) || !v->price.when.holds(at)) continue;
    lay(rates, v->price, prompt_tokens);
    tier_found |= !v->tier.empty(), batch_found |= v->batch;
  }
  if (!tier_found)
    return no_price("service tier \"" + std::string(query.service_tier) + "\" of model \"" + model.id + "\" on " +
                    day_of(at));
  if (!batch_found) return no_price("batches of model \"" + model.id + "\" on " + day_of(at));
  return rates;
}

// The moments at which the price may change, from `from` to `to`: days on which one begins, and hours of the week.
std::vector<std::chrono::sys_seconds> changes(const PricedModel& model, std::chrono::sys_seconds from,
                                              std::chrono::sys_seconds to) {
  using std::chrono::days, std::chrono::minutes;
  std::vector<std::chrono::sys_seconds> begins{from};
  std::vector<minutes> hours;
  bool repeats = false;
  const auto look = [&](const Condition& c) {
    if (c.since && *c.since > from) begins.push_back(*c.since);
    if (c.days != 0) repeats = true, hours.push_back(minutes{0});
    if (c.minutes)
      repeats = true, hours.push_back(minutes{c.minutes->first}), hours.push_back(minutes{c.minutes->second});
  };
  for (const DatedPrice& p : model.prices) look(p.when);
  for (const Variant& v : model.variants) look(v.price.when);
  std::vector<std::chrono::sys_seconds> out = begins;
  if (repeats)
    for (const std::chrono::sys_seconds begin : begins)  // behind a week from there everything has been seen
      for (auto day = std::chrono::floor<days>(begin); day <= begin + days{8} && day <= to; day += days{1})
        for (const minutes m : hours) out.push_back(day + m);
  std::erase_if(out, [&](std::chrono::sys_seconds t) { return t < from || t > to; });
  return out;
}

// A rate that is missing is that of its neighbour, so that two moments can be compared.
void fill_in(Rates& r) {
  const auto take = [](std::optional<double>& rate, const std::optional<double>& other) { rate = rate ? rate : other; };
  take(r.cached_read, r.input), take(r.cache_write, r.input), take(r.cache_write_1h, r.cache_write);
  take(r.reasoning, r.output);
}

void raise(Rates& most, const Rates& rates) {
  for (const RateName& name : rate_names)
    if (const std::optional<double>& rate = rates.*name.member)
      most.*name.member = std::max((most.*name.member).value_or(*rate), *rate);
}

expected<Rates> resolve(const PricedModel& model, std::uint64_t prompt_tokens, const PriceQuery& query) {
  const std::chrono::sys_seconds from = time_of(query);
  if (!query.until || *query.until <= from) return resolve_at(model, prompt_tokens, query, from);
  Rates most;
  for (const std::chrono::sys_seconds at : changes(model, from, *query.until)) {
    expected<Rates> rates = resolve_at(model, prompt_tokens, query, at);
    if (!rates) return rates;
    fill_in(*rates);
    raise(most, *rates);
  }
  return most;
}

}  // namespace

bool Condition::holds(std::chrono::sys_seconds at) const {
  const auto day = std::chrono::floor<std::chrono::days>(at);
  if (since && day < *since) return false;
  if (days != 0 && (days >> std::chrono::weekday(day).c_encoding() & 1U) == 0) return false;
  if (!minutes) return true;
  const auto now = std::chrono::duration_cast<std::chrono::minutes>(at - day).count();
  const auto [from, to] = *minutes;
  return from <= to ? from <= now && now < to : from <= now || now < to;
}

void PriceBook::Table::make_index() {
  const auto add = [&](const std::string& key, std::size_t i) { index.emplace(lower_ascii(key), i); };
  for (std::size_t i = 0; i < models.size(); ++i) add(models[i].id, i);
  for (const bool bare : {false, true}) {
    for (std::size_t i = 0; i < models.size(); ++i) {
      const std::size_t slash = models[i].id.find('/');
      const std::string provider = slash == std::string::npos ? "" : models[i].id.substr(0, slash + 1);
      if (bare && !models[i].bare) continue;
      if (bare) add(models[i].id.substr(provider.size()), i);
      for (const std::string& name : models[i].names) add(bare ? name : provider + name, i);
    }
  }
}

const PricedModel* PriceBook::Table::find(const std::string& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &models[found->second];
}

PriceBook::PriceBook() : table_(std::make_shared<Table>()) {}
PriceBook::PriceBook(std::shared_ptr<const Table> table) : table_(std::move(table)) {}

PriceBook PriceBook::parse(std::string_view json) {
  return PriceBook(std::make_shared<const Table>(parse_prices(json)));
}

const PriceBook& PriceBook::built_in() {
  static const PriceBook book = parse(built_in_json);
  return book;
}

// Copies the layers of `overrides` and hangs this book below the last of them.
PriceBook PriceBook::with(const PriceBook& overrides) const {
  std::shared_ptr<const Table> chain = table_;
  std::vector<const Table*> layers;
  for (const Table* t = overrides.table_.get(); t != nullptr; t = t->below.get()) layers.push_back(t);
  for (auto t = layers.rbegin(); t != layers.rend(); ++t) {
    auto copy = std::make_shared<Table>(**t);
    copy->below = std::exchange(chain, nullptr);
    chain = std::move(copy);
  }
  return PriceBook(std::move(chain));
}

PriceBook PriceBook::with(std::string id, const Rates& rates) const {
  auto layer = std::make_shared<Table>();
  DatedPrice price;
  for (std::size_t i = 0; i < rate_names.size(); ++i)
    if (const std::optional<double>& rate = rates.*rate_names[i].member) price.rates[i] = TieredRate{*rate, {}};
  layer->models.push_back({.id = std::move(id), .prices = {std::move(price)}});
  layer->make_index();
  layer->below = table_;
  return PriceBook(std::move(layer));
}

expected<Rates> PriceBook::rates(std::string_view model, std::uint64_t prompt_tokens, const PriceQuery& query) const {
  const PricedModel* found = look_up(table_.get(), model);
  if (found == nullptr) return no_price("model \"" + std::string(model) + "\"");
  return resolve(*found, prompt_tokens, query);
}

expected<Cost> PriceBook::cost(std::string_view model, const Usage& usage, const PriceQuery& query) const {
  const expected<Rates> found = rates(model, usage.input, query);
  if (!found) return unexpected(found.error());
  expected<Cost> cost = cost_of(usage, *found, query);
  if (!cost) return unexpected(cost.error().code(), "model \"" + std::string(model) + "\": " + cost.error().message());
  return cost;
}

Rates PriceBook::dearest(const PriceQuery& query) const {
  Rates most;
  constexpr std::uint64_t longest = ~std::uint64_t{0};
  for (const Table* t = table_.get(); t != nullptr; t = t->below.get()) {
    for (const PricedModel& model : t->models) {
      const expected<Rates> rates = resolve(model, longest, query);
      if (rates) raise(most, *rates);
    }
  }
  return most;
}

bool PriceBook::contains(std::string_view model) const { return look_up(table_.get(), model) != nullptr; }

std::vector<std::string> PriceBook::models() const {
  std::vector<std::string> ids;
  std::unordered_set<std::string> seen;
  for (const Table* t = table_.get(); t != nullptr; t = t->below.get())
    for (const PricedModel& model : t->models)
      if (seen.insert(lower_ascii(model.id)).second) ids.push_back(model.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string_view PriceBook::source() const {
  for (const Table* t = table_.get(); t != nullptr; t = t->below.get())
    if (!t->source.empty()) return t->source;
  return {};
}

std::string_view PriceBook::date() const {
  for (const Table* t = table_.get(); t != nullptr; t = t->below.get())
    if (!t->date.empty()) return t->date;
  return {};
}

}  // namespace frugal
