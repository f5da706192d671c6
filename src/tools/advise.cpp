// frugal advise: which lever to pull, from a trace.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/trace_options.hpp"

#include <frugal/advise/report.hpp>

#include <CLI/CLI.hpp>
#include <memory>

namespace frugal::tools {

namespace {

struct AdviseOptions {
  TraceOptions trace;
  AdvisorOptions advisor;
  std::string goal;
  bool json = false;
};

constexpr const char* advise_examples = R"(Examples:
  frugal advise requests.jsonl
  frugal advise requests.jsonl --json
  frugal advise requests.jsonl --goal ttft --ttft-goal-ms 500
A lever is listed if it saves at least --worth of what the workload is bound by and its interval stays above 0; with --json
an empty list of levers means that none is worth it, and what the trace does not say goes to standard error.
)";

Bound bound_named(const std::string& name) {
  return name == "ttft" ? Bound::ttft : name == "tpot" ? Bound::tpot : Bound::cost;
}

void run_advise(const AdviseOptions& o) {
  const Workload workload = read(o.trace.trace, o.trace);
  const Advice advice = frugal::advise(workload, o.advisor);
  if (!o.json) return print(advice_text(workload, advice));
  print(advice_json(advice));
  say("frugal advise", advice.unknowable);
  if (advice.none_worth()) say("frugal advise", {"none is worth it"});
}

}  // namespace

Command add_advise(CLI::App& parent) {
  auto options = std::make_shared<AdviseOptions>();
  AdvisorOptions& a = options->advisor;
  CLI::App* app = parent.add_subcommand("advise", "Which lever to pull: reads a trace, predicts what each would save");
  app->add_option("trace", options->trace.trace, "The trace, JSON lines; \"-\" is standard input")->required();
  app->add_option("--goal", options->goal, "What to save: ttft, tpot or cost (default: what binds)")
      ->check(CLI::IsMember({"ttft", "tpot", "cost"}));
  app->add_option("--ttft-goal-ms", a.ttft_goal_ms, "Nine of ten first tokens come by then")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--tpot-goal-ms", a.tpot_goal_ms, "Nine of ten answers come at this pace")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--e2e-goal-ms", a.e2e_goal_ms, "Nine of ten answers are whole by then")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app->add_option("--worth", a.worth, "Least saving that is worth a lever, as a share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app->add_option("--accept-score", a.accept_score, "Cascade: score from which a first answer is good")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_trace_options(*app, options->trace);
  app->add_flag("--json", options->json, "One JSON object: bound_by, slices, levers");
  app->footer(std::string(advise_examples) + trace_formats);
  return {app, [app, options] {
            if (!options->goal.empty()) options->advisor.bound = bound_named(options->goal);
            const bool promised =
                app->count("--ttft-goal-ms") + app->count("--tpot-goal-ms") + app->count("--e2e-goal-ms") > 0;
            if (promised) options->advisor.clearly_missed = 1;
            run_advise(*options);
          }};
}

}  // namespace frugal::tools
