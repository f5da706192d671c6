// The reader against every kind of line it knows, and against lines it must name.
#include <frugal/core/error.hpp>
#include <frugal/meter/trace_reader.hpp>
#include <frugal/meter/trace_writer.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
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

TEST_CASE("a time is read in the forms that logs have: seconds, milli-, micro- and nanoseconds, ISO 8601") {
  const auto time_of = [](const std::string& field) {
    return parse_trace_line(R"({"prompt_tokens": 7, "output_tokens": 2, )" + field + "}", "l").front().timestamp;
  };
  // 2026-09-21T14:13:20.25Z, by Python's datetime.
  for (const char* value :
       {"1790000000.25", "1790000000250", "1790000000250000", "1790000000250000000", R"("2026-09-21T14:13:20.25Z")",
        R"("2026-09-21T16:13:20.250+02:00")", R"("2026-09-21 10:43:20.25-0330")", R"("2026-09-21t14:13:20,25")"})
    for (const char* name : {"timestamp", "created", "created_at", "start_time", "startTime"})
      CHECK_THAT(time_of("\"" + std::string(name) + "\": " + value).value_or(0),
                 Catch::Matchers::WithinAbs(1790000000.25, 1e-6));
  CHECK(time_of(R"("timestamp": "1969-12-31 23:59Z")") == -60.0);
  CHECK(time_of(R"("timestamp": "2000-02-29T00:00:00Z")") == 951782400.0);
  CHECK(time_of(R"("created": 3, "timestamp": 2, "created_at": 4)") == 2.0);  // ours counts
  CHECK(time_of(R"("timestamp": null, "created": 3)") == 3.0);
  for (const char* text : {"2026-02-29T00:00:00Z", "2026-13-01T00:00Z", "2026-09-21", "2026-09-21T24:00Z",
                           "2026-09-21T14:13:20.25X", "2026-09-21T14:13:20+2", "2026-09-21T14:13:20Z ", "14:13", ""})
    CHECK_THAT(fault(R"({"prompt_tokens": 7, "output_tokens": 2, "timestamp": ")" + std::string(text) + "\"}"),
               ContainsSubstring("is no date and time"));
  CHECK(parse_trace_line(R"({"timestamp": 1790000000250, "input_length": 3, "output_length": 1, "hash_ids": []})", "l")
            .front()
            .timestamp == 1790000000.25);
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
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "timestamp": 1e20})"),
             ContainsSubstring("beyond the year 5000"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "created": "yesterday"})"),
             ContainsSubstring("log:7:53: \"yesterday\" is no date and time of ISO 8601"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3.5, "output_tokens": 1})"),
             ContainsSubstring("log:7:19: '3.5' is not a whole"));
  CHECK_THAT(fault(R"({"prompt_tokens": 3, "output_tokens": 1, "ttft_ms": 1e999})"), ContainsSubstring("not a number"));
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

TEST_CASE("after a wrong line the reader goes on") {
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

namespace {

Usage read_usage(const std::string& fields) { return usage_of(parse_trace_line("{" + fields + "}", "l").front()); }

}  // namespace

TEST_CASE("token counts are read under the names of the providers, by their conventions") {
  const Usage anthropic{.input = 12307, .cache_write = 12304, .output = 550};
  CHECK(read_usage(R"("prompt_tokens":3,"cache_creation_input_tokens":12304,"cache_read_input_tokens":0,)"
                   R"("output_tokens":550)") == anthropic);
  CHECK(read_usage(R"("usage":{"input_tokens":3,"cache_creation_input_tokens":12304,"cache_read_input_tokens":0,)"
                   R"("output_tokens":550,"service_tier":"standard"})") == anthropic);
  CHECK(read_usage(R"("usage":{"input_tokens":5,"cache_creation_input_tokens":30,"cache_read_input_tokens":7,)"
                   R"("cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},)"
                   R"("output_tokens":2})") ==
        Usage{.input = 42, .cached_read = 7, .cache_write = 30, .output = 2, .cache_write_1h = 20});
  CHECK(read_usage(R"("usage":{"prompt_tokens":50,"completion_tokens":9,"total_tokens":59,)"
                   R"("prompt_tokens_details":{"cached_tokens":32,"audio_tokens":0},)"
                   R"("completion_tokens_details":{"reasoning_tokens":4}})") ==
        Usage{.input = 50, .cached_read = 32, .output = 9, .reasoning = 4});
  CHECK(read_usage(R"("usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":32},"output_tokens":9,)"
                   R"("output_tokens_details":{"reasoning_tokens":4},"total_tokens":59})") ==
        Usage{.input = 50, .cached_read = 32, .output = 9, .reasoning = 4});
  CHECK(read_usage(R"("usageMetadata":{"promptTokenCount":50,"cachedContentTokenCount":20,"candidatesTokenCount":9,)"
                   R"("thoughtsTokenCount":40,"toolUsePromptTokenCount":3,"totalTokenCount":102})") ==
        Usage{.input = 53, .cached_read = 20, .output = 49, .reasoning = 40});
  CHECK(read_usage(R"("usage":{"prompt_tokens":50,"completion_tokens":9,"prompt_cache_hit_tokens":32,)"
                   R"("prompt_cache_miss_tokens":18,"total_tokens":59})") ==
        Usage{.input = 50, .cached_read = 32, .output = 9});
  CHECK(
      read_usage(R"("usage":{"inputTokens":5,"outputTokens":2,"cacheReadInputTokens":7,"cacheWriteInputTokens":30})") ==
      Usage{.input = 42, .cached_read = 7, .cache_write = 30, .output = 2});
  CHECK(read_usage(R"("usage":{"prompt_tokens":50,"completion_tokens":9,"total_tokens":159,)"
                   R"("completion_tokens_details":{"reasoning_tokens":100}})") ==
        Usage{.input = 50, .output = 109, .reasoning = 100});  // xAI
  CHECK(read_usage(R"("usage_metadata":{"input_tokens":50,"output_tokens":9,"input_token_details":{"cache_read":32,)"
                   R"("cache_creation":8},"output_token_details":{"reasoning":4}})") ==
        Usage{.input = 50, .cached_read = 32, .cache_write = 8, .output = 9, .reasoning = 4});
  CHECK(read_usage(R"("prompt_tokens":50,"cache_read_input_tokens":32,"completion_tokens":9)") ==
        Usage{.input = 50, .cached_read = 32, .output = 9});  // as LiteLLM adds them up
}

