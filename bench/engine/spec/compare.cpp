#include <algorithm>
#include <chrono>

#include "spec.hpp"

namespace frugal::bench {
namespace {

using nlohmann::json;

/// An engine at work on some requests at once. The time of its own steps counts from the last first token on.
class Side {
 public:
  Side(Engine& engine, std::span<const json> cases)
      : engine_(engine), answers_(cases.size()), open_(cases.size()), silent_(cases.size()) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      engine.submit(
          request_of(cases[i]), [this, &answer = answers_[i]](Delta d) { hear(answer, std::move(d)); },
          [this, &answer = answers_[i]](Finish f) {
            if (f.error) throw *f.error;
            answer.finish = std::move(f), --open_;
          });
    }
  }
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  bool prefills() const { return silent_ > 0; }
  bool done() const { return open_ == 0; }
  void step() {
    decodes_ = !prefills();
    const auto start = std::chrono::steady_clock::now();
    engine_.step();
    if (decodes_) spent_ += bench::seconds(std::chrono::steady_clock::now() - start);
  }
  const std::vector<Answer>& answers() const { return answers_; }
  double seconds() const { return spent_; }
  double tokens() const { return tokens_; }

 private:
  void hear(Answer& answer, Delta d) {
    if (answer.tokens.empty() && !d.tokens.empty()) --silent_;
    if (decodes_) tokens_ += static_cast<double>(d.tokens.size());
    answer.tokens.insert(answer.tokens.end(), d.tokens.begin(), d.tokens.end());
    answer.text += d.text;
  }

  Engine& engine_;
  std::vector<Answer> answers_;
  std::size_t open_, silent_;
  bool decodes_ = false;
  double spent_ = 0, tokens_ = 0;
};

/// One round. The sides take turns of a few steps, so that a machine that slows down for a tenth of a second slows
/// both.
void lockstep(Side& plain, Side& drafted) {
  constexpr int turn = 8;
  for (Side* side : {&plain, &drafted})
    while (side->prefills()) side->step();
  while (!plain.done() || !drafted.done())
    for (Side* side : {&plain, &drafted})
      for (int i = 0; i < turn && !side->done(); ++i) side->step();
}

/// Of one request or, with more sequences, of one crowd: the rounds' times and the last round's answers.
json compared(Engine& off, Engine& on, std::span<const json> cases, unsigned repeat) {
  json out{{"name", cases.front().at("name")}, {"group", cases.front().at("group")}};
  bool same = true;
  for (unsigned i = 0; i < repeat; ++i) {
    Side plain(off, cases), drafted(on, cases);
    lockstep(plain, drafted);
    DraftLedger drafts;
    for (std::size_t k = 0; k < cases.size(); ++k) {
      same &= plain.answers()[k].tokens == drafted.answers()[k].tokens;
      drafts += drafted.answers()[k].finish.ledger.drafts();
    }
    out["rounds"].push_back({{"plain_tokens", plain.tokens()},
                             {"plain_seconds", plain.seconds()},
                             {"tokens", drafted.tokens()},
                             {"seconds", drafted.seconds()},
                             {"drafted", drafts.drafted},
                             {"accepted", drafts.accepted},
                             {"passes", drafts.passes},
                             {"draft_seconds", bench::seconds(drafts.draft_time)},
                             {"verify_seconds", bench::seconds(drafts.verify_time)},
                             {"catch_up_seconds", bench::seconds(drafts.catch_up_time)}});
    out["text"] = plain.answers().front().text;
  }
  out["same"] = same;
  return out;
}

}  // namespace

json compare(const SpecSettings& s, const ModelPtr& model) {
  const auto policy = s.draft > 0 ? fixed_drafts(s.draft) : adaptive_drafts({.most_tokens = s.most});
  // Where an engine's pages lie is worth up to 2% of its speed: callers that want less error take turns at being first.
  std::unique_ptr<Engine> off, on;
  if (s.on_first) on = engine_of(s, model, policy);
  off = engine_of(s, model, nullptr);
  if (!on) on = engine_of(s, model, policy);
  const std::vector<json> cases = cases_of(s);
  json out = json::array();
  for (std::size_t at = 0; at < cases.size(); at += s.sequences)
    out.push_back(compared(
        *off, *on, std::span(cases).subspan(at, std::min<std::size_t>(s.sequences, cases.size() - at)), s.repeat));
  return out;
}

}  // namespace frugal::bench
