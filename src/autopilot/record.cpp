#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "calibrate/features.hpp"
#include "core/caught.hpp"
#include "endpoint/prompt_text.hpp"

namespace frugal {

namespace {

double seconds(const Finish& finish) { return std::chrono::duration<double>(finish.timing.e2e).count(); }

bool failed(const Finish& f) { return f.reason == FinishReason::error || f.reason == FinishReason::refused; }

// One tier's work on one question, with its bill.
class Asking {
 public:
  Asking(const Question& question, const RecordTier& tier, const RecordOptions& options)
      : question_(question), tier_(tier), options_(options) {}

  // Throws Error where the tier fails or its price is not known.
  TierOutcome run(const Grader& grader) {
    const Answer answer = ask(question_.request, question_.request.sampling);
    TierOutcome out;
    out.output = answer.text;
    out.input_tokens = answer.finish.usage.input;
    out.output_tokens = answer.finish.usage.output;
    const auto add = [&](std::vector<Feature> more) {
      out.features.insert(out.features.end(), more.begin(), more.end());
    };
    add(calibrate::score_features(answer.scores));
    add(calibrate::finish_features(answer.finish.reason));
    if (options_.samples > 0) out.features.emplace_back("agreement", agreement(answer.text));
    if (options_.self_check) out.features.emplace_back("self_check", self_check(answer.text));
    out.quality = grader(question_, answer.text);
    if (!(out.quality >= 0 && out.quality <= 1))
      throw Error(Errc::invalid_argument, "the grade " + std::to_string(out.quality) + " is not in [0, 1]");
    out.cost = cost_;
    return out;
  }

 private:
  Answer ask(const Request& what, const Sampling& sampling) {
    Request request = what;
    request.sampling = sampling;
    request.scores = tier_.gives_scores;
    if (!tier_.takes_constraints) request.constraint.reset(), request.close_when_short = false;
    Answer answer = tier_.endpoint->run(std::move(request));
    if (failed(answer.finish))
      throw answer.finish.error.value_or(Error(Errc::internal, "it failed and did not say why"));
    const std::optional<double> cost = tier_.cost ? tier_.cost(answer.finish) : seconds(answer.finish);
    if (!cost || !(*cost >= 0) || !std::isfinite(*cost))
      throw Error(Errc::unavailable, "what the answer costs is not known");
    cost_ += *cost;
    return answer;
  }

  double agreement(const std::string& text) {
    std::uint32_t same = 0;
    for (std::uint32_t i = 0; i < options_.samples; ++i) {
      Sampling sampling = question_.request.sampling;
      sampling.temperature = options_.sample_temperature;
      sampling.seed = i + 1;
      if (same_answer(ask(question_.request, sampling).text, text)) ++same;
    }
    return static_cast<double>(same) / options_.samples;
  }

  // The word that it says has probability p: P(yes) is p or 1 - p.
  double self_check(const std::string& text) {
    const auto* chat = std::get_if<Chat>(&question_.request.prompt);
    if (chat == nullptr) throw Error(Errc::invalid_argument, "a self-check needs a conversation, not a raw prompt");
    Request request = question_.request;
    Chat more = *chat;
    more.messages.push_back({.role = "assistant", .content = text});
    more.messages.push_back({.role = "user", .content = "Is your answer right? Say Yes or No, nothing else."});
    request.prompt = std::move(more);
    request.max_tokens = 1;
    request.constraint.reset();
    request.close_when_short = false;
    const Answer answer = ask(request, {});
    if (answer.scores.empty()) throw Error(Errc::unavailable, "a self-check needs a tier that gives log-probabilities");
    const double p = std::exp(std::min(0.0, static_cast<double>(answer.scores.front().logprob)));
    return same_answer(answer.text, "yes") ? p : same_answer(answer.text, "no") ? 1 - p : 0.5;
  }

  const Question& question_;
  const RecordTier& tier_;
  const RecordOptions& options_;
  double cost_ = 0;
};

// Throws Error where the request has no vector.
void embed(Outcome& out, const RecordOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  out.embedding = options.embedder.embed(out.prompt.value_or(""));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  out.embedding_cost = took.count() * options.embedding_cost_per_second;
  if (out.embedding.empty()) throw Error(Errc::invalid_argument, "its text cannot be embedded");
}

}  // namespace

expected<Outcome> record(const Question& question, const std::vector<RecordTier>& tiers, const Grader& grader,
                         const RecordOptions& options) {
  Outcome out;
  out.id = question.id;
  out.type = question.type;
  const std::string_view prompt = prompt_text(question.request);
  if (!prompt.empty()) out.prompt = std::string(prompt);
  try {
    if (options.embedder.embed) embed(out, options);
  } catch (...) {
    const Error error = caught_error(Errc::internal, "the embedder");
    return unexpected(error.code(), "question \"" + question.id + "\": " + error.message());
  }
  for (const RecordTier& tier : tiers) {
    try {
      out.attempts.push_back(Asking(question, tier, options).run(grader));
    } catch (...) {
      const Error error = caught_error(Errc::internal, "the grader");
      return unexpected(error.code(), "question \"" + question.id + "\", tier " + tier.name + ": " + error.message());
    }
  }
  return out;
}

}  // namespace frugal
