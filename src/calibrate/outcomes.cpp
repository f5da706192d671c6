#include <frugal/calibrate/outcomes.hpp>
#include <frugal/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>
#include <string_view>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal {

namespace {

using Json = nlohmann::json;

// Names the place in every error: "outcomes.jsonl line 7: ...".
class Line {
 public:
  Line(const std::string& origin, std::size_t number) : origin_(origin), number_(number) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Errc::bad_file, origin_ + " line " + std::to_string(number_) + ": " + what);
  }

  const Json& member(const Json& object, const char* key, const std::string& where) const {
    const auto found = object.find(key);
    if (found == object.end()) fail(where + " has no \"" + key + "\"");
    return *found;
  }

  std::string text(const Json& value, const std::string& where) const {
    if (!value.is_string()) fail(where + " must be a string");
    return value.get<std::string>();
  }

  double finite(const Json& value, const std::string& where) const {
    if (!value.is_number()) fail(where + " must be a number");
    const double x = value.get<double>();
    if (!std::isfinite(x)) fail(where + " is not finite");
    return x;
  }

  double cost(const Json& value, const std::string& where) const {
    const double x = finite(value, where);
    if (x < 0) fail(where + " is negative");
    if (x > 1e12) fail(where + " is more than any answer costs");  // sums and shares stay finite
    return x;
  }

  std::uint64_t count(const Json& value, const std::string& where) const {
    if (!value.is_number_unsigned()) fail(where + " must be a whole number of at least 0");
    const auto n = value.get<std::uint64_t>();
    if (n > 1'000'000'000'000ULL) fail(where + " is larger than any answer");
    return n;
  }

 private:
  const std::string& origin_;
  std::size_t number_;
};

// Where both are there, "correct" counts and "quality" must fit it.
double quality_of(const Json& attempt, const Line& line, const std::string& where) {
  std::optional<double> quality;
  if (const auto found = attempt.find("quality"); found != attempt.end()) {
    quality = line.finite(*found, where + ": \"quality\"");
    if (*quality < 0 || *quality > 1) line.fail(where + ": \"quality\" must lie between 0 and 1");
  }
  const auto correct = attempt.find("correct");
  if (correct == attempt.end()) {
    if (!quality) line.fail(where + " has neither \"correct\" nor \"quality\"");
    return *quality;
  }
  if (!correct->is_boolean()) line.fail(where + ": \"correct\" must be true or false");
  const double worth = correct->get<bool>() ? 1 : 0;
  if (quality && *quality == 1 - worth) line.fail(where + ": \"correct\" and \"quality\" say the opposite");
  return worth;
}

std::vector<Feature> features_of(const Json& attempt, const Line& line, const std::string& where) {
  std::vector<Feature> out;
  if (const auto score = attempt.find("score"); score != attempt.end() && !score->is_null())
    out.emplace_back("score", line.finite(*score, where + ": \"score\""));
  const auto features = attempt.find("features");
  if (features == attempt.end()) return out;
  if (!features->is_object()) line.fail(where + ": \"features\" must be an object of numbers");
  for (const auto& [name, value] : features->items())
    out.emplace_back(name, line.finite(value, where + ": feature \"" + name + "\""));
  return out;
}

TierOutcome attempt_of(const Json& attempt, const Line& line, const std::string& where) {
  TierOutcome out;
  out.quality = quality_of(attempt, line, where);
  out.features = features_of(attempt, line, where);
  if (const auto output = attempt.find("output"); output != attempt.end() && !output->is_null())
    out.output = line.text(*output, where + ": \"output\"");
  out.input_tokens = line.count(line.member(attempt, "input_tokens", where), where + ": \"input_tokens\"");
  out.output_tokens = line.count(line.member(attempt, "output_tokens", where), where + ": \"output_tokens\"");
  out.cost = line.cost(line.member(attempt, "cost", where), where + ": \"cost\"");
  return out;
}

// Reads the attempts and checks that they are of the tiers of the first line, in its order.
void read_attempts(const Json& attempts, const Line& line, Outcomes& all, Outcome& outcome) {
  if (!attempts.is_array() || attempts.empty()) line.fail("\"attempts\" must be a list with one entry for each tier");
  const bool first = all.tiers.empty();
  for (std::size_t i = 0; i < attempts.size(); ++i) {
    const Json& a = attempts[i];
    if (!a.is_object()) line.fail("attempt " + std::to_string(i + 1) + " must be an object");
    const std::string tier = line.text(line.member(a, "tier", "attempt " + std::to_string(i + 1)), "\"tier\"");
    if (first) {
      for (const std::string& other : all.tiers)
        if (other == tier) line.fail("tier \"" + tier + "\" occurs twice");
      all.tiers.push_back(tier);
    } else if (i >= all.tiers.size() || all.tiers[i] != tier) {
      line.fail("attempt " + std::to_string(i + 1) + " is of tier \"" + tier + "\", where the first line has " +
                (i < all.tiers.size() ? "\"" + all.tiers[i] + "\"" : "no further tier"));
    }
    const std::string where = "tier \"" + tier + "\"";
    const std::string model = a.contains("model") ? line.text(a["model"], where + ": \"model\"") : std::string();
    if (first)
      all.models.push_back(model);
    else if (all.models[i] != model)
      line.fail(where + " is the model \"" + model + "\", where the first line has \"" + all.models[i] +
                "\": the outcomes are not of the same tiers");
    outcome.attempts.push_back(attempt_of(a, line, where));
  }
  if (outcome.attempts.size() < all.tiers.size())
    line.fail("tier \"" + all.tiers[outcome.attempts.size()] + "\" is missing");
}

