// Any bytes as a tokenizer.json: a Tokenizer that encodes and decodes, or an Error.
#include <frugal/core/error.hpp>
#include <frugal/text/tokenizer.hpp>

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

/// A folder of this process's own, in memory where the system has such a place.
struct Folder {
  std::filesystem::path path;
  Folder() {
    const std::filesystem::path memory = "/dev/shm";
    path = (std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path()) /
           ("frugal_fuzz_" + std::to_string(::getpid()));
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  const std::filesystem::path file = folder.path / "tokenizer.json";
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const frugal::Tokenizer tokenizer = frugal::load_tokenizer_json(file);
    const std::string text = "Hello, world 123 \xF0\x9F\x98\x80 <|im_end|> e\xCC\x81";
    const std::array<frugal::TextRange, 1> content{{{7, 30}}};
    for (const frugal::Token token : tokenizer.encode(text, {true, std::nullopt, content}))
      if (token < 0 || static_cast<std::size_t>(token) >= tokenizer.size()) return 1;
    (void)tokenizer.decode(tokenizer.encode(text), {.keep_special = true});
    (void)tokenizer.settled_bytes(text);
  } catch (const frugal::Error& error) {
    if (error.message().empty()) return 1;
  }
  return 0;
}
