#include "http/prompt_caching.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "http/cache_places.hpp"

namespace frugal::http {

namespace {

constexpr std::array<Duration, 2> lives{std::chrono::minutes(5), std::chrono::hours(1)};
constexpr std::size_t most_types = 256;
constexpr std::size_t look_back = 20;  // blocks before a mark in which Anthropic looks for what was written earlier
constexpr std::uint64_t enough_to_tell = 5;  // requests before a warning

std::size_t index(CacheTtl ttl) { return static_cast<std::size_t>(ttl); }

}  // namespace

void CacheUses::add(std::optional<Duration> gap) {
  if (all >= 64) {  // what is long ago counts less
    all /= 2;
    for (double& n : within) n /= 2;
  }
  ++all;
  for (std::size_t i = 0; i < within.size(); ++i)
    if (gap && *gap <= lives[i]) ++within[i];
}

double CachePrices::of(const CacheUses& uses, CacheTtl ttl) const {
  const double reads = uses.within[index(ttl)];
  return reads * read + (uses.all - reads) * write[index(ttl)];
}

std::size_t hours_among(const std::vector<CacheChoice>& marks, const CachePrices& prices) {
  double cost = 0;
  for (const CacheChoice& m : marks)
    cost += m.tokens * prices.of(m.uses, CacheTtl::minutes5) / std::max(1.0, m.uses.all);
  double least = cost;
  std::size_t best = 0;
  for (std::size_t hours = 1; hours <= marks.size(); ++hours) {
    const CacheChoice& m = marks[hours - 1];
    const double weight = m.tokens / std::max(1.0, m.uses.all);
    cost += weight * (prices.of(m.uses, CacheTtl::hour) - prices.of(m.uses, CacheTtl::minutes5));
    if (cost < least) least = cost, best = hours;
  }
  return best;
}

PromptCaching::PromptCaching(const HttpOptions& options)
    : options_(options),
      terms_(prompt_cache_terms(options.model)),
      takes_key_(takes_cache_key(options)),
      most_marks_(most_marks(options)),
      marks_only_(options.api == HttpApi::anthropic_messages || takes_breakpoints(options)),
      is_hosted_(options.api == HttpApi::anthropic_messages || takes_key_ ||
                 options.caching.prices.contains(options.model)) {}

CachePlan PromptCaching::plan(const Request& request, TimePoint now) {
  CachePlan plan;
  if (!options_.caching.on || !is_hosted_) return plan;
  plan.places = places_of(request, options_);
  if (plan.places.empty()) return plan;
  plan.type = request.type;
  const std::vector<std::size_t> wanted = wanted_marks(std::get<Chat>(request.prompt), plan.places, options_.api);
  if (takes_key_) plan.key = cache_key(request, plan.places, wanted, options_);
  const std::lock_guard lock(mutex_);
  Type& type = type_of(request.type);
  choose_marks(plan, last_marks(wanted, most_marks_), type);
  expect(plan, now);
  note_uses(plan, type, now);
  return plan;
}

// Each lives for minutes or an hour, whichever costs less by its uses so far.
void PromptCaching::choose_marks(CachePlan& plan, const std::vector<std::size_t>& marks, const Type& type) {
  const auto tokens = [&](std::size_t at) { return double(plan.places[at].bytes) * tokens_per_byte_; };
  std::vector<CacheChoice> choices;
  double before = 0;
  for (const std::size_t at : marks) {
    const auto known = prefixes_.find(plan.places[at].hash);
    const bool own = known != prefixes_.end() && known->second.uses.all >= 2;
    choices.push_back({tokens(at) - std::exchange(before, tokens(at)), own ? known->second.uses : type.uses});
  }
  const bool chooses = options_.api == HttpApi::anthropic_messages && !options_.caching.ttl && !choices.empty();
  const std::size_t hours = chooses ? hours_among(choices, prices()) : 0;
  for (std::size_t i = 0; i < marks.size(); ++i) {
    CachePlace& place = plan.places[marks[i]];
    place.marked = true;
    const CacheTtl chosen = i < hours ? CacheTtl::hour : CacheTtl::minutes5;
    plan.marks.push_back({place.message, options_.caching.ttl.value_or(chosen)});
  }
}

// Of a marked beginning every use counts: the first one too, which is a write whatever its time to live.
void PromptCaching::note_uses(const CachePlan& plan, Type& type, TimePoint now) {
  for (const CachePlace& place : plan.places) {
    if (!place.marked) continue;
    const auto known = prefixes_.find(place.hash);
    const bool seen = known != prefixes_.end() && known->second.uses.all > 0;
    const std::optional<Duration> gap = seen ? std::optional(now - known->second.sent) : std::nullopt;
    Prefix& prefix = remember(place.hash);
    prefix.uses.add(gap);
    prefix.sent = now;
    type.uses.add(gap);
  }
}

// The longest beginning that is in the cache, and where the provider looks.
void PromptCaching::expect(CachePlan& plan, TimePoint now) const {
  for (std::size_t at = plan.places.size(); at-- > 0;) {
    const auto known = prefixes_.find(plan.places[at].hash);
    if (known == prefixes_.end() || known->second.until <= now) continue;
    if (options_.api == HttpApi::anthropic_messages) {
      const bool looked =
          std::any_of(plan.places.begin() + static_cast<std::ptrdiff_t>(at), plan.places.end(),
                      [&](const CachePlace& p) { return p.marked && p.blocks - plan.places[at].blocks <= look_back; });
      if (!looked) continue;
    }
    plan.expected_bytes = plan.places[at].bytes;
    plan.expected_tokens = known->second.tokens;
    return;
  }
}

void PromptCaching::settle(const CachePlan& plan, const Finish& finish, TimePoint now) {
  const bool answered = finish.reason == FinishReason::stop || finish.reason == FinishReason::length;
  if (plan.places.empty() || !answered || finish.ledger.attempts.empty()) return;
  const Usage& usage = finish.ledger.attempts.front().usage;  // a hedge's second try is another bill
  if (usage.input == 0) return;
  std::string words;
  {
    const std::lock_guard lock(mutex_);
    const double per_byte = double(usage.input) / double(plan.places.back().bytes);
    tokens_per_byte_ += 0.1 * (per_byte - tokens_per_byte_);
    Type& type = type_of(plan.type);
    words = judge(plan, type, usage, per_byte);
    if (const std::string other = short_of(plan, type, usage, per_byte); words.empty()) words = other;
    keep(plan, usage, per_byte, now);
  }
  if (!words.empty() && options_.log)
    options_.log(LogLevel::warning, finish.request.value, "endpoint " + options_.name + ": " + words);
}

bool PromptCaching::marks_enough(const CachePlan& plan, double per_byte) const {
  return options_.api == HttpApi::anthropic_messages &&
         std::any_of(plan.places.begin(), plan.places.end(), [&](const CachePlace& p) {
           return p.marked && per_byte * double(p.bytes) >= 1.1 * double(terms_.least_tokens);  // lengths are estimates
         });
}

std::string PromptCaching::judge(const CachePlan& plan, Type& type, const Usage& usage, double per_byte) {
  std::uint64_t expected = plan.expected_tokens;
  if (expected == 0) expected = static_cast<std::uint64_t>(std::floor(per_byte * double(plan.expected_bytes)));
  expected = std::min(expected, usage.input);
  expected -= expected % terms_.step_tokens;
  if (expected < terms_.least_tokens) expected = 0;
  HttpCacheReport& r = type.report;
  ++r.requests;
  r.least_tokens = terms_.least_tokens;
  r.expected_read += expected;
  r.billed_read += usage.cached_read;
  r.billed_write += usage.cache_write;
  if (2 * usage.cached_read < expected) ++r.missed;
  if (usage.cached_read + usage.cache_write == 0 && marks_enough(plan, per_byte)) ++r.ignored;
  if (r.ignored >= enough_to_tell && 2 * r.ignored > r.requests && !std::exchange(type.told_ignored, true))
    return "the provider's cache takes no notice of the marks of type \"" + r.type +
           "\": neither writes nor reads are billed";
  const bool drift = r.missed >= enough_to_tell && 2 * r.billed_read < r.expected_read;
  if (!drift || std::exchange(type.told_missed, true)) return {};
  return "requests of type \"" + r.type + "\" should have read " + std::to_string(r.expected_read) +
         " tokens from the provider's cache, and " + std::to_string(r.billed_read) + " were billed as read";
}

// A beginning that the caller marks, or that came before, and that the provider did not take because it is short.
std::string PromptCaching::short_of(const CachePlan& plan, Type& type, const Usage& usage, double per_byte) {
  if (usage.cached_read + usage.cache_write > 0) return {};
  const auto least = double(terms_.least_tokens);
  for (auto place = plan.places.rbegin(); place != plan.places.rend(); ++place) {
    const auto known = prefixes_.find(place->hash);
    if (!place->marked && (marks_only_ || known == prefixes_.end())) continue;
    const double tokens = per_byte * double(place->bytes);
    if (tokens >= least || tokens < 0.75 * least) return {};
    HttpCacheReport& r = type.report;
    ++r.too_short;
    r.lacks = std::max<std::uint64_t>(1, terms_.least_tokens - static_cast<std::uint64_t>(tokens));
    if (r.too_short < enough_to_tell || std::exchange(type.told_short, true)) return {};
    return "the beginning that requests of type \"" + r.type + "\" share lacks about " + std::to_string(r.lacks) +
           " tokens of the " + std::to_string(terms_.least_tokens) + " that the provider's cache needs";
  }
  return {};
}

// What the bill says is in the cache is expected there from now on; what it denies is not.
void PromptCaching::keep(const CachePlan& plan, const Usage& usage, double per_byte, TimePoint now) {
  const bool bills_writes = options_.api == HttpApi::anthropic_messages;
  const std::uint64_t covered = usage.cached_read + usage.cache_write;
  const CachePlace* last = nullptr;  // the longest one that was written or read
  for (const CachePlace& place : plan.places) {
    const bool whole = &place == &plan.places.back() && options_.api != HttpApi::anthropic_messages;
    if (marks_only_ && !place.marked && !whole) continue;
    const bool there = bills_writes ? covered > 0 : per_byte * double(place.bytes) >= double(terms_.least_tokens);
    Prefix& prefix = remember(place.hash);
    prefix.until = there ? now + life_of(plan, place) : TimePoint{};
    if (there)
      last = &place;
    else
      prefix.tokens = 0;
  }
  if (last == nullptr) return;
  if (bills_writes)
    remember(last->hash).tokens = covered;
  else if (last == &plan.places.back())
    remember(last->hash).tokens = usage.input;
}

Duration PromptCaching::life_of(const CachePlan& plan, const CachePlace& place) const {
  if (const CacheMark* mark = plan.mark_of(place.message);
      mark != nullptr && options_.api == HttpApi::anthropic_messages)
    return lives[index(mark->ttl)];
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(terms_.ttl_s));
}

