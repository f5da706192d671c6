#include "text/pretokenize.hpp"

#include <algorithm>

namespace frugal::text {
namespace {

// Kinds of ASCII, as WordSplitter::Kind.
constexpr std::array<std::uint8_t, 128> ascii_kinds() {
  std::array<std::uint8_t, 128> kinds{};
  for (std::size_t c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    kinds[c] = letter ? 2 : (c >= '0' && c <= '9') ? 4 : (c == '\n' || c == '\r') ? 16 : blank ? 8 : 1;
  }
  return kinds;
}
constexpr std::array<std::uint8_t, 128> kAsciiKinds = ascii_kinds();

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

WordSplitter::WordSplitter(PreTokenizer pre, std::string_view text)
    : classes_(&ClassTable::instance()),
      text_(text),
      match_(pre == PreTokenizer::qwen2    ? &WordSplitter::qwen2_word
             : pre == PreTokenizer::llama3 ? &WordSplitter::llama3_word
             : pre == PreTokenizer::tekken ? &WordSplitter::tekken_word
                                           : &WordSplitter::gpt2_word),
      isolate_digits_(pre == PreTokenizer::smollm) {}

bool WordSplitter::next(std::string_view& word) {
  if (pos_ == text_.size()) return false;
  if (pos_ == end_) enter_piece();
  const std::size_t begin = pos_;
  pos_ = (this->*match_)();
  word = text_.substr(begin, pos_ - begin);
  return true;
}

// A piece is the whole text or, where digits stand alone, a digit or what lies before the next one.
void WordSplitter::enter_piece() {
  end_ = text_.size();
  if (!isolate_digits_) return;
  for (std::size_t at = pos_; at < text_.size();) {
    const CodePoint c = decode_utf8(text_, at);
    if (((*classes_)[c.value] & kDigit) != 0) {
      end_ = at == pos_ ? at + c.bytes : at;
      return;
    }
    at += c.bytes;
  }
}

WordSplitter::Char WordSplitter::at(std::size_t pos) const noexcept {
  const auto first = static_cast<unsigned char>(text_[pos]);
  if (first < 0x80) return {kAsciiKinds[first], 1};
  const CodePoint c = decode_utf8(text_, pos);
  const std::uint8_t bits = (*classes_)[c.value];
  const Kind kind = (bits & kLetter) != 0   ? kLet
                    : (bits & kNumber) != 0 ? kNum
                    : (bits & kSpace) != 0  ? kBlank
                                            : kOther;
  return {kind, c.bytes};
}

// The end of the run of characters of the wanted kinds.
std::size_t WordSplitter::skip(std::size_t pos, std::uint8_t wanted) const noexcept {
  while (pos < end_) {
    const Char c = at(pos);
    if ((c.kind & wanted) == 0) break;
    pos += c.bytes;
  }
  return pos;
}

// The end of 's 't 're 've 'm 'll 'd at pos_, or pos_. In any case, a long s (U+017F) is an s.
std::size_t WordSplitter::contraction(bool any_case) const noexcept {
  const std::string_view rest = text_.substr(pos_, std::min<std::size_t>(3, end_ - pos_));
  if (rest.size() < 2 || rest[0] != '\'') return pos_;
  const char a = any_case ? lower(rest[1]) : rest[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return pos_ + 2;
  if (rest.size() < 3) return pos_;
  const char b = any_case ? lower(rest[2]) : rest[2];
  const bool pair = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  const bool long_s = any_case && rest.substr(1) == "\xC5\xBF";
  return pair || long_s ? pos_ + 3 : pos_;
}

// \s+(?!\S)|\s+ : a run of blanks leaves its last one to the word that follows.
std::size_t WordSplitter::blanks() const noexcept {
  std::size_t pos = pos_, last = pos_;
  while (pos < end_) {
    const Char c = at(pos);
    if ((c.kind & (kBlank | kNewline)) == 0) break;
    last = pos;
    pos += c.bytes;
  }
  return pos == end_ || last == pos_ ? pos : last;
}

std::size_t WordSplitter::gpt2_word() const {
  if (const std::size_t end = contraction(false); end != pos_) return end;
  const std::size_t body = text_[pos_] == ' ' ? pos_ + 1 : pos_;
  const std::uint8_t run = kind(body);
  return (run & (kLet | kNum | kOther)) != 0 ? skip(body, run) : blanks();
}

std::size_t WordSplitter::modern_word(int digits) const {
  if (const std::size_t end = contraction(true); end != pos_) return end;
  const Char first = at(pos_);
  if (first.kind == kLet) return skip(pos_, kLet);
  const std::size_t second = pos_ + first.bytes;
  if ((first.kind & (kBlank | kOther)) != 0 && kind(second) == kLet) return skip(second, kLet);
  if (first.kind == kNum) {
    std::size_t end = second;
    for (int i = 1; i < digits && kind(end) == kNum; ++i) end += at(end).bytes;
    return end;
  }
  const std::size_t body = text_[pos_] == ' ' ? second : pos_;
  if (kind(body) == kOther) return skip(skip(body, kOther), kNewline);
  return newlines_or_blanks();
}

// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last newline of the run of blanks.
std::size_t WordSplitter::newlines_or_blanks() const noexcept {
  const std::size_t run = skip(pos_, kBlank | kNewline);
  const std::size_t newline = text_.substr(pos_, run - pos_).find_last_of("\r\n");
  return newline != std::string_view::npos ? pos_ + newline + 1 : blanks();
}

// The end of the run of characters of a class.
std::size_t WordSplitter::skip_class(std::size_t pos, std::uint8_t bits) const noexcept {
  while (pos < end_) {
    const CodePoint c = decode_utf8(text_, pos);
    if (((*classes_)[c.value] & bits) == 0) break;
    pos += c.bytes;
  }
  return pos;
}

// The end of U*L+ at pos, or pos. Where nothing of L follows the run of U, the run gives back characters until one is of
// L too: the match then ends after the last one of them.
std::size_t WordSplitter::upper_lower(std::size_t pos) const noexcept {
  std::size_t both = pos, at = pos;  // the end of the last character of U and L
  while (at < end_) {
    const CodePoint c = decode_utf8(text_, at);
    const std::uint8_t bits = (*classes_)[c.value];
    if ((bits & kUpper) == 0) break;
    at += c.bytes;
    if ((bits & kLower) != 0) both = at;
  }
  const std::size_t end = skip_class(at, kLower);
  return end > at ? end : both;
}

std::size_t WordSplitter::tekken_word() const {
  const Char first = at(pos_);
  const std::size_t second = pos_ + first.bytes;
  const bool leads = (first.kind & (kBlank | kOther)) != 0;
  if (leads)
    if (const std::size_t end = upper_lower(second); end != second) return end;
  if (const std::size_t end = upper_lower(pos_); end != pos_) return end;
  // U+L* : no L follows the run of U here.
  if (leads)
    if (const std::size_t end = skip_class(second, kUpper); end != second) return end;
  if (const std::size_t end = skip_class(pos_, kUpper); end != pos_) return end;
  if (first.kind == kNum) return second;
  const std::size_t body = text_[pos_] == ' ' ? second : pos_;
  if (kind(body) != kOther) return newlines_or_blanks();
  std::size_t end = skip(body, kOther);
  while (end < end_ && (kind(end) == kNewline || text_[end] == '/')) ++end;
  return end;
}

}  // namespace frugal::text
