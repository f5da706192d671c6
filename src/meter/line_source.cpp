#include "meter/line_source.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace frugal::meter {

namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

}  // namespace

LineSource::LineSource(const std::string& path, std::size_t most_line_bytes)
    : file_(path == "-" ? stdin : std::fopen(path.c_str(), "rb")), most_(most_line_bytes) {}

/// Reads one more chunk after what is there; false at the end and after a failure.
bool LineSource::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + chunk_bytes) {
    const std::size_t grown = std::min(buffer_.size() + buffer_.size() / 2, most_);
    buffer_.resize(std::max(grown, end_ + chunk_bytes));
  }
  ssize_t got = 0;
  do {
    got = ::read(fileno(file_.get()), buffer_.data() + end_, chunk_bytes);
  } while (got < 0 && errno == EINTR);
  has_failed_ = got < 0;
  if (got <= 0) return false;
  end_ += static_cast<std::size_t>(got);
  bytes_ += static_cast<std::uint64_t>(got);
  return true;
}

LineSource::Outcome LineSource::next(std::string_view& line) {
  const std::uint64_t before = lines_;
  try {
    return find(line);
  } catch (...) {  // out of memory: in the line that does not fit
    lines_ = before + 1;
    throw;
  }
}

LineSource::Outcome LineSource::find(std::string_view& line) {
  for (std::size_t searched = 0;;) {
    const char* const from = buffer_.data() + begin_;
    const std::size_t size = end_ - begin_;
    const auto* const found =
        size > searched ? static_cast<const char*>(std::memchr(from + searched, '\n', size - searched)) : nullptr;
    if (found != nullptr) {
      line = {from, static_cast<std::size_t>(found - from)};
      begin_ += line.size() + 1;
      ++lines_;
      return Outcome::line;
    }
    if (size > most_) return pass_over();
    searched = size;
    if (fill()) continue;
    if (has_failed_) return Outcome::failed;
    if (size == 0) return Outcome::end;
    line = {buffer_.data() + begin_, size};  // fill() may have moved it
    begin_ = end_;
    ++lines_;
    return Outcome::line;
  }
}

/// Drops bytes up to and with the next line end, and the memory that the long line took.
LineSource::Outcome LineSource::pass_over() {
  std::vector<char>(chunk_bytes).swap(buffer_);
  begin_ = end_ = 0;
  ++lines_;
  while (fill()) {
    const void* const found = std::memchr(buffer_.data(), '\n', end_);
    if (found != nullptr) {
      begin_ = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) + 1;
      return Outcome::too_long;
    }
    end_ = 0;
  }
  return has_failed_ ? Outcome::failed : Outcome::too_long;
}

}  // namespace frugal::meter
