// TraceReader: requests out of a file of JSON lines, one at a time. Four kinds of line are told apart by their fields:
//
// - ours (docs/trace.md)
// - a plain request log with a prompt's and an answer's token count, under our names or under those that the APIs of
//   OpenAI, Anthropic, Amazon Bedrock, Google, DeepSeek and others use, also inside a "usage" object
// - Mooncake (Qin et al. 2025, "Mooncake", FAST): `input_length`, `output_length`, `timestamp` in ms, `hash_ids` of
//   512-token blocks; the last, partial block then tells whether two prompts are equal as a whole
// - a result file of `vllm bench serve --save-detailed`: one object with the columns `input_lens`, `output_lens`,
//   `ttfts` and `itls` in seconds, `start_times`, `errors`. Such an object is one line and is held in memory whole
//
// Memory: one line (at most TraceReaderOptions::most_line_bytes, times 2.5 while it grows), its columns, one record.
// One thread. Cost: about a microsecond a request, and 10 ns a prefix block.
#pragma once

#include <frugal/config.hpp>
#include <frugal/meter/trace.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct TraceReaderOptions {
  std::size_t most_line_bytes = std::size_t{256} << 20U;  ///< a longer line is an error, and is passed over
};

class FRUGAL_API TraceReader {
 public:
  /// "-" is standard input. Throws Error(bad_file) where the file cannot be opened or is a folder or a device.
  explicit TraceReader(std::string path, TraceReaderOptions options = {});
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  /// Overwrites `record` with the next request, in file order; false at the end. Throws Error(bad_file) whose message
  /// begins with "FILE:LINE:COLUMN: " for a line that is not a JSON object, is too long, lacks a token count, or
  /// contradicts itself (more cached than prompt tokens, a first token after the last, more blocks than the prompt
  /// has), and for counts above 10^10 and times above a century. May be called again: it then goes on after that line
  /// or, in a vLLM result, after that request. Error(unsupported) for a packed file or UTF-16, Error(unavailable)
  /// where reading fails and Error(out_of_memory) where a line does not fit end it.
  bool next(TraceRecord& record);

  std::uint64_t line() const noexcept;        ///< of the record read last, from 1
  std::uint64_t bytes_read() const noexcept;  ///< for progress
  /// Names of fields, met so far, that hold a number of tokens and that are not read: what they count may be missing
  /// from the bill. At most 16.
  const std::vector<std::string>& unread_fields() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The requests of one line, for logs that are not files. `origin` names the line in errors, as "FILE:LINE" does.
FRUGAL_API std::vector<TraceRecord> parse_trace_line(std::string_view line, std::string_view origin);

}  // namespace frugal
