// frugal batch: a file of requests in, a file of answers out, as fast as the machine can; killed at any moment, it goes
// on where it was.
#include "tools/batch_input.hpp"
#include "tools/batch_output.hpp"
#include "tools/batch_provider.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/local_engine.hpp"
#include "tools/openai_answer.hpp"
#include "tools/options.hpp"
#include "tools/trace_options.hpp"

#include <frugal/core/error.hpp>
#include <frugal/endpoint/batch.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "meter/ledger_json.hpp"

namespace frugal::tools {

namespace {

struct BatchFlags {
  std::string input, output;
  EngineFlags engine{};
  ProviderFlags provider{};
  OpenAiDefaults defaults{};
  std::vector<std::string> served{};
  std::uint32_t parallel = 32;
  bool json = false;
};

constexpr const char* batch_examples = R"(Examples:
  frugal batch in.jsonl out.jsonl --model M.gguf --serve-as gpt-4o-mini
  frugal batch in.jsonl out.jsonl --model M.gguf --kv-mib 2048 --parallel 64 --speculate suffix
  frugal batch in.jsonl out.jsonl --provider openai --model gpt-4o-mini --key-file openai.key
A line of the input, in the format of OpenAI's batch files (the url may also be /v1/completions):
  {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o-mini",
   "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}}
Each line's answer, or its error, becomes one line of the output, in the order in which they are ready; "custom_id" says
which is which. The same command again goes on with what the output lacks. A line without a seed has one that depends on
its custom_id, so that its answer depends neither on its neighbours nor on interruptions.
The exit code is 0 where every line has an answer, 1 where some have an error or were left for the next run, 2 where the
files or the command line are wrong.)";

/// What became of the lines.
struct Tally {
  std::size_t lines = 0;
  std::size_t known = 0;  ///< dealt with by earlier runs; known_failed of these with an error
  std::size_t known_failed = 0;
  std::size_t malformed = 0, failed = 0, answered = 0;  ///< by this run; the first two have an error line
  std::size_t left = 0;                                 ///< for the next run: the machine failed, not the line
  Usage usage{};
  TokenLedger tokens{};
  DraftLedger drafts{};
  Duration elapsed{};
  std::optional<double> cost{};  ///< dollars, at a provider's batch price; of the answers whose price is known
  std::size_t unpriced = 0;      ///< answers of a provider whose price is not known

  int exit_code() const { return known_failed + malformed + failed + left == 0 ? 0 : 1; }
};

std::string share_text(std::uint64_t part, std::uint64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%",
                whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

std::string time_text(Duration time) {
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  char text[48];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%lld h %02lld min", static_cast<long long>(s / 3600),
                  static_cast<long long>(s / 60 % 60));
  else if (s >= 60)
    std::snprintf(text, sizeof text, "%lld min %02lld s", static_cast<long long>(s / 60),
                  static_cast<long long>(s % 60));
  else
    std::snprintf(text, sizeof text, "%lld s", static_cast<long long>(s));
  return text;
}

/// How far it is: a line that is rewritten on a terminal; in a log one line every ten seconds.
class Pace {
 public:
  explicit Pace(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}
  ~Pace() {
    if (open_) std::fputc('\n', stderr);
  }
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;

  void at(const BatchProgress& p) {
    const bool last = p.done == p.total;
    const Duration between = terminal_ ? Duration(std::chrono::milliseconds(200)) : Duration(std::chrono::seconds(10));
    if (quiet_ || (!last && p.elapsed - said_ < between)) return;
    said_ = p.elapsed;
    const double seconds = std::chrono::duration<double>(p.elapsed).count();
    std::fprintf(stderr, "%sfrugal batch: %zu of %zu, %.0f tokens/s in, %.0f out, %s cached, %s gone, %s left%s",
                 terminal_ ? "\r\033[K" : "", p.done, p.total, per(p.usage.input, seconds),
                 per(p.usage.output, seconds), share_text(p.usage.cached_read, p.usage.input).c_str(),
                 time_text(p.elapsed).c_str(), p.left ? time_text(*p.left).c_str() : "unknown", terminal_ ? "" : "\n");
    open_ = terminal_;
    std::fflush(stderr);
  }

 private:
  static double per(std::uint64_t count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
  }
  bool quiet_, terminal_, open_ = false;
  Duration said_{};
};

/// One run over the lines that the output lacks.
class Run {
 public:
  explicit Run(const BatchFlags& flags)
      : flags_(flags),
        text_(read_input(flags)),
        output_(flags.output),
        lines_(read_batch(text_, flags.input, flags.defaults)) {
    text_ = {};
    tally_.lines = lines_.size();
  }

  Tally run() {
    sort_out();
    if (open_.empty())
      begin();
    else
      answer();
    output_.sync();
    return tally_;
  }

 private:
  static std::string read_input(const BatchFlags& flags) {
    check_output(flags.output, {flags.input});
    return read_all(flags.input);
  }