TEST_CASE("a provider's batch and service tier reach the record, for the price") {
  const auto record = [](const std::string& tier) {
    return parse_trace_line(R"({"usage":{"input_tokens":1,"output_tokens":1,"service_tier":")" + tier + "\"}}", "l")
        .front();
  };
  CHECK(record("priority").service_tier == "priority");
  CHECK(record("batch").batch);
  CHECK(record("batch").service_tier.empty());
}

TEST_CASE("a field that may count tokens and is not read is named") {
  const File file(
      "{\"prompt_tokens\":1,\"output_tokens\":1,\"image_tokens\":700,\"audio_tokens\":0,\"max_tokens\":5}\n"
      "{\"usage\":{\"prompt_tokens\":1,\"output_tokens\":1,\"new_tokens\":9},\"note\":\"tokens\"}\n");
  TraceReader reader(file.path);
  TraceRecord r;
  while (reader.next(r)) {
  }
  CHECK(reader.unread_fields() == std::vector<std::string>{"image_tokens", "new_tokens"});
}

TEST_CASE("counts and times beyond belief are refused, whoever reports them") {
  const std::string huge = "18446744073709551615";
  for (const std::string& line :
       {R"({"prompt_tokens":)" + huge + R"(,"output_tokens":5})", R"({"prompt_tokens":1,"output_tokens":)" + huge + "}",
        R"({"usage":{"input_tokens":1,"output_tokens":)" + huge + "}}",
        R"({"input_lens":[)" + huge + R"(],"output_lens":[1]})",
        R"({"prompt_tokens":1,"output_tokens":1,"attempts":[{"usage":{"input":)" + huge + "}}]}",
        R"({"prompt_tokens":1,"output_tokens":1,"attempts":[{"tokens":{"rows":)" + huge + "}}]}"}) {
    CAPTURE(line);
    CHECK_THAT(fault(line), ContainsSubstring("too large for a count"));
  }
  for (const std::string field : {"ttft_ms", "e2e_ms", "queue_ms", "stalled_ms"}) {
    const std::string line = R"({"prompt_tokens":1,"output_tokens":1,")" + field + R"(":1e300,"e2e_ms":1.7e308})";
    CHECK_THAT(fault(line), ContainsSubstring("a century"));
  }
  CHECK_THAT(fault(R"({"input_lens":[1],"output_lens":[1],"ttfts":[1e308],"itls":[[1e308,1e308]]})"),
             ContainsSubstring("request 1: ttft_ms is more than a century"));
  CHECK_THAT(fault(R"({"input_lens":[1],"output_lens":[1],"start_times":[1e12]})"), ContainsSubstring("year 5000"));
}

TEST_CASE("parts that are larger than their wholes are refused") {
  const std::string begin = R"({"prompt_tokens":10,"output_tokens":5,)";
  CHECK_THAT(fault(begin + R"("cached_tokens":6,"cache_write_tokens":5})"),
             ContainsSubstring("cache_write_tokens is 5"));
  CHECK_THAT(fault(begin + R"("cache_write_tokens":5,"cache_write_1h_tokens":6})"), ContainsSubstring("1h"));
  CHECK_THAT(fault(begin + R"("reasoning_tokens":6})"), ContainsSubstring("reasoning_tokens"));
  CHECK_THAT(fault(begin + R"("attempts":[{"usage":{"input":1,"cached_read":2}}]})"),
             ContainsSubstring("an attempt's"));
  CHECK_THAT(fault(begin + R"("attempts":[{"drafts":{"drafted":1,"accepted":2,"verified":2}}]})"),
             ContainsSubstring("accepted 2 of 2 verified and 1 drafted"));
  CHECK_THAT(fault(begin + R"("queue_ms":9,"e2e_ms":5})"), ContainsSubstring("queue_ms is above"));
}

