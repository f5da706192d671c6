// 090: record what two tiers answer, fit a policy with a certified bound, serve it, and see it turn itself off where the
// service drifts.
//   example_090_certified_cascade MODEL.gguf HEAD.safetensors QUESTIONS.jsonl
// The cheap tier is a head on the model's first layers (example 100), the dear one the whole model, prompted. The bound is
// on disagreement with the dear one, so no labels are needed to serve.
#include "pick_backend.hpp"

#include <frugal/autopilot/autopilot.hpp>
#include <frugal/autopilot/record.hpp>
#include <frugal/calibrate/evaluate.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/model/identity.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 4) return std::fprintf(stderr, "usage: %s MODEL HEAD QUESTIONS\n", argv[0]), 2;
  try {
    const auto model = frugal::load_model(argv[1]);
    const auto head = std::make_shared<const frugal::Head>(frugal::load_head(argv[2]));
    frugal::HeadEndpoint small({.head = head, .model = model, .backend = pick_backend()});
    frugal::Engine big({.backend = pick_backend(),
                        .models = {{"smollm2", model}},
                        .kv_bytes = std::size_t{64} << 20,
                        .prefix_cache = frugal::greedy_dual_size(),
                        .name = "big"});
    const std::vector<frugal::Question> questions = frugal::read_questions(
        argv[3], {.system = "Answer with one word: animal or vehicle.", .max_tokens = 4, .constrain_to_choices = true});

    // [record]
    const std::vector<frugal::RecordTier> tiers{
        {.name = "head", .endpoint = &small, .model = head->identity()},
        {.name = "big", .endpoint = &big, .model = frugal::model_identity(*model)}};
    frugal::Outcomes outcomes{.tiers = {"head", "big"}, .models = {tiers[0].model, tiers[1].model}};
    for (const frugal::Question& question : questions)
      outcomes.rows.push_back(frugal::record(question, tiers, frugal::expect_choice()).value());
    // [/record]

    // [fit]
    frugal::FitOptions options;
    options.guarantee = {.kind = frugal::Guarantee::Kind::max_error, .limit = 0.25, .confidence = 0.9, .horizon = 0};
    const frugal::FittedCascade fitted = frugal::fit_cascade(outcomes, options).value();
    // [/fit]

    // [serve]
    bool drifted = false;
    frugal::AutopilotOptions pilot;
    pilot.tiers = {&small, &big};
    pilot.models = outcomes.models;
    pilot.fitted = fitted;
    pilot.audit_share = 0.5;
    pilot.wrong = [&](const frugal::Request& request, std::string_view answer, std::string_view) {
      for (const frugal::Question& q : questions)
        if (q.id == request.id) return std::optional((answer == q.expected[0]) == drifted ? 1.0 : 0.0);
      return std::optional<double>();
    };
    pilot.log = [](frugal::LogLevel, std::uint64_t, std::string_view line) {
      std::printf("%s\n", std::string(line).c_str());
    };
    frugal::Autopilot service(pilot);
    // [/serve]

    const auto serve = [&](std::size_t most) {
      for (std::size_t i = 0; i < most && service.stats().stage != frugal::PilotStage::off; ++i)
        (void)service.run(questions[i % questions.size()].request);
      service.drive([] { return false; });  // the audits that still run
      return service.stats();
    };
    const frugal::AutopilotStats before = serve(questions.size());
    drifted = true;  // what was right is wrong from now on
    const frugal::AutopilotStats after = serve(4 * questions.size());
    std::printf("before the drift: %s, %llu of %llu accepted; after it: %s\n",
                std::string(frugal::to_string(before.stage)).c_str(), static_cast<unsigned long long>(before.accepted),
                static_cast<unsigned long long>(before.requests), std::string(frugal::to_string(after.stage)).c_str());
    return before.stage == frugal::PilotStage::on && before.accepted > 0 && after.stage == frugal::PilotStage::off ? 0
                                                                                                                   : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
