// TraceWriter: one line of JSON a request into a file that is rotated by size (docs/trace.md), for MeterOptions::trace.
//
// Safe from any thread. Lines are buffered and written 64 KiB at a time and at flush(), rotation and destruction, so a
// request costs some microseconds. What cannot be written is counted and said once to the log: measuring fails no
// request.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/meter/meter.hpp>
#include <frugal/meter/trace.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace frugal {

struct TraceWriterOptions {
  std::string path;  ///< e.g. "trace.jsonl"; appended to where it exists
  std::uint64_t most_bytes =
      256ULL << 20U;       ///< of one file; then it becomes trace.000001.jsonl and so on; 0 = no limit
  std::uint32_t keep = 0;  ///< rotated files kept, the oldest are deleted; 0 = all
  bool text = false;       ///< write prompt and answer, where the meter kept them
  LogSink log{};
};

/// The line of one request, without a line end.
FRUGAL_API std::string trace_line(const TraceRecord& record, const TraceText* text = nullptr);

class FRUGAL_API TraceWriter {
 public:
  /// Throws Error(bad_file) where the file cannot be opened.
  explicit TraceWriter(TraceWriterOptions options);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  void write(const TraceRecord& record, const TraceText* text = nullptr);
  void write(const Measured& measured) { write(measured.record, &measured.text); }
  void flush();
  std::uint64_t lines() const;  ///< written
  std::uint64_t lost() const;   ///< that could not be written

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
