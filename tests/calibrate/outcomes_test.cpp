// Outcomes files: what is read, and that every fault names its line.
#include <frugal/calibrate/outcomes.hpp>
#include <frugal/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;
using frugal::testing::mentions;

namespace {

std::string attempt(const std::string& tier, const std::string& grade = R"("correct": true)") {
  return R"({"tier": ")" + tier + R"(", )" + grade + R"(, "input_tokens": 4, "output_tokens": 2, "cost": 0.5})";
}

std::string line(const std::string& id, const std::string& attempts) {
  return R"({"id": ")" + id + R"(", "type": "faq", "attempts": [)" + attempts + "]}\n";
}

const std::string good = line("1", attempt("small") + "," + attempt("big"));

}  // namespace

TEST_CASE("an outcome is read whole") {
  const Outcomes all = parse_outcomes(
      R"({"id": "a", "prompt": "why?", "attempts": [{"tier": "s", "quality": 0.25, "score": 0.5, )"
      R"("features": {"margin.q10": 0.7}, "output": "so", "input_tokens": 3, "output_tokens": 1, "cost": 0}, )"
      R"({"tier": "b", "correct": false, "input_tokens": 5, "output_tokens": 7, "cost": 2}]})"
      "\n\n",
      "x");
  REQUIRE(all.rows.size() == 1);
  CHECK(all.tiers == std::vector<std::string>{"s", "b"});
  const Outcome& row = all.rows[0];
  CHECK(row.id == "a");
  CHECK(row.type.empty());
  CHECK(row.prompt == "why?");
  CHECK(row.attempts[0].quality == 0.25);
  CHECK(row.attempts[0].features == std::vector<Feature>{{"score", 0.5}, {"margin.q10", 0.7}});
  CHECK(row.attempts[0].output == "so");
  CHECK(row.attempts[1].quality == 0);
  CHECK(row.attempts[1].output_tokens == 7);
  CHECK(row.attempts[1].cost == 2);
  CHECK_FALSE(row.attempts[1].output);
}

TEST_CASE("a fault in an outcomes file names the file, the line and what is wrong") {
  const std::pair<std::string, const char*> faults[] = {
      {"{", "the JSON ends too early"},
      {"[1]", "must be a JSON object"},
      {R"({"type": "faq"})", "has no \"id\""},
      {R"({"id": "2"})", "has no \"attempts\""},
      {line("2", ""), "\"attempts\" must be a list"},
      {line("2", attempt("small")), "tier \"big\" is missing"},
      {line("2", attempt("big") + "," + attempt("small")), "of tier \"big\", where the first line has \"small\""},
      {line("2", attempt("small") + "," + attempt("big") + "," + attempt("huge")),
       "where the first line has no further tier"},
      {line("2", attempt("small", R"("score": 1)") + "," + attempt("big")), "neither \"correct\" nor \"quality\""},
      {line("2", attempt("small", R"("correct": 1)") + "," + attempt("big")), "must be true or false"},
      {line("2", attempt("small", R"("quality": 1.5)") + "," + attempt("big")), "between 0 and 1"},
      {line("2", attempt("small", R"("correct": true, "quality": 1.5)") + "," + attempt("big")), "between 0 and 1"},
      {line("2", attempt("small", R"("correct": true, "quality": 0)") + "," + attempt("big")), "say the opposite"},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": 1, "output_tokens": 1, "cost": 1e300}]})",
       "\"cost\" is more than any answer costs"},
      {line("2", attempt("small", R"("correct": true, "features": {"a": "b"})") + "," + attempt("big")),
       "feature \"a\""},
      {line("2", attempt("small", R"("correct": true, "features": [1])") + "," + attempt("big")),
       "an object of numbers"},
      {line("1", attempt("small") + "," + attempt("big")), "the id \"1\" occurs twice"},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": 1, "output_tokens": 1}]})",
       "tier \"small\" has no \"cost\""},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": 1, "output_tokens": 1, "cost": -1}]})",
       "\"cost\" is negative"},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": -1, "output_tokens": 1, "cost": 1}]})",
       "\"input_tokens\" must be a whole number"},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": 18446744073709551615, )"
       R"("output_tokens": 1, "cost": 1}]})",
       "larger than any answer"},
      {R"({"id": "2", "attempts": [{"tier": "small", "correct": true, "input_tokens": 1, "output_tokens": 1, "cost": 1e999}]})",
       "line 2"},
  };
  for (const auto& [text, what] : faults) {
    const Error error = error_of([&, t = text] { (void)parse_outcomes(good + t, "log.jsonl"); });
    CAPTURE(text, error.message());
    CHECK(error.code() == Errc::bad_file);
    CHECK(mentions(error, "log.jsonl line 2"));
    CHECK(mentions(error, what));
  }
}

