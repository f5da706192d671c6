// Recording: asks every tier of a cascade the same questions, grades the answers, and keeps one line of outcomes for
// each, to fit a policy on (frugal/calibrate). The file can be continued: what is in it already is not asked again.
//
// Threads: record() may be called from several threads for the same tiers; an OutcomeLog is safe from any thread.
#pragma once

#include <frugal/calibrate/outcomes.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>
#include <frugal/policy/embedder.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

class Endpoint;

/// A request and what a right answer to it is.
struct Question {
  std::string id{}, type{};
  Request request{};                    ///< as every tier gets it
  std::vector<std::string> expected{};  ///< as the grader reads it; alternatives
  std::vector<std::string> choices{};   ///< the answers that there are, where they are few
};

/// How good an answer is, in [0, 1]. Throws an Error where it cannot tell; the question is then not recorded.
using Grader = std::function<double(const Question& question, std::string_view answer)>;

/// The answer, without white space at its ends, is one of the expected texts.
FRUGAL_API Grader expect_exact();
/// One of the expected texts stands in the answer.
FRUGAL_API Grader expect_contains();
/// The answer matches one of the expected patterns from beginning to end (syntax of RE2; linear time).
FRUGAL_API Grader expect_regex();
/// The first of the question's choices that stands in the answer as a word, in any case, is an expected one.
FRUGAL_API Grader expect_choice();
/// The answer is JSON that a schema accepts, and equals an expected value where there is one. Throws as
/// grammar::json_schema does.
FRUGAL_API Grader expect_json_schema(const std::string& schema);

struct RecordTier {
  std::string name;               ///< in the outcomes and, later, of the cascade's endpoint
  Endpoint* endpoint = nullptr;   ///< lent
  std::string model{};            ///< its identity (model_identity); empty = unknown
  bool takes_constraints = true;  ///< false: Request::constraint is left out (remote models)
  bool gives_scores = true;       ///< false: scores are not asked for
  /// What a call costs; none = unknown, and the question is not recorded. Null = seconds from sending to the end.
  std::function<std::optional<double>(const Finish& finish)> cost{};
};

struct RecordOptions {
  /// Feature "agreement": the share of so many further answers, drawn at a temperature, that say the same. 0 = none.
  std::uint32_t samples = 0;
  float sample_temperature = 0.8F;
  /// Feature "self_check": asks the tier whether its answer is right; the probability of yes, as far as the one word that
  /// it says shows it. Conversations only.
  bool self_check = false;
  /// Both are paid for by the attempt that they judge. They are known to records only: a policy that needs them is
  /// refused when it is to serve.

  /// Outcome::embedding: what each request is like, for Router::neighbours. Nothing is embedded where it has no function.
  Embedder embedder{};
  double embedding_cost_per_second = 1;  ///< Outcome::embedding_cost, in the currency of the tiers; 1 = in seconds
};

/// Asks all tiers, one after the other, and waits. An Error says which tier failed, or why the answer could not be graded
/// or priced, or the request not embedded. Lends the calling thread to the endpoints.
FRUGAL_API expected<Outcome> record(const Question& question, const std::vector<RecordTier>& tiers,
                                    const Grader& grader, const RecordOptions& options = {});

/// A file of outcomes that grows. One process at a time may hold it.
class FRUGAL_API OutcomeLog {
 public:
  /// Opens or creates it. A last line without an end, as a killed process leaves it, is cut off. Throws Error(bad_file)
  /// where the file holds anything else than outcomes of these tiers and models with embeddings by this embedder (its
  /// identity; empty = without embeddings), Error(busy) where it is held already.
  OutcomeLog(std::string path, const std::vector<RecordTier>& tiers, std::string embedder = {});
  ~OutcomeLog();
  OutcomeLog(const OutcomeLog&) = delete;
  OutcomeLog& operator=(const OutcomeLog&) = delete;

  bool contains(const std::string& id) const;
  std::size_t size() const;
  /// Writes a line in one piece. Throws Error(bad_file) where the disk does not take it.
  void append(const Outcome& outcome);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// How a file of questions is read.
struct QuestionRules {
  std::string system{};                ///< a system message before each prompt; empty = none
  std::uint32_t max_tokens = 256;      ///< where a line has no "max_tokens"
  std::vector<std::string> choices{};  ///< where a line has none
  bool needs_expected = true;          ///< a line without "expected" is an error
  bool constrain_to_choices = false;   ///< tiers that take constraints may answer with a choice only
};

/// JSON lines: {"id", "prompt" or "messages", "type"?, "expected"? (a text, a list of texts, or any JSON), "choices"?,
/// "max_tokens"?}. Throws Error(bad_file) that names file and line; ids must be unique.
FRUGAL_API std::vector<Question> read_questions(const std::string& path, const QuestionRules& rules);

}  // namespace frugal
