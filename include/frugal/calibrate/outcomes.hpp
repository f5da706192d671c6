// Outcomes: what every tier of a cascade answered to a set of requests, and whether it was right. The data that a
// cascade policy is fitted on and judged by.
//
// File format: one JSON object a line,
//   {"id": "q1", "type": "faq", "prompt": "...", "attempts": [
//     {"tier": "small", "correct": true, "output": "...", "features": {"margin.q10": 0.7}, "input_tokens": 40,
//      "output_tokens": 9, "cost": 0.00001}, {"tier": "big", ...}]}
// with the attempts in order of price, the same tiers in every line. "quality" in [0, 1] may stand for "correct".
// "prompt", "output", "score", "features" and "model" are optional; "cost" is in any one currency. "model" says which
// bytes answered for the tier (model_identity), the same in every line.
// A line may also have "embedding", a list of finite numbers, not all 0, that says what the request is like, with
// "embedder", which names what made it (Embedder::identity), and "embedding_cost", what that cost (0 where it is missing).
// Then all lines have one, by the same embedder and of the same length.
#pragma once

#include <frugal/config.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal {

/// A named number that was measured on a prompt or an answer.
using Feature = std::pair<std::string, double>;

/// One tier's answer to one request.
struct TierOutcome {
  double quality = 0;                   ///< 1 = right, 0 = wrong, or a grade between
  std::optional<std::string> output{};  ///< the answer's text
  std::vector<Feature> features{};      ///< measured on the answer, "score" among them; finite
  std::uint64_t input_tokens = 0, output_tokens = 0;
  double cost = 0;  ///< what this attempt costs, at least 0
};

/// One request, asked of every tier.
struct Outcome {
  std::string id{}, type{};
  std::optional<std::string> prompt{};  ///< the last message or the raw prompt, as RequestView::text will hold it
  std::vector<TierOutcome> attempts{};  ///< [tiers], cheapest first
  std::vector<float> embedding{};       ///< what the request is like; empty = not recorded
  double embedding_cost = 0;            ///< in the currency of the attempts
};

/// Plain data; at least two tiers where it was read from a file.
struct Outcomes {
  std::vector<std::string> tiers{};   ///< names, cheapest first
  std::vector<std::string> models{};  ///< [tiers]: what answered, as model_identity says; empty texts = unknown
  std::vector<Outcome> rows{};
  std::string embedder{};  ///< Embedder::identity of what made the rows' embeddings; empty = they have none
};

/// Reads a file of outcomes. Throws Error(bad_file) that names the file, the line and what is wrong: malformed JSON, a
/// missing or misplaced tier, a quality outside [0, 1], a cost that is missing, negative or not finite, an id that
/// occurs twice, an embedding that is missing or unlike the others. Linear in the file.
FRUGAL_API Outcomes read_outcomes(const std::string& path);

/// The same from text; `origin` stands for the file's name in errors.
FRUGAL_API Outcomes parse_outcomes(const std::string& text, const std::string& origin);

/// One line of such a file, with its line end, for an outcome of the tiers of `of`.
FRUGAL_API std::string outcome_line(const Outcomes& of, const Outcome& outcome);

/// Label-free outcomes: right is what agrees with the last tier's answer. Texts are compared without white space at
/// their ends, case and a final full stop. Throws Error(invalid_argument) where an attempt has no output.
FRUGAL_API Outcomes agreement_with_last(Outcomes outcomes);

/// Whether two answers are the same by that rule.
FRUGAL_API bool same_answer(std::string_view a, std::string_view b);

}  // namespace frugal