// By the price of the day; an unknown price is taken to be Anthropic's usual multiple of the input's.
CachePrices PromptCaching::prices() const {
  const expected<Rates> rates = options_.caching.prices.rates(options_.model, terms_.least_tokens);
  CachePrices out;
  if (!rates || !rates->input) return out;
  const double input = *rates->input;
  out.write = {rates->cache_write.value_or(1.25 * input), rates->cache_write_1h.value_or(2 * input)};
  out.read = rates->cached_read.value_or(0.1 * input);
  return out;
}

PromptCaching::Prefix& PromptCaching::remember(std::uint64_t hash) {
  const auto known = prefixes_.find(hash);
  if (known != prefixes_.end()) {
    recent_.splice(recent_.begin(), recent_, known->second.place);
    return known->second;
  }
  if (prefixes_.size() >= options_.caching.most_prefixes && !recent_.empty()) {
    prefixes_.erase(recent_.back());
    recent_.pop_back();
  }
  std::list<std::uint64_t> one{hash};
  Prefix& made = prefixes_[hash];
  made.place = one.begin();
  recent_.splice(recent_.begin(), one);
  return made;
}

PromptCaching::Type& PromptCaching::type_of(const std::string& name) {
  const auto known = types_.find(name);
  if (known != types_.end()) return known->second;
  const std::string key = types_.size() < most_types ? name : "(other)";
  Type& made = types_[key];
  made.report.type = key;
  return made;
}

std::vector<HttpCacheReport> PromptCaching::report() const {
  const std::lock_guard lock(mutex_);
  std::vector<HttpCacheReport> out;
  for (const auto& [name, type] : types_)
    if (type.report.requests > 0) out.push_back(type.report);
  return out;
}

}  // namespace frugal::http
