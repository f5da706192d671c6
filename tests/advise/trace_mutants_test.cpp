// Ten thousand traces with random faults: each is read or refused, and whatever is then said of it is finite.
#include <frugal/advise/report.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/trace_reader.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

using namespace frugal;
using json = nlohmann::json;

namespace {

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> lines{
      R"({"timestamp":1790000000.25,"id":"r1","request_id":7,"type":"chat","tenant":"t","model":"gpt-4o","labels":{"a":"b"},)"
      R"("prompt_tokens":64,"output_tokens":9,"cached_tokens":16,"cache_write_tokens":4,"queue_ms":1,"ttft_ms":50.5,)"
      R"("e2e_ms":320.25,"stalled_ms":3,"pieces":9,"finish":"stop","max_tokens":100,"prefix_blocks":[1,2,3,4],)"
      R"("prompt_hash":5,"answer_hash":6,"attempts":[{"endpoint":"e","model":"m","usage":{"input":64,"cached_read":16,)"
      R"("cache_write":4,"output":9,"reasoning":0},"tokens":{"prompt_computed":48,"prompt_cached":16,"decoded":5,)"
      R"("accepted":4,"passes":5,"rows":60},"score":0.5,"accepted":true,"drafts":{"drafted":8,"verified":6,"accepted":4,)"
      R"("verified_at":[3,3],"accepted_at":[2,2],"draft_ms":1.5,"saved_ms":-2.25}}]})",
      R"({"timestamp":27482,"input_length":1100,"output_length":52,"hash_ids":[46,47,48]})",
      R"({"model":"claude-sonnet-4-5","usage":{"input_tokens":3,"cache_creation_input_tokens":124,)"
      R"("cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":24},"output_tokens":50}})",
      R"({"model_id":"m","input_lens":[10,20],"output_lens":[3,1],"ttfts":[0.5,0.25],"itls":[[0.1,0.2],[]],)"
      R"("start_times":[100.0,101.0],"errors":["",""]})"};
  return lines;
}

std::string mutant(std::mt19937_64& random) {
  static const std::vector<std::string> pieces{"-1",
                                               "1e308",
                                               "-1e308",
                                               "18446744073709551615",
                                               "9007199254740993",
                                               "NaN",
                                               "null",
                                               "{}",
                                               "[]",
                                               "\"\"",
                                               "0",
                                               "1e-320",
                                               "true",
                                               ",",
                                               ":",
                                               "}",
                                               "]",
                                               "[[[[[[",
                                               "\\u0000",
                                               "\xFF",
                                               "10000000000",
                                               "3e12",
                                               "1e11",
                                               "\"finish\":"};
  std::string line = seeds()[random() % seeds().size()];
  for (auto n = 1 + random() % 2; n > 0; --n) {
    const std::size_t at = random() % line.size();
    switch (random() % 4) {
      case 0:
        line[at] = static_cast<char>(random());
        break;
      case 1:
        line.erase(at, 1 + random() % 6);
        break;
      case 2:
        line.insert(at, pieces[random() % pieces.size()]);
        break;
      default: {  // another number in the place of one
        const std::size_t from = line.find_first_of("0123456789", at);
        if (from == std::string::npos) break;
        const std::size_t to = std::min(line.find_first_not_of("0123456789.", from), line.size());
        line.replace(from, to - from, pieces[random() % 8]);
      }
    }
    if (line.empty()) line = "x";
  }
  return line;
}

void check_finite(const json& value) {
  if (value.is_number_float()) REQUIRE(std::isfinite(value.get<double>()));
  if (value.is_structured())
    for (const json& item : value) check_finite(item);
}

}  // namespace

TEST_CASE("10,000 mutants of traces are read or refused, and every figure said of them is finite") {
  std::mt19937_64 random(20261126);
  int read = 0, refused = 0;
  for (int round = 0; round < 100; ++round) {
    Workload w;
    for (int i = 0; i < 100; ++i) {
      const std::string line = mutant(random);
      try {
        for (TraceRecord& r : parse_trace_line(line, "mutant:1")) w.add(std::move(r));
        ++read;
      } catch (const Error& error) {
        REQUIRE(error.code() == Errc::bad_file);
        REQUIRE(error.message().starts_with("mutant:1:"));
        ++refused;
      }
    }
    w.finish();
    const Advice advice = advise(w);
    const Report report{.workload = &w, .advice = &advice};
    const std::string text = report_text(report), html = report_html(report), figures = replay_json(report);
    CAPTURE(figures);
    for (const char* word : {"nan", "inf "}) {
      REQUIRE(text.find(word) == std::string::npos);
      REQUIRE(html.find(word) == std::string::npos);
    }
    const json object = json::parse(figures);
    check_finite(object);
    REQUIRE((object["cost"].is_number() || object["unpriced"] == object["requests"]));
  }
  CHECK(read > 2000);
  CHECK(refused > 2000);
}
