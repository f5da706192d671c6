// TraceReader: requests out of a file of JSON lines, one at a time. Four kinds of line are told apart by their fields:
//
// - ours (docs/trace.md) and the plain request log, which is a subset of it: `prompt_tokens`, `output_tokens`
// - Mooncake (Qin et al. 2025, "Mooncake", FAST): `input_length`, `output_length`, `timestamp` in ms, `hash_ids` of
//   512-token blocks; the last, partial block then tells whether two prompts are equal as a whole
// - a result file of `vllm bench serve --save-detailed`: one object with the columns `input_lens`, `output_lens`,
//   `ttfts` and `itls` in seconds, `start_times`, `errors`. Such an object is one line and is held in memory whole
//
// Memory: one line and one record. One thread. Cost: about a microsecond a request, and 10 ns a prefix block.
#pragma once

#include <frugal/config.hpp>
#include <frugal/meter/trace.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace frugal {

class FRUGAL_API TraceReader {
 public:
  /// "-" is standard input. Throws Error(bad_file) where the file cannot be opened or is a folder.
  explicit TraceReader(std::string path);
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  /// Overwrites `record` with the next request, in file order; false at the end. Throws Error(bad_file) whose message
  /// begins with "FILE:LINE:COLUMN: " for a line that is no JSON object, lacks a token count, or contradicts itself
  /// (more cached than prompt tokens, a first token after the last, more blocks than the prompt has). May be called
  /// again: it then goes on behind that line. Error(unsupported) for a packed file or UTF-16 and Error(unavailable)
  /// where reading fails end it.
  bool next(TraceRecord& record);

  std::uint64_t line() const noexcept;        ///< of the record read last, from 1
  std::uint64_t bytes_read() const noexcept;  ///< for progress

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The requests of one line, for logs that are not files. `origin` names the line in errors, as "FILE:LINE" does.
FRUGAL_API std::vector<TraceRecord> parse_trace_line(std::string_view line, std::string_view origin);

}  // namespace frugal
