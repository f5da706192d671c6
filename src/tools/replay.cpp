// frugal replay: a trace through the price book and the simulated caches; the report, with prediction and outcome where
// there is a second trace.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/trace_options.hpp"

#include <frugal/advise/report.hpp>
#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

namespace frugal::tools {

namespace {

struct ReplayOptions {
  TraceOptions trace;
  std::string after, lever, report;
  bool json = false;
};

constexpr const char* replay_examples = R"(Examples:
  frugal replay trace.jsonl
  frugal replay trace.jsonl --price-book mine.json --report out.html
  frugal replay before.jsonl --after after.jsonl --lever prefix_cache --report out.html
)";

std::optional<Lever> lever_of(const ReplayOptions& o) {
  if (o.lever.empty()) return std::nullopt;
  const auto lever = lever_named(o.lever);
  if (!lever) throw Error(Errc::invalid_argument, "--lever " + o.lever + ": there is no such lever");
  if (o.after.empty()) throw Error(Errc::invalid_argument, "--lever needs --after, the trace with the lever pulled");
  return lever;
}

void run_replay(const ReplayOptions& o) {
  if (!o.report.empty()) check_output(o.report, {o.trace.trace, o.after});
  const std::optional<Lever> lever = lever_of(o);
  const Workload workload = read(o.trace.trace, o.trace);
  const Advice advice = frugal::advise(workload);
  Report report{.title = o.trace.trace, .workload = &workload, .advice = &advice};
  std::optional<Workload> after;
  std::optional<LeverOutcome> outcome;
  if (!o.after.empty()) {
    after.emplace(read(o.after, o.trace));
    outcome = compare(workload, *after, &advice, lever);
    report.after = &*after, report.outcome = &*outcome;
  }
  if (!o.report.empty()) write_file(o.report, report_html(report));
  print(o.json ? replay_json(report) : report_text(report));
  if (!o.report.empty()) say("frugal replay", {"report: " + o.report});
}

}  // namespace

Command add_replay(CLI::App& parent) {
  auto options = std::make_shared<ReplayOptions>();
  CLI::App* app =
      parent.add_subcommand("replay", "What a trace cost and where its time went, as text, JSON or an HTML report");
  app->add_option("trace", options->trace.trace, "The trace, JSON lines; \"-\" is standard input")->required();
  app->add_option("--after", options->after, "A second trace, taken after a lever was pulled");
  app->add_option("--lever", options->lever, "The lever that was pulled: its prediction is set beside the outcome");
  app->add_option("--report", options->report, "Write one self-contained HTML file");
  add_trace_options(*app, options->trace);
  app->add_flag("--json", options->json, "One JSON object (docs/advise.md)");
  app->footer(std::string(replay_examples) + trace_formats);
  return {app, [options] { run_replay(*options); }};
}

}  // namespace frugal::tools
