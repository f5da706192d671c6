#include "grammar/regex/alphabet.hpp"

#include "text/unicode.hpp"

#include <algorithm>
#include <map>

namespace frugal::grammar {

namespace {

using Range = CodePoints::Range;

ByteSet hex_digit(std::uint32_t value) {
  if (value < 10) return ByteSet::one(static_cast<std::uint8_t>('0' + value));
  ByteSet both = ByteSet::one(static_cast<std::uint8_t>('a' + value - 10));
  both.add(static_cast<std::uint8_t>('A' + value - 10));
  return both;
}

// Spells the numbers of `set` as `digits` digits of `bits` bits; spell(digit, place) gives the bytes of one digit.
// Digits that are followed by the same are taken together, so a set of many ranges stays a small tree.
template <class Spell>
ExprId digits(ExprStore& store, const CodePoints& set, unsigned places, unsigned bits, const Spell& spell) {
  if (places == 0) return set.empty() ? kNothing : kEmptyText;
  const unsigned shift = bits * (places - 1);
  std::map<ExprId, ByteSet> by_tail;
  std::uint32_t digit = 0;
  for (std::size_t i = 0; i < set.ranges.size();) {
    digit = std::max(digit, set.ranges[i].first >> shift);
    const std::uint32_t base = digit << shift, top = base + ((1U << shift) - 1);
    CodePoints tail;
    std::size_t j = i;
    for (; j < set.ranges.size() && set.ranges[j].first <= top; ++j) {
      tail.ranges.push_back({std::max(set.ranges[j].first, base) - base, std::min(set.ranges[j].last, top) - base});
    }
    const ExprId rest = digits(store, tail, places - 1, bits, spell);
    by_tail[rest] |= spell(digit, places - 1);
    const bool full = tail.ranges.size() == 1 && tail.ranges[0] == Range{0, (1U << shift) - 1};
    if (full) {  // so are the next digits, up to the range's last
      const std::uint32_t until = (set.ranges[j - 1].last + 1) >> shift;
      for (++digit; digit < until; ++digit) by_tail[rest] |= spell(digit, places - 1);
    } else {
      ++digit;
    }
    while (i < set.ranges.size() && (set.ranges[i].last >> shift) < digit) ++i;
  }
  std::vector<ExprId> parts;
  for (const auto& [rest, bytes] : by_tail) parts.push_back(store.concat(store.bytes(bytes), rest));
  return store.any_of(std::move(parts));
}

ExprId utf8_of_length(ExprStore& store, const CodePoints& set, unsigned length) {
  static constexpr std::uint32_t kLead[] = {0x00, 0xC0, 0xE0, 0xF0};
  const auto spell = [&](std::uint32_t digit, unsigned place) {
    const std::uint32_t lead = place + 1 == length ? kLead[length - 1] : 0x80;
    return ByteSet::one(static_cast<std::uint8_t>(lead | digit));
  };
  return digits(store, set, length, 6, spell);
}

ExprId utf8(ExprStore& store, const CodePoints& set) {
  static const CodePoints kLengths[] = {CodePoints::of({{0, 0x7F}}), CodePoints::of({{0x80, 0x7FF}}),
                                        CodePoints::of({{0x800, 0xFFFF}}), CodePoints::of({{0x10000, 0x10FFFF}})};
  std::vector<ExprId> parts;
  ByteSet ascii;
  for (const Range& r : (set & kLengths[0]).ranges) ascii |= ByteSet::range(r.first, r.last);
  parts.push_back(store.bytes(ascii));
  for (unsigned n = 2; n <= 4; ++n) parts.push_back(utf8_of_length(store, set & kLengths[n - 1], n));
  return store.any_of(std::move(parts));
}

ExprId four_hex(ExprStore& store, const CodePoints& set) {
  return digits(store, set, 4, 4, [](std::uint32_t digit, unsigned) { return hex_digit(digit); });
}

// Ranges of 16-bit units, surrogates among them, which CodePoints::of would leave out.
ExprId hex_unit(ExprStore& store, std::uint32_t first, std::uint32_t last) {
  return four_hex(store, CodePoints{{{first, last}}});
}

ExprId surrogate_pairs(ExprStore& store, const CodePoints& set) {
  std::map<ExprId, CodePoints> by_low;  // the low half, and the high halves that go with it
  const ExprId mark = store.literal("\\u");
  const auto add = [&](std::uint32_t high_first, std::uint32_t high_last, std::uint32_t low_first,
                       std::uint32_t low_last) {
    by_low[hex_unit(store, 0xDC00 + low_first, 0xDC00 + low_last)].ranges.push_back(
        {0xD800 + high_first, 0xD800 + high_last});
  };
  for (const Range& r : set.ranges) {
    const std::uint32_t first = r.first - 0x10000, last = r.last - 0x10000;
    std::uint32_t high = first >> 10;
    if ((last >> 10) == high) {
      add(high, high, first & 0x3FF, last & 0x3FF);
      continue;
    }
    if ((first & 0x3FF) != 0) add(high, high, first & 0x3FF, 0x3FF), ++high;
    const bool whole_last = (last & 0x3FF) == 0x3FF;
    const std::uint32_t full_to = (last >> 10) + (whole_last ? 1 : 0);
    if (high < full_to) add(high, full_to - 1, 0, 0x3FF);
    if (!whole_last) add(last >> 10, last >> 10, 0, last & 0x3FF);
  }
  std::vector<ExprId> parts;
  for (auto& [low, high] : by_low) {
    std::sort(high.ranges.begin(), high.ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
    std::vector<ExprId> highs;
    for (const Range& r : high.ranges) highs.push_back(hex_unit(store, r.first, r.last));
    parts.push_back(store.concat({mark, store.any_of(std::move(highs)), mark, low}));
  }
  return store.any_of(std::move(parts));
}

constexpr std::pair<char, std::uint32_t> kShort[] = {{'"', '"'}, {'\\', '\\'}, {'b', 8}, {'f', 12},
                                                     {'n', 10},  {'r', 13},    {'t', 9}};

const CodePoints& written_as_is() {
  static const CodePoints set = CodePoints::all() - CodePoints::of({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  return set;
}

ExprId json(ExprStore& store, const CodePoints& set) {
  static const CodePoints kUnits = CodePoints::of({{0, 0x1F}, {0x7F, 0xFFFF}});
  ByteSet letters;
  for (const auto& [letter, value] : kShort) {
    if (set.has(value)) letters.add(static_cast<std::uint8_t>(letter));
  }
  const ExprId unit = store.concat(store.byte('u'), four_hex(store, set & kUnits));
  const ExprId escaped = store.concat(store.byte('\\'), store.any_of({store.bytes(letters), unit}));
  return store.any_of({utf8(store, set & written_as_is()), escaped,
                       surrogate_pairs(store, set & CodePoints::of({{0x10000, 0x10FFFF}}))});
}

}  // namespace

Alphabet::Alphabet(ExprStore& store, Spelling spelling) : store_(store), spelling_(spelling) {
  end_ = spelling == Spelling::json ? store.byte('"') : kEmptyText;
  any_ = one_of(CodePoints::all());
  text_ = store.concat(store.star(any_), end_);
}

ExprId Alphabet::one_of(const CodePoints& set) const {
  return spelling_ == Spelling::json ? json(store_, set) : utf8(store_, set);
}

ExprId Alphabet::literal(std::string_view text) const {
  if (spelling_ == Spelling::utf8) return store_.literal(text);
  ExprId e = kEmptyText;
  std::vector<ExprId> letters;
  for (std::size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::decode_utf8(text, at);
    letters.push_back(c.value < 0 ? kNothing : one_of(CodePoints::one(static_cast<std::uint32_t>(c.value))));
    at += c.bytes;
  }
  for (std::size_t i = letters.size(); i-- > 0;) e = store_.concat(letters[i], e);
  return e;
}

bool Alphabet::ends(ExprId e) const {
  return spelling_ == Spelling::json ? store_.accepts(store_.step(e, '"')) : store_.accepts(e);
}

ExprId json_character(ExprStore& store) {
  const ExprId unit = store.any_of({hex_unit(store, 0, 0xD7FF), hex_unit(store, 0xE000, 0xFFFF)});
  ByteSet letters;
  for (const char c : std::string_view("\"\\/bfnrt")) letters.add(static_cast<std::uint8_t>(c));
  return store.any_of(
      {utf8(store, written_as_is()),
       store.concat(store.byte('\\'), store.any_of({store.bytes(letters), store.concat(store.byte('u'), unit)})),
       surrogate_pairs(store, CodePoints::of({{0x10000, 0x10FFFF}}))});
}

std::string json_spelling(std::string_view text, bool ascii) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  const auto unit = [&](std::uint32_t u) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(u >> shift) & 15];
  };
  for (std::size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::decode_utf8(text, at);
    const auto value = static_cast<std::uint32_t>(c.value);
    const auto* quick =
        std::find_if(std::begin(kShort), std::end(kShort), [&](const auto& s) { return s.second == value; });
    if (c.value >= 0 && quick != std::end(kShort)) {
      out += '\\';
      out += quick->first;
    } else if (c.value < 0 || (value >= 0x20 && (value < 0x7F || !ascii))) {
      out += text.substr(at, c.bytes);
    } else if (value > 0xFFFF) {
      unit(0xD800 + ((value - 0x10000) >> 10));
      unit(0xDC00 + ((value - 0x10000) & 0x3FF));
    } else {
      unit(value);
    }
    at += c.bytes;
  }
  return out;
}

}  // namespace frugal::grammar
