// The list that recorders push onto, and the sums behind it: for each key one lifetime total and a ring of time slices.
#include <frugal/meter/meter.hpp>

#include <frugal/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <utility>

#include "meter/meter_stats.hpp"

namespace frugal {
namespace {

MeterOptions checked(MeterOptions o) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw Error(Errc::invalid_argument, std::string("MeterOptions::") + what);
  };
  require(o.window > Duration{}, "window is not positive");
  require(o.slices > 0, "slices is 0");
  require(o.window / o.slices > Duration{}, "window is shorter than a nanosecond a slice");
  require(o.alpha > 0 && o.alpha < 1, "alpha is not in (0, 1)");
  require(o.most_series > 0, "most_series is 0");
  require(o.most_types > 0, "most_types is 0");
  for (const Slo& s : o.slos)
    require(s.ttft >= Duration{} && s.tpot >= Duration{} && s.e2e >= Duration{}, "slos holds a negative time");
  // A meter fails nothing: what has no price is counted as unpriced.
  if (o.price_rules.unknown == UnknownPrice::fail) o.price_rules.unknown = UnknownPrice::warn;
  return o;
}

struct Slice {
  std::int64_t number = -1;  ///< time since the meter was made, in slices; -1 = never used
  MeterStats stats;
};

struct Series {
  Series(double alpha, std::uint32_t slices) : total(alpha), ring(slices, Slice{-1, MeterStats(alpha)}) {}
  MeterStats total;
  std::vector<Slice> ring;
};

MeterKey masked(const MeterKey& key, MeterBy by) {
  return {by.type ? key.type : "", by.tenant ? key.tenant : "", by.model ? key.model : "",
          by.endpoint ? key.endpoint : ""};
}

}  // namespace

struct Meter::Impl {
  explicit Impl(MeterOptions o)
      : options(checked(std::move(o))),
        clock(options.clock ? *options.clock : steady_clock()),
        born(clock.now()),
        slice(options.window / options.slices) {}
  ~Impl() { List{head.load()}; }

  using Rows = std::map<MeterKey, Series>;
  struct Node {
    Measured measured;
    TimePoint at;
    Node* next = nullptr;
  };
  struct List {  // owns what hangs on `first`
    Node* first = nullptr;
    ~List() {
      while (first != nullptr) delete std::exchange(first, first->next);
    }
  };

  // Newest first; the whole list is taken at once, so there is no ABA.
  void push(Node* node) {
    node->next = head.load(std::memory_order_relaxed);
    while (!head.compare_exchange_weak(node->next, node)) {
    }
  }

  void sum_up() {  // under mutex
    List list;
    for (Node* n = head.exchange(nullptr); n != nullptr;) {
      Node* next = std::exchange(n->next, list.first);
      list.first = std::exchange(n, next);
    }
    for (const Node* n = list.first; n != nullptr; n = n->next) add(n->measured, n->at);
  }

  std::int64_t slice_of(TimePoint t) const { return (t - born) / slice; }

  Series& series(Rows& rows, MeterKey key) {
    auto found = rows.find(key);
    if (found == rows.end() && rows.size() >= options.most_series) {
      key = {"(other)", "(other)", "(other)", "(other)"};
      found = rows.find(key);
    }
    if (found == rows.end()) found = rows.emplace(std::move(key), Series(options.alpha, options.slices)).first;
    return found->second;
  }

  template <class F>
  void each(Rows& rows, MeterKey key, TimePoint at, F&& f) {
    Series& s = series(rows, std::move(key));
    f(s.total);
    const std::int64_t number = slice_of(at);
    Slice& now = s.ring[static_cast<std::size_t>(number) % s.ring.size()];
    if (now.number > number) return;  // recorded a whole window ago and added up only now
    if (now.number < number) now = {number, MeterStats(options.alpha)};
    f(now.stats);
  }

  // Clients may send what they like as a type, and the first ones of others must not be crowded out by them.
  std::string type_of(const TraceRecord& r) {
    if (r.type.empty()) return {};
    auto known = types.find(r.tenant);
    if (known == types.end() && types.size() >= options.most_series) return "(other)";
    if (known == types.end()) known = types.try_emplace(r.tenant).first;
    const bool told = known->second.count(r.type) > 0 ||
                      (known->second.size() < options.most_types && known->second.insert(r.type).second);
    return told ? r.type : "(other)";
  }

  void add(const Measured& m, TimePoint at) {
    const TraceRecord& r = m.record;
    const std::string type = type_of(r);
    if (m.is_attempt)
      return each(attempts, {type, r.tenant, r.model, r.endpoint}, at, [&](MeterStats& s) { add_times(s, m); });
    const Till till{options.prices, options.price_rules, options.reference_model};
    std::vector<AttemptBill> bills;
    for (const TraceAttempt& a : r.attempts) bills.push_back(till.bill(m, a));
    each(requests, {type, r.tenant, r.model, r.endpoint}, at, [&](MeterStats& s) { add_request(s, m, bills); });
    for (std::size_t i = 0; i < bills.size(); ++i) {
      const TraceAttempt& a = r.attempts[i];
      each(attempts, {type, r.tenant, a.model, a.endpoint}, at, [&](MeterStats& s) {
        ++s.requests;
        count_prices(s, {&bills[i], 1});
        add_attempt(s, a, bills[i]);
      });
      if (!bills[i].warning.empty()) say(a.model, bills[i].warning);
    }
    if (options.trace) options.trace(m);
  }

