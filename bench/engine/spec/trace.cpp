#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>

#include <algorithm>
#include <chrono>
#include <map>

#include "spec.hpp"

namespace frugal::bench {
namespace {

using nlohmann::json;

/// Listens to a drafter at each place of an answer and lets nothing through.
class Recorder final : public Drafter {
 public:
  Recorder(std::shared_ptr<Drafter> inner, unsigned most) : inner_(std::move(inner)), most_(most) {}
  std::string_view name() const override { return "recorder"; }
  std::unique_ptr<Drafting> open(const RequestView& request) override {
    proposals.clear(), read.clear();
    return std::make_unique<Listener>(*this, inner_->open(request));
  }
  void finished(const SequenceView& sequence) override { inner_->finished(sequence); }

  std::map<std::size_t, std::vector<Token>> proposals;  ///< by tokens of prompt and answer before them
  std::vector<Token> read;                              ///< prompt and answer
  double seconds = 0, tokens = 0;

 private:
  struct Listener final : Drafting {
    Listener(Recorder& r, std::unique_ptr<Drafting> i) : recorder(r), inner(std::move(i)) {}
    void learn(std::span<const Token> accepted) override {
      if (inner) inner->learn(accepted);
      recorder.read.insert(recorder.read.end(), accepted.begin(), accepted.end());
    }
    void propose(std::uint32_t, std::vector<Token>&) override {
      const auto start = std::chrono::steady_clock::now();
      std::vector<Token> out;
      if (inner) inner->propose(recorder.most_, out);
      recorder.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      recorder.tokens += static_cast<double>(out.size());
      recorder.proposals[recorder.read.size()] = std::move(out);
    }
    Recorder& recorder;
    std::unique_ptr<Drafting> inner;
  };
  std::shared_ptr<Drafter> inner_;
  unsigned most_;
};

/// Plans so many rows a pass, one number after the other, and keeps what each took.
class Scan final : public SpeculationPolicy {
 public:
  Scan(unsigned sequences, unsigned most) : most_(most), sequences_(sequences) {}
  std::string_view name() const override { return "scan"; }
  DraftPlan propose(const SequenceView&, const DraftRoom& room) override {
    if (room.draft_rows == 0 && asked_ >= room.decode_rows) next_ = next_ % most_ + 1, asked_ = 0;
    ++asked_;
    const unsigned wanted = next_ > sequences_ ? next_ - sequences_ : 0;
    return {room.drafters.front().index, (wanted + asked_ - 1) / sequences_};
  }
  void learn(const SequenceView&, const DraftOutcome&) override {}
  void observe(const PassCost& pass) override {
    if (!served) trials[pass.rows] = pass.seconds;
    if (served && pass.segments == sequences_ && pass.rows <= most_) times[pass.rows].push_back(pass.seconds);
  }
  std::map<std::uint32_t, std::vector<double>> times;
  std::map<std::uint32_t, double> trials;  ///< of start-up
  bool served = false;

