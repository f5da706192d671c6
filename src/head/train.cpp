#include <frugal/core/error.hpp>
#include <frugal/head/train.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "core/splitmix.hpp"
#include "core/version_text.hpp"
#include "head/labels.hpp"
#include "head/softmax.hpp"
#include "head/states.hpp"
#include "head/words.hpp"
#include "model/hash.hpp"

namespace frugal {

namespace {

using head::Inputs;
using head::Matrix;
using head::Pooled;
using head::Scaling;
using head::Softmax;
using head::States;
using head::WordBag;
using Places = std::vector<std::size_t>;  // of examples
using Progress = std::function<void(std::string_view, double)>;

constexpr std::size_t fewest_examples = 20, fewest_of_a_label = 5, folds = 5;
constexpr std::uint32_t training_batch = 512;
constexpr double penalties[] = {3000, 1000, 300, 100, 30, 10};  // strong first: each fit starts the next

[[noreturn]] void refuse(const std::string& what) { throw Error(Errc::invalid_argument, "train_head: " + what); }

double uniform(std::uint64_t hash) { return unit_interval(splitmix64(hash)); }

std::vector<std::string> labels_of(const std::vector<HeadExample>& examples) {
  std::map<std::string, std::size_t> counts;
  for (const HeadExample& e : examples) ++counts[e.label];
  if (examples.size() < fewest_examples)
    refuse("only " + std::to_string(examples.size()) + " examples; at least " + std::to_string(fewest_examples) +
           " are needed, and hundreds for a good head");
  if (counts.size() < 2) refuse("all examples have the label \"" + counts.begin()->first + "\"; two are needed");
  std::vector<std::string> labels;
  for (const auto& [label, n] : counts) {
    if (n < fewest_of_a_label)
      refuse("the label \"" + label + "\" has only " + std::to_string(n) + " examples; at least " +
             std::to_string(fewest_of_a_label) + " are needed");
    labels.push_back(label);
  }
  return labels;
}

void check(const HeadTraining& t, const Model& model) {
  const auto share = [](double x) { return x >= 0 && x <= 0.5; };
  if (!share(t.validation_share) || !share(t.test_share) || t.validation_share == 0)
    refuse("the validation share must be above 0 and at most 0.5, the test share at least 0 and at most 0.5");
  if (t.pools.empty()) refuse("there is no pool to choose from");
  for (const std::uint32_t k : t.layers)
    if (k == 0 || k > model.spec().layers)
      refuse("layer " + std::to_string(k) + " of a model with " + std::to_string(model.spec().layers));
}

std::vector<std::uint32_t> candidates(const HeadTraining& t, std::uint32_t layers) {
  std::set<std::uint32_t> all(t.layers.begin(), t.layers.end());
  if (all.empty())
    for (const double part : {1.0 / 6, 1.0 / 4, 1.0 / 3, 1.0 / 2, 2.0 / 3})
      all.insert(std::max(1U, static_cast<std::uint32_t>(std::lround(part * layers))));
  return {all.begin(), all.end()};
}

// By a hash of the text, so that equal texts are never on both sides, and more data moves no example. In the order of
// that hash as well: files are often sorted by label, and the first few must stand for all.
struct Split {
  Places train, validation, test;
};
Split split(const std::vector<HeadExample>& examples, const HeadTraining& t) {
  Split out;
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < examples.size(); ++i)
    order.emplace_back(uniform(model::Hash().add(t.seed).add(std::string_view(examples[i].text)).value()), i);
  std::sort(order.begin(), order.end());
  for (const auto& [at, i] : order)
    (at < t.test_share ? out.test : at < t.test_share + t.validation_share ? out.validation : out.train).push_back(i);
  if (out.train.size() < 10 || out.validation.empty()) refuse("too few examples for these shares");
  return out;
}

// Tokens of all examples, and their states by need.
class Reader {
 public:
  Reader(States& states, const std::vector<std::string>& texts, const Progress& progress)
      : states_(states), progress_(progress) {
    for (const std::string& text : texts) {
      expected<std::vector<Token>> tokens = states.tokens(text);
      if (!tokens) refuse(tokens.error().message());
      tokens_.push_back(std::move(*tokens));
    }
  }

