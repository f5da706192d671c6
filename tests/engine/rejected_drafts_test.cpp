// A rejected draft leaves no trace: not in the prefix index, of the target or of a draft model, and not in what a
// policy learns.
#include <catch2/catch_test_macros.hpp>

#include "engine/speculation_fixture.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

/// Ends an answer after so many tokens, which no chain knows of beforehand, and may cut the newest one.
struct EndsAt final : OutputPolicy {
  EndsAt(std::size_t n, std::uint32_t cut) : tokens(n), trim(cut) {}
  std::string_view name() const override { return "ends_at"; }
  std::uint32_t budget(const RequestView&) override { return 0; }
  std::optional<Stop> after(const SequenceView& s) override {
    if (s.output.size() < tokens) return std::nullopt;
    return Stop{.policy = "ends_at", .trim_tokens = trim};
  }
  std::size_t tokens;
  std::uint32_t trim;
};

struct Outcomes final : SpeculationPolicy {
  std::string_view name() const override { return "outcomes"; }
  DraftPlan propose(const SequenceView&, const DraftRoom& room) override { return {room.drafters.front().index, 6}; }
  void learn(const SequenceView&, const DraftOutcome& o) override { drafted += o.drafted, accepted += o.accepted; }
  std::uint64_t drafted = 0, accepted = 0;
};

}  // namespace

// Wherever in a run the answer ends, the next turn of the conversation reads only what was said.
TEST_CASE("an answer that ends inside a run leaves no rejected token in the prefix index of target or draft model") {
  for (std::size_t n = 1; n <= 48; ++n) {
    for (const std::uint32_t trim : {0U, 1U}) {
      INFO("ends after " << n << " tokens, " << trim << " cut");
      std::vector<Token> said;
      std::uint64_t wrong = 0, read = 0;
      const auto backend =
          std::make_shared<ScriptedBackend>([&](ModelId model, std::span<const Token> tokens, std::span<float> logits) {
            const std::size_t known = std::min(tokens.size(), said.size());
            read += !said.empty() && model.index() == 1;
            wrong += !std::equal(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(known), said.begin());
            const std::vector<float> wanted = model.index() == 0 ? wordy_logits(tokens) : half_right_logits(tokens);
            std::copy(wanted.begin(), wanted.end(), logits.begin());
          });
      EngineOptions options = options_with(backend);
      options.prefix_cache = lru();
      options.output = std::make_shared<EndsAt>(n, trim);
      const auto policy = std::make_shared<Outcomes>();
      options.speculation = policy;
      options.draft_models.push_back(draft_model_of());
      Engine engine(std::move(options));
      const std::vector<Token> prompt = prompt_of(20);
      const Answer first = engine.run(request_for(prompt, 60));
      const DraftLedger drafts = first.finish.ledger.drafts();
      CHECK(policy->drafted == drafts.verified);
      CHECK(policy->accepted >= drafts.accepted);

      said = prompt;
      said.insert(said.end(), first.tokens.begin(), first.tokens.end());
      said.push_back('q');
      engine.run(request_for(said, 60));
      CHECK(wrong == 0);
      CHECK((read > 0 || n == 1));
    }
  }
}