// The first line says whether there are embeddings, by what, and how long they are.
void read_embedding(const Json& object, const Line& line, Outcomes& all, Outcome& outcome) {
  const bool first = all.rows.empty(), has = object.contains("embedding");
  if (!first && has != !all.embedder.empty())
    line.fail(has ? "has an \"embedding\", and the first line has none"
                  : "has no \"embedding\", and the first line has one");
  if (!has) return;
  const std::string by = line.text(line.member(object, "embedder", "an outcome with an \"embedding\""), "\"embedder\"");
  if (by.empty()) line.fail("\"embedder\" is empty");
  if (!first && by != all.embedder)
    line.fail("\"embedding\" is by \"" + by + "\", where the first line's is by \"" + all.embedder + "\"");
  const Json& values = object["embedding"];
  if (!values.is_array()) line.fail("\"embedding\" must be a list of numbers");
  bool zero = true;
  for (const Json& value : values) {
    outcome.embedding.push_back(static_cast<float>(line.finite(value, "a number of \"embedding\"")));
    if (!std::isfinite(outcome.embedding.back())) line.fail("a number of \"embedding\" is too large");
    zero = zero && outcome.embedding.back() == 0.0F;
  }
  if (zero) line.fail("\"embedding\" is all zero: it says nothing");
  if (!first && outcome.embedding.size() != all.rows.front().embedding.size())
    line.fail("\"embedding\" has " + std::to_string(outcome.embedding.size()) +
              " numbers, where the first line's has " + std::to_string(all.rows.front().embedding.size()));
  if (object.contains("embedding_cost"))
    outcome.embedding_cost = line.cost(object["embedding_cost"], "\"embedding_cost\"");
  all.embedder = by;
}

Outcome outcome_of(const Json& object, const Line& line, Outcomes& all) {
  if (!object.is_object()) line.fail("an outcome must be a JSON object");
  Outcome out;
  out.id = line.text(line.member(object, "id", "the outcome"), "\"id\"");
  if (const auto type = object.find("type"); type != object.end()) out.type = line.text(*type, "\"type\"");
  if (const auto prompt = object.find("prompt"); prompt != object.end() && !prompt->is_null())
    out.prompt = line.text(*prompt, "\"prompt\"");
  read_attempts(line.member(object, "attempts", "the outcome"), line, all, out);
  read_embedding(object, line, all, out);
  return out;
}

}  // namespace

Outcomes parse_outcomes(const std::string& text, const std::string& origin) {
  Outcomes all;
  std::set<std::string> ids;
  std::string_view rest(text);
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view content = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Line line(origin, number);
    const Json object = parse_json_tree(content, origin + " line " + std::to_string(number));
    Outcome outcome = outcome_of(object, line, all);
    if (!ids.insert(outcome.id).second) line.fail("the id \"" + outcome.id + "\" occurs twice");
    all.rows.push_back(std::move(outcome));
  }
  if (all.rows.empty()) throw Error(Errc::bad_file, origin + ": no outcomes in it");
  if (all.tiers.size() < 2)
    throw Error(Errc::bad_file, origin + ": only one tier, \"" + all.tiers.front() + "\"; a cascade needs two");
  return all;
}

namespace {

// Six digits, as a number that is written with no more: cosines do not see the rest, and files are half as long.
double shortened(float x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", static_cast<double>(x));
  return std::strtod(text, nullptr);
}

}  // namespace

std::string outcome_line(const Outcomes& of, const Outcome& outcome) {
  Json attempts = Json::array();
  for (std::size_t t = 0; t < outcome.attempts.size(); ++t) {
    const TierOutcome& a = outcome.attempts[t];
    Json attempt{
        {"tier", of.tiers[t]}, {"input_tokens", a.input_tokens}, {"output_tokens", a.output_tokens}, {"cost", a.cost}};
    if (a.quality == 0 || a.quality == 1)
      attempt["correct"] = a.quality == 1;
    else
      attempt["quality"] = a.quality;
    if (t < of.models.size() && !of.models[t].empty()) attempt["model"] = of.models[t];
    if (a.output) attempt["output"] = *a.output;
    for (const Feature& f : a.features)
      if (f.first == "score")
        attempt["score"] = f.second;
      else
        attempt["features"][f.first] = f.second;
    attempts.push_back(std::move(attempt));
  }
  Json object{{"id", outcome.id}, {"attempts", std::move(attempts)}};
  if (!outcome.type.empty()) object["type"] = outcome.type;
  if (outcome.prompt) object["prompt"] = *outcome.prompt;
  if (!of.embedder.empty()) {
    Json& values = object["embedding"] = Json::array();
    for (const float x : outcome.embedding) values.push_back(shortened(x));
    object["embedder"] = of.embedder;
    if (outcome.embedding_cost > 0) object["embedding_cost"] = outcome.embedding_cost;
  }
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

namespace {

std::string plain(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (blank(text.back()) || text.back() == '.')) text.remove_suffix(1);
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

bool same_answer(std::string_view a, std::string_view b) { return plain(a) == plain(b); }

Outcomes agreement_with_last(Outcomes outcomes) {
  for (Outcome& row : outcomes.rows)
    for (TierOutcome& a : row.attempts) {
      const std::optional<std::string>& reference = row.attempts.back().output;
      if (!a.output || !reference)
        throw Error(Errc::invalid_argument, "outcome \"" + row.id +
                                                "\" has an attempt without its output, so agreement with the last "
                                                "tier cannot be told");
      a.quality = same_answer(*a.output, *reference) ? 1 : 0;
    }
  return outcomes;
}

Outcomes read_outcomes(const std::string& path) { return parse_outcomes(read_file(path), path); }

}  // namespace frugal
