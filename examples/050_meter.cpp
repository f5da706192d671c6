// 050: where time, tokens and money go, by request type; prices out of the machine's own seconds; a trace; a budget.
//   example_050_meter MODEL.gguf [TRACE.jsonl]
#include "pick_backend.hpp"

#include <frugal/endpoint/budgeted.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/engine/step_meter.hpp>
#include <frugal/frugal.hpp>
#include <frugal/meter/metrics.hpp>
#include <frugal/meter/trace_writer.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL [TRACE]\n", argv[0]), 2;
  try {
    std::ifstream file(FRUGAL_EXAMPLE_DATA "/support_policy.txt");
    const std::string document(std::istreambuf_iterator<char>(file), {});
    const auto ask = [](std::string type, std::string tenant, std::string system, std::string question) {
      return frugal::Request{
          .prompt = frugal::Chat{.messages = {{"system", std::move(system)}, {"user", std::move(question)}}},
          .max_tokens = 24,
          .type = std::move(type),
          .tenant = std::move(tenant)};
    };
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
    options.prefix_cache = frugal::greedy_dual_size();
    // [price]
    const auto steps = std::make_shared<frugal::StepMeter>();
    options.observer = steps;
    frugal::Engine engine(std::move(options));
    engine.run(ask("warm-up", "", "Answer in one sentence.", "What is rain?"));
    const frugal::Rates rates = frugal::self_hosted(steps->use(0.40)).value();  // 0.40 dollars an hour
    // [/price]
    std::printf("a million tokens: %.3f dollars in, %.3f out\n", rates.input.value(), rates.output.value());
    // [meter]
    frugal::TraceWriter trace({.path = argc > 2 ? argv[2] : "trace.jsonl"});
    frugal::Meter meter({.prices = frugal::PriceBook::built_in().with("smollm2", rates),
                         .slos = {{.ttft = 2s, .tpot = 200ms}, {.type = "smalltalk", .e2e = 5s}},
                         .trace = [&](const frugal::Measured& m) { trace.write(m); }});
    // [/meter]
    // [budget]
    frugal::Budget budget({.limits = {{.tenant = "trial", .usd = 100 * rates.output.value() / 1e6}}});
    frugal::Budgeted within(engine, budget, {.prices = meter.options().prices, .model = "smollm2"});
    frugal::Metered service(within, meter);  // refusals are counted as well
    // [/budget]
    for (const char* question : {"How much is express delivery?", "How long is a gift card valid?", "Who pays?"})
      service.run(ask("support", "acme", document, question));
    int answered = 0;
    while (service.run(ask("smalltalk", "trial", "Be kind.", "Hello!")).finish.reason != frugal::FinishReason::refused)
      ++answered;

    // [read]
    const frugal::MeterSnapshot all = meter.total({.tenant = false, .model = false, .endpoint = false});
    for (const auto& [key, s] : all.requests) {
      const frugal::Percentile p99 = frugal::percentile(s.ttft, 0.99);
      std::printf("%-9s p99 of TTFT %.0f ms%s, %.0f%% in time, %.2e dollars, %.2e saved by the prefix cache\n",
                  key.type.c_str(), 1e3 * p99.value.value_or(0), p99.n_too_small ? " (n too small)" : "",
                  100.0 * static_cast<double>(s.good) / static_cast<double>(s.promised), s.cost.total(),
                  s.levers.cache_saved);
    }
    // [/read]
    trace.flush();
    const std::string page = frugal::open_metrics(meter, {.budgets = std::vector<frugal::BudgetGauges>{{&budget}}});
    const frugal::LimitState trial = budget.state().front();
    const frugal::MeterStats total = all.total();
    const bool as_promised = answered > 0 && trial.spent <= trial.limit.usd && trial.refused == 1 &&
                             total.unpriced == 0 && total.levers.cache_saved > 0 && trace.lines() == total.requests &&
                             page.ends_with("# EOF\n");
    return as_promised ? 0 : 1;
  } catch (const frugal::Error& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 2;
  }
}
