// The policy file: one JSON object whose "checksum" is over all its other members.
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "calibrate/fitted.hpp"
#include "core/base64.hpp"
#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal {

namespace {

using Json = nlohmann::json;
using calibrate::CostLine;
using calibrate::Isotonic;
using calibrate::Logistic;
using calibrate::Mode;
using calibrate::Neighbours;
using calibrate::TierModel;

// A policy is written in the oldest format that can say it, and all of these are read.
constexpr int format_without_steps = 2, format = 3, format_with_neighbours = 4;

// FNV-1a, 64 bits: notices accidents and edits, not an attacker.
std::string checksum(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  char out[17];
  std::snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(hash));
  return out;
}

Json written(const Logistic& m) {
  return {{"intercept", m.intercept}, {"weights", m.weights}, {"mean", m.mean}, {"scale", m.scale}, {"types", m.types}};
}

Json written(const Isotonic& m) { return {{"feature", m.feature}, {"at", m.at}, {"probability", m.probability}}; }

// The vectors as 32-bit floats in base64, little endian; what was right as one text of 0 and 1 a tier.
Json written(const Neighbours& n, const std::string& embedder) {
  Json right = Json::array();
  for (std::size_t t = 0; t < n.tiers; ++t) {
    std::string digits;
    for (std::size_t i = 0; i < n.known(); ++i) digits += n.right[i * n.tiers + t] != 0 ? '1' : '0';
    right.push_back(std::move(digits));
  }
  return {{"embedder", embedder},
          {"count", n.count},
          {"width", n.width},
          {"vectors", floats_to_base64(n.at)},
          {"right", std::move(right)}};
}

Json written(const FitFacts& f) {
  Json out{{"outcomes", f.outcomes},
           {"train", f.train},
           {"calibration", f.calibration},
           {"accepted_share", f.accepted_share},
           {"loss", f.loss},
           {"error_among_accepted", nullptr},
           {"cost_share", f.cost_share},
           {"p_value", f.p_value},
           {"thresholds", f.thresholds}};
  if (f.error) out["error_among_accepted"] = *f.error;
  return out;
}

// JSON has no infinity: null = nothing is accepted.
Json written(const std::vector<double>& thresholds) {
  Json out = Json::array();
  for (const double t : thresholds) out.push_back(std::isfinite(t) ? Json(t) : Json(nullptr));
  return out;
}

Json written(const FittedCascade::Impl& r) {
  Json models = Json::array(), costs = Json::array();
  for (const TierModel& m : r.models) {
    Json model = m.steps ? Json{{"isotonic", written(*m.steps)}} : Json{{"own", written(m.own)}};
    if (!m.last.types.empty()) model["last"] = written(m.last);
    models.push_back(std::move(model));
  }
  for (const CostLine& c : r.costs) costs.push_back({{"fixed", c.fixed}, {"per_byte", c.per_byte}});
  Json out{{"frugal_cascade_policy", r.neighbours ? format_with_neighbours : format},
           {"version", r.version},
           {"date", r.date},
           {"tiers", r.tiers},
           {"method", calibrate::name_of(r.mode)},
           {"guarantee",
            {{"kind", r.guarantee.kind == Guarantee::Kind::max_loss ? "max_loss" : "max_error"},
             {"limit", r.guarantee.limit},
             {"confidence", r.guarantee.confidence},
             {"horizon", r.guarantee.horizon.value_or(0)}}},
           {"models_of_tiers", r.own_models},
           {"thresholds", written(r.thresholds)},
           {"tightened", written(r.tight)},
           {"weigh_cost", r.weigh_cost},
           {"mean_saving", r.mean_saving},
           {"features", r.features},
           {"types", r.types},
           {"models", std::move(models)},
           {"costs", std::move(costs)},
           {"split", {{"seed", r.seed}, {"calibration_share", r.calibration_share}}},
           {"calibration", written(r.facts)}};
  if (r.neighbours) out["neighbours"] = written(*r.neighbours, r.embedder);
  return out;
}

// Reads members of the right kind; every fault names the file and the member.
class Reader {
 public:
  Reader(const Json& object, const std::string& origin, std::string where = {})
      : object_(object), origin_(origin), where_(std::move(where)) {
    if (!object_.is_object()) fail("must be an object");
  }