  /// Known lines are passed over, those that are wrong become error lines, the others stay open.
  void sort_out() {
    for (BatchLine& line : lines_) {
      if (output_.holds(line)) {
        ++tally_.known;
        tally_.known_failed += output_.answered(line) ? 0 : 1;
      } else if (line.fault) {
        faulty_.push_back(&line);
      } else {
        open_.push_back(&line);
      }
    }
  }

  /// From here on there is an output: nothing that is wrong with the command or the model leaves an empty file.
  void begin() {
    output_.create();
    for (const BatchLine* line : faulty_) fail(*line, *line->fault);
  }

  void answer() {
    if (flags_.provider.provider.empty())
      answer_here();
    else
      answer_there();
  }

  /// The provider's answers are safe once they are in the output: then its batch may be forgotten.
  void answer_there() {
    check_provider(flags_.provider);
    begin();
    std::vector<Request> requests;
    std::erase_if(open_, [&](const BatchLine* line) { return !takes(flags_.engine.model, *line); });
    for (const BatchLine* line : open_) {
      requests.push_back(line->request);
      requests.back().model.clear();
      if (!line->has_seed) requests.back().sampling.seed.reset();
    }
    if (requests.empty()) return;
    Pace pace(flags_.engine.quiet);
    BatchOptions batch;
    batch.on_answer = [&](std::size_t index, const Answer& a) { keep(*open_[index], a, nullptr); };
    batch.progress = [&](const BatchProgress& p) { pace.at(p); };
    const ProviderRun run{flags_.engine.model, flags_.output + ".batches", flags_.engine.quiet};
    tally_.elapsed = run_provider_batch(flags_.provider, run, std::move(requests), batch).elapsed;
    output_.sync();
    if (tally_.left == 0) std::filesystem::remove(run.state_file);
  }

  void answer_here() {
    const auto model = load_with_progress(flags_.engine.model, flags_.engine.quiet);
    EngineOptions options;
    options.max_running = flags_.parallel;
    options.prefix_cache = greedy_dual_size();
    const auto engine = local_engine(flags_.engine, model, std::move(options), flags_.parallel);
    begin();
    std::erase_if(open_, [&](const BatchLine* line) { return !takes(model->name(), *line); });
    if (open_.empty()) return;
    std::vector<Request> requests;
    for (const BatchLine* line : open_) {
      requests.push_back(line->request);
      requests.back().model.clear();
    }
    Pace pace(flags_.engine.quiet);
    BatchOptions batch;
    batch.in_flight = std::size_t{2} * flags_.parallel;
    batch.on_answer = [&](std::size_t index, const Answer& a) { keep(*open_[index], a, model->tokenizer()); };
    batch.progress = [&](const BatchProgress& p) { pace.at(p); };
    tally_.elapsed = run_batch(*engine, std::move(requests), batch).elapsed;
  }

  /// Whether the line asks for this model; if not, it fails.
  bool takes(const std::string& name, const BatchLine& line) {
    const std::string& asked = line.request.model;
    const bool ours = asked.empty() || asked == name || asked == flags_.engine.model ||
                      std::find(flags_.served.begin(), flags_.served.end(), asked) != flags_.served.end();
    if (!ours)
      fail(line, {404,
                  Error(Errc::invalid_argument, flags_.input + ": line " + std::to_string(line.number) +
                                                    ": body.model: " + asked.substr(0, 80) + " is not here, only " +
                                                    name + "; --serve-as gives it a further name"),
                  "body.model"});
    return ours;
  }

  void keep(const BatchLine& line, const Answer& answer, const Tokenizer* tokenizer) {
    const Finish& end = answer.finish;
    if (end.error && (is_retryable(end.error->code()) || end.error->code() == Errc::unavailable)) {
      if (tally_.left++ == 0) say("frugal batch", {end.error->message() + "; what fails so is left for the next run"});
      return;
    }
    if (end.error)
      return fail(line, {openai_status(end.error->code()),
                         Error(end.error->code(),
                               flags_.input + ": line " + std::to_string(line.number) + ": " + end.error->message()),
                         {}});
    output_.append(answered_line(line, answer, tokenizer));
    if (!flags_.provider.provider.empty()) add_cost(end);
    ++tally_.answered;
    tally_.usage += end.usage;
    tally_.tokens += end.ledger.total();
    tally_.drafts += end.ledger.drafts();
  }

  void add_cost(const Finish& end) {
    std::optional<double> cost = batch_cost(flags_.provider, end.model, end.usage);
    if (!cost) cost = batch_cost(flags_.provider, flags_.engine.model, end.usage);
    if (cost)
      tally_.cost = tally_.cost.value_or(0) + *cost;
    else
      ++tally_.unpriced;
  }

  void fail(const BatchLine& line, const BatchFault& fault) {
    output_.append(failed_line(line, fault));
    ++(fault.status == 0 ? tally_.malformed : tally_.failed);
  }

