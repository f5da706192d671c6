#include "tools/files.hpp"

#include "tools/process.hpp"

#include <frugal/core/error.hpp>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <filesystem>

using namespace frugal;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

}  // namespace

TEST_CASE("ids are read from a JSON array and errors name the entry") {
  CHECK(tools::parse_ids(" [1, 9690,198]\n", "f") == std::vector<Token>{1, 9690, 198});
  CHECK(tools::parse_ids("[]", "f").empty());
  CHECK_THAT(message_of([] { tools::parse_ids("[1, \"a\"]", "ids.json"); }), ContainsSubstring("ids.json: entry 1"));
  CHECK_THAT(message_of([] { tools::parse_ids("[1, 2, -1]", "ids.json"); }), ContainsSubstring("entry 2"));
  CHECK_THAT(message_of([] { tools::parse_ids("[2147483648]", "ids.json"); }), ContainsSubstring("entry 0"));
  CHECK_THAT(message_of([] { tools::parse_ids("[1.5]", "ids.json"); }), ContainsSubstring("entry 0"));
  CHECK_THAT(message_of([] { tools::parse_ids("{}", "ids.json"); }), ContainsSubstring("ids.json: must be"));
  CHECK_THAT(message_of([] { tools::parse_ids("[1, 2", "ids.json"); }),
             ContainsSubstring("ids.json: byte 5: the JSON ends too early"));
}

TEST_CASE("variables are added as they are written, and of two values the last one counts") {
  Chat chat;
  tools::set_variables(chat, {"a=1", "b={\"z\": 1, \"a\": 12345678901234567890123}"});
  CHECK(chat.variables == R"({"a":1,"b":{"z": 1, "a": 12345678901234567890123}})");
  chat.variables = R"({"a": true})";
  tools::set_variables(chat, {"a=false"});
  CHECK(chat.variables == R"({"a": true,"a":false})");
  chat.variables = "{}";
  tools::set_variables(chat, {"a=\"x\""});
  CHECK(chat.variables == R"({"a":"x"})");
  CHECK_THAT(message_of([&] { tools::set_variables(chat, {"=1"}); }), ContainsSubstring("must be NAME=JSON"));
}

TEST_CASE("a file that is not there or is a folder is named") {
  CHECK_THAT(message_of([] { tools::read_all("/nonexistent/x"); }), ContainsSubstring("/nonexistent/x: cannot open"));
  const test::TempFolder folder;
  CHECK_THAT(message_of([&] { tools::read_all(folder.path("")); }), ContainsSubstring("is a folder"));
}

TEST_CASE("an npy file holds magic, an aligned header and the values in order") {
  const test::TempFolder folder;
  const std::string path = folder.path("x.npy");
  const std::array<float, 6> values{1, 2, 3, 4, 5, 6};
  tools::NpyWriter writer(path, 2, 3);
  writer.write(std::span(values).first(4));
  writer.write(std::span(values).last(2));
  CHECK_FALSE(std::filesystem::exists(path));  // not before it is complete
  writer.finish();

  const std::string bytes = test::read_file(path);
  REQUIRE(bytes.size() > 10);
  CHECK(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t header = static_cast<unsigned char>(bytes[8]) + 256U * static_cast<unsigned char>(bytes[9]);
  CHECK((10 + header) % 64 == 0);
  CHECK_THAT(bytes.substr(10, header), ContainsSubstring("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)"));
  CHECK(bytes[9 + header] == '\n');
  REQUIRE(bytes.size() == 10 + header + sizeof values);
  std::array<float, 6> read{};
  std::memcpy(read.data(), bytes.data() + 10 + header, sizeof read);
  CHECK(read == values);
}

TEST_CASE("an npy file that was not finished leaves nothing behind") {
  const test::TempFolder folder;
  { tools::NpyWriter writer(folder.path("x.npy"), 2, 3); }
  CHECK_FALSE(std::filesystem::exists(folder.path("x.npy")));
  CHECK_FALSE(std::filesystem::exists(folder.path("x.npy.partial")));
  CHECK_THAT(message_of([&] { tools::NpyWriter writer(folder.path("no/x.npy"), 1, 1); }),
             ContainsSubstring("cannot create"));
}

TEST_CASE("a written file takes its name when it is whole, and what is no file is written as it is") {
  const test::TempFolder folder;
  const std::string path = folder.path("out.json");
  tools::write_file(path, "first");
  tools::write_file(path, "second");
  CHECK(tools::read_all(path) == "second");
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  CHECK_THAT(message_of([&] { tools::write_file(folder.path("none/out"), "x"); }), ContainsSubstring("cannot write"));
  CHECK_NOTHROW(tools::write_file("/dev/null", "x"));
  CHECK(std::filesystem::is_character_file("/dev/null"));
  CHECK_FALSE(std::filesystem::exists("/dev/null.partial"));
}

TEST_CASE("an output that is an input, or no place for a matrix, is refused before anything is written") {
  const test::TempFolder folder;
  const std::string path = folder.path("in.jsonl");
  tools::write_file(path, "kept");
  CHECK_THAT(message_of([&] { tools::check_output(folder.path("./in.jsonl"), {path}); }),
             ContainsSubstring("is the input itself"));
  CHECK_NOTHROW(tools::check_output(folder.path("new"), {path, folder.path("none")}));
  CHECK_THAT(message_of([&] { tools::NpyWriter writer(folder.path(""), 1, 1); }), ContainsSubstring("no regular file"));
  CHECK_THAT(message_of([] { tools::NpyWriter writer("/dev/null", 1, 1); }), ContainsSubstring("no regular file"));
  CHECK(tools::read_all(path) == "kept");
}