  Reader in(const char* key) const { return Reader(at(key), origin_, where_ + key + "."); }
  bool has(const char* key) const { return object_.contains(key); }
  template <class T>
  T get(const char* key) const {
    try {
      return at(key).get<T>();
    } catch (const Json::exception&) {
      fail("has the wrong type", key);
    }
  }
  double number(const char* key) const {
    if (!at(key).is_number()) fail("must be a number", key);
    return finite(at(key).get<double>(), key);
  }
  std::vector<double> numbers(const char* key, std::size_t size) const {
    auto out = get<std::vector<double>>(key);
    if (out.size() != size) fail("has " + std::to_string(out.size()) + " entries, not " + std::to_string(size), key);
    for (const double x : out) finite(x, key);
    return out;
  }
  const Json& at(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) fail("is missing", key);
    return *found;
  }
  [[noreturn]] void fail(const std::string& what, const char* key = "") const {
    throw Error(Errc::bad_file, origin_ + ": \"" + where_ + key + "\" " + what);
  }

 private:
  double finite(double x, const char* key) const {
    if (!std::isfinite(x)) fail("is not finite", key);
    return x;
  }

  const Json& object_;
  const std::string& origin_;
  std::string where_;
};

Logistic logistic(const Reader& in, std::size_t features, std::size_t types) {
  Logistic m;
  m.intercept = in.number("intercept");
  m.weights = in.numbers("weights", features);
  m.mean = in.numbers("mean", features);
  m.scale = in.numbers("scale", features);
  m.types = in.numbers("types", types);
  for (const double s : m.scale)
    if (!(s > 0)) in.fail("must be above 0", "scale");
  return m;
}

Isotonic isotonic(const Reader& in, std::size_t features) {
  Isotonic m;
  m.feature = in.get<std::size_t>("feature");
  if (m.feature >= features) in.fail("names no feature of the rule", "feature");
  const std::size_t steps = in.get<std::vector<double>>("at").size();
  m.at = in.numbers("at", steps);
  m.probability = in.numbers("probability", steps);
  if (steps == 0) in.fail("has no step", "at");
  for (std::size_t i = 1; i < steps; ++i)
    if (!(m.at[i - 1] < m.at[i])) in.fail("must rise", "at");
  for (const double p : m.probability)
    if (!(p >= 0 && p <= 1)) in.fail("must lie between 0 and 1", "probability");
  return m;
}

Guarantee guarantee(const Reader& in) {
  Guarantee g;
  const auto kind = in.get<std::string>("kind");
  if (kind != "max_loss" && kind != "max_error") in.fail("must be max_loss or max_error", "kind");
  g.kind = kind == "max_loss" ? Guarantee::Kind::max_loss : Guarantee::Kind::max_error;
  g.limit = in.number("limit");
  g.confidence = in.number("confidence");
  g.horizon = in.get<std::uint64_t>("horizon");
  return g;
}

FitFacts facts(const Reader& in) {
  FitFacts f;
  f.outcomes = in.get<std::uint64_t>("outcomes");
  f.train = in.get<std::uint64_t>("train");
  f.calibration = in.get<std::uint64_t>("calibration");
  f.accepted_share = in.number("accepted_share");
  f.loss = in.number("loss");
  if (!in.at("error_among_accepted").is_null()) f.error = in.number("error_among_accepted");
  f.cost_share = in.number("cost_share");
  f.p_value = in.number("p_value");
  f.thresholds = in.get<std::uint64_t>("thresholds");
  return f;
}

std::vector<double> thresholds(const Reader& in, const char* key, std::size_t types) {
  std::vector<double> out;
  for (const Json& t : in.get<std::vector<Json>>(key)) {
    if (!t.is_null() && !t.is_number()) in.fail("must hold numbers and nulls", key);
    out.push_back(t.is_null() ? -std::numeric_limits<double>::infinity() : t.get<double>());
  }
  if (out.size() != 1 && out.size() != types) in.fail("must have one entry, or one for each type", key);
  return out;
}

Neighbours neighbours(const Reader& in, std::size_t tiers) {
  Neighbours n;
  n.tiers = tiers;
  n.width = in.get<std::size_t>("width");
  const std::optional<std::vector<float>> at = floats_from_base64(in.get<std::string>("vectors"));
  if (!at || n.width == 0 || at->size() % n.width != 0)
    in.fail("must be vectors of the given width in base64", "vectors");
  n.at = *at;
  for (const float x : n.at)
    if (!std::isfinite(x)) in.fail("hold a number that is not finite", "vectors");
  n.count = in.get<std::size_t>("count");
  if (n.count == 0 || n.count > n.known()) in.fail("must be at least 1, and no more than there are vectors", "count");
  const auto right = in.get<std::vector<std::string>>("right");
  if (right.size() != tiers) in.fail("must have one text for each tier", "right");
  n.right.resize(n.known() * tiers);
  for (std::size_t t = 0; t < tiers; ++t) {
    if (right[t].size() != n.known() || right[t].find_first_not_of("01") != std::string::npos)
      in.fail("must have one digit, 0 or 1, for each vector", "right");
    for (std::size_t i = 0; i < n.known(); ++i) n.right[i * tiers + t] = right[t][i] == '1' ? 1 : 0;
  }
  return n;
}

