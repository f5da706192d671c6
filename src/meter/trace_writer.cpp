// Lines into a buffer, buffers into a file, files into a row of files.
#include <frugal/meter/trace_writer.hpp>

#include <frugal/core/error.hpp>
#include <frugal/core/ledger_fields.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/printable.hpp"

namespace frugal {
namespace {

namespace fs = std::filesystem;

/// Appends one JSON object, field by field.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  void end() { out_ += '}'; }

  void key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }
  void text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    quoted(value);
  }
  void any_text(std::string_view name, std::string_view value) {  // a name that is not ours, and also an empty value
    if (!std::exchange(first_, false)) out_ += ',';
    quoted(name);
    out_ += ':';
    quoted(value);
  }
  template <class Number>
  void number(std::string_view name, Number value) {
    if constexpr (std::is_floating_point_v<Number>)
      if (!std::isfinite(value)) return;  // JSON has no such number; not recorded
    key(name);
    digits(value);
  }
  template <class Number>
  void number(std::string_view name, const std::optional<Number>& value) {
    if (value) number(name, *value);
  }
  void milliseconds(std::string_view name, const std::optional<double>& value) {  // to the nanosecond
    if (value) number(name, std::round(*value * 1e6) / 1e6);
  }
  void flag(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }
  template <class Number>
  void digits(Number value) {
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    out_.append(buffer.data(), end);
  }
  std::string& out() { return out_; }

 private:
  // Most names are plain. Bytes that are no UTF-8 are spelled out (printable); control characters are escaped.
  void quoted(std::string_view value) {
    const bool plain = std::all_of(value.begin(), value.end(),
                                   [](char c) { return c >= ' ' && c != '"' && c != '\\' && c != '\x7f'; });
    if (plain) {
      out_ += '"';
      out_ += value;
      out_ += '"';
    } else {
      out_ += nlohmann::json(printable(value, true)).dump();
    }
  }

  std::string& out_;
  bool first_ = true;
};

void add_counts(Object& parent, std::string_view name, const std::vector<std::uint64_t>& counts) {
  parent.key(name);
  parent.out() += '[';
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (i > 0) parent.out() += ',';
    parent.digits(counts[i]);
  }
  parent.out() += ']';
}

void add_value(Object& o, std::string_view name, std::uint64_t count) { o.number(name, count); }
void add_value(Object& o, std::string_view name, const std::vector<std::uint64_t>& counts) {
  add_counts(o, name, counts);
}
void add_value(Object& o, std::string_view name, Duration time) {
  o.milliseconds(name, std::optional<double>(milliseconds(time)));
}

template <class L>
void add_ledger(Object& parent, std::string_view name, const L& ledger) {
  parent.key(name);
  Object o(parent.out());
  for_each_field<L>([&](const LedgerField& field, auto member) { add_value(o, field.name, ledger.*member); });
  o.end();
}

void add_attempts(Object& parent, const std::vector<TraceAttempt>& attempts) {
  parent.key("attempts");
  parent.out() += '[';
  for (std::size_t i = 0; i < attempts.size(); ++i) {
    if (i > 0) parent.out() += ',';
    const TraceAttempt& a = attempts[i];
    Object o(parent.out());
    o.text("endpoint", a.endpoint);
    o.text("model", a.model);
    add_ledger(o, "usage", a.usage);
    if (a.tokens) add_ledger(o, "tokens", *a.tokens);
    o.number("score", a.score);
    o.flag("accepted", a.accepted);
    if (a.drafts != DraftLedger{}) add_ledger(o, "drafts", a.drafts);
    o.end();
  }
  parent.out() += ']';
}

}  // namespace

namespace {

void add_labels(Object& parent, const std::vector<std::pair<std::string, std::string>>& labels) {
  if (labels.empty()) return;
  parent.key("labels");
  Object o(parent.out());
  for (const auto& [name, value] : labels) o.any_text(name, value);
  o.end();
}

void add_counts_of_tokens(Object& o, const TraceRecord& r) {
  o.number("prompt_tokens", r.prompt_tokens);
  o.number("output_tokens", r.output_tokens);
  o.number("cached_tokens", r.cached_tokens);
  o.number("cache_write_tokens", r.cache_write_tokens);
  o.number("cache_write_1h_tokens", r.cache_write_1h_tokens);
  o.number("reasoning_tokens", r.reasoning_tokens);
  o.text("service_tier", r.service_tier);
  if (r.batch) o.flag("batch", true);
}

}  // namespace

std::string trace_line(const TraceRecord& r, const TraceText* text) {
  std::string line;
  line.reserve(512 + 20 * r.prefix_blocks.size());
  Object o(line);
  o.number("timestamp", r.timestamp);
  o.text("id", r.id);
  o.number("request_id", r.request_id);
  o.text("type", r.type);
  o.text("tenant", r.tenant);
  o.text("model", r.model);
  o.text("endpoint", r.endpoint);
  add_labels(o, r.labels);
  add_counts_of_tokens(o, r);
  o.milliseconds("queue_ms", r.queue_ms);
  o.milliseconds("ttft_ms", r.ttft_ms);
  o.milliseconds("e2e_ms", r.e2e_ms);
  o.milliseconds("stalled_ms", r.stalled_ms);
  o.number("pieces", r.pieces);
  if (r.finish) o.text("finish", to_string(*r.finish));
  o.number("max_tokens", r.max_tokens);
  if (!r.prefix_blocks.empty()) add_counts(o, "prefix_blocks", r.prefix_blocks);
  o.number("prompt_hash", r.prompt_hash);
  o.number("answer_hash", r.answer_hash);
  if (!r.attempts.empty()) add_attempts(o, r.attempts);
  if (text != nullptr) {
    o.text("prompt", text->prompt);
    o.text("answer", text->answer);
  }
  o.end();
  return line;
}

