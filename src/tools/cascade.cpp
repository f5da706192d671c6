// frugal cascade: records outcomes, fits a certified cascade policy on them, and evaluates one on others.
#include "tools/cascade_record.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/trace_options.hpp"

#include <frugal/calibrate/evaluate.hpp>
#include <frugal/calibrate/fit.hpp>
#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

namespace frugal::tools {

namespace {

struct FitCommand {
  std::string outcomes, out;
  double max_loss = 0, max_error = 0;
  FitOptions options{};
  std::uint64_t horizon = 0;
  std::string reference = "labels", router = "auto";
};

struct EvalCommand {
  std::string policy, outcomes, report, reference = "labels";
  bool json = false;
};

constexpr const char* fit_examples = R"(Examples:
  frugal cascade fit outcomes.jsonl --max-loss 0.03 --confidence 0.95 -o policy.json
  frugal cascade fit outcomes.jsonl --max-error 0.10 -o policy.json
  frugal cascade fit outcomes.jsonl --max-loss 0.03 --router knn -o policy.json
Each line of the file is one request with every tier's answer to it, cheapest tier first:
  {"id": "1", "type": "faq", "prompt": "...", "attempts": [{"tier": "small", "correct": true, "output": "...",
   "input_tokens": 40, "output_tokens": 9, "cost": 0.00001}, {"tier": "big", ...}]}
Where no threshold keeps the limit, it says how many outcomes would do or which limit is feasible, and exits with 2.
)";

constexpr const char* eval_examples = R"(Examples:
  frugal cascade eval policy.json other-outcomes.jsonl --json
  frugal cascade eval policy.json other-outcomes.jsonl --report front.html
Exits with 1 where the policy's guarantee did not hold on these outcomes.
)";

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

std::string percent(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * x);
  return text;
}

void print_facts(const FittedCascade& c, const std::string& out) {
  const FitFacts& f = c.facts();
  const Guarantee& g = c.guarantee();
  print(out + ": method " + c.method() + ", fitted on " + std::to_string(f.train) + " outcomes, certified on " +
        std::to_string(f.calibration) + "\n" + (g.kind == Guarantee::Kind::max_loss ? "loss" : "error") + " at most " +
        percent(g.limit) + " with confidence " + percent(g.confidence) +
        "; accepted below the last tier: " + percent(f.accepted_share) + "; accuracy lost: " + percent(f.loss) +
        "; wrong among accepted: " + (f.error ? percent(*f.error) : "none accepted") +
        "; cost: " + percent(f.cost_share) + " of the last tier's\n");
}

void run_fit(FitCommand o, bool horizon_given) {
  o.options.guarantee.kind = o.max_loss > 0 ? Guarantee::Kind::max_loss : Guarantee::Kind::max_error;
  o.options.guarantee.limit = o.max_loss > 0 ? o.max_loss : o.max_error;
  if (horizon_given) o.options.guarantee.horizon = o.horizon;
  o.options.router = o.router == "knn" ? Router::neighbours : Router::automatic;
  o.options.date = today();
  check_output(o.out, {o.outcomes});
  Outcomes outcomes = read_outcomes(o.outcomes);
  if (o.reference == "last") outcomes = agreement_with_last(std::move(outcomes));
  const FittedCascade fitted = fit_cascade(outcomes, o.options).value();
  write_file(o.out, fitted.to_json());
  print_facts(fitted, o.out);
}

std::string as_text(const FittedCascade& c, const Evaluation& e) {
  std::string text = std::to_string(e.all.n) + " outcomes: " + percent(e.all.accepted_share) +
                     " accepted below the last tier, " +
                     (e.all.error_among_accepted ? percent(*e.all.error_among_accepted) : "none") +
                     " of these wrong; accuracy lost: " + percent(e.all.loss_against_last) +
                     "; cost: " + (e.all.cost_share_of_last ? percent(*e.all.cost_share_of_last) : "unknown") +
                     " of the last tier's\n";
  text += std::string("the guarantee (") + (c.guarantee().kind == Guarantee::Kind::max_loss ? "loss" : "error") +
          " at most " + percent(c.guarantee().limit) + ") " + (e.held ? "held" : "did not hold") +
          " on these outcomes\n";
  return text;
}