void read_models(const Reader& in, const Json& object, const std::string& origin, FittedCascade::Impl& r) {
  const Json& models = in.at("models");
  if (!models.is_array() || models.size() != (r.neighbours ? 0 : r.below()))
    in.fail(r.neighbours ? "must be empty beside neighbours" : "must have one entry less than tiers", "models");
  const Json& costs = in.at("costs");
  if (!costs.is_array() || costs.size() != r.tiers.size()) in.fail("must have one entry for each tier", "costs");
  for (const Json& m : object.at("models")) {
    const Reader model(m, origin, "models.");
    TierModel t;
    if (model.has("isotonic"))
      t.steps = isotonic(model.in("isotonic"), r.features.size());
    else
      t.own = logistic(model.in("own"), r.features.size(), r.types.size());
    if (r.guarantee.kind == Guarantee::Kind::max_loss)
      t.last = logistic(model.in("last"), r.features.size(), r.types.size());
    r.models.push_back(std::move(t));
  }
  for (const Json& c : object.at("costs")) {
    const Reader line(c, origin, "costs.");
    r.costs.push_back({line.number("fixed"), line.number("per_byte")});
  }
}

FittedCascade::Impl read(const Json& object, const std::string& origin) {
  const Reader in(object, origin);
  FittedCascade::Impl r;
  r.version = in.get<std::string>("version");
  r.date = in.get<std::string>("date");
  r.tiers = in.get<std::vector<std::string>>("tiers");
  if (r.tiers.size() < 2) in.fail("must name at least two tiers", "tiers");
  const auto method = in.get<std::string>("method");
  for (const Mode mode : {Mode::route, Mode::judge, Mode::neighbours})
    if (method == calibrate::name_of(mode)) r.mode = mode;
  if (method != calibrate::name_of(r.mode)) in.fail("must be route, judge or neighbours", "method");
  if (r.mode == Mode::neighbours) {
    const Reader inner = in.in("neighbours");
    r.embedder = inner.get<std::string>("embedder");
    r.neighbours = neighbours(inner, r.tiers.size());
  }
  r.guarantee = guarantee(in.in("guarantee"));
  r.own_models = in.get<std::vector<std::string>>("models_of_tiers");
  if (r.own_models.size() != r.tiers.size()) in.fail("must have one entry for each tier", "models_of_tiers");
  r.weigh_cost = in.get<bool>("weigh_cost");
  r.mean_saving = in.number("mean_saving");
  if (!(r.mean_saving > 0)) in.fail("must be above 0", "mean_saving");
  r.features = in.get<std::vector<std::string>>("features");
  if (r.neighbours && !r.features.empty()) in.fail("must be empty beside neighbours", "features");
  r.types = in.get<std::vector<std::string>>("types");
  r.thresholds = thresholds(in, "thresholds", r.types.size());
  r.tight = thresholds(in, "tightened", r.types.size());
  read_models(in, object, origin, r);
  const Reader split = in.in("split");
  r.seed = split.get<std::uint64_t>("seed");
  r.calibration_share = split.number("calibration_share");
  r.facts = facts(in.in("calibration"));
  return r;
}

}  // namespace

std::string FittedCascade::to_json() const {
  Json object = written(*impl_);
  object["checksum"] = checksum(object.dump());
  return object.dump(1) + "\n";
}

FittedCascade FittedCascade::from_json(const std::string& text, const std::string& origin) {
  Json object = parse_json_tree(text, origin);
  if (!object.is_object() || !object.contains("frugal_cascade_policy"))
    throw Error(Errc::bad_file, origin + ": this is not a cascade policy file");
  const Json& written_in = object["frugal_cascade_policy"];
  if (written_in != format && written_in != format_without_steps && written_in != format_with_neighbours)
    throw Error(Errc::unsupported,
                origin + ": written in format " + written_in.dump() + "; this version of frugal reads formats " +
                    std::to_string(format_without_steps) + " to " + std::to_string(format_with_neighbours));
  const Json sum = object.value("checksum", Json());
  object.erase("checksum");
  if (!sum.is_string() || sum.get<std::string>() != checksum(object.dump()))
    throw Error(Errc::bad_file, origin + ": the checksum does not match: the file was changed after it was written");
  return FittedCascade(std::make_shared<const Impl>(read(object, origin)));
}

std::shared_ptr<CascadePolicy> load_cascade_policy(const std::string& path, std::span<const ServedTier> endpoints,
                                                   Embedder embedder) {
  return FittedCascade::from_json(read_file(path), path).policy(endpoints, std::move(embedder));
}

std::shared_ptr<CascadePolicy> load_cascade_policy(const std::string& path, std::span<const std::string> endpoints,
                                                   Embedder embedder) {
  return FittedCascade::from_json(read_file(path), path).policy(endpoints, std::move(embedder));
}

}  // namespace frugal
