// Recording: what is asked, graded and kept, and that a broken run can be gone on with.
#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>

#include <unistd.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "autopilot/simulated_service.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("frugal-record-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, const std::string& text = "") const {
    if (!text.empty()) std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

Question question(const std::string& id, std::vector<std::string> expected) {
  Question q{.id = id, .type = "t", .expected = std::move(expected)};
  q.request.prompt = Chat{.messages = {{.role = "user", .content = "Is it so?"}}};
  return q;
}

std::vector<RecordTier> tiers_of(SimulatedService& s) {
  return {{.name = "small", .endpoint = &s.small, .model = "s@1"}, {.name = "big", .endpoint = &s.big, .model = "b@2"}};
}

double grade(const Grader& grader, std::vector<std::string> expected, std::string_view answer,
             std::vector<std::string> choices = {}) {
  Question q = question("q", std::move(expected));
  q.choices = std::move(choices);
  return grader(q, answer);
}

}  // namespace

TEST_CASE("graders say what is right") {
  CHECK(grade(expect_exact(), {"a", "b c"}, " b c\n") == 1);
  CHECK(grade(expect_exact(), {"a"}, "A") == 0);
  CHECK(grade(expect_contains(), {"Oslo"}, "It is Oslo.") == 1);
  CHECK(grade(expect_contains(), {"Oslo"}, "oslo") == 0);
  CHECK(grade(expect_regex(), {"[0-9]+"}, "42") == 1);
  CHECK(grade(expect_regex(), {"[0-9]+"}, "42 apples") == 0);
  CHECK(grade(expect_regex(), {"(a|aa)+$"}, std::string(20000, 'a') + "b") == 0);  // linear, whatever the pattern
  const std::vector<std::string> choices{"positive", "negative", "not negative"};
  CHECK(grade(expect_choice(), {"Positive"}, "It is positive, not negative", choices) == 1);
  CHECK(grade(expect_choice(), {"negative"}, "It is not negative.", choices) == 0);  // the longer choice stands there
  CHECK(grade(expect_choice(), {"negative"}, "nonnegative", choices) == 0);
  CHECK(mentions(error_of([] { (void)grade(expect_choice(), {"a"}, "a"); }), "no choices"));
}

TEST_CASE("a JSON grader wants JSON that the schema accepts, and the expected value where there is one") {
  const Grader grader = expect_json_schema(R"({"type": "object", "properties": {"n": {"type": "integer"}},
    "required": ["n"], "additionalProperties": false})");
  CHECK(grade(grader, {}, " {\"n\" : 4} ") == 1);
  CHECK(grade(grader, {}, "{\"n\": 4.5}") == 0);
  CHECK(grade(grader, {}, "n = 4") == 0);
  CHECK(grade(grader, {"{\"n\": 5}"}, "{\"n\": 4}") == 0);
  CHECK(grade(grader, {"{\"n\": 4}"}, "{\"n\": 4}") == 1);
  CHECK(error_of([] { (void)expect_json_schema("{"); }).code() == Errc::invalid_argument);
}

TEST_CASE("an outcome has every tier's answer, grade, scores and cost") {
  SimulatedService s(1);
  s.right = false, s.margin = 0.25;
  const Outcome o = record(question("q1", {"west"}), tiers_of(s), expect_exact()).value();
  REQUIRE(o.attempts.size() == 2);
  CHECK(o.prompt == "Is it so?");
  CHECK(o.attempts[0].output == "left");
  CHECK(o.attempts[0].quality == 0);
  CHECK(o.attempts[0].cost == 0.1);
  CHECK(o.attempts[1].quality == 1);
  CHECK(o.attempts[1].cost == 1);
  const auto has = [&](const char* name, double value) {
    for (const Feature& f : o.attempts[0].features)
      if (f.first == name) return f.second == value;
    return false;
  };
  CHECK(has("margin.q00", 0.25));
  CHECK(has("finish.length", 0));
}