  std::vector<Pooled> states(const Places& places, std::uint32_t layers, const std::string& stage,
                             Pool pool = Pool::both) const {
    std::vector<Pooled> out;
    std::vector<const std::vector<Token>*> texts;
    for (const std::size_t i : places) texts.push_back(&tokens_[i]);
    while (out.size() < places.size()) {
      const auto rest = std::span(texts).subspan(out.size());
      for (Pooled& p : states_.pass(rest.first(states_.fitting(rest)), layers, pool)) out.push_back(std::move(p));
      if (progress_) progress_(stage, static_cast<double>(out.size()) / static_cast<double>(places.size()));
    }
    return out;
  }

 private:
  States& states_;
  const Progress& progress_;
  std::vector<std::vector<Token>> tokens_;
};

Matrix matrix(const std::vector<Pooled>& states, Pool pool) {
  Matrix x;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const std::vector<float> row = head::inputs_of(states[i].mean, states[i].last, pool);
    if (i == 0) x.resize(static_cast<Eigen::Index>(states.size()), static_cast<Eigen::Index>(row.size()));
    x.row(static_cast<Eigen::Index>(i)) =
        Eigen::Map<const Eigen::RowVectorXf>(row.data(), static_cast<Eigen::Index>(row.size()));
  }
  return x;
}

template <class T>
std::vector<T> pick(const std::vector<T>& all, const Places& at) {
  std::vector<T> out;
  if (all.empty()) return out;
  for (const std::size_t i : at) out.push_back(all[i]);
  return out;
}

// What a fit reads, with the words of the same texts; these are empty where words are not read.
struct Material {
  Matrix x{};
  std::vector<WordBag> bags{};
  Inputs inputs() const { return {x, {bags, bags.empty() ? 0 : head::word_buckets}}; }
};

Matrix rows_of(const Matrix& x, const Places& at) {
  Matrix out(static_cast<Eigen::Index>(at.size()), x.cols());
  for (std::size_t i = 0; i < at.size(); ++i)
    out.row(static_cast<Eigen::Index>(i)) = x.row(static_cast<Eigen::Index>(at[i]));
  return out;
}

// A fit with the penalty and the temperature that cross-validation chose.
struct Fit {
  Softmax model;  // on inputs that are not scaled
  double penalty = 0, temperature = 1;
};

Fit cross_validated(Material all, const Places& labels, std::size_t kinds, std::uint64_t seed) {
  const Scaling scaling(all.x);
  all.x = scaling.apply(all.x);
  const Matrix& x = all.x;
  constexpr std::size_t tried = std::size(penalties);
  std::vector<Matrix> held(tried, Matrix(x.rows(), static_cast<Eigen::Index>(kinds)));
  for (std::size_t fold = 0; fold < folds; ++fold) {
    Places inside, outside;
    for (std::size_t i = 0; i < labels.size(); ++i)
      (static_cast<std::size_t>(uniform(seed ^ i) * folds) == fold ? inside : outside).push_back(i);
    if (inside.empty() || outside.empty()) continue;
    const Material seen{rows_of(x, outside), pick(all.bags, outside)},
        unseen{rows_of(x, inside), pick(all.bags, inside)};
    Softmax model;
    for (std::size_t p = 0; p < tried; ++p) {
      model = head::fit_softmax(seen.inputs(), pick(labels, outside), kinds, penalties[p], model);
      const Matrix logits = model.logits(unseen.inputs());
      for (std::size_t i = 0; i < inside.size(); ++i)
        held[p].row(static_cast<Eigen::Index>(inside[i])) = logits.row(static_cast<Eigen::Index>(i));
    }
  }
  std::size_t best = 0;
  for (std::size_t p = 1; p < tried; ++p)
    if (head::log_loss(held[p], labels) < head::log_loss(held[best], labels)) best = p;
  const double temperature = head::fit_temperature(held[best], labels);
  return {scaling.unscaled(head::fit_softmax(all.inputs(), labels, kinds, penalties[best])), penalties[best],
          temperature};
}

