// SegmentEncoder: one algorithm that turns the text between special tokens into tokens. Tokenizer owns one, cuts special
// tokens out, and knows nothing else about the algorithm.
//
//   byte level      normal form C where the model asks for it; words by regex; merges over bytes (GPT-2, Llama 3, Qwen)
//   SentencePiece   a space before the text where the model asks for it; merges over characters, bytes as fallback
//                   (Llama 2, Mistral, Gemma, Phi-3)
//
// Immutable after construction; share one between threads.
#pragma once

#include "text/tokenizer_vocabulary.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::text {

/// What stands before a segment.
enum class Before : std::uint8_t { nothing, special, text };

class SegmentEncoder {
 public:
  virtual ~SegmentEncoder() = default;

  /// The segment as special tokens marked "normalized" and encode() see it: a view of `segment` or of `room`.
  virtual std::string_view normalize(std::string_view segment, Before before, std::string& room) const = 0;
  /// Where ranges of the segment are after normalize(). A range whose edge lies inside what changed includes all of it.
  virtual std::vector<TextRange> normalized_ranges(std::string_view segment, Before before,
                                                   std::span<const TextRange> ranges) const = 0;
  /// Appends the tokens of a normalised segment, or of a part of one.
  virtual void encode(std::string_view segment, Before before, std::vector<Token>& out) const = 0;

  /// Calls `border(end)`, rising, for the places where a normalised segment can be cut: encode(segment) = encode(head),
  /// then encode(rest) after text.
  virtual void borders(std::string_view segment, const std::function<void(std::size_t end)>& border) const = 0;
  /// Borders at or before this place of the whole text stay where they are, whatever follows the text. 0 = none is sure.
  virtual std::size_t sure_limit(std::string_view text) const = 0;
  /// Whether text after a special token is encoded as it would be in the middle of a text.
  virtual bool alike_after_special() const = 0;
  /// Whether decoding a whole text drops a leading space, because encoding put it there.
  virtual bool drops_leading_space() const = 0;
};

/// Both keep views of `bytes` (what each token stands for), which must outlive them.
std::unique_ptr<const SegmentEncoder> byte_level_encoder(const BpeVocabulary& vocabulary,
                                                         const std::vector<std::string>& bytes);
std::unique_ptr<const SegmentEncoder> sentencepiece_encoder(const BpeVocabulary& vocabulary,
                                                            const std::vector<std::string>& bytes);

}  // namespace frugal::text