  void add_request(MeterStats& s, const Measured& m, std::span<const AttemptBill> bills) {
    const TraceRecord& r = m.record;
    ++s.requests;
    if (r.finish) ++s.by_finish[static_cast<std::size_t>(*r.finish)];
    count_prices(s, bills);
    for (std::size_t i = 0; i < bills.size(); ++i) add_attempt(s, r.attempts[i], bills[i]);
    add_times(s, m);
    if (const Slo* slo = promise(options.slos, r.type); slo != nullptr) ++s.promised, s.good += keeps(*slo, r) ? 1 : 0;
  }

  static void count_prices(MeterStats& s, std::span<const AttemptBill> bills) {
    const auto any = [&](auto is) { return std::any_of(bills.begin(), bills.end(), is) ? 1U : 0U; };
    s.unpriced += any([](const AttemptBill& b) { return !b.cost; });
    s.assumed_price += any([](const AttemptBill& b) { return b.is_assumed; });
  }

  void say(const std::string& model, const std::string& warning) {
    if (!options.log || warned.size() >= options.most_series || !warned.insert(model).second) return;
    options.log(LogLevel::warning, 0, "meter: " + warning);
  }

  // Adds up what `pick` takes of each series, by the fields that were asked for.
  template <class F>
  std::vector<MeterRow> fold(const Rows& rows, MeterBy by, F&& pick) const {
    std::map<MeterKey, MeterStats> sums;
    for (const auto& [key, s] : rows) pick(s, sums.try_emplace(masked(key, by), options.alpha).first->second);
    std::vector<MeterRow> out;
    for (auto& [key, stats] : sums)
      if (stats.requests > 0 || stats.e2e.count() > 0) out.push_back({key, std::move(stats)});
    return out;
  }

  template <class F>
  MeterSnapshot snapshot(MeterBy by, double seconds, F&& pick) const {
    return {seconds, in_flight.load(), fold(requests, by, pick), fold(attempts, by, pick)};
  }

  const MeterOptions options;
  const Clock& clock;
  const TimePoint born;
  const Duration slice;
  std::atomic<Node*> head{nullptr};
  std::atomic<std::uint64_t> in_flight{0};

  std::mutex mutex;  // guards what follows
  Rows requests, attempts;
  std::set<std::string> warned;
  std::map<std::string, std::set<std::string>> types;  // that are told apart, by tenant
};

Meter::Meter(MeterOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Meter::~Meter() = default;

void Meter::started() { impl_->in_flight.fetch_add(1, std::memory_order_relaxed); }

void Meter::record(Measured measured) {
  if (!measured.is_attempt) impl_->in_flight.fetch_sub(1, std::memory_order_relaxed);
  impl_->push(new Impl::Node{std::move(measured), impl_->clock.now()});
  if (!impl_->options.sum_on_record) return;
  // Who finds the lock taken leaves its record to the holder, which looks again after it let go.
  while (impl_->head.load() != nullptr && impl_->mutex.try_lock()) {
    const std::lock_guard lock(impl_->mutex, std::adopt_lock);
    impl_->sum_up();
  }
}

void Meter::flush() {
  const std::lock_guard lock(impl_->mutex);
  impl_->sum_up();
}

MeterSnapshot Meter::total(MeterBy by) const {
  const std::lock_guard lock(impl_->mutex);
  impl_->sum_up();
  const double seconds = std::chrono::duration<double>(impl_->clock.now() - impl_->born).count();
  return impl_->snapshot(by, seconds, [](const Series& s, MeterStats& sum) { sum += s.total; });
}

MeterSnapshot Meter::recent(MeterBy by) const {
  const std::lock_guard lock(impl_->mutex);
  impl_->sum_up();
  const Duration age = impl_->clock.now() - impl_->born;
  const std::int64_t newest = age / impl_->slice, slices = impl_->options.slices;
  const std::int64_t oldest = std::max<std::int64_t>(newest - slices + 1, 0);
  const double seconds = std::chrono::duration<double>(age - oldest * impl_->slice).count();
  return impl_->snapshot(by, seconds, [&](const Series& s, MeterStats& sum) {
    for (const Slice& slice : s.ring)
      if (slice.number >= oldest) sum += slice.stats;
  });
}

const MeterOptions& Meter::options() const { return impl_->options; }
const Clock& Meter::clock() const { return impl_->clock; }

}  // namespace frugal
