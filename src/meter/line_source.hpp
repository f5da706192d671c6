// LineSource: the lines of a file of any size, one at a time, in bounded memory. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::meter {

class LineSource {
 public:
  enum class Outcome {
    line,      ///< `line` holds the next one, without its line end; valid until the next call
    end,       ///< nothing is left
    too_long,  ///< the next line is longer than the limit; it was passed over
    failed,    ///< reading failed: what is left of the file is unknown
  };

  /// "-" is standard input; is_open() says whether the file could be opened.
  LineSource(const std::string& path, std::size_t most_line_bytes);

  bool is_open() const { return file_ != nullptr; }
  Outcome next(std::string_view& line);
  std::uint64_t lines() const { return lines_; }  ///< so far, long ones included
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  Outcome find(std::string_view& line);
  bool fill();
  Outcome pass_over();

  std::unique_ptr<std::FILE, Close> file_;
  std::size_t most_;
  bool has_failed_ = false;  ///< the last read did
  std::vector<char> buffer_{};
  std::size_t begin_ = 0, end_ = 0;  ///< of what was read and not yet given
  std::uint64_t lines_ = 0, bytes_ = 0;
};

}  // namespace frugal::meter