  const BatchFlags& flags_;
  std::string text_;
  BatchOutput output_;
  std::vector<BatchLine> lines_;
  std::vector<const BatchLine*> open_{}, faulty_{};
  Tally tally_{};
};

std::vector<std::string> summary_of(const Tally& t) {
  std::vector<std::string> text;
  std::string counts = std::to_string(t.lines) + " lines: " + std::to_string(t.answered) + " answered";
  if (t.known > 0) counts += ", " + std::to_string(t.known) + " dealt with before";
  if (t.known_failed > 0) counts += " (" + std::to_string(t.known_failed) + " with an error)";
  if (t.failed > 0) counts += ", " + std::to_string(t.failed) + " refused or failed";
  if (t.malformed > 0) counts += ", " + std::to_string(t.malformed) + " that are no requests";
  if (t.left > 0) counts += ", " + std::to_string(t.left) + " left for the next run";
  text.push_back(counts);
  if (t.answered == 0) return text;
  if (t.cost || t.unpriced > 0) {
    char dollars[48];
    std::snprintf(dollars, sizeof dollars, "$%.6f", t.cost.value_or(0));
    text.push_back("cost at the provider's batch price: " + (t.cost ? dollars : std::string("unknown")) +
                   (t.cost && t.unpriced > 0 ? ", without " + std::to_string(t.unpriced) + " of unknown price" : ""));
  }
  const double seconds = std::max(1e-9, std::chrono::duration<double>(t.elapsed).count());
  char rate[96];
  std::snprintf(rate, sizeof rate, " in %.1f s: %.1f requests and %.0f tokens of answers a second", seconds,
                static_cast<double>(t.answered) / seconds, static_cast<double>(t.usage.output) / seconds);
  text.push_back(std::to_string(t.usage.input) + " prompt tokens, " + std::to_string(t.usage.output) + " of answers" +
                 rate);
  text.push_back("prefix cache: " + share_text(t.usage.cached_read, t.usage.input) + " of the prompt tokens (" +
                 std::to_string(t.usage.cached_read) + ") were not computed");
  if (t.drafts.drafted > 0)
    text.push_back("speculation: " + std::to_string(t.tokens.accepted) + " of the answers' tokens were drafted, " +
                   std::to_string(t.drafts.wasted()) + " drafts were wasted");
  if (t.tokens.forced > 0)
    text.push_back("structured output: " + std::to_string(t.tokens.forced) + " tokens were forced by a grammar");
  return text;
}

std::string summary_json(const Tally& t) {
  using meter::to_json;
  nlohmann::ordered_json out{{"lines", t.lines},
                             {"known", t.known},
                             {"known_failed", t.known_failed},
                             {"answered", t.answered},
                             {"failed", t.failed},
                             {"malformed", t.malformed},
                             {"left", t.left},
                             {"seconds", std::chrono::duration<double>(t.elapsed).count()},
                             {"usage", to_json(t.usage)},
                             {"tokens", to_json(t.tokens)}};
  if (t.cost) out["cost"] = *t.cost;
  if (t.unpriced > 0) out["unpriced"] = t.unpriced;
  if (t.drafts.drafted > 0) out["drafts"] = to_json(t.drafts);
  return out.dump() + "\n";
}

void refuse_idle_options(const BatchFlags& flags, const CLI::App& app) {
  if (flags.provider.provider.empty())
    refuse_without_effect(app, {"--url", "--key-file", "--ca-file", "--poll"}, "without --provider");
  else
    refuse_without_effect(app,
                          {"--speculate", "--backend", "--device", "--threads", "--bf16-prompts", "--repack-floats",
                           "--kv-mib", "--parallel"},
                          "with --provider: the provider computes");
}

int run_batch_command(const BatchFlags& flags, const CLI::App& app) {
  refuse_idle_options(flags, app);
  const Tally tally = Run(flags).run();
  if (flags.json) print(summary_json(tally));
  if (!flags.engine.quiet) say("frugal batch", summary_of(tally));
  return tally.exit_code();
}

}  // namespace

Command add_batch(CLI::App& parent) {
  auto flags = std::make_shared<BatchFlags>();
  CLI::App* app = parent.add_subcommand("batch", "A file of requests in, a file of answers out; can be resumed");
  app->add_option("input", flags->input, "JSON lines in OpenAI's batch format; - = standard input")->required();
  app->add_option("output", flags->output, "Where the answers go; what it holds already is not answered again")
      ->required();
  add_engine_flags(*app, flags->engine);
  add_provider_flags(*app, flags->provider);
  app->add_option("--serve-as", flags->served, "A further name by which lines may ask for the model; may be repeated")
      ->allow_extra_args(false);
  app->add_option("--parallel", flags->parallel, "Most answers that are computed together")
      ->check(CLI::Range(1U, 4096U))
      ->capture_default_str();
  app->add_option("--max-tokens", flags->defaults.max_tokens,
                  "Most tokens of an answer whose line does not say; 0 = until the context is full, for completions 16")
      ->check(CLI::Range(0U, std::numeric_limits<std::uint32_t>::max()))
      ->capture_default_str();
  app->add_option("--temperature", flags->defaults.temperature, "For lines that do not say")
      ->check(CLI::Range(0.0F, 2.0F))
      ->capture_default_str();
  app->add_flag("--json", flags->json, "The summary as one JSON object on standard output");
  app->footer(batch_examples);
  return {app, [flags, app] { return run_batch_command(*flags, *app); }};
}

}  // namespace frugal::tools
