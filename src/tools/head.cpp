// frugal train head and frugal head eval: the small task-tuned model, from labelled texts to a file, and measured.
#include "tools/backends.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/trace_options.hpp"

#include <frugal/core/error.hpp>
#include <frugal/head/train.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

namespace frugal::tools {

namespace {

struct TrainCommand {
  std::string model, data, stop_words, out;
  std::vector<std::string> pools;
  HeadTraining training{};
  BackendChoice backend{};
  bool quiet = false;
};

struct EvalCommand {
  std::string head, model, data;
  BackendChoice backend{};
  bool json = false, quiet = false;
};

constexpr const char* train_examples = R"(Examples:
  frugal train head --model SmolLM2.gguf --data labelled.jsonl -o head.safetensors
  frugal train head --model SmolLM2.gguf --data labelled.jsonl --words --stop-words english -o head.safetensors
  frugal train head --model SmolLM2.gguf --data labelled.jsonl --layers 10 --pool both --before "Review: " -o h.safetensors
Each line of the data: {"text": "...", "label": "..."}. Where layers or pool are not given, a validation split chooses.
)";

constexpr const char* eval_examples = R"(Example:
  frugal head eval head.safetensors --model SmolLM2.gguf --data other.jsonl --json
)";

Pool pool_of(const std::string& name) { return name == "mean" ? Pool::mean : name == "last" ? Pool::last : Pool::both; }

const char* name_of(Pool pool) { return pool == Pool::mean ? "mean" : pool == Pool::last ? "last" : "both"; }

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

nlohmann::json as_json(const HeadMetrics& m) {
  return {{"n", m.n},
          {"accuracy", m.accuracy},
          {"majority", m.majority},
          {"log_loss", m.log_loss},
          {"calibration_error", m.calibration_error}};
}

std::string as_text(const char* what, const HeadMetrics& m) {
  char text[200];
  std::snprintf(text, sizeof text,
                "%s: %llu examples, %.1f %% right (%.1f %% by the most frequent label), log loss %.3f, "
                "calibration error %.3f\n",
                what, static_cast<unsigned long long>(m.n), 100 * m.accuracy, 100 * m.majority, m.log_loss,
                m.calibration_error);
  return text;
}

std::vector<std::string> stop_words_of(const std::string& name) {
  if (name == "english") return english_stop_words();
  std::istringstream in(read_all(name));
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  if (out.empty()) throw Error(Errc::bad_file, name + ": there is no stop word in it");
  return out;
}

void run_train(TrainCommand o) {
  if (!o.pools.empty()) {
    o.training.pools.clear();
    for (const std::string& pool : o.pools) o.training.pools.push_back(pool_of(pool));
  }
  if (!o.stop_words.empty()) o.training.stop_words = stop_words_of(o.stop_words);
  o.training.date = today();
  check_output(o.out, {o.data, o.model});
  const std::vector<HeadExample> examples = read_head_examples(o.data);
  const auto model = load_with_progress(o.model, o.quiet);
  Progress progress(o.quiet);
  o.training.progress = [&](std::string_view stage, double share) { progress.at(stage, share); };
  const Head head = train_head(model, make_backend(o.backend), examples, o.training);
  write_file(o.out, head.to_bytes());
  const HeadParts& p = head.parts();
  print(o.out + ": " + std::to_string(p.labels.size()) + " labels, " + std::to_string(p.layers) + " of " +
        std::to_string(model->spec().layers) + " layers, pool " + name_of(p.pool) +
        (p.word_buckets != 0 ? ", words" : "") + (p.stop_words.empty() ? "" : ", without stop words") + "\n" +
        as_text("validation", p.origin.validation) + (p.origin.test.n > 0 ? as_text("test", p.origin.test) : ""));
}

void run_eval(const EvalCommand& o) {
  const Head head = load_head(o.head);
  const std::vector<HeadExample> examples = read_head_examples(o.data);
  const auto model = load_with_progress(o.model, o.quiet);
  std::vector<std::string> texts;
  for (const HeadExample& e : examples) texts.push_back(e.text);
  const auto backend = make_backend(o.backend);
  const auto began = std::chrono::steady_clock::now();
  const std::vector<HeadAnswer> answers = classify(head, model, backend, texts);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const HeadMetrics m = measure(head, answers, examples);
  if (!o.json) return print(as_text(o.data.c_str(), m));
  nlohmann::json object = as_json(m);
  object["labels"] = head.labels();
  object["layers"] = head.parts().layers;
  object["seconds"] = seconds;
  object["identity"] = head.identity();
  print(object.dump() + "\n");
}

CLI::App* add_training(CLI::App& parent, const char* name, const std::shared_ptr<TrainCommand>& o) {
  CLI::App* app = parent.add_subcommand(name, "Trains a classifier on the hidden states of a model's first layers");
  app->add_option("--model", o->model, "GGUF file or Hugging Face folder")->required();
  app->add_option("--data", o->data, "Labelled texts, JSON lines")->required();
  app->add_option("--layers", o->training.layers, "Layers to run; several = a validation split chooses")
      ->delimiter(',');
  app->add_option("--pool", o->pools, "mean, last or both; several = a validation split chooses")
      ->delimiter(',')
      ->check(CLI::IsMember({"mean", "last", "both"}));
  app->add_flag("--words", o->training.words,
                "Read the text's words and pairs of words as well: for labels that words tell; costs no pass");
  app->add_option(
      "--stop-words", o->stop_words,
      "Words that the model does not read, so that a pass is shorter: \"english\", or a file with words between "
      "white space, in lower case");
  app->add_option("--before", o->training.before, "What the model reads before each text");
  app->add_option("--after", o->training.after, "What it reads after it");
  app->add_option("--most-tokens", o->training.most_tokens, "Longer texts are cut")->capture_default_str();
  app->add_option("--validation-share", o->training.validation_share, "Of the examples")->capture_default_str();
  app->add_option("--test-share", o->training.test_share, "Of the examples; 0 = none")->capture_default_str();
  app->add_option("--seed", o->training.seed, "Of the split")->capture_default_str();
  add_backend_options(*app, o->backend);
  app->add_flag("--quiet", o->quiet, "No progress on standard error");
  app->add_option("-o,--out", o->out, "The head's file")->required();
  app->footer(train_examples);
  return app;
}

}  // namespace

Command add_train(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("train", "Train a small task model (train head)");
  app->require_subcommand(1);
  auto options = std::make_shared<TrainCommand>();
  add_training(*app, "head", options);
  return {app, [options] { run_train(*options); }};
}

Command add_head(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("head", "Measure a trained head (head eval), or train one (head train)");
  app->require_subcommand(1);
  auto training = std::make_shared<TrainCommand>();
  CLI::App* train = add_training(*app, "train", training);
  auto o = std::make_shared<EvalCommand>();
  CLI::App* eval = app->add_subcommand("eval", "How good a head is on labelled texts");
  eval->add_option("head", o->head, "The head's file")->required();
  eval->add_option("--model", o->model, "The model that it was trained on")->required();
  eval->add_option("--data", o->data, "Labelled texts, JSON lines")->required();
  eval->add_flag("--json", o->json, "One JSON object");
  add_backend_options(*eval, o->backend);
  eval->add_flag("--quiet", o->quiet, "No progress on standard error");
  eval->footer(eval_examples);
  return {app, [train, training, o] { train->parsed() ? run_train(*training) : run_eval(*o); }};
}

}  // namespace frugal::tools
