#include <frugal/meter/trace_writer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>
#include <nlohmann/json.hpp>

#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("frugal_trace_" + std::to_string(::getpid()));
  Folder() { fs::remove_all(path), fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(const char* name = "trace.jsonl") const { return (path / name).string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(path)) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
};

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TraceRecord full_record() {
  TraceRecord r;
  r.timestamp = 1764000000.25;
  r.id = "req-1", r.type = "refund", r.tenant = "acme", r.model = "big", r.endpoint = "cascade";
  r.prompt_tokens = 40, r.output_tokens = 7, r.cached_tokens = 16;
  r.queue_ms = 0.5, r.ttft_ms = 12.25, r.e2e_ms = 100.125;
  r.finish = FinishReason::capped;
  r.max_tokens = 64;
  r.prefix_blocks = {5, (std::uint64_t{1} << 63) - 1};
  r.prompt_hash = 9, r.answer_hash = 10;
  TokenLedger tokens;
  tokens.prompt_computed = 24, tokens.prompt_cached = 16, tokens.decoded = 7, tokens.passes = 8, tokens.rows = 31;
  r.attempts.push_back({"small", "s", {.input = 40, .output = 3}, {}, 0.25, false});
  r.attempts.push_back({"big", "b", {.input = 40, .cached_read = 16, .output = 7}, tokens, std::nullopt, true});
  return r;
}

TraceRecord numbered(int i) {
  TraceRecord r;
  r.id = std::to_string(i);
  return r;
}

}  // namespace

TEST_CASE("a line holds every field that was recorded") {
  const Json line = Json::parse(trace_line(full_record()));
  CHECK(line["timestamp"] == 1764000000.25);
  CHECK(line["type"] == "refund");
  CHECK(line["prompt_tokens"] == 40);
  CHECK(line["cached_tokens"] == 16);
  CHECK(line["ttft_ms"] == 12.25);
  CHECK(line["finish"] == "capped");
  CHECK(line["prefix_blocks"] == Json({5, (std::uint64_t{1} << 63) - 1}));
  CHECK(line["attempts"].size() == 2);
  CHECK(line["attempts"][0]["score"] == 0.25);
  CHECK(line["attempts"][0]["accepted"] == false);
  CHECK_FALSE(line["attempts"][1].contains("score"));
  CHECK(line["attempts"][1]["usage"]["cached_read"] == 16);
  CHECK(line["attempts"][1]["tokens"]["rows"] == 31);
}

TEST_CASE("what was not recorded is left out, and only the token counts are always there") {
  CHECK(trace_line(TraceRecord{}) == R"({"prompt_tokens":0,"output_tokens":0})");
}

TEST_CASE("names of any bytes make valid JSON of one line") {
  TraceRecord r;
  r.type = "quote \" slash \\ line\nend \x01", r.tenant = "broken \xff utf-8", r.id = "\xc3\xa9";
  const std::string line = trace_line(r);
  CHECK(line.find('\n') == std::string::npos);
  const Json back = Json::parse(line);
  CHECK(back["type"] == r.type);
  CHECK(back["id"] == r.id);
  CHECK(back["tenant"] == "broken \\xFF utf-8");  // spelled out, so that different names stay different
}

TEST_CASE("words are written only where both the writer and the meter were asked to") {
  const Folder folder;
  const TraceText text{"the question", "the answer"};
  {
    TraceWriter writer({.path = folder.file()});
    writer.write(full_record(), &text);
  }
  CHECK(lines_of(folder.file())[0].find("question") == std::string::npos);
  {
    TraceWriter writer({.path = folder.file("text.jsonl"), .text = true});
    writer.write(full_record(), &text);
    writer.write(full_record());
  }
  CHECK(Json::parse(lines_of(folder.file("text.jsonl"))[0])["answer"] == "the answer");
  CHECK_FALSE(Json::parse(lines_of(folder.file("text.jsonl"))[1]).contains("answer"));
}

TEST_CASE("a trace goes on where it ended, and rotates by size without losing or cutting a line") {
  const Folder folder;
  for (int round = 0; round < 3; ++round) {
    TraceWriter writer({.path = folder.file(), .most_bytes = 400});
    for (int i = 0; i < 10; ++i) writer.write(numbered(round * 10 + i));
    CHECK(writer.lines() == 10);
    CHECK(writer.lost() == 0);
  }
  int next = 0;
  std::vector<std::string> names = folder.names();
  CHECK(names.size() > 3);
  CHECK(names.front() == "trace.000001.jsonl");
  CHECK(names.back() == "trace.jsonl");
  for (const std::string& name : names) {
    CHECK(fs::file_size(folder.path / name) <= 400);
    for (const std::string& line : lines_of(folder.path / name))
      CHECK(Json::parse(line)["id"] == std::to_string(next++));
  }
  CHECK(next == 30);
}

TEST_CASE("only so many rotated files are kept, and nobody else's are touched") {
  const Folder folder;
  std::ofstream(folder.file("trace.other.jsonl")) << "mine";
  std::ofstream(folder.file("trace.000001x.jsonl")) << "mine";
  TraceWriter writer({.path = folder.file(), .most_bytes = 100, .keep = 2});
  for (int i = 0; i < 50; ++i) writer.write(numbered(i));
  writer.flush();
  const auto names = folder.names();
  CHECK(names.size() == 5);
  CHECK(fs::exists(folder.file("trace.other.jsonl")));
  CHECK(fs::exists(folder.file("trace.000001x.jsonl")));
  CHECK_FALSE(fs::exists(folder.file("trace.000001.jsonl")));
}

TEST_CASE("many threads write whole lines") {
  const Folder folder;
  {
    TraceWriter writer({.path = folder.file(), .most_bytes = 20'000});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&writer, t] {
        for (int i = 0; i < 500; ++i) writer.write(numbered(t * 500 + i));
      });
    for (std::thread& t : threads) t.join();
  }
  std::vector<int> seen(2000);
  for (const std::string& name : folder.names())
    for (const std::string& line : lines_of(folder.path / name))
      ++seen[static_cast<std::size_t>(std::stoi(Json::parse(line)["id"].get<std::string>()))];
  CHECK(std::count(seen.begin(), seen.end(), 1) == 2000);
}

TEST_CASE("a trace that cannot be opened is an error at once, one that cannot be written is counted") {
  CHECK(error_of([] { TraceWriter w({.path = "/no/such/folder/trace.jsonl"}); }).code() == Errc::bad_file);
  std::vector<std::string> said;
  TraceWriter writer(
      {.path = "/dev/full", .log = [&](LogLevel, std::uint64_t, std::string_view line) { said.emplace_back(line); }});
  for (int i = 0; i < 3; ++i) writer.write(numbered(i)), writer.flush();
  CHECK(writer.lost() == 3);
  CHECK(writer.lines() == 0);
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("/dev/full") != std::string::npos);
}
