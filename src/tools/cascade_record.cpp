// frugal cascade record: asks every tier the same questions and writes outcomes.
#include "tools/cascade_record.hpp"

#include "tools/command_grader.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/options.hpp"
#include "tools/tiers.hpp"
#include "tools/trace_options.hpp"

#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <atomic>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace frugal::tools {

namespace {

struct RecordCommand {
  std::vector<std::string> tiers;
  std::string requests, expect, command, schema, hidden, out;
  QuestionRules questions{};
  RecordOptions options{};
  TierRules rules{};
  double usd_per_hour = 0, time_limit = 10;
  unsigned parallel = 1;
  bool quiet = false;
};

constexpr const char* examples = R"(Examples:
  frugal cascade record --tier small.gguf --tier big.gguf --requests questions.jsonl --expect exact -o outcomes.jsonl
  frugal cascade record --tier head:head.safetensors@small.gguf --tier big=openai:https://api.openai.com/v1#gpt-5-mini \
    --key-env OPENAI_API_KEY --usd-per-hour 0.4 --requests questions.jsonl --expect choice --choices yes,no -o o.jsonl
  frugal cascade record --tier small.gguf --tier big.gguf --hidden 12:mean --requests q.jsonl --expect exact -o o.jsonl
Each line of the questions: {"id": "1", "type": "faq", "prompt": "When are you open?", "expected": "From nine to five."}
with "messages" in place of "prompt" for a conversation, and a list where several answers are right.
Run it again to go on: what is in the file already is not asked again. Questions that a tier or the grader failed on are
named and not recorded; it then exits with 1.
)";

Grader grader_of(const RecordCommand& o) {
  if (o.expect == "exact") return expect_exact();
  if (o.expect == "contains") return expect_contains();
  if (o.expect == "regex") return expect_regex();
  if (o.expect == "choice") return expect_choice();
  if (o.expect == "json_schema") {
    if (o.schema.empty()) throw Error(Errc::invalid_argument, "--expect json_schema needs --schema FILE");
    return expect_json_schema(read_all(o.schema));
  }
  if (o.command.empty()) throw Error(Errc::invalid_argument, "--expect command needs --command");
  return expect_command(o.command, std::chrono::milliseconds(static_cast<std::int64_t>(o.time_limit * 1000)));
}

void refuse_idle_grading(const RecordCommand& o, const CLI::App& app) {
  const std::string why = "with --expect " + o.expect;
  if (o.expect != "choice") refuse_without_effect(app, {"--choices"}, why);
  if (o.expect != "json_schema") refuse_without_effect(app, {"--schema"}, why);
  if (o.expect != "command") refuse_without_effect(app, {"--command", "--time-limit"}, why);
}

// "12", "12:mean" or "12:last".
HiddenState hidden_state(const std::string& text) {
  const std::size_t mark = text.find(':');
  const std::string layers = text.substr(0, mark), pool = mark == std::string::npos ? "mean" : text.substr(mark + 1);
  if (layers.empty() || layers.size() > 4 || layers.find_first_not_of("0123456789") != std::string::npos ||
      (pool != "mean" && pool != "last"))
    throw Error(Errc::invalid_argument, "--hidden " + text + ": must be LAYERS, LAYERS:mean or LAYERS:last");
  return {.layers = static_cast<std::uint32_t>(std::stoul(layers)), .pool = pool == "last" ? Pool::last : Pool::mean};
}

// The workers' shared state.
struct Run {
  const std::vector<Question>& questions;
  const std::vector<RecordTier>& tiers;
  const Grader& grader;
  const RecordOptions& options;
  OutcomeLog& log;
  Progress& progress;
  std::atomic<std::size_t> next{0}, done{0}, failures{0};
  std::mutex saying{};
  std::vector<std::string> failed{};
  std::exception_ptr broken{};

  void say_failure(const std::string& what) {
    const std::lock_guard lock(saying);
    constexpr std::size_t shown = 10;
    if (++failures <= shown) failed.push_back(what);
  }

  void work() {
    try {
      for (std::size_t i = next.fetch_add(1); i < questions.size(); i = next.fetch_add(1)) {
        const Question& q = questions[i];
        if (!log.contains(q.id)) {
          const expected<Outcome> outcome = record(q, tiers, grader, options);
          if (outcome)
            log.append(*outcome);
          else
            say_failure(outcome.error().message());
        }
        const std::lock_guard lock(saying);
        progress.at("recording", static_cast<double>(++done) / static_cast<double>(questions.size()));
      }
    } catch (...) {  // the file cannot be written: nobody goes on
      const std::lock_guard lock(saying);
      if (!broken) broken = std::current_exception();
      next.store(questions.size());
    }
  }
};