 private:
  unsigned most_, sequences_, next_ = 0, asked_ = ~0U;
};

/// Any tokens: only what they cost is wanted.
class Noise final : public Drafter {
 public:
  std::string_view name() const override { return "noise"; }
  std::unique_ptr<Drafting> open(const RequestView&) override {
    struct Open final : Drafting {
      void learn(std::span<const Token>) override {}
      void propose(std::uint32_t most, std::vector<Token>& out) override { out.insert(out.end(), most, 17); }
    };
    return std::make_unique<Open>();
  }
};

double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

/// Passes of `sequences` requests and up to `most` rows, each number of rows 24 times.
std::shared_ptr<Scan> scan(const SpecSettings& s, const ModelPtr& model, unsigned sequences, unsigned most) {
  auto seen = std::make_shared<Scan>(sequences, most);
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", model}};
  o.speculation = seen;
  o.drafters = {std::make_shared<Noise>()};
  Engine engine(std::move(o));
  seen->served = true;
  const std::vector<json> cases = cases_of(s);
  for (int round = 0; round < 3; ++round) {
    unsigned open = sequences;
    for (unsigned i = 0; i < sequences; ++i) {
      Request r = request_of(cases[i % cases.size()]);
      r.max_tokens = 8 * most, r.stop.clear();
      engine.submit(
          std::move(r), [](Delta) {}, [&open](Finish) { --open; });
    }
    engine.drive([&] { return open == 0; });
  }
  return seen;
}

/// "trial ROWS SECONDS" of start-up, "pass ROWS SECONDS" of fewer rows than sequences by one alone, of more by all.
std::string pass_costs(const SpecSettings& s, const ModelPtr& model) {
  std::vector<std::shared_ptr<Scan>> scans;
  if (s.sequences > 1) scans.push_back(scan(s, model, 1, s.sequences - 1));
  scans.push_back(scan(s, model, s.sequences, s.sequences == 1 ? 17 : 3 * s.sequences));
  std::string out;
  for (const auto& [rows, time] : scans.front()->trials)
    out += "trial " + std::to_string(rows) + " " + std::to_string(time) + "\n";
  for (const auto& one : scans)
    for (const auto& [rows, times] : one->times)
      out += "pass " + std::to_string(rows) + " " + std::to_string(median(times)) + "\n";
  return out;
}

struct Length {
  std::size_t proposed, accepted;
};
Length length_of(const std::vector<Token>& proposal, std::span<const Token> answer) {
  std::size_t n = 0;
  while (n < proposal.size() && n < answer.size() && proposal[n] == answer[n]) ++n;
  return {proposal.size(), n};
}

/// What the draft model would say after each place of the answer, and what each of its passes takes.
std::vector<Token> greedy_after(Engine& draft, std::span<const Token> tokens, unsigned most,
                                std::vector<double>& passes) {
  Request r{TokenPrompt{{tokens.begin(), tokens.end()}}};
  r.max_tokens = most;
  const Answer a = draft.run(std::move(r));
  if (a.finish.error) throw *a.finish.error;
  if (const auto tpot = a.finish.timing.tpot(a.finish.usage.output)) passes.push_back(seconds(*tpot));
  return a.tokens;
}

}  // namespace

/// Lines: "trial ROWS SECONDS", "pass ROWS SECONDS", "draft SECONDS" of a token or "draft_pass SECONDS" of a draft
/// model's pass, and for each answer "answer PROPOSED:ACCEPTED..." of its places from the second token on, had the
/// longest draft been asked for.
std::string trace(const SpecSettings& s, const ModelPtr& model) {
  const auto recorder =
      std::make_shared<Recorder>(suffix_drafter({.least_likely = s.least_likely, .past_bytes = 0}), s.most);
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", model}};
  o.speculation = fixed_drafts(s.most);
  o.drafters = {recorder};
  Engine engine(std::move(o));
  std::unique_ptr<Engine> draft;
  std::vector<double> passes;  // of the draft model
  if (s.self > 0) {
    EngineOptions d;
    d.backend = cpu_backend({.threads = s.threads});
    d.models = {{"draft", first_layers(model, s.self)}};
    d.prefix_cache = lru();
    draft = std::make_unique<Engine>(std::move(d));
  }
  std::string out = pass_costs(s, model), answers;
  for (const json& c : cases_of(s)) {
    const Answer a = engine.run(request_of(c));
    if (a.finish.error) throw *a.finish.error;
    answers += "answer";
    const std::size_t prompt = a.finish.usage.input;
    std::vector<Token> text(recorder->read.begin(), recorder->read.begin() + static_cast<std::ptrdiff_t>(prompt));
    text.insert(text.end(), a.tokens.begin(), a.tokens.end());
    for (std::size_t i = 1; i < a.tokens.size(); ++i) {  // the first token comes with the prompt
      const Length l = length_of(draft ? greedy_after(*draft, std::span(text).first(prompt + i), s.most, passes)
                                       : recorder->proposals[prompt + i],
                                 std::span(a.tokens).subspan(i));
      answers += " " + std::to_string(l.proposed) + ":" + std::to_string(l.accepted);
    }
    answers += "\n";
  }
  if (draft) return out + "draft_pass " + std::to_string(median(passes)) + "\n" + answers;
  return out + "draft " + std::to_string(recorder->seconds / std::max(1.0, recorder->tokens)) + "\n" + answers;
}

}  // namespace frugal::bench
