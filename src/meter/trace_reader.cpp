#include <frugal/meter/trace_reader.hpp>

#include "meter/json_cursor.hpp"
#include "meter/trace_line.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace frugal {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

struct Close {
  void operator()(std::FILE* file) const {
    if (file != nullptr && file != stdin) std::fclose(file);
  }
};

Error located(std::string_view origin, const meter::JsonFault& fault) {
  return {Errc::bad_file, std::string(origin) + ":" + std::to_string(fault.at + 1) + ": " + fault.what};
}

/// Formats that are no lines of text, by how they begin.
void refuse_packed(const std::string& path, std::string_view begin) {
  const auto refuse = [&](const char* what) { throw Error(Errc::unsupported, path + ": " + what); };
  if (begin.starts_with("\x1F\x8B")) refuse("is packed by gzip: unpack it first, e.g. gzip -dc FILE | frugal advise -");
  if (begin.starts_with("\x28\xB5\x2F\xFD"))
    refuse("is packed by zstd: unpack it first, e.g. zstd -dc FILE | frugal advise -");
  if (begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF")) refuse("is UTF-16: expected UTF-8");
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

struct TraceReader::State {
  std::string path{};
  std::vector<char> buffer = std::vector<char>(buffer_bytes);  ///< outlives the file
  std::unique_ptr<std::FILE, Close> file{};
  char* text = nullptr;  ///< owned: getline() grows it
  std::size_t capacity = 0;
  std::uint64_t line = 0, bytes = 0;
  std::vector<TraceRecord> pending{};  ///< the requests of the line read last
  std::size_t given = 0;

  ~State() { std::free(text); }

  /// The next line that is not blank; false at the end.
  bool fill() {
    while (true) {
      const auto length = ::getline(&text, &capacity, file.get());
      if (length < 0) break;
      ++line, bytes += static_cast<std::uint64_t>(length);
      std::string_view view(text, static_cast<std::size_t>(length));
      if (line == 1) refuse_packed(path, view);
      if (line == 1 && view.starts_with(byte_order_mark)) view.remove_prefix(byte_order_mark.size());
      if (is_blank(view)) continue;
      parse(view);
      return true;
    }
    if (std::ferror(file.get()) != 0)
      throw Error(Errc::unavailable, path + ": cannot read behind line " + std::to_string(line));
    return false;
  }

  void parse(std::string_view view) {
    given = 0;
    try {
      meter::read_trace_line(view, pending);
    } catch (const meter::JsonFault& fault) {
      pending.clear();
      throw located(path + ":" + std::to_string(line), fault);
    }
  }
};

TraceReader::TraceReader(std::string path) : state_(std::make_unique<State>()) {
  state_->path = path == "-" ? "standard input" : path;
  std::error_code ignored;
  if (path != "-" && std::filesystem::is_directory(path, ignored))
    throw Error(Errc::bad_file, path + ": is a folder, expected a file of JSON lines");
  state_->file.reset(path == "-" ? stdin : std::fopen(path.c_str(), "rb"));
  if (!state_->file) throw Error(Errc::bad_file, path + ": cannot open");
  std::setvbuf(state_->file.get(), state_->buffer.data(), _IOFBF, state_->buffer.size());
}

TraceReader::~TraceReader() {
  if (state_->file.get() == stdin) std::setvbuf(stdin, nullptr, _IONBF, 0);  // our buffer goes
}

bool TraceReader::next(TraceRecord& record) {
  State& s = *state_;
  if (s.given == s.pending.size() && !s.fill()) return false;
  std::swap(record, s.pending[s.given++]);  // the caller's memory serves the next line
  return true;
}

std::uint64_t TraceReader::line() const noexcept { return state_->line; }
std::uint64_t TraceReader::bytes_read() const noexcept { return state_->bytes; }

std::vector<TraceRecord> parse_trace_line(std::string_view line, std::string_view origin) {
  std::vector<TraceRecord> records;
  try {
    meter::read_trace_line(line, records);
  } catch (const meter::JsonFault& fault) {
    throw located(origin, fault);
  }
  return records;
}

}  // namespace frugal