TEST_CASE("samples and the self-check become features and are paid for") {
  SimulatedService s(1);
  s.right = true, s.truth = "Yes";  // to whatever it is asked
  const Outcome o =
      record(question("q1", {"Yes"}), tiers_of(s), expect_exact(), {.samples = 3, .self_check = true}).value();
  CHECK(o.attempts[0].cost == 0.1 + 3 * 0.1 + 0.1);
  double agreement = -1, self_check = -1;
  for (const Feature& f : o.attempts[0].features) {
    if (f.first == "agreement") agreement = f.second;
    if (f.first == "self_check") self_check = f.second;
  }
  CHECK(agreement == 1);
  CHECK(std::abs(self_check - std::exp(-0.1)) < 1e-6);  // it said yes, with the log-probability -0.1
}

TEST_CASE("a tier that fails, a grader that throws anything and an unknown price are said, not recorded") {
  SimulatedService s(1);
  s.big_fails = true;
  CHECK(mentions(record(question("q1", {"left"}), tiers_of(s), expect_exact()).error(), "tier big: big is broken"));
  s.big_fails = false;
  const auto thrown =
      record(question("q1", {"left"}), tiers_of(s), [](const Question&, std::string_view) -> double { throw 3; });
  CHECK(mentions(thrown.error(), "question \"q1\", tier small"));
  const auto grade_2 =
      record(question("q1", {"left"}), tiers_of(s), [](const Question&, std::string_view) { return 2.0; });
  CHECK(mentions(grade_2.error(), "not in [0, 1]"));
  std::vector<RecordTier> tiers = tiers_of(s);
  tiers[1].cost = [](const Finish&) -> std::optional<double> { return std::nullopt; };
  CHECK(mentions(record(question("q1", {"left"}), tiers, expect_exact()).error(), "tier big: what the answer costs"));
}

TEST_CASE("where an embedder is given an outcome has the request's vector and its cost, and the log keeps to it") {
  const Folder folder;
  SimulatedService s(1);
  const std::vector<RecordTier> tiers = tiers_of(s);
  RecordOptions options;
  options.embedder = {"by length", [](std::string_view text) { return std::vector<float>{1, float(text.size())}; }};
  options.embedding_cost_per_second = 1e9;
  const Outcome o = record(question("a", {"left"}), tiers, expect_exact(), options).value();
  CHECK(o.embedding == std::vector<float>{1, 9});  // "Is it so?"
  CHECK(o.embedding_cost > 0);
  const std::string path = folder.file("e.jsonl");
  OutcomeLog(path, tiers, "by length").append(o);
  CHECK(read_outcomes(path).embedder == "by length");
  CHECK(OutcomeLog(path, tiers, "by length").contains("a"));
  CHECK(mentions(error_of([&] { OutcomeLog log(path, tiers); }), "to be recorded without embeddings"));
  CHECK(mentions(error_of([&] { OutcomeLog log(path, tiers, "other"); }), "with embeddings by \"other\""));
  options.embedder.embed = [](std::string_view) { return std::vector<float>{}; };
  CHECK(mentions(record(question("b", {"left"}), tiers, expect_exact(), options).error(),
                 "\"b\": its text cannot be embedded"));
  options.embedder.embed = [](std::string_view) -> std::vector<float> { throw 3; };
  CHECK(mentions(record(question("b", {"left"}), tiers, expect_exact(), options).error(), "question \"b\""));
}