HeadParts parts_of(const Fit& fit, std::vector<std::string> labels, std::uint32_t layers, Pool pool,
                   const HeadTraining& t) {
  HeadParts p;
  p.labels = std::move(labels);
  p.layers = layers;
  p.pool = pool;
  p.before = t.before, p.after = t.after, p.most_tokens = t.most_tokens, p.stop_words = t.stop_words;
  p.word_buckets = t.words ? head::word_buckets : 0;
  const Matrix& all = fit.model.weights;
  const Matrix weights = all.topRows(all.rows() - static_cast<Eigen::Index>(p.word_buckets)).transpose();
  p.weights.assign(weights.data(), weights.data() + weights.size());
  p.words.assign(all.data() + weights.size(), all.data() + all.size());
  p.bias.assign(fit.model.bias.data(), fit.model.bias.data() + fit.model.bias.size());
  p.temperature = fit.temperature;
  p.origin.penalty = fit.penalty;
  return p;
}

std::vector<HeadAnswer> answers_of(const Head& head, const std::vector<Pooled>& states,
                                   const std::vector<std::string>& texts) {
  std::vector<HeadAnswer> out;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const Pooled& s = states[i];
    HeadAnswer a;
    a.probability = head.probabilities(head::inputs_of(s.mean, s.last, head.parts().pool), texts[i]);
    a.label =
        static_cast<std::size_t>(std::max_element(a.probability.begin(), a.probability.end()) - a.probability.begin());
    out.push_back(std::move(a));
  }
  return out;
}

std::vector<std::string> texts_of(const std::vector<HeadExample>& examples) {
  std::vector<std::string> out;
  for (const HeadExample& e : examples) out.push_back(e.text);
  return out;
}

struct Chosen {
  std::uint32_t layers = 0;
  Pool pool = Pool::mean;
  HeadMetrics validation{};
};

// The states that the choice was made by, of the first examples of each part.
struct Seen {
  std::vector<Pooled> train{}, validation{};
};
using SeenByLayers = std::map<std::uint32_t, Seen>;

// The fewest layers whose best pool is within one standard error of the best of all.
Chosen within_one_error(const std::vector<Chosen>& tried) {
  Chosen best = tried.front();
  for (const Chosen& c : tried)
    if (c.validation.accuracy > best.validation.accuracy) best = c;
  const double a = best.validation.accuracy;
  const double enough = a - std::sqrt(a * (1 - a) / static_cast<double>(best.validation.n));
  Chosen out = best;
  for (const Chosen& c : tried)
    if (c.validation.accuracy >= enough &&
        (c.layers < out.layers || (c.layers == out.layers && c.validation.accuracy > out.validation.accuracy)))
      out = c;
  return out;
}

// What train_head works on.
struct Training {
  const HeadTraining& options;
  const std::vector<HeadExample>& examples;
  std::vector<std::string> labels;
  Places numbers;  // of the labels
  Split parts;
  std::vector<WordBag> bags{};  // of the examples, where words are read

  Fit fit(const std::vector<Pooled>& states, const Places& places, Pool pool) const {
    return cross_validated({matrix(states, pool), pick(bags, places)}, pick(numbers, places), labels.size(),
                           options.seed);
  }

  // Of a head that was fitted without these examples.
  HeadMetrics measured(const Head& head, const std::vector<Pooled>& states, const Places& places) const {
    const std::vector<HeadExample> unseen = pick(examples, places);
    return measure(head, answers_of(head, states, texts_of(unseen)), unseen);
  }