struct TraceWriter::Impl {
  static constexpr std::size_t buffer_bytes = std::size_t{64} << 10U;
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };

  explicit Impl(TraceWriterOptions o) : options(std::move(o)) {
    next_number = std::max<std::uint64_t>(1, newest_rotated() + 1);
    if (!open()) throw Error(Errc::bad_file, "trace: cannot open " + options.path + ": " + why());
  }

  static std::string why() { return std::error_code(errno, std::generic_category()).message(); }

  bool open() {
    file.reset(std::fopen(options.path.c_str(), "ab"));
    if (!file) return false;
    std::setvbuf(file.get(), nullptr, _IONBF, 0);  // the buffer is ours: a write ends with a whole line
    std::error_code ignored;
    const auto size = fs::file_size(options.path, ignored);
    bytes = ignored ? 0 : size;
    return true;
  }

  // trace.jsonl -> trace.000001.jsonl
  fs::path rotated(std::uint64_t number) const {
    std::string digits = std::to_string(number);
    digits.insert(0, 6 - std::min<std::size_t>(digits.size(), 6), '0');
    const fs::path path(options.path);
    return path.parent_path() / (path.stem().string() + "." + digits + path.extension().string());
  }

  // The number of a rotated file of this trace; 0 = another file.
  std::uint64_t number_of(const fs::path& name) const {
    const std::string middle = name.stem().extension().string();
    std::uint64_t number = 0;
    if (middle.size() < 7) return 0;
    const auto [end, error] = std::from_chars(middle.data() + 1, middle.data() + middle.size(), number);
    if (error != std::errc{} || end != middle.data() + middle.size()) return 0;
    return rotated(number).filename() == name.filename() ? number : 0;
  }

  std::vector<std::uint64_t> rotated_numbers() const {
    std::vector<std::uint64_t> numbers;
    std::error_code error;
    const fs::path folder = fs::path(options.path).parent_path();
    for (fs::directory_iterator at(folder.empty() ? "." : folder, error), end; !error && at != end; at.increment(error))
      if (const std::uint64_t n = number_of(at->path()); n > 0) numbers.push_back(n);
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }
  std::uint64_t newest_rotated() const {
    const auto numbers = rotated_numbers();
    return numbers.empty() ? 0 : numbers.back();
  }

  void rotate() {
    std::error_code error;
    file.reset();
    fs::rename(options.path, rotated(next_number), error);
    if (error) complain("cannot rename " + options.path + ": " + error.message());
    ++next_number;
    if (!open()) complain("cannot open " + options.path + ": " + why());
    if (options.keep == 0) return;
    const auto numbers = rotated_numbers();
    for (std::size_t i = 0; i + options.keep < numbers.size(); ++i) fs::remove(rotated(numbers[i]), error);
  }

  void write_out() {
    if (buffer.empty()) return;
    const bool written = file && std::fwrite(buffer.data(), 1, buffer.size(), file.get()) == buffer.size();
    if (!written) complain("cannot write " + options.path + ": " + why());
    (written ? lines : lost) += std::exchange(buffered, 0);
    bytes += buffer.size();
    buffer.clear();
  }

  void add(const std::string& line) {
    const bool full = options.most_bytes > 0 && bytes + buffer.size() + line.size() + 1 > options.most_bytes;
    if (full && bytes + buffer.size() > 0) write_out(), rotate();
    buffer += line;
    buffer += '\n';
    ++buffered;
    if (buffer.size() >= buffer_bytes) write_out();
  }

  void complain(const std::string& what) {
    if (std::exchange(complained, true) || !options.log) return;
    options.log(LogLevel::error, 0, "trace: " + what);
  }

  TraceWriterOptions options;
  std::mutex mutex;
  std::unique_ptr<std::FILE, Close> file;
  std::string buffer;
  std::uint64_t buffered = 0;  ///< lines in the buffer
  std::uint64_t bytes = 0;     ///< of the file
  std::uint64_t lines = 0, lost = 0, next_number = 1;
  bool complained = false;
};

TraceWriter::TraceWriter(TraceWriterOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
TraceWriter::~TraceWriter() { flush(); }

void TraceWriter::write(const TraceRecord& record, const TraceText* text) {
  const std::string line = trace_line(record, impl_->options.text ? text : nullptr);
  const std::lock_guard lock(impl_->mutex);
  impl_->add(line);
}

void TraceWriter::flush() {
  const std::lock_guard lock(impl_->mutex);
  impl_->write_out();
}

std::uint64_t TraceWriter::lines() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->lines + impl_->buffered;
}

std::uint64_t TraceWriter::lost() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->lost;
}

}  // namespace frugal
