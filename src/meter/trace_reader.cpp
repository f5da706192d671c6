#include <frugal/meter/trace_reader.hpp>

#include "core/printable.hpp"
#include "meter/json_cursor.hpp"
#include "meter/line_source.hpp"
#include "meter/trace_line.hpp"

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

namespace frugal {

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t most_unread = 16;

Error located(std::string_view origin, const meter::JsonFault& fault) {
  return {Errc::bad_file, std::string(origin) + ":" + std::to_string(fault.at + 1) + ": " + fault.what};
}

/// Formats that are not lines of text, by how they begin.
void refuse_packed(const std::string& path, std::string_view begin) {
  const auto refuse = [&](const char* what) { throw Error(Errc::unsupported, path + ": " + what); };
  if (begin.starts_with("\x1F\x8B")) refuse("is packed by gzip: unpack it first, e.g. gzip -dc FILE | frugal advise -");
  if (begin.starts_with("\x28\xB5\x2F\xFD"))
    refuse("is packed by zstd: unpack it first, e.g. zstd -dc FILE | frugal advise -");
  if (begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF")) refuse("is UTF-16: expected UTF-8");
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == std::string_view::npos; }

/// Only what a line can be read from: a regular file, or a pipe that somebody fills.
void refuse_special(const std::string& path) {
  std::error_code ignored;
  const auto type = std::filesystem::status(path, ignored).type();
  if (type == std::filesystem::file_type::directory)
    throw Error(Errc::bad_file, path + ": is a folder, expected a file of JSON lines");
  if (type == std::filesystem::file_type::character || type == std::filesystem::file_type::block ||
      type == std::filesystem::file_type::socket)
    throw Error(Errc::bad_file, path + ": is a device or socket, expected a file of JSON lines");
}

}  // namespace

struct TraceReader::State {
  State(const std::string& file, std::size_t most_line_bytes)
      : path(file == "-" ? "standard input" : printable(file)), source(file, most_line_bytes), most(most_line_bytes) {}

  std::string path;
  meter::LineSource source;
  std::size_t most;
  meter::TraceLine line{};
  std::size_t given = 0, size = 0;  ///< requests of the line
  std::vector<std::string> unread{};

  std::string place() const { return path + ":" + std::to_string(source.lines()); }

  /// The next line that is not blank; false at the end.
  bool fill() {
    using Outcome = meter::LineSource::Outcome;
    std::string_view view;
    while (true) {
      switch (source.next(view)) {
        case Outcome::end:
          return false;
        case Outcome::failed:
          throw Error(Errc::unavailable,
                      path + ": reading failed after line " + std::to_string(source.lines()) + ": the rest is unknown");
        case Outcome::too_long:
          throw Error(Errc::bad_file, place() + ":1: the line is longer than " + std::to_string(most) + " bytes");
        case Outcome::line:
          break;
      }
      if (source.lines() == 1) refuse_packed(path, view);
      if (source.lines() == 1 && view.starts_with(byte_order_mark)) view.remove_prefix(byte_order_mark.size());
      if (is_blank(view)) continue;
      parse(view);
      return true;
    }
  }

  void parse(std::string_view view) {
    given = size = 0;
    try {
      line.read(view);
    } catch (const meter::JsonFault& fault) {
      throw located(place(), fault);
    }
    size = line.size();
    for (const std::string& name : line.unread())
      if (unread.size() < most_unread && std::find(unread.begin(), unread.end(), name) == unread.end())
        unread.push_back(name);
  }

  bool next(TraceRecord& record) {
    if (given == size && !fill()) return false;
    try {
      line.take(given++, record);
    } catch (const meter::JsonFault& fault) {
      throw located(place(), fault);
    }
    return true;
  }
};

TraceReader::TraceReader(std::string path, TraceReaderOptions options) {
  if (path != "-") refuse_special(path);
  state_ = std::make_unique<State>(path, options.most_line_bytes);
  if (!state_->source.is_open()) throw Error(Errc::bad_file, state_->path + ": cannot open");
}

TraceReader::~TraceReader() = default;

bool TraceReader::next(TraceRecord& record) {
  try {
    return state_->next(record);
  } catch (const std::bad_alloc&) {
    throw Error(Errc::out_of_memory, state_->place() + ": not enough memory for the line");
  }
}

std::uint64_t TraceReader::line() const noexcept { return state_->source.lines(); }
std::uint64_t TraceReader::bytes_read() const noexcept { return state_->source.bytes(); }
const std::vector<std::string>& TraceReader::unread_fields() const noexcept { return state_->unread; }

std::vector<TraceRecord> parse_trace_line(std::string_view line, std::string_view origin) {
  try {
    meter::TraceLine read;
    read.read(line);
    std::vector<TraceRecord> records(read.size());
    for (std::size_t i = 0; i < records.size(); ++i) read.take(i, records[i]);
    return records;
  } catch (const meter::JsonFault& fault) {
    throw located(origin, fault);
  }
}

}  // namespace frugal
