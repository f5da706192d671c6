// Normal form C: decompose canonically, sort marks by combining class, compose again. Hangul by arithmetic.
#include "text/unicode.hpp"
#include "text/unicode_tables.hpp"

#include <algorithm>
#include <unordered_map>

namespace frugal::text {
namespace {

constexpr std::int32_t kSyllables = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11A7;
constexpr std::int32_t kLeads = 19, kVowels = 21, kTrails = 28, kAllSyllables = kLeads * kVowels * kTrails;

/// A character on its way; below zero it is the byte -1 - value of no character.
struct Mark {
  std::int32_t value;
  std::uint8_t combining;
};

class NfcTables {
 public:
  static const NfcTables& instance() {
    static const NfcTables tables;
    return tables;
  }
  const Decomposition* decomposition(std::int32_t c) const {
    const auto at = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                                     [](const Decomposition& d, std::int32_t value) { return d.composite < value; });
    return at != std::end(kDecompositions) && at->composite == c ? at : nullptr;
  }
  std::uint8_t combining(std::int32_t c) const {
    const auto found = combining_.find(c);
    return found == combining_.end() ? std::uint8_t{0} : found->second;
  }
  /// The composite of two characters, or 0.
  std::int32_t composite(std::int32_t first, std::int32_t second) const {
    if (first < 0 || second < 0) return 0;
    const std::int32_t l = first - kLead, v = second - kVowel, s = first - kSyllables, t = second - kTrail;
    if (l >= 0 && l < kLeads && v >= 0 && v < kVowels) return kSyllables + (l * kVowels + v) * kTrails;
    if (s >= 0 && s < kAllSyllables && s % kTrails == 0 && t > 0 && t < kTrails) return first + t;
    const auto found = composites_.find(key(first, second));
    return found == composites_.end() ? 0 : found->second;
  }

 private:
  NfcTables() {
    for (const ValueRange& range : kCombiningRanges)
      for (std::int32_t c = range.first; c <= range.last; ++c) combining_.emplace(c, range.value);
    for (const Decomposition& d : kDecompositions)
      if (d.recomposes != 0) composites_.emplace(key(d.first, d.second), d.composite);
  }
  static std::uint64_t key(std::int32_t first, std::int32_t second) {
    return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint32_t>(second);
  }
  std::unordered_map<std::int32_t, std::uint8_t> combining_;
  std::unordered_map<std::uint64_t, std::int32_t> composites_;
};

void decompose(const NfcTables& tables, std::int32_t c, std::vector<Mark>& out) {
  if (const std::int32_t s = c - kSyllables; s >= 0 && s < kAllSyllables) {
    out.push_back({kLead + s / (kVowels * kTrails), 0});
    out.push_back({kVowel + s / kTrails % kVowels, 0});
    if (s % kTrails != 0) out.push_back({kTrail + s % kTrails, 0});
    return;
  }
  const Decomposition* d = c < 0 ? nullptr : tables.decomposition(c);
  if (d == nullptr) return out.push_back({c, tables.combining(c)});
  decompose(tables, d->first, out);
  if (d->second != 0) decompose(tables, d->second, out);
}

std::vector<Mark> decomposed(const NfcTables& tables, std::string_view text) {
  std::vector<Mark> out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode_utf8(text, at);
    decompose(tables, c.value < 0 ? -1 - static_cast<unsigned char>(text[at]) : c.value, out);
    at += c.bytes;
  }
  return out;
}

void order(std::vector<Mark>& marks) {
  for (auto at = marks.begin(); at != marks.end();) {
    if (at->combining == 0) {
      ++at;
      continue;
    }
    const auto end = std::find_if(at, marks.end(), [](const Mark& m) { return m.combining == 0; });
    std::stable_sort(at, end, [](const Mark& a, const Mark& b) { return a.combining < b.combining; });
    at = end;
  }
}

/// Composes in place: a mark joins the last starter unless one of its own class or higher stands between them.
void compose(const NfcTables& tables, std::vector<Mark>& marks) {
  std::size_t kept = 0, starter = 0;
  bool has_starter = false;
  for (const Mark mark : marks) {
    const bool blocked = kept > 0 && kept - 1 != starter && marks[kept - 1].combining >= mark.combining;
    const std::int32_t whole = has_starter && !blocked ? tables.composite(marks[starter].value, mark.value) : 0;
    if (whole != 0) {
      marks[starter].value = whole;
      continue;
    }
    if (mark.combining == 0) {
      starter = kept;
      has_starter = true;
    }
    marks[kept++] = mark;
  }
  marks.resize(kept, Mark{});
}

}  // namespace

bool is_surely_nfc(std::string_view text) noexcept {
  const ClassTable& classes = ClassTable::instance();
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const CodePoint c = decode_utf8(text, at);
    if ((classes[c.value] & kUnstable) != 0) return false;
    at += c.bytes;
  }
  return true;
}

std::string to_nfc(std::string_view text) {
  const NfcTables& tables = NfcTables::instance();
  std::vector<Mark> marks = decomposed(tables, text);
  order(marks);
  compose(tables, marks);
  std::string out;
  out.reserve(text.size());
  for (const Mark& mark : marks) {
    if (mark.value < 0)
      out.push_back(static_cast<char>(-1 - mark.value));
    else
      append_utf8(out, mark.value);
  }
  return out;
}

}  // namespace frugal::text
