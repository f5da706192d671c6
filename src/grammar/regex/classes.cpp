#include "grammar/regex/tree.hpp"
#include "text/unicode.hpp"

namespace frugal::grammar {

namespace {

CodePoints of_class(std::uint8_t bits) {
  const text::ClassTable& table = text::ClassTable::instance();
  std::vector<CodePoints::Range> ranges;
  for (std::uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if ((table[static_cast<std::int32_t>(c)] & bits) == 0) continue;
    if (!ranges.empty() && ranges.back().last + 1 == c) {
      ranges.back().last = c;
    } else {
      ranges.push_back({c, c});
    }
  }
  return CodePoints::of(std::move(ranges));
}

}  // namespace

CodePoints digits() { return CodePoints::of({{'0', '9'}}); }
CodePoints word() { return CodePoints::of({{'0', '9'}, {'A', 'Z'}, {'a', 'z'}, {'_', '_'}}); }
CodePoints ascii_blanks() { return CodePoints::of({{9, 10}, {12, 13}, {' ', ' '}}); }
CodePoints blanks() {
  return CodePoints::of({{9, 13},
                         {' ', ' '},
                         {0xA0, 0xA0},
                         {0x1680, 0x1680},
                         {0x2000, 0x200A},
                         {0x2028, 0x2029},
                         {0x202F, 0x202F},
                         {0x205F, 0x205F},
                         {0x3000, 0x3000},
                         {0xFEFF, 0xFEFF}});
}

CodePoints unicode_property(std::string_view name, std::size_t at) {
  static const CodePoints letters = of_class(text::kLetter), numbers = of_class(text::kNumber);
  for (const std::string_view key : {"gc=", "General_Category="}) {
    if (name.starts_with(key)) name.remove_prefix(key.size());
  }
  if (name == "L" || name == "Letter") return letters;
  if (name == "N" || name == "Number") return numbers;
  if (name == "ASCII") return CodePoints::of({{0, 0x7F}});
  if (name == "Any") return CodePoints::all();
  throw RegexFault{"the Unicode property " + std::string(name), at};
}

}  // namespace frugal::grammar
