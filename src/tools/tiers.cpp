#include "tools/tiers.hpp"

#include "tools/console.hpp"

#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/meter/price_book.hpp>
#include <frugal/model/identity.hpp>
#include <frugal/policy/prefix_cache.hpp>
#ifdef FRUGAL_WITH_HTTP
#include <frugal/http/http_endpoint.hpp>
#endif

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

namespace frugal::tools {

const char* const tier_syntax =
    "[NAME=]MODEL.gguf, [NAME=]FOLDER, [NAME=]head:HEAD.safetensors@MODEL.gguf, [NAME=]openai:URL#MODEL or "
    "[NAME=]anthropic:URL#MODEL";

namespace {

[[noreturn]] void reject(const std::string& text, const std::string& why) {
  throw Error(Errc::invalid_argument, "--tier " + text + ": " + why);
}

// Takes what stands before `mark` off `rest`; none where the mark is not there.
std::optional<std::string> split_off(std::string& rest, char mark) {
  const std::size_t at = rest.find(mark);
  if (at == std::string::npos) return std::nullopt;
  std::string head = rest.substr(0, at);
  rest.erase(0, at + 1);
  return head;
}

bool begins(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

// "small" of "models/small.gguf".
std::string stem(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.rfind('.'));
}

std::function<std::optional<double>(const Finish&)> by_time(const std::optional<double>& usd_per_hour) {
  return [usd_per_hour](const Finish& f) -> std::optional<double> {
    const double seconds = std::chrono::duration<double>(f.timing.e2e).count();
    return usd_per_hour ? seconds * *usd_per_hour / 3600 : seconds;
  };
}

std::unique_ptr<Endpoint> engine_of(const std::string& name, const std::shared_ptr<const Model>& model,
                                    const TierRules& rules) {
  EngineOptions o;
  o.backend = make_backend(rules.backend);
  o.models = {{.name = model->name(), .model = model}};
  o.kv_bytes = rules.kv_mib << 20;
  o.prefix_cache = greedy_dual_size();
  o.name = name;
  return std::make_unique<Engine>(std::move(o));
}

// Also fills in the tier's model and price.
std::unique_ptr<Endpoint> head_of(const std::string& file, const std::shared_ptr<const Model>& model,
                                  const TierRules& rules, RecordTier& tier) {
  HeadEndpointOptions o;
  o.name = tier.name;
  o.head = std::make_shared<const Head>(load_head(file));
  o.model = model;
  o.backend = make_backend(rules.backend);
  tier.model = o.head->identity();
  tier.cost = by_time(rules.usd_per_hour);
  return std::make_unique<HeadEndpoint>(std::move(o));
}

#ifdef FRUGAL_WITH_HTTP
// Remote answers are billed by the model's name in the price book.
std::function<std::optional<double>(const Finish&)> by_price(const std::string& model) {
  return [model](const Finish& f) -> std::optional<double> {
    const expected<Cost> cost = PriceBook::built_in().cost(model, f.usage);
    return cost ? std::optional(cost->total()) : std::nullopt;
  };
}
#endif

}  // namespace

Tiers::~Tiers() = default;

Tiers::Tiers(const std::vector<std::string>& texts, const TierRules& rules) : backend_(rules.backend) {
  for (const std::string& text : texts) add(text, rules);
  if (recorded_.size() < 2) throw Error(Errc::invalid_argument, "a cascade needs at least two --tier, cheapest first");
  if (any_remote_ && !all_remote_ && !rules.usd_per_hour)
    throw Error(
        Errc::invalid_argument,
        "--usd-per-hour is needed: local tiers cost seconds, remote ones money, and the two cannot be compared");
}

Embedder Tiers::hidden(const HiddenState& state) const {
  if (!first_local_)
    throw Error(Errc::invalid_argument, "--hidden needs a local tier: remote models show no hidden states");
  return hidden_embedder(first_local_, make_backend(backend_), state);
}

void Tiers::add(const std::string& text, const TierRules& rules) {
  std::string rest = text;
  RecordTier tier;
  const std::size_t sign = text.find('=');
  if (sign != std::string::npos && sign > 0 && text.find_first_of("/:#@") > sign) tier.name = *split_off(rest, '=');
  const auto named = [&](const std::string& usual) {
    if (tier.name.empty()) tier.name = usual;
    for (const RecordTier& other : recorded_)
      if (other.name == tier.name) reject(text, "there is a tier \"" + tier.name + "\" already; write NAME=" + rest);
  };
  if (begins(rest, "openai:") || begins(rest, "anthropic:")) {
#ifdef FRUGAL_WITH_HTTP
    const bool openai = *split_off(rest, ':') == "openai";
    const std::size_t mark = rest.rfind('#');
    if (mark == std::string::npos || mark + 1 == rest.size()) reject(text, "must be URL#MODEL");
    HttpOptions o;
    o.api = openai ? HttpApi::openai_chat : HttpApi::anthropic_messages;
    o.model = rest.substr(mark + 1);
    o.url = rest.substr(0, mark);
    named(o.model);
    o.name = tier.name;
    if (!rules.key_variable.empty())
      o.key = [variable = rules.key_variable] {
        const char* key = std::getenv(variable.c_str());
        return std::string(key == nullptr ? "" : key);
      };
    tier.model = o.model;
    tier.cost = by_price(o.model);
    tier.takes_constraints = false;
    tier.gives_scores = openai;
    any_remote_ = true;
    endpoints_.push_back(std::make_unique<HttpEndpoint>(std::move(o)));
#else
    reject(text, "this build has no remote endpoints (it was made without libcurl)");
#endif
  } else if (begins(rest, "head:")) {
    all_remote_ = false;
    rest.erase(0, 5);
    const std::size_t mark = rest.rfind('@');
    if (mark == std::string::npos) reject(text, "must be head:HEAD.safetensors@MODEL.gguf");
    named(stem(rest.substr(0, mark)));
    const auto model = load_with_progress(rest.substr(mark + 1), rules.quiet);
    if (!first_local_) first_local_ = model;
    endpoints_.push_back(head_of(rest.substr(0, mark), model, rules, tier));
  } else {
    const auto model = load_with_progress(rest, rules.quiet);
    if (!first_local_) first_local_ = model;
    named(stem(rest));
    tier.model = model_identity(*model);
    tier.cost = by_time(rules.usd_per_hour);
    all_remote_ = false;
    endpoints_.push_back(engine_of(tier.name, model, rules));
  }
  tier.endpoint = endpoints_.back().get();
  recorded_.push_back(std::move(tier));
}

}  // namespace frugal::tools