int run_record(RecordCommand o, const CLI::App& app) {
  refuse_idle_grading(o, app);
  o.questions.needs_expected = o.expect != "command" && o.expect != "json_schema";
  o.questions.constrain_to_choices = o.expect == "choice";
  if (o.usd_per_hour > 0) o.rules.usd_per_hour = o.usd_per_hour;
  o.rules.quiet = o.quiet;
  check_output(o.out, {o.requests, o.schema});
  const std::vector<Question> questions = read_questions(o.requests, o.questions);
  const Grader grader = grader_of(o);
  const Tiers tiers(o.tiers, o.rules);
  if (tiers.all_remote())
    refuse_without_effect(
        app, {"--kv-mib", "--backend", "--device", "--threads", "--bf16-prompts", "--repack-floats", "--usd-per-hour"},
        "where all tiers are remote");
  if (!tiers.any_remote()) refuse_without_effect(app, {"--key-env"}, "where no tier is remote");
  if (o.parallel > 1 && !tiers.all_remote())
    throw Error(
        Errc::invalid_argument,
        "--parallel is for remote tiers: a local tier's cost is its time, which others beside it would lengthen");
  if (!o.hidden.empty()) o.options.embedder = tiers.hidden(hidden_state(o.hidden));
  if (o.usd_per_hour > 0) o.options.embedding_cost_per_second = o.usd_per_hour / 3600;
  OutcomeLog log(o.out, tiers.recorded(), o.options.embedder.identity);
  const std::size_t before = log.size();
  Progress progress(o.quiet);
  Run run{questions, tiers.recorded(), grader, o.options, log, progress};
  std::vector<std::thread> others;
  for (unsigned i = 1; i < o.parallel; ++i) others.emplace_back([&run] { run.work(); });
  run.work();
  for (std::thread& t : others) t.join();
  if (run.broken) std::rethrow_exception(run.broken);
  say("not recorded", run.failed);
  if (run.failures > run.failed.size())
    say("not recorded", {"and " + std::to_string(run.failures - run.failed.size()) + " more"});
  print(o.out + ": " + std::to_string(log.size() - before) + " outcomes recorded, " + std::to_string(before) +
        " were there before, " + std::to_string(run.failures.load()) + " failed\n");
  return run.failures == 0 ? 0 : 1;
}

void add_grading(CLI::App& app, RecordCommand& o) {
  app.add_option("--expect", o.expect, "What makes an answer right")
      ->required()
      ->check(CLI::IsMember({"exact", "contains", "regex", "choice", "json_schema", "command"}));
  app.add_option("--choices", o.questions.choices,
                 "For --expect choice: the answers that there are; local tiers can then answer nothing else")
      ->delimiter(',');
  app.add_option("--schema", o.schema, "For --expect json_schema: the file with the schema");
  app.add_option(
      "--command", o.command,
      "For --expect command: gets {\"id\", \"type\", \"prompt\", \"answer\", \"expected\"} on standard input "
      "and exits with 0 for right, 1 for wrong");
  app.add_option("--time-limit", o.time_limit, "Seconds that the command may take for one answer")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
}

}  // namespace

Command add_cascade_record(CLI::App& parent) {
  auto o = std::make_shared<RecordCommand>();
  CLI::App* app = parent.add_subcommand("record", "Asks every tier the same questions and grades the answers");
  app->add_option("--tier", o->tiers, std::string("Cheapest first, at least two: ") + tier_syntax)
      ->required()
      ->allow_extra_args(false);
  app->add_option("--requests", o->requests, "The questions, JSON lines")->required();
  add_grading(*app, *o);
  app->add_option("--system", o->questions.system, "A system message before each prompt");
  app->add_option("--max-tokens", o->questions.max_tokens, "Most tokens of an answer, where its line does not say")
      ->check(CLI::Range(0U, std::numeric_limits<std::uint32_t>::max()))
      ->capture_default_str();
  app->add_option("--samples", o->options.samples,
                  "Draw so many more answers and record how many agree (feature \"agreement\"; paid for)")
      ->check(CLI::Range(0U, 64U));
  app->add_flag("--self-check", o->options.self_check,
                "Ask the tier whether its answer is right (feature \"self_check\"; paid for)");
  app->add_option(
      "--hidden", o->hidden,
      "LAYERS, LAYERS:mean or LAYERS:last: record the pooled state of the text after so many layers of the first "
      "local tier's model, for cascade fit --router knn");
  app->add_option("--usd-per-hour", o->usd_per_hour, "Of this machine: local tiers then cost money instead of seconds")
      ->check(CLI::PositiveNumber);
  app->add_option("--key-env", o->rules.key_variable, "The environment variable with the key of remote APIs");
  app->add_option("--parallel", o->parallel, "Questions under way at once; remote tiers only")
      ->check(CLI::Range(1U, 256U));
  add_backend_options(*app, o->rules.backend);
  app->add_option("--kv-mib", o->rules.kv_mib, "Memory for keys and values of each local model")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20))
      ->capture_default_str();
  app->add_flag("--quiet", o->quiet, "No progress on standard error");
  app->add_option("-o,--out", o->out, "The outcomes file; what it holds already is kept")->required();
  app->footer(examples);
  return {app, [o, app] { return run_record(*o, *app); }};
}

}  // namespace frugal::tools