TEST_CASE("a log can be gone on with after any cut, and knows what it has") {
  const Folder folder;
  SimulatedService s(1);
  const std::vector<RecordTier> tiers = tiers_of(s);
  const std::string path = folder.file("o.jsonl");
  const auto outcome = [&](const char* id) { return record(question(id, {"left"}), tiers, expect_exact()).value(); };
  {
    OutcomeLog log(path, tiers);
    log.append(outcome("a"));
    log.append(outcome("b"));
    CHECK(mentions(error_of([&] { log.append(outcome("a")); }), "in it already"));
    CHECK(error_of([&] { OutcomeLog second(path, tiers); }).code() == Errc::busy);
  }
  const std::string whole = content(path);
  const Outcomes read = read_outcomes(path);
  CHECK(read.rows.size() == 2);
  CHECK(read.models == std::vector<std::string>{"s@1", "b@2"});
  std::vector<Feature> recorded = outcome("a").attempts[0].features;
  std::sort(recorded.begin(), recorded.end());  // as JSON keeps them
  CHECK(read.rows[0].attempts[0].features == recorded);
  const std::size_t first = whole.find('\n') + 1;
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, first - 1, first, first + 9, whole.size() - 1}) {
    std::ofstream(path) << whole.substr(0, cut);
    OutcomeLog log(path, tiers);
    CHECK(log.contains("a") == (cut >= first));
    if (!log.contains("a")) log.append(outcome("a"));
    CHECK_FALSE(log.contains("b"));
    log.append(outcome("b"));
    CHECK(content(path) == whole);
  }
}

TEST_CASE("a log of other tiers or models, or that is none, is refused") {
  const Folder folder;
  SimulatedService s(1);
  std::vector<RecordTier> tiers = tiers_of(s);
  const std::string path = folder.file("o.jsonl");
  { OutcomeLog(path, tiers).append(record(question("a", {"left"}), tiers, expect_exact()).value()); }
  tiers[1].model = "b@3";
  CHECK(mentions(error_of([&] { OutcomeLog log(path, tiers); }), "outcomes of other tiers: small (s@1), big (b@2)"));
  CHECK(error_of([&] { OutcomeLog log(folder.file("x", "hello\n"), tiers); }).code() == Errc::bad_file);
  CHECK(error_of([&] { OutcomeLog log(folder.path.string(), tiers); }).code() == Errc::bad_file);
}

TEST_CASE("questions are read whole, and a fault names its line") {
  const Folder folder;
  const std::string path = folder.file("q.jsonl", R"({"id": "1", "type": "t", "prompt": "a?", "expected": "b"}

{"id": "2", "messages": [{"role": "user", "content": "c?"}], "expected": ["d", "e"], "max_tokens": 3}
{"id": "3", "prompt": "f?", "expected": {"n": 1}, "choices": ["x", "y"]}
)");
  const std::vector<Question> all = read_questions(
      path, {.system = "Be short.", .max_tokens = 9, .choices = {"p", "q"}, .constrain_to_choices = true});
  REQUIRE(all.size() == 3);
  CHECK(std::get<Chat>(all[0].request.prompt).messages[0].content == "Be short.");
  CHECK(all[0].request.max_tokens == 9);
  CHECK(all[0].choices == std::vector<std::string>{"p", "q"});
  CHECK(all[0].request.constraint != nullptr);
  CHECK(all[1].request.max_tokens == 3);
  CHECK(all[1].expected == std::vector<std::string>{"d", "e"});
  CHECK(all[2].expected == std::vector<std::string>{R"({"n":1})"});
  CHECK(all[2].choices == std::vector<std::string>{"x", "y"});
  for (const auto& [line, what] : std::vector<std::pair<std::string, const char*>>{
           {"[]", "must be a JSON object"},
           {R"({"prompt": "a"})", "no \"id\""},
           {R"({"id": "1", "expected": "b"})", "no \"prompt\""},
           {R"({"id": "1", "prompt": "a"})", "no \"expected\""},
           {R"({"id": 1, "prompt": "a"})", "must be a string"},
           {R"({"id": "1", "prompt": "a", "expected": "b", "max_tokens": -1})", "max_tokens"}}) {
    const Error error = error_of([&, l = line] { (void)read_questions(folder.file("bad", l), {}); });
    CAPTURE(line, error.message());
    CHECK(mentions(error, "line 1"));
    CHECK(mentions(error, what));
  }
}
