// bench_spec MODE: frugal's side of `bench/run.py spec`, over a file of requests. Prints JSON, or the lines of a trace.
//
// compare: each request without and with speculation in turn, in one process; decode time, whether the tokens are the
// same, and what became of the drafts. trace: what any draft length would have met at each place of the plain answers,
// and what a pass of so many rows costs: the data by which tests replay a SpeculationPolicy.
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

using namespace frugal;
using nlohmann::json;

namespace {

struct Settings {
  std::string model, cases, group, draft_model;
  double least_likely = SuffixDrafterOptions{}.least_likely;
  unsigned threads = 2, repeat = 3, sequences = 1, draft = 0, self = 0, most = 16;
};
using ModelPtr = std::shared_ptr<const Model>;

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::vector<json> cases_of(const Settings& s) {
  std::ifstream file(s.cases);
  if (!file) throw Error(Errc::bad_file, s.cases + ": cannot be read");
  std::vector<json> out;
  for (json& c : json::parse(file).get<std::vector<json>>())
    if (s.group.empty() || c.at("group") == s.group) out.push_back(std::move(c));
  if (out.empty()) throw Error(Errc::bad_file, s.cases + ": no request of group " + s.group);
  return out;
}

Request request_of(const json& c) {
  Chat chat;
  for (const json& m : c.value("messages", json::array())) chat.messages.push_back({m.at("role"), m.at("content")});
  Request r{RawPrompt{c.value("prompt", "")}};
  if (!chat.messages.empty()) r.prompt = std::move(chat);
  r.stop = c.value("stop", std::vector<std::string>{});
  r.max_tokens = c.at("max_tokens");
  r.type = c.at("group");
  r.draft.text = c.value("draft", "");
  r.use_prefix_cache = false;
  return r;
}

/// Without a policy: the lever is off. No past answers are kept: a request that comes again is still a new one here.
std::unique_ptr<Engine> engine_of(const Settings& s, const ModelPtr& model, std::shared_ptr<SpeculationPolicy> policy) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", model}};
  o.speculation = std::move(policy);
  if (!s.draft_model.empty()) {
    if (o.speculation) o.draft_models = {{.target = {}, .model = load_model(s.draft_model), .name = "draft"}};
  } else if (s.self == 0) {
    o.drafters = {suffix_drafter({.least_likely = s.least_likely, .past_bytes = 0})};
  } else if (o.speculation) {
    o.draft_models = {{.target = {}, .model = first_layers(model, s.self), .name = "first layers"}};
  }
  return std::make_unique<Engine>(std::move(o));
}

// --- compare ---

struct Run {
  std::vector<Answer> answers;
  double seconds = 0, tokens = 0;  ///< of decoding: from the last first token on
};

/// All requests at once.
Run run(Engine& engine, std::span<const json> cases) {
  struct Seen {
    Answer answer;
    std::vector<std::pair<TimePoint, std::size_t>> deltas;
  };
  std::vector<Seen> seen(cases.size());
  std::size_t open = cases.size();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    engine.submit(
        request_of(cases[i]),
        [&seen, i](Delta d) {
          seen[i].deltas.emplace_back(std::chrono::steady_clock::now(), d.tokens.size());
          seen[i].answer.tokens.insert(seen[i].answer.tokens.end(), d.tokens.begin(), d.tokens.end());
          seen[i].answer.text += d.text;
        },
        [&seen, &open, i](Finish f) {
          if (f.error) throw *f.error;
          seen[i].answer.finish = std::move(f), --open;
        });
  }
  engine.drive([&] { return open == 0; });
  TimePoint start{}, end{};
  for (const Seen& one : seen)
    start = std::max(start, one.deltas.front().first), end = std::max(end, one.deltas.back().first);
  Run out;
  for (Seen& one : seen) {
    for (const auto& [time, tokens] : one.deltas) out.tokens += time > start ? static_cast<double>(tokens) : 0;
    out.answers.push_back(std::move(one.answer));
  }
  out.seconds = std::chrono::duration<double>(end - start).count();
  return out;
}

