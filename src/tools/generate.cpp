// frugal generate: one prompt or conversation in, the answer out, as text while it comes or as one JSON object with its
// account.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/local_engine.hpp"
#include "tools/options.hpp"
#include "tools/report.hpp"

#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/model/model.hpp>
#include <frugal/text/chat_template.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace frugal::tools {

namespace {

struct GenerateOptions {
  EngineFlags engine;
  std::string prompt, prompt_file, messages;
  std::uint32_t max_tokens = 256;
  Sampling sampling{};
  std::string json_schema, regex, ebnf;  // what the answer may look like: at most one of these and `choices`
  bool close_when_short = false;
  std::vector<std::string> stop, set, choices, lenient;
  std::optional<std::uint32_t> logprobs;
  bool json = false;
};

constexpr const char* generate_examples = R"(Examples:
  frugal generate --model M.gguf --prompt "Once upon a time" --max-tokens 40
  frugal generate --model M.gguf --prompt-file story.txt --temperature 0.8 --top-p 0.95 --seed 7
  echo '[{"role": "user", "content": "What is the capital of France?"}]' > chat.json
  frugal generate --model M.gguf --messages chat.json --max-tokens 32 --logprobs 5 --json
  frugal generate --model M.gguf --prompt-file quote.txt --speculate suffix --json
  frugal generate --model M.gguf --messages chat.json --json-schema person.schema.json --close-when-short
A prompt goes to the model as it is, special tokens written in it included; messages go through the model's own chat
template. With --json: {"ids", "text", "finish", "usage", "timing": {"ttft_ms", "tpot_ms", ...}, "ledger", ...}.
"finish" is stop, length, capped, cancelled, deadline, refused or error; the last two exit with code 2.)";

Chat chat_of(const GenerateOptions& o) {
  Chat chat = chat_from_json(read_all(o.messages), o.messages);
  set_variables(chat, o.set);
  return chat;
}

std::shared_ptr<const ConstraintSource> constraint_of(const GenerateOptions& o) {
  if (!o.json_schema.empty()) return grammar::json_schema(read_all(o.json_schema), {.lenient = o.lenient});
  if (!o.regex.empty()) return grammar::regex(o.regex);
  if (!o.ebnf.empty()) return grammar::ebnf(read_all(o.ebnf));
  if (!o.choices.empty()) return grammar::choice(o.choices);
  return nullptr;
}

Request request_of(const GenerateOptions& o) {
  Request request;
  if (!o.messages.empty())
    request.prompt = chat_of(o);
  else
    request.prompt = RawPrompt{.text = o.prompt_file.empty() ? o.prompt : read_all(o.prompt_file)};
  request.sampling = o.sampling;
  request.max_tokens = o.max_tokens;
  request.stop = o.stop;
  request.logprobs = o.logprobs;
  request.constraint = constraint_of(o);
  request.close_when_short = o.close_when_short;
  return request;
}

/// Reads the stream to its end; where `live`, each piece is printed as it comes.
Answer read_answer(Stream stream, bool live) {
  Answer answer;
  while (std::optional<Delta> delta = stream.next()) {
    if (live) print(delta->text);
    answer.add(std::move(*delta));
  }
  answer.finish = stream.finish().value();
  return answer;
}

void refuse_idle_options(const GenerateOptions& o, const CLI::App& app) {
  if (o.messages.empty()) refuse_without_effect(app, {"--set"}, "without --messages");
  if (o.json_schema.empty()) refuse_without_effect(app, {"--lenient"}, "without --json-schema");
  if (o.json_schema.empty() && o.regex.empty() && o.ebnf.empty() && o.choices.empty())
    refuse_without_effect(app, {"--close-when-short"}, "without --json-schema, --regex, --grammar or --choice");
  if (o.sampling.temperature == 0)
    refuse_without_effect(app, {"--top-k", "--top-p", "--min-p"}, "at temperature 0, where nothing is drawn");
  if (!o.json) refuse_without_effect(app, {"--logprobs"}, "without --json");
}

