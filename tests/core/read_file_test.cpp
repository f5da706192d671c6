#include "core/read_file.hpp"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/error_of.hpp"

using namespace frugal;
using frugal::testing::error_of;
using frugal::testing::mentions;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("frugal_read_file_" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const char* name) const { return (path / name).string(); }
};

Error refused(const std::string& path, std::uint64_t most = most_text_bytes) {
  return error_of([&] { read_file(path, most); });
}

}  // namespace

TEST_CASE("a regular file is read whole") {
  const Folder folder;
  const std::string bytes = std::string("a\0b\n", 4) + std::string(200000, 'x');
  std::ofstream(folder / "f", std::ios::binary) << bytes;
  CHECK(read_file(folder / "f") == bytes);
  std::ofstream(folder / "empty", std::ios::binary).flush();
  CHECK(read_file(folder / "empty").empty());
}

TEST_CASE("a folder, a pipe without a writer and a device end in an error at once") {
  const Folder folder;
  CHECK(mentions(refused(folder / ""), "is a folder, not a regular file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(mentions(refused(folder / "pipe"), "is a pipe, not a regular file"));
  CHECK(mentions(refused("/dev/zero"), "is a device, not a regular file"));
  CHECK(mentions(refused(folder / "missing"), "cannot open"));
}

TEST_CASE("a file beyond the limit is refused before it is read") {
  const Folder folder;
  std::ofstream(folder / "f", std::ios::binary) << "12345";
  CHECK(read_file(folder / "f", 5) == "12345");
  CHECK(refused(folder / "f", 4).code() == Errc::too_large);
  CHECK(mentions(refused(folder / "f", 4), "has 5 bytes, the limit is 4"));
  std::ofstream(folder / "sparse", std::ios::binary).flush();
  fs::resize_file(folder / "sparse", std::uintmax_t{1} << 40);
  CHECK(refused(folder / "sparse").code() == Errc::too_large);
}
