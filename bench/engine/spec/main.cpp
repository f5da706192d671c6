// bench_spec MODE: frugal's side of `bench/run.py spec`, over a file of requests. Prints JSON, or the lines of a trace.
//
// compare: each request without and with speculation in lockstep, in one process; decode time, whether the tokens are
// the same, and what became of the drafts. trace: what any draft length would have met at each place of the plain
// answers, and what a pass of so many rows costs: the data by which tests replay a SpeculationPolicy.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "spec.hpp"

using namespace frugal;
using namespace frugal::bench;

int main(int argc, char** argv) try {
  SpecSettings s;
  CLI::App app("frugal's side of bench/run.py spec; prints JSON, or the lines of a trace");
  app.require_subcommand(1);
  const auto mode = [&](const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("--model", s.model)->required();
    sub->add_option("--cases", s.cases, "a JSON array of {name, group, prompt or messages, max_tokens, stop, draft}")
        ->required();
    sub->add_option("--group", s.group, "only the requests of this group");
    sub->add_option("--threads", s.threads);
    sub->add_option("--repeat", s.repeat)->check(CLI::PositiveNumber);
    sub->add_option("--sequences", s.sequences, "requests at once")->check(CLI::PositiveNumber);
    sub->add_option("--most", s.most, "the longest draft")->check(CLI::PositiveNumber);
    sub->add_option("--least-likely", s.least_likely, "of the suffix drafter");
    sub->add_option("--draft", s.draft, "a fixed length of drafts; 0 = adaptive");
    sub->add_option("--self", s.self, "the draft model is the target's first so many layers");
    return sub;
  };
  CLI::App* const comparing = mode("compare", "without and with speculation");
  comparing->add_option("--draft-model", s.draft_model, "a GGUF file that drafts, of any vocabulary");
  comparing->add_flag("--on-first", s.on_first, "set up the engine with speculation first");
  mode("trace", "what each place of the answers would have accepted");
  CLI11_PARSE(app, argc, argv);
  const ModelPtr model = load_model(s.model);
  std::printf("%s\n", (comparing->parsed() ? compare(s, model).dump(1) : trace(s, model)).c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