void run_generate(const GenerateOptions& o, const CLI::App& app) {
  refuse_idle_options(o, app);
  Request request = request_of(o);
  const auto model = load_with_progress(o.engine.model, o.engine.quiet);
  const auto engine = local_engine(o.engine, model);
  const Answer answer = read_answer(engine->submit(std::move(request)), !o.json);
  print(o.json ? answer_as_json(answer, o.logprobs.has_value(), model->tokenizer()) + "\n" : "\n");
  if (answer.finish.error) throw *answer.finish.error;
}

void add_sampling_options(CLI::App& app, Sampling& s) {
  app.add_option("--temperature", s.temperature, "0 = always the most likely token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", s.seed, "Same seed, prompt and model: same answer");
  app.add_option("--top-k", s.top_k, "Draw among the K most likely tokens; 0 = all")
      ->check(CLI::Range(0, std::numeric_limits<std::int32_t>::max()))
      ->capture_default_str();
  app.add_option("--top-p", s.top_p, "Draw among the smallest set with this probability")
      ->check(CLI::Range(0.0F, 1.0F))
      ->capture_default_str();
  app.add_option("--min-p", s.min_p, "Drop tokens below this share of the best probability")
      ->check(CLI::Range(0.0F, 1.0F))
      ->capture_default_str();
}

void add_constraint_options(CLI::App& app, GenerateOptions& o) {
  auto* shape = app.add_option_group("shape", "What the answer may look like: at most one of");
  shape->add_option("--json-schema", o.json_schema,
                    "A file with a JSON schema: the answer is a document that meets it");
  shape->add_option("--regex", o.regex, "The whole answer matches this pattern");
  shape->add_option("--grammar", o.ebnf, "A file with a grammar in GBNF or Lark's spelling");
  shape->add_option("--choice", o.choices, "The answer is this text, or another one that is given so")
      ->allow_extra_args(false);
  shape->require_option(0, 1);
  app.add_option("--lenient", o.lenient,
                 "A keyword of the schema to leave out instead of refusing it; the finished document is judged by it")
      ->allow_extra_args(false);
  app.add_flag("--close-when-short", o.close_when_short,
               "End the document within --max-tokens: steer to its shortest end when they run out");
}

}  // namespace

Command add_generate(CLI::App& parent) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* app = parent.add_subcommand("generate", "A prompt or a conversation in, the answer out");
  auto* input = app->add_option_group("input", "What to answer: one of");
  input->add_option("--prompt", options->prompt, "The prompt itself");
  input->add_option("--prompt-file", options->prompt_file,
                    "A file with the prompt, taken byte for byte; - = standard input");
  input->add_option("--messages", options->messages,
                    "A JSON file: an array of {\"role\", \"content\"}, or an object with \"messages\", \"tools\" and "
                    "\"chat_template_kwargs\"");
  input->require_option(1);
  app->add_option("--set", options->set, "A variable of the chat template as NAME=JSON; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--max-tokens", options->max_tokens, "Most tokens of the answer; 0 = until the context is full")
      ->check(CLI::Range(0U, std::numeric_limits<std::uint32_t>::max()))
      ->capture_default_str();
  add_sampling_options(*app, options->sampling);
  add_constraint_options(*app, *options);
  app->add_option("--stop", options->stop, "End before this text; may be given several times")->allow_extra_args(false);
  app->add_option("--logprobs", options->logprobs, "Report each token's log-probability and the K most likely")
      ->check(CLI::Range(0U, 100U));
  app->add_flag("--json", options->json, "One JSON object at the end instead of text as it comes");
  add_engine_flags(*app, options->engine);
  app->footer(generate_examples);
  return {app, [options, app] { run_generate(*options, *app); }};
}

}  // namespace frugal::tools
