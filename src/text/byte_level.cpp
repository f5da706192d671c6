// Byte-level BPE: words by the family's regex, then merges over the bytes of each word.
#include "text/bpe.hpp"
#include "text/pretokenize.hpp"
#include "text/segment_encoder.hpp"
#include "text/unicode.hpp"

#include <algorithm>

namespace frugal::text {
namespace {

/// What the end of a text tells about borders: see ByteLevelEncoder::sure_limit.
struct Ends {
  std::size_t whole = 0;    ///< end of the last whole character
  std::size_t words = 0;    ///< end of the last character that is not blank
  std::size_t starter = 0;  ///< begin of the last character that starts a new normal form
  std::size_t cased = 0;    ///< begin of the run of letters and marks at the end, with the character before it
};

Ends ends_of(std::string_view text) {
  const ClassTable& classes = ClassTable::instance();
  Ends ends;
  std::size_t before = 0;  // begin of the character before
  bool in_run = false;
  while (ends.whole < text.size()) {
    const CodePoint c = decode_utf8(text, ends.whole);
    if (c.value < 0 && utf8_prefix(text, ends.whole).open) break;
    const std::uint8_t bits = classes[c.value];
    if ((bits & kUnstable) == 0) ends.starter = ends.whole;
    const bool cased = (bits & (kUpper | kLower)) != 0;
    if (!in_run) ends.cased = before;
    in_run = cased;
    before = ends.whole;
    ends.whole += c.bytes;
    if ((bits & kSpace) == 0) ends.words = ends.whole;
  }
  if (!in_run) ends.cased = ends.whole;
  return ends;
}

/// Where the bytes of a text are in its normal form C.
class NormalizedPlaces {
 public:
  explicit NormalizedPlaces(std::string_view text) : text_(text) {}

  /// The ranges in the normal form. A range whose edge lies inside a composed character includes all of it.
  std::vector<TextRange> of(std::span<const TextRange> ranges) {
    std::vector<TextRange> out;
    for (const TextRange& r : ranges) {
      if (r.begin == r.end) continue;
      go_to(r.begin);
      const std::size_t begin = changed_ ? to_ : to_ + (r.begin - from_);
      go_to(r.end - 1);
      out.push_back({begin, changed_ ? to_ + to_size_ : to_ + (r.end - from_)});
    }
    return out;
  }

 private:
  // Moves on to the chunk that holds the byte `at`. A chunk begins at a character that no character before it changes,
  // so the normal form of the text is the chunks' normal forms joined.
  void go_to(std::size_t at) {
    while (from_ + size_ <= at) {
      from_ += size_;
      to_ += to_size_;
      const std::string_view chunk = text_.substr(from_, chunk_bytes());
      const std::string nfc = to_nfc(chunk);
      size_ = chunk.size();
      to_size_ = nfc.size();
      changed_ = nfc != chunk;
    }
  }

  std::size_t chunk_bytes() const {
    std::size_t end = from_ + decode_utf8(text_, from_).bytes;
    while (end < text_.size()) {
      const CodePoint c = decode_utf8(text_, end);
      if ((ClassTable::instance()[c.value] & kUnstable) == 0) break;
      end += c.bytes;
    }
    return end - from_;
  }

  std::string_view text_;
  std::size_t from_ = 0, size_ = 0, to_ = 0, to_size_ = 0;  // the chunk in the text, and in the normal form
  bool changed_ = false;
};

class ByteLevelEncoder final : public SegmentEncoder {
 public:
  ByteLevelEncoder(const BpeVocabulary& v, const std::vector<std::string>& bytes, const TokenIds& ids)
      : bpe_(mergeable_words(v, bytes), resolve_merges(v, ids), byte_options(v, ids)), pre_(v.pre), nfc_(v.nfc) {}

  std::string_view normalize(std::string_view segment, Before, std::string& room) const override {
    if (!nfc_ || is_surely_nfc(segment)) return segment;
    return room = to_nfc(segment);
  }

  std::vector<TextRange> normalized_ranges(std::string_view segment, Before,
                                           std::span<const TextRange> ranges) const override {
    if (!nfc_ || is_surely_nfc(segment)) return {ranges.begin(), ranges.end()};
    return NormalizedPlaces(segment).of(ranges);
  }

  void encode(std::string_view segment, Before, std::vector<Token>& out) const override {
    WordSplitter splitter(pre_, segment);
    for (std::string_view word; splitter.next(word);) bpe_.encode(word, out);
  }

  // Not after a blank: by itself a run of blanks keeps the last one, which it would leave to a word.
  void borders(std::string_view segment, const std::function<void(std::size_t)>& border) const override {
    WordSplitter splitter(pre_, segment);
    std::size_t at = 0;
    for (std::string_view word; splitter.next(word);) {
      at += word.size();
      if (!ends_in_blank(segment.substr(0, at))) border(at);
    }
  }

  // Beyond it a border may still move: a contraction reads three bytes ahead ("'r" becomes "'re"), a run of blanks gives
  // its last one to the word that follows, an unfinished character becomes something else, under normal form C a mark
  // changes the character before it, and Tekken cuts a run of letters by what stands at its end.
  std::size_t sure_limit(std::string_view text) const override {
    const Ends ends = ends_of(text);
    std::size_t limit = std::min(ends.whole - std::min<std::size_t>(ends.whole, 2), ends.words);
    if (nfc_) limit = std::min(limit, ends.starter);
    if (pre_ == PreTokenizer::tekken) limit = std::min(limit, ends.cased);
    return limit;
  }

  bool alike_after_special() const override { return true; }
  bool drops_leading_space() const override { return false; }

 private:
  static bool ends_in_blank(std::string_view text) {
    std::size_t at = text.size();
    while (at > 0 && (static_cast<unsigned char>(text[--at]) & 0xC0U) == 0x80) continue;
    return at < text.size() && (ClassTable::instance()[decode_utf8(text, at).value] & kSpace) != 0;
  }

  Bpe bpe_;
  PreTokenizer pre_;
  bool nfc_;
};

}  // namespace

std::unique_ptr<const SegmentEncoder> byte_level_encoder(const BpeVocabulary& vocabulary,
                                                         const std::vector<std::string>& bytes) {
  return std::make_unique<const ByteLevelEncoder>(vocabulary, bytes, token_ids(vocabulary));
}

}  // namespace frugal::text
