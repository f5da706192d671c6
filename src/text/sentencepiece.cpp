// SentencePiece BPE: merges over the characters of the text, a character without a token as its bytes.
//
// Tokens write a space as U+2581. Here both stand for the space, so that text need not be rewritten before it is
// encoded. Where no token holds a space after another character, no merge crosses the border before a space: the text
// is then encoded word by word, which gives the same tokens in less time.
#include "text/bpe.hpp"
#include "text/segment_encoder.hpp"
#include "text/unicode.hpp"

#include <algorithm>

namespace frugal::text {
namespace {

using Spaces = BpeVocabulary::Spaces;

/// Whether a word can begin at each space: no merge gives a space after something else.
bool cuts_before_spaces(const std::vector<Bpe::Merge>& merges, const std::vector<std::string>& bytes) {
  return std::none_of(merges.begin(), merges.end(), [&](const Bpe::Merge& merge) {
    const std::string& word = bytes[static_cast<std::size_t>(merge.whole)];
    const std::size_t first = word.find_first_not_of(' ');
    return first != std::string::npos && word.find(' ', first) != std::string::npos;
  });
}

class SentencePieceEncoder final : public SegmentEncoder {
 public:
  SentencePieceEncoder(const BpeVocabulary& v, const std::vector<std::string>& bytes,
                       const std::vector<Bpe::Merge>& merges)
      : bpe_(mergeable_words(v, bytes), merges, character_options(v, bytes)),
        spaces_(v.spaces),
        by_word_(spaces_.cut_each || cuts_before_spaces(merges, bytes)) {}

  std::string_view normalize(std::string_view segment, Before before, std::string& room) const override {
    const bool put = spaces_.in_normalizer && takes_space(segment, before);
    if (!put && segment.find(space_mark) == std::string_view::npos) return segment;
    return room = (put ? " " : "") + without_marks(segment);
  }

  std::vector<TextRange> normalized_ranges(std::string_view segment, Before before,
                                           std::span<const TextRange> ranges) const override {
    const bool put = spaces_.in_normalizer && takes_space(segment, before);
    std::vector<TextRange> out;
    std::size_t from = 0, to = put ? 1 : 0;  // places that correspond
    const auto place = [&](std::size_t at) {
      to += without_marks(segment.substr(from, at - from)).size();
      from = at;
      return to;
    };
    for (const TextRange& r : ranges)
      if (r.begin < r.end) {
        const std::size_t begin = place(r.begin);
        out.push_back({begin, place(r.end)});
      }
    return out;
  }

  void encode(std::string_view segment, Before before, std::vector<Token>& out) const override {
    std::string room;
    if (!spaces_.in_normalizer && takes_space(segment, before)) segment = room = " " + std::string(segment);
    for (std::size_t at = 0; at < segment.size();) {
      const std::size_t end = word_end(segment, at);
      bpe_.encode(segment.substr(at, end - at), out);
      at = end;
    }
  }

  void borders(std::string_view segment, const std::function<void(std::size_t)>& border) const override {
    if (!by_word_) return;
    for (std::size_t at = 0, end = 0; at < segment.size(); at = end) {
      end = next_border(segment, at);
      if (end < segment.size()) border(end);
    }
  }

  std::size_t sure_limit(std::string_view text) const override { return by_word_ ? text.size() : 0; }
  bool alike_after_special() const override { return spaces_.prefix != Spaces::Prefix::always; }
  bool drops_leading_space() const override { return spaces_.drop_leading; }

 private:
  bool takes_space(std::string_view segment, Before before) const {
    if (spaces_.prefix == Spaces::Prefix::never || segment.empty()) return false;
    if (before == Before::text || (spaces_.prefix == Spaces::Prefix::first && before == Before::special)) return false;
    return spaces_.even_before_space || !(segment.starts_with(' ') || segment.starts_with(space_mark));
  }

  /// The end of the word at `at`: the next space after something else, or each space where the model cuts there.
  std::size_t word_end(std::string_view text, std::size_t at) const {
    if (!by_word_) return text.size();
    if (spaces_.cut_each) return std::min(text.find(' ', at + 1), text.size());
    return next_border(text, at);
  }

  static std::size_t next_border(std::string_view text, std::size_t at) {
    return std::min(text.find(' ', text.find_first_not_of(' ', at)), text.size());
  }

  Bpe bpe_;
  Spaces spaces_;
  bool by_word_;
};

}  // namespace

std::unique_ptr<const SegmentEncoder> sentencepiece_encoder(const BpeVocabulary& vocabulary,
                                                            const std::vector<std::string>& bytes) {
  const std::vector<Bpe::Merge> merges = vocabulary.scores.empty()
                                             ? resolve_merges(vocabulary, token_ids(vocabulary))
                                             : merges_by_score(vocabulary, mergeable_words(vocabulary, bytes));
  return std::make_unique<const SentencePieceEncoder>(vocabulary, bytes, merges);
}

}  // namespace frugal::text
