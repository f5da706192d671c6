#include "grammar/ebnf/reader.hpp"

#include <algorithm>

namespace frugal::grammar {

using Kind = EbnfNode::Kind;

void ebnf_fault(std::string_view text, std::size_t at, const std::string& what) {
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(at, text.size())), '\n');
  throw Error(Errc::invalid_argument, "grammar: line " + std::to_string(line) + ": " + what);
}

EbnfNode EbnfReader::alternatives() {
  if (++depth_ > program_.limits.source_depth) fail("groups nested too deep");
  EbnfNode choice{Kind::choice};
  do {
    choice.parts.push_back(sequence());
  } while (next_alternative());
  --depth_;
  return choice;
}

EbnfNode EbnfReader::sequence() {
  EbnfNode list{Kind::sequence};
  while (!sequence_ends()) {
    EbnfNode item = atom();
    while (repeat(item)) continue;
    list.parts.push_back(std::move(item));
  }
  return list;
}

bool EbnfReader::repeat(EbnfNode& item) {
  constexpr std::size_t kMostRepeats = 10'000;
  std::uint32_t least = 0, most = kUnbounded;
  if (take("+")) {
    least = 1;
  } else if (take("?")) {
    most = 1;
  } else if (!take("*") && !bounds(least, most)) {
    return false;
  }
  if (++repeats_ > kMostRepeats) fail("too many repeats");
  EbnfNode repeat{Kind::repeat};
  repeat.least = least;
  repeat.most = most;
  repeat.at = item.at;
  repeat.parts.push_back(std::move(item));
  item = std::move(repeat);
  return true;
}

std::string EbnfReader::name() {
  const std::size_t begin = at_;
  while (is_name(peek())) ++at_;
  if (at_ == begin) fail("a rule's name is missing");
  return std::string(text_.substr(begin, at_ - begin));
}

std::optional<std::uint32_t> EbnfReader::number() {
  std::uint64_t n = 0;
  const std::size_t begin = at_;
  for (; peek() >= '0' && peek() <= '9'; ++at_)
    n = std::min<std::uint64_t>(n * 10 + static_cast<std::uint64_t>(peek() - '0'), kUnbounded);
  if (n > program_.limits.repeat) fail("the number is too large");
  return at_ == begin ? std::nullopt : std::optional(static_cast<std::uint32_t>(n));
}

void EbnfReader::blanks(bool lines) {
  while (at_ < text_.size()) {
    if (comment_begins()) {
      while (at_ < text_.size() && peek() != '\n') ++at_;
    } else if (peek() == ' ' || peek() == '\t' || (lines && (peek() == '\n' || peek() == '\r'))) {
      ++at_;
    } else {
      return;
    }
  }
}

}  // namespace frugal::grammar