TEST_CASE("a line beyond the limit is named and passed over, the next one is read") {
  const File file("{\"prompt_tokens\":1,\"output_tokens\":1}\n{\"x\":\"" + std::string(3 << 20, 'a') +
                  "\"}\n{\"prompt_tokens\":2,\"output_tokens\":1}\n");
  TraceReader reader(file.path, {.most_line_bytes = 1 << 20});
  TraceRecord r;
  REQUIRE(reader.next(r));
  CHECK(mentions(error_of([&] { reader.next(r); }), file.path + ":2:1: the line is longer than 1048576 bytes"));
  REQUIRE(reader.next(r));
  CHECK(r.prompt_tokens == 2);
  CHECK(reader.line() == 3);
  CHECK_FALSE(reader.next(r));
}

TEST_CASE("a file that cannot be read to its end is an error, never the end") {
  TraceReader reader("/proc/self/mem");
  TraceRecord r;
  const Error error = error_of([&] { reader.next(r); });
  CHECK(error.code() == Errc::unavailable);
  CHECK(mentions(error, "the rest is unknown"));
  CHECK(mentions(error_of([] { TraceReader device("/dev/zero"); }), "/dev/zero: is a device"));
}

TEST_CASE("names, labels and attempts have limits") {
  const std::string long_name(5000, 'x');
  CHECK_THAT(fault(R"({"type":")" + long_name + "\"}"), ContainsSubstring("a name of 5000 bytes"));
  std::string labels, attempts;
  for (int i = 0; i < 65; ++i) labels += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":\"v\"";
  for (int i = 0; i < 1025; ++i) attempts += i > 0 ? ",{}" : "{}";
  CHECK_THAT(fault("{\"labels\":{" + labels + "}}"), ContainsSubstring("more than 64 labels"));
  CHECK_THAT(fault("{\"attempts\":[" + attempts + "]}"), ContainsSubstring("more than 1024 attempts"));
}

TEST_CASE("a vLLM result's requests do not repeat what the file says once, names aside") {
  const std::vector<TraceRecord> all = parse_trace_line(
      R"({"id":"run","model_id":"m","prefix_blocks":[1,2,3],"labels":{"a":"b"},"attempts":[{}],"total_input_tokens":3,)"
      R"("input_lens":[1,2],"output_lens":[1,1]})",
      "l");
  REQUIRE(all.size() == 2);
  CHECK(all[1].model == "m");
  CHECK(all[1].prefix_blocks.empty());
  CHECK(all[1].labels.empty());
  CHECK(all[1].attempts.empty());
}

TEST_CASE("every field of a record comes back from its line, names of any bytes included") {
  TraceRecord r;
  r.timestamp = 1790000000.125, r.id = "caller\t1", r.request_id = 77, r.labels = {{"team", "a\"b"}, {"empty", ""}};
  r.prompt_tokens = 100, r.output_tokens = 40, r.cached_tokens = 16, r.cache_write_tokens = 64;
  r.cache_write_1h_tokens = 60, r.reasoning_tokens = 30, r.service_tier = "flex", r.batch = true, r.pieces = 3;
  r.e2e_ms = 9;
  TraceAttempt a{.endpoint = "api", .model = "m", .usage = usage_of(r)};
  a.drafts.draft_time = Duration(123), a.drafts.saved = Duration(-1'000'000'001), a.drafts.drafted = 1;
  r.attempts = {a, {.endpoint = "local", .model = "n", .tokens = TokenLedger{.decoded = 4, .rows = 9}}};
  const TraceRecord back = parse_trace_line(trace_line(r), "l").front();
  CHECK(trace_line(back) == trace_line(r));
  CHECK(back.labels == r.labels);
  CHECK(back.request_id == 77);
  CHECK(back.id == "caller\t1");
  CHECK(back.batch);
  CHECK(back.attempts[0].usage == a.usage);
  CHECK(back.attempts[0].drafts == a.drafts);  // to the nanosecond
  CHECK_FALSE(back.attempts[0].tokens);
  CHECK(back.attempts[1].tokens->rows == 9);
}

TEST_CASE("an answer came in one piece where its pieces or its times say so") {
  TraceRecord r;
  r.output_tokens = 100, r.ttft_ms = 500, r.e2e_ms = 500;
  CHECK(came_whole(r));
  r.e2e_ms = 503;  // 0.03 ms a token
  CHECK_FALSE(came_whole(r));
  r.pieces = 1;
  CHECK(came_whole(r));
  r.pieces = 2, r.e2e_ms = 500;
  CHECK_FALSE(came_whole(r));
  r.pieces.reset(), r.output_tokens = 1;
  CHECK_FALSE(came_whole(r));  // one token is always in one piece
}