json compared(const json& c, const Run& plain, const Run& drafted) {
  bool same = true;
  DraftLedger drafts;
  for (std::size_t i = 0; i < plain.answers.size(); ++i) {
    same &= plain.answers[i].tokens == drafted.answers[i].tokens;
    drafts += drafted.answers[i].finish.ledger.drafts();
  }
  return {{"name", c.at("name")},
          {"group", c.at("group")},
          {"same", same},
          {"plain_tokens", plain.tokens},
          {"plain_seconds", plain.seconds},
          {"tokens", drafted.tokens},
          {"seconds", drafted.seconds},
          {"drafted", drafts.drafted},
          {"accepted", drafts.accepted},
          {"passes", drafts.passes},
          {"draft_seconds", seconds(drafts.draft_time)},
          {"verify_seconds", seconds(drafts.verify_time)},
          {"catch_up_seconds", seconds(drafts.catch_up_time)},
          {"text", plain.answers.front().text}};
}

json compare(const Settings& s, const ModelPtr& model) {
  const auto policy = s.draft > 0 ? fixed_drafts(s.draft) : adaptive_drafts({.most_tokens = s.most});
  const auto off = engine_of(s, model, nullptr), on = engine_of(s, model, policy);
  const std::vector<json> cases = cases_of(s);
  json out = json::array();
  for (std::size_t at = 0; at < cases.size(); at += s.sequences) {
    const auto group = std::span(cases).subspan(at, std::min<std::size_t>(s.sequences, cases.size() - at));
    Run plain, drafted;
    for (unsigned i = 0; i < s.repeat; ++i) {
      for (auto [engine, best] : {std::pair{off.get(), &plain}, std::pair{on.get(), &drafted}}) {
        Run now = run(*engine, group);
        if (i == 0 || now.tokens / now.seconds > best->tokens / best->seconds) *best = std::move(now);
      }
    }
    out.push_back(compared(group.front(), plain, drafted));
  }
  return out;
}

// --- trace ---

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
    if (pass.segments == sequences_ && pass.rows <= most_) times[pass.rows].push_back(pass.seconds);
  }
  std::map<std::uint32_t, std::vector<double>> times;

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

/// "pass ROWS SECONDS" of passes with so many sequences.
std::string pass_costs(const Settings& s, const ModelPtr& model, unsigned most) {
  const auto scan = std::make_shared<Scan>(s.sequences, most);
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", model}};
  o.speculation = scan;
  o.drafters = {std::make_shared<Noise>()};
  Engine engine(std::move(o));
  scan->times.clear();  // of the trials
  const std::vector<json> cases = cases_of(s);
  unsigned open = s.sequences;
  for (unsigned i = 0; i < s.sequences; ++i) {
    Request r = request_of(cases[i % cases.size()]);
    r.max_tokens = 8 * most, r.stop.clear();
    engine.submit(
        std::move(r), [](Delta) {}, [&open](Finish) { --open; });
  }
  engine.drive([&] { return open == 0; });
  std::string out;
  for (const auto& [rows, times] : scan->times)
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

/// Lines: "pass ROWS SECONDS", "draft SECONDS" of a token or "draft_pass SECONDS" of a draft model's pass, and for each
/// answer "answer PROPOSED:ACCEPTED..." of its places from the second token on, had the longest draft been asked for.
std::string trace(const Settings& s, const ModelPtr& model) {
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
  std::string out = pass_costs(s, model, s.sequences == 1 ? 17 : 3 * s.sequences), answers;
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

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
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
  mode("trace", "what each place of the answers would have accepted");
  CLI11_PARSE(app, argc, argv);
  const ModelPtr model = load_model(s.model);
  std::printf("%s\n", (comparing->parsed() ? compare(s, model).dump(1) : trace(s, model)).c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
