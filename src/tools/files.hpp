// Files the subcommands read and write. Every failure is an Error(bad_file) or (invalid_argument) that names the file
// and the place.
#pragma once

#include <frugal/core/ids.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace frugal::tools {

/// All bytes of a regular file, or of standard input for "-"; at most 512 MiB.
std::string read_all(const std::string& path);

/// Adds variables for the template, each written NAME=JSON; a later one replaces an earlier one of its name.
void set_variables(Chat& chat, const std::vector<std::string>& pairs);

/// A JSON array of token ids, e.g. [1, 9690, 198]. `origin` names the text in errors.
std::vector<Token> parse_ids(const std::string& text, const std::string& origin);

/// Throws Error(invalid_argument) where `path` cannot be an output: empty, "-" (no command writes a file to standard
/// output), or one of the files that are read, which would be lost.
void check_output(const std::string& path, std::initializer_list<std::string> inputs);

/// Writes a whole file: into "<path>.partial", which takes its name only when it is complete, so that what stood there is
/// kept until then. What is no regular file (a device, a pipe) is written as it is. Throws Error(bad_file).
void write_file(const std::string& path, const std::string& text);

/// Writes a float32 matrix as NumPy's .npy, row by row, into "<path>.partial", which takes its name only when it is
/// complete; what is there and no regular file is refused. Memory: one row block at a time.
class NpyWriter {
 public:
  NpyWriter(std::string path, std::uint64_t rows, std::uint64_t columns);
  ~NpyWriter();  ///< removes an unfinished file
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;
  void write(std::span<const float> values);
  void finish();

 private:
  void check(const char* action) const;
  std::string path_, partial_;
  std::ofstream file_;
  std::uint64_t left_;
  bool finished_ = false;
};

}  // namespace frugal::tools