  Chosen choose(const Reader& reader, const std::vector<std::uint32_t>& layers, SeenByLayers& all) const {
    const Pool needed = options.pools.size() == 1 ? options.pools.front() : Pool::both;
    Places train = parts.train, validation = parts.validation;
    train.resize(std::min(train.size(), options.selection_most));
    validation.resize(std::min(validation.size(), options.selection_most));
    std::vector<Chosen> tried;
    for (const std::uint32_t k : layers) {
      const std::string stage = "choosing: states after " + std::to_string(k) + " layers";
      const Seen& seen = all[k] = {reader.states(train, k, stage, needed), reader.states(validation, k, stage, needed)};
      for (const Pool pool : options.pools) {
        const Head head(parts_of(fit(seen.train, train, pool), labels, k, pool, options));
        tried.push_back({k, pool, measured(head, seen.validation, validation)});
      }
    }
    return within_one_error(tried);
  }
};

// The states of all places, where those of the first are at hand.
std::vector<Pooled> completed(std::vector<Pooled> first, const Reader& reader, const Places& places,
                              const Chosen& chosen) {
  const Places rest(places.begin() + static_cast<std::ptrdiff_t>(first.size()), places.end());
  const std::string stage = "states after " + std::to_string(chosen.layers) + " layers";
  for (Pooled& p : reader.states(rest, chosen.layers, stage, chosen.pool)) first.push_back(std::move(p));
  return first;
}

std::uint64_t hash_of(const std::vector<HeadExample>& examples) {
  model::Hash hash;
  for (const HeadExample& e : examples) hash.add(std::string_view(e.text)).add(std::string_view(e.label));
  return hash.value();
}

}  // namespace

Head train_head(const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend,
                const std::vector<HeadExample>& examples, const HeadTraining& t) {
  if (!model) refuse("there is no model");
  check(t, *model);
  Training training{t, examples, labels_of(examples), {}, split(examples, t)};
  training.numbers = head::label_numbers(training.labels, examples);
  for (const HeadExample& e : examples)
    if (t.words) training.bags.push_back(head::bag_of(e.text, head::word_buckets));
  States states(model, std::move(backend),
                {.before = t.before, .after = t.after, .most_tokens = t.most_tokens, .stop_words = t.stop_words},
                training_batch);
  const Reader reader(states, texts_of(examples), t.progress);

  SeenByLayers read;
  const Chosen chosen = training.choose(reader, candidates(t, model->spec().layers), read);
  Places fitted_on = training.parts.train;
  fitted_on.insert(fitted_on.end(), training.parts.validation.begin(), training.parts.validation.end());
  Seen& of_choice = read[chosen.layers];
  std::vector<Pooled> seen = completed(std::move(of_choice.train), reader, training.parts.train, chosen);
  for (Pooled& p : completed(std::move(of_choice.validation), reader, training.parts.validation, chosen))
    seen.push_back(std::move(p));
  if (t.progress) t.progress("fitting", 0);
  HeadParts parts =
      parts_of(training.fit(seen, fitted_on, chosen.pool), training.labels, chosen.layers, chosen.pool, t);
  HeadOrigin& o = parts.origin;
  o.model = model->name();
  o.model_fingerprint = model->fingerprint();
  o.data_hash = hash_of(examples);
  o.examples = examples.size();
  o.seed = t.seed, o.validation_share = t.validation_share, o.test_share = t.test_share;
  o.validation = chosen.validation;
  o.date = t.date, o.version = version_text();
  if (!training.parts.test.empty()) {
    const Head head(parts);
    const std::vector<Pooled> unseen =
        reader.states(training.parts.test, chosen.layers, "states of the test split", chosen.pool);
    o.test = training.measured(head, unseen, training.parts.test);
  }
  return Head(std::move(parts));
}

std::vector<HeadAnswer> classify(const Head& head, const std::shared_ptr<const Model>& model,
                                 std::shared_ptr<Backend> backend, const std::vector<std::string>& texts) {
  if (!model) refuse("there is no model");
  head.check_model(*model);
  const HeadParts& p = head.parts();
  States states(model, std::move(backend), head::frame_of(p), training_batch);
  Places all(texts.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return answers_of(head, Reader(states, texts, {}).states(all, p.layers, "states", p.pool), texts);
}

}  // namespace frugal
