// The reader against every kind of line it knows, and against lines it must name.
#include <frugal/core/error.hpp>
#include <frugal/meter/trace_reader.hpp>
#include <frugal/meter/trace_writer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Catch::Matchers::ContainsSubstring;

namespace {

struct File {
  std::string path =
      (std::filesystem::temp_directory_path() / ("frugal_reader_" + std::to_string(::getpid()) + ".jsonl")).string();
  explicit File(const std::string& text) { std::ofstream(path) << text; }
  ~File() { std::filesystem::remove(path); }
};

std::string fault(const std::string& line) {
  return error_of([&] { parse_trace_line(line, "log:7"); }).message();
}

}  // namespace

TEST_CASE("what the writer writes the reader reads") {
  TraceRecord r;
  r.timestamp = 1790000000.25, r.id = "a\"b\n", r.type = "t", r.tenant = "u", r.model = "m", r.endpoint = "e";
  r.prompt_tokens = 40, r.output_tokens = 3, r.cached_tokens = 16, r.queue_ms = 1.5, r.ttft_ms = 10, r.e2e_ms = 20.5;
  r.stalled_ms = 4.25;
  r.finish = FinishReason::capped, r.max_tokens = 3, r.prefix_blocks = {1, (1ULL << 63U) - 1}, r.prompt_hash = 5;
  r.answer_hash = 6;
  r.attempts = {{.endpoint = "e", .model = "m", .score = 0.25, .accepted = false}, {.endpoint = "f", .model = "n"}};
  DraftLedger& drafts = r.attempts.back().drafts;
  drafts.drafted = 9, drafts.verified = 8, drafts.accepted = 6, drafts.passes = 4;
  drafts.catch_up = 2, drafts.verified_at = {4, 4}, drafts.accepted_at = {4, 2};
  drafts.draft_time = std::chrono::microseconds(1500), drafts.verify_time = std::chrono::milliseconds(40);
  drafts.saved = std::chrono::microseconds(-250);
  r.attempts.front().score = 0;  // a score, not the lack of one
  const std::vector<TraceRecord> back = parse_trace_line(trace_line(r), "here");
  REQUIRE(back.size() == 1);
  CHECK(back.front().attempts.back().drafts == drafts);
  CHECK(back.front().stalled_ms == 4.25);
  CHECK(trace_line(back.front()) == trace_line(r));
  CHECK(back.front().prefix_blocks == r.prefix_blocks);
  CHECK(back.front().attempts.front().score == 0.0);
  CHECK_FALSE(back.front().attempts.back().score);
}

TEST_CASE("a plain line needs its token counts alone; unknown fields and nulls are passed over") {
  const TraceRecord r =
      parse_trace_line(R"({"prompt_tokens": 7, "x": {"y": [1, "}"]}, "type": null, "output_tokens": 2})", "l").front();
  CHECK(r.prompt_tokens == 7);
  CHECK(r.output_tokens == 2);
  CHECK_FALSE(r.timestamp);
  CHECK_FALSE(r.cached_tokens);
  CHECK_FALSE(r.ttft_ms);
  CHECK(r.type.empty());
}

TEST_CASE("Mooncake's lines: milliseconds, blocks of 512 tokens, the last one partial") {
  const TraceRecord r =
      parse_trace_line(R"({"timestamp": 27482, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]})",
                       "l")
          .front();
  CHECK(r.timestamp == 27.482);
  CHECK(r.block_tokens == 512);
  CHECK(r.prefix_blocks == std::vector<std::uint64_t>{46, 47});
  CHECK(r.prompt_hash.has_value());
}