TEST_CASE("a file without outcomes, with one tier or that is not there is an error") {
  CHECK(mentions(error_of([] { (void)parse_outcomes("\n \n", "empty"); }), "no outcomes"));
  CHECK(mentions(error_of([] { (void)parse_outcomes(line("1", attempt("s")), "one"); }), "only one tier, \"s\""));
  CHECK(mentions(error_of([] { (void)read_outcomes("/no/such/file"); }), "/no/such/file"));
}

TEST_CASE("an outcome's line is read back as it was, and models must stay the same") {
  Outcomes all = parse_outcomes(
      R"({"id": "a", "type": "t", "prompt": "why?", "attempts": [{"tier": "s", "model": "s@1", "quality": 0.25, "score": 0.5, )"
      R"("features": {"margin.q10": 0.7}, "output": "so\n", "input_tokens": 3, "output_tokens": 1, "cost": 0.125}, )"
      R"({"tier": "b", "correct": false, "input_tokens": 5, "output_tokens": 7, "cost": 2}]})",
      "x");
  CHECK(all.models == std::vector<std::string>{"s@1", ""});
  const std::string text = outcome_line(all, all.rows[0]);
  CHECK(text.back() == '\n');
  const Outcomes again = parse_outcomes(text, "y");
  CHECK(outcome_line(again, again.rows[0]) == text);
  CHECK(again.rows[0].attempts[0].features == all.rows[0].attempts[0].features);
  CHECK(again.rows[0].attempts[0].quality == 0.25);
  CHECK(again.models == all.models);
  std::string second = text;
  second.replace(second.find("s@1"), 3, "s@2");
  second.replace(second.find("\"a\""), 3, "\"b\"");
  CHECK(
      mentions(error_of([&] { (void)parse_outcomes(text + second, "z"); }), "line 2: tier \"s\" is the model \"s@2\""));
}

TEST_CASE("embeddings are read, written with six digits, and must be alike in every line") {
  const auto with = [](const std::string& id, const std::string& more) {
    return R"({"id": ")" + id + R"(", )" + more + R"(, "attempts": [)" + attempt("small") + "," + attempt("big") +
           "]}\n";
  };
  const std::string first = with("1", R"("embedding": [1, -0.5], "embedder": "e", "embedding_cost": 0.25)");
  const Outcomes all = parse_outcomes(first + with("2", R"("embedding": [0.1234567, 2e-3], "embedder": "e")"), "x");
  CHECK(all.embedder == "e");
  CHECK(all.rows[0].embedding == std::vector<float>{1, -0.5F});
  CHECK(all.rows[0].embedding_cost == 0.25);
  CHECK(all.rows[1].embedding_cost == 0);
  const std::string line = outcome_line(all, all.rows[1]);
  CHECK(mentions(Error(Errc::internal, line), "[0.123457,0.002]"));
  const Outcomes again = parse_outcomes(outcome_line(all, all.rows[0]) + line, "y");
  CHECK(again.embedder == "e");
  CHECK(again.rows[0].embedding_cost == 0.25);
  CHECK(again.rows[1].embedding == std::vector<float>{0.123457F, 0.002F});
  const std::pair<std::string, const char*> faults[] = {
      {with("2", R"("type": "t")"), "has no \"embedding\", and the first line has one"},
      {with("2", R"("embedding": [1, 2])"), "has no \"embedder\""},
      {with("2", R"("embedding": [1, 2], "embedder": "f")"), "is by \"f\", where the first line's is by \"e\""},
      {with("2", R"("embedding": [1, 2], "embedder": "")"), "\"embedder\" is empty"},
      {with("2", R"("embedding": [1], "embedder": "e")"), "has 1 numbers, where the first line's has 2"},
      {with("2", R"("embedding": [], "embedder": "e")"), "all zero"},
      {with("2", R"("embedding": [0, 0], "embedder": "e")"), "all zero"},
      {with("2", R"("embedding": [1, "a"], "embedder": "e")"), "must be a number"},
      {with("2", R"("embedding": [1, 1e300], "embedder": "e")"), "too large"},
      {with("2", R"("embedding": 3, "embedder": "e")"), "must be a list of numbers"},
      {with("2", R"("embedding": [1, 2], "embedder": "e", "embedding_cost": -1)"), "\"embedding_cost\" is negative"},
  };
  for (const auto& [text, what] : faults) {
    const Error error = error_of([&, t = text] { (void)parse_outcomes(first + t, "log.jsonl"); });
    CAPTURE(text, error.message());
    CHECK(error.code() == Errc::bad_file);
    CHECK(mentions(error, "log.jsonl line 2"));
    CHECK(mentions(error, what));
  }
  CHECK(mentions(error_of([&] { (void)parse_outcomes(good + with("2", R"("embedding": [1], "embedder": "e")"), "x"); }),
                 "the first line has none"));
}