int run_eval(const EvalCommand& o) {
  if (!o.report.empty()) check_output(o.report, {o.policy, o.outcomes});
  const FittedCascade cascade = FittedCascade::from_json(read_all(o.policy), o.policy);
  Outcomes outcomes = read_outcomes(o.outcomes);
  if (o.reference == "last") outcomes = agreement_with_last(std::move(outcomes));
  const Evaluation e = evaluate(cascade, outcomes);
  if (!o.report.empty()) write_file(o.report, evaluation_html(cascade, e));
  print(o.json ? evaluation_json(cascade, e) : as_text(cascade, e));
  return e.held ? 0 : 1;
}

CLI::App* add_fit(CLI::App& parent, const std::shared_ptr<FitCommand>& o) {
  CLI::App* fit = parent.add_subcommand("fit", "Fits a policy on outcomes and certifies its bound");
  fit->add_option("outcomes", o->outcomes, "Recorded outcomes, JSON lines")->required();
  auto* loss = fit->add_option("--max-loss", o->max_loss, "Most accuracy lost against always asking the last tier");
  auto* error = fit->add_option("--max-error", o->max_error, "Largest share of wrong answers among accepted ones");
  for (CLI::Option* limit : {loss, error}) limit->check(CLI::Range(1e-6, 1 - 1e-6));
  loss->excludes(error);
  fit->add_option("--confidence", o->options.guarantee.confidence, "Probability that the bound holds")
      ->capture_default_str();
  fit->add_option(
      "--horizon", o->horizon,
      "Requests over which the bound is also kept as measured; 0 = in the long run only (default: as many as "
      "there are outcomes)");
  fit->add_option("--calibration-share", o->options.calibration_share, "Share of outcomes that certify")
      ->capture_default_str();
  fit->add_flag("--by-type", o->options.by_type,
                "A threshold of its own, with a bound of its own, for each type that has enough outcomes");
  fit->add_option("--reference", o->reference,
                  "What counts as right: the recorded labels, or whatever the last tier answered")
      ->check(CLI::IsMember({"labels", "last"}))
      ->capture_default_str();
  fit->add_option(
         "--router", o->router,
         "auto: the best of what reads prompts and answers; knn: by the most similar requests, whose embeddings "
         "the outcomes must hold (cascade record --hidden)")
      ->check(CLI::IsMember({"auto", "knn"}))
      ->capture_default_str();
  fit->add_option("--seed", o->options.seed, "Of the split")->capture_default_str();
  fit->add_option("-o,--out", o->out, "The policy file")->required();
  fit->footer(fit_examples);
  return fit;
}

CLI::App* add_eval(CLI::App& parent, const std::shared_ptr<EvalCommand>& o) {
  CLI::App* eval = parent.add_subcommand("eval", "What a policy would have done with other outcomes");
  eval->add_option("policy", o->policy, "The policy file")->required();
  eval->add_option("outcomes", o->outcomes, "Recorded outcomes, JSON lines")->required();
  eval->add_option("--report", o->report, "An HTML page with the cost-quality front");
  eval->add_option("--reference", o->reference, "What counts as right, as for fit")
      ->check(CLI::IsMember({"labels", "last"}))
      ->capture_default_str();
  eval->add_flag("--json", o->json, "One JSON object");
  eval->footer(eval_examples);
  return eval;
}

}  // namespace

Command add_cascade(CLI::App& parent) {
  CLI::App* app =
      parent.add_subcommand("cascade", "Record outcomes, fit a cascade policy with a certified bound, evaluate it");
  app->require_subcommand(1);
  auto fit_options = std::make_shared<FitCommand>();
  auto eval_options = std::make_shared<EvalCommand>();
  CLI::App* fit = add_fit(*app, fit_options);
  add_eval(*app, eval_options);
  const Command record = add_cascade_record(*app);
  return {app, [fit, fit_options, eval_options, record] {
            if (record.app->parsed()) return record.run();
            if (!fit->parsed()) return run_eval(*eval_options);
            if (fit->count("--max-loss") + fit->count("--max-error") == 0)
              throw Error(Errc::invalid_argument, "say which bound to keep: --max-loss or --max-error");
            run_fit(*fit_options, fit->count("--horizon") > 0);
            return 0;
          }};
}

}  // namespace frugal::tools