TEST_CASE("a vLLM result file is one object of columns in seconds") {
  const std::vector<TraceRecord> all = parse_trace_line(
      R"({"model_id": "m", "input_lens": [10, 20], "output_lens": [3, 1], "ttfts": [0.5, 0.25], "itls": [[0.1, 0.2], []],)"
      R"( "start_times": [100.0, 101.0], "errors": ["", ""]})",
      "l");
  REQUIRE(all.size() == 2);
  CHECK(all[0].model == "m");
  CHECK(all[0].prompt_tokens == 10);
  CHECK(all[0].ttft_ms == 500.0);
  CHECK(std::abs(*all[0].e2e_ms - 800.0) < 1e-6);
  CHECK(all[1].ttft_ms == 250.0);
  CHECK_THAT(fault(R"({"input_lens": [1, 2], "output_lens": [1]})"), ContainsSubstring("not equally long"));
}

TEST_CASE("a wrong line is named with its place and what is wrong") {
  CHECK_THAT(fault("{"), ContainsSubstring("log:7:"));
  CHECK_THAT(fault("[1]"), ContainsSubstring("log:7:"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3})"), ContainsSubstring("no output_tokens"));
  CHECK_THAT(fault(R"({"output_tokens": 3})"), ContainsSubstring("no prompt_tokens"));
  CHECK_THAT(fault(R"({"prompt_tokens": -3, "output_tokens": 1})"), ContainsSubstring("log:7:19"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "cached_tokens": 4})"), ContainsSubstring("cached"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "ttft_ms": 9, "e2e_ms": 2})"),
             ContainsSubstring("above e2e_ms"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "e2e_ms": -2})"), ContainsSubstring("below zero"));
  CHECK_THAT(fault(R"({"prompt_tokens": 16, "output_tokens": 1, "prefix_blocks": [1, 2, 3]})"),
             ContainsSubstring("3 blocks"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "finish": "tired"})"), ContainsSubstring("tired"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1} x)"), ContainsSubstring("log:7:"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "e2e_ms": 9, "stalled_ms": 20})"),
             ContainsSubstring("stalled_ms is above"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "timestamp": 1790000000000})"),
             ContainsSubstring("not milli"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3.5, "output_tokens": 1})"), ContainsSubstring("log:7:19: '3.5' is no whole"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "ttft_ms": 1e999})"), ContainsSubstring("no number"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "type": "cu)"), ContainsSubstring("closing quote"));
  CHECK_THAT(fault(R"({"prompt_tokens": NaN, "output_tokens": 1})"), ContainsSubstring("no prompt_tokens"));
}

TEST_CASE("what is no file of lines is refused as a whole") {
  const auto refusal = [](const std::string& begin) {
    const File file(begin + "\n{}\n");
    TraceReader reader(file.path);
    TraceRecord r;
    const Error e = error_of([&] { reader.next(r); });
    CHECK(e.code() == Errc::unsupported);
    CHECK(mentions(e, file.path));
    return e.message();
  };
  CHECK_THAT(refusal("\x1F\x8B\x08"), ContainsSubstring("gzip"));
  CHECK_THAT(refusal("\x28\xB5\x2F\xFD"), ContainsSubstring("zstd"));
  CHECK_THAT(refusal("\xFF\xFE{"), ContainsSubstring("UTF-16"));
  const std::string folder = std::filesystem::temp_directory_path().string();
  CHECK(mentions(error_of([&] { TraceReader reader(folder); }), folder + ": is a folder"));
}

TEST_CASE("behind a wrong line the reader goes on") {
  const File file(
      "\xEF\xBB\xBF{\"prompt_tokens\": 1, \"output_tokens\": 1}\n\nnonsense\n{\"prompt_tokens\": 2, "
      "\"output_tokens\": 1}");
  TraceReader reader(file.path);
  TraceRecord r;
  REQUIRE(reader.next(r));
  CHECK(mentions(error_of([&] { reader.next(r); }), file.path + ":3:1: "));
  REQUIRE(reader.next(r));
  CHECK(r.prompt_tokens == 2);
  CHECK(reader.line() == 4);
  CHECK_FALSE(reader.next(r));
  CHECK(mentions(error_of([] { TraceReader("/nonexistent/t.jsonl"); }), "/nonexistent/t.jsonl"));
}
