// The output of a batch: one line a request, each written whole by one call, so that a run that is killed at any moment
// is taken up again without a lost or a doubled line.
#pragma once

#include "tools/batch_input.hpp"

#include <frugal/core/finish.hpp>
#include <frugal/text/tokenizer.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace frugal::tools {

/// Opens the file for appending, keeps every other run out while it lives, reads the lines that earlier runs left, and
/// cuts off a last line that was not finished. A file that is not there yet is made by create() alone. One thread.
class BatchOutput {
 public:
  /// Throws Error: busy where another run writes the file, bad_file where it is not the output of a batch (then it is
  /// left as it is) or cannot be read. Memory: one line, and a little for each line's name.
  explicit BatchOutput(std::string path);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  /// Makes the file where it was not there; must come before append. Throws Error as the constructor does; busy also
  /// where another run made the file since.
  void create();

  /// Whether the line was dealt with by an earlier run. Throws Error(invalid_argument) where the file answers its
  /// custom_id, but for a line of another text. A line that was refused may be mended: it is then new.
  bool holds(const BatchLine& line) const;
  /// Whether the earlier run gave the line an answer (and not an error).
  bool answered(const BatchLine& line) const;
  /// Appends `line` and a newline. Throws Error(bad_file), after what was written of it was taken back.
  void append(std::string line);
  /// Waits until the lines are on the disk.
  void sync() const;

 private:
  struct Known {
    std::size_t line = 0;  ///< in the output
    std::string id{};
    bool answered = false;
  };
  void open(int more_flags);
  void lock() const;
  void read();
  void take(std::string_view line, std::size_t number);
  void cut(std::size_t end) const;
  const Known* find(const BatchLine& line) const;

  std::string path_;
  int fd_ = -1;
  std::unordered_map<std::string, Known> requests_{};   ///< by custom_id
  std::unordered_map<std::string, Known> malformed_{};  ///< by id
};

/// The output's line for an answer.
std::string answered_line(const BatchLine& line, const Answer& answer, const Tokenizer* tokenizer);
/// The output's line for one that has none.
std::string failed_line(const BatchLine& line, const BatchFault& fault);

}  // namespace frugal::tools
