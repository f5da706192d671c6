#include <frugal/core/error.hpp>
#include <frugal/head/head.hpp>
#include <frugal/head/train.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "head/labels.hpp"
#include "head/words.hpp"

namespace frugal {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(Errc::invalid_argument, "head: " + what); }

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

// Ten bins of equal size by the probability of the answer given: mean distance of what was said and what was right.
double calibration_error(std::vector<std::pair<double, bool>> said) {
  std::sort(said.begin(), said.end());
  constexpr std::size_t bins = 10;
  double sum = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t from = said.size() * b / bins, to = said.size() * (b + 1) / bins;
    double gap = 0;
    for (std::size_t i = from; i < to; ++i) gap += said[i].first - (said[i].second ? 1 : 0);
    sum += std::abs(gap);
  }
  return sum / static_cast<double>(said.size());
}

}  // namespace

namespace head {

std::vector<std::size_t> label_numbers(const std::vector<std::string>& labels,
                                       const std::vector<HeadExample>& examples) {
  std::vector<std::size_t> out;
  for (const HeadExample& e : examples) {
    const auto found = std::find(labels.begin(), labels.end(), e.label);
    if (found == labels.end()) refuse("the label \"" + e.label + "\" is none of the head's");
    out.push_back(static_cast<std::size_t>(found - labels.begin()));
  }
  return out;
}

}  // namespace head

Head::Head(HeadParts parts) : parts_(std::move(parts)) {
  const std::set<std::string> distinct(parts_.labels.begin(), parts_.labels.end());
  if (distinct.size() < 2 || distinct.size() != parts_.labels.size() || distinct.contains(""))
    refuse("it needs at least two labels, all different, none empty");
  if (parts_.layers == 0) refuse("the state of no layer: layers is 0");
  if (parts_.most_tokens == 0) refuse("most_tokens is 0: no text fits");
  if (parts_.bias.size() != parts_.labels.size() || parts_.weights.empty() ||
      parts_.weights.size() % parts_.labels.size() != 0)
    refuse("the weights do not fit the labels");
  if (!all_finite(parts_.weights) || !all_finite(parts_.bias)) refuse("a weight is not finite");
  if (parts_.words.size() != std::size_t{parts_.word_buckets} * parts_.labels.size() || !all_finite(parts_.words))
    refuse("the weights of words do not fit the labels, or one is not finite");
  for (const std::string& word : parts_.stop_words) {
    const auto odd = [](char c) { return static_cast<unsigned char>(c) <= ' ' || (c >= 'A' && c <= 'Z'); };
    if (word.empty() || std::any_of(word.begin(), word.end(), odd))
      refuse("the stop word \"" + word + "\" is empty, has white space in it or is not in lower case");
  }
  if (!(parts_.temperature > 0) || !std::isfinite(parts_.temperature)) refuse("the temperature is not above 0");
}

std::vector<double> Head::probabilities(std::span<const float> pooled, std::string_view text) const {
  const std::size_t width = inputs();
  if (pooled.size() != width)
    refuse("a state of " + std::to_string(pooled.size()) + " inputs, not " + std::to_string(width));
  std::vector<double> out;
  const head::WordBag bag = head::bag_of(text, parts_.word_buckets);
  for (std::size_t l = 0; l < parts_.labels.size(); ++l) {
    double sum = static_cast<double>(parts_.bias[l]);
    for (std::size_t i = 0; i < width; ++i)
      sum += static_cast<double>(parts_.weights[l * width + i]) * static_cast<double>(pooled[i]);
    for (std::size_t i = 0; i < bag.places.size(); ++i)
      sum += static_cast<double>(bag.values[i]) *
             static_cast<double>(parts_.words[bag.places[i] * parts_.labels.size() + l]);
    out.push_back(sum / parts_.temperature);
  }
  const double most = *std::max_element(out.begin(), out.end());
  double total = 0;
  for (double& x : out) total += x = std::exp(x - most);
  for (double& x : out) x /= total;
  return out;
}

void Head::check_model(const Model& model) const {
  const HeadOrigin& o = parts_.origin;
  if (model.fingerprint() != o.model_fingerprint)
    refuse("it was trained on " + o.model + " (fingerprint " + head::hex(o.model_fingerprint) + "), not on " +
           model.name() + " (fingerprint " + head::hex(model.fingerprint()) +
           "): another model's states mean something else");
  const std::size_t width = std::size_t{model.spec().d_model} * (parts_.pool == Pool::both ? 2 : 1);
  if (parts_.layers > model.spec().layers || inputs() != width) refuse("its shape does not fit the model");
}

HeadMetrics measure(const Head& head, const std::vector<HeadAnswer>& answers,
                    const std::vector<HeadExample>& examples) {
  if (answers.empty() || answers.size() != examples.size()) refuse("there must be one example for each answer");
  const std::vector<std::size_t> labels = head::label_numbers(head.labels(), examples);
  HeadMetrics m;
  m.n = answers.size();
  std::vector<std::size_t> counts(head.labels().size());
  std::vector<std::pair<double, bool>> said;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const HeadAnswer& a = answers[i];
    const bool right = a.label == labels[i];
    ++counts[labels[i]];
    m.accuracy += right ? 1 : 0;
    m.log_loss -= std::log(std::max(a.probability[labels[i]], 1e-300));
    said.emplace_back(a.probability[a.label], right);
  }
  const auto n = static_cast<double>(m.n);
  m.accuracy /= n;
  m.log_loss /= n;
  m.majority = static_cast<double>(*std::max_element(counts.begin(), counts.end())) / n;
  m.calibration_error = calibration_error(std::move(said));
  return m;
}

}  // namespace frugal
