// Tokenizer: text to token ids and back, exactly as the model was trained with.
//
// Two kinds of byte-pair encoding: byte-level (GPT-2, Llama 3, Qwen) and SentencePiece (Llama 2, Mistral, Gemma, Phi-3).
// Built from the vocabulary inside a GGUF file, from a Hugging Face tokenizer.json or from a SentencePiece
// tokenizer.model. Immutable after construction: share one between any number of threads.
#pragma once

#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal {

/// How text is cut into words before merges apply; each is the published regex of its family, hand-compiled.
enum class PreTokenizer { gpt2, smollm, qwen2, llama3, tekken };

/// The raw material of a tokenizer, as a file holds it.
struct BpeVocabulary {
  enum class Kind : std::uint8_t { normal, control, user_defined, unused, byte };
  /// How a special token is found in text, where the file says more than "as written".
  struct Matching {
    Token token = 0;
    bool lstrip = false, rstrip = false;  ///< takes the blanks before / after it along
    bool single_word = false;             ///< not beside a word character
    bool normalized = false;              ///< looked for after normalisation, where no other special token stands
  };
  /// How tokens spell text: bytes in GPT-2's byte-to-unicode alphabet, or characters with U+2581 for a space and bytes as
  /// fallback (SentencePiece: Kudo and Richardson 2018).
  enum class Alphabet : std::uint8_t { bytes, characters };
  /// SentencePiece's rules for spaces. The defaults are those of a GGUF file of tokenizer model `llama`.
  struct Spaces {
    enum class Prefix : std::uint8_t { never, first, always };
    Prefix prefix = Prefix::always;  ///< a space is put before the text (first), and after each special token (always)
    bool even_before_space = true;   ///< also where a space is there already
    bool in_normalizer = true;       ///< put before "normalized" special tokens are looked for; else after that
    bool cut_each = false;           ///< no merge crosses the border before a space
    bool drop_leading = true;        ///< decode() drops the space in front
  };
  std::vector<std::string> tokens;  ///< index = id; spelled as `alphabet` says, special tokens literally
  std::vector<Kind> kinds;          ///< one a token; empty = all normal
  std::vector<std::pair<std::string, std::string>> merges;  ///< best first
  Alphabet alphabet = Alphabet::bytes;
  PreTokenizer pre = PreTokenizer::gpt2;  ///< of bytes
  Spaces spaces;                          ///< of characters
  std::vector<float> scores;       ///< of characters: one a token; the merges follow from them, `merges` is unused
  std::vector<Matching> matching;  ///< of some control and user-defined tokens
  std::optional<Token> bos, eos, eot, pad;
  std::optional<Token> unknown;   ///< stands for what has no token; none = it is left out
  bool fuse_unknown = false;      ///< neighbouring unknown characters become one token
  std::vector<Token> end_tokens;  ///< generation ends at any of these (eos and eot are added)
  bool add_bos = false;           ///< encode puts bos first unless told otherwise
  bool add_eos = false;           ///< encode puts eos last unless told otherwise
  bool ignore_merges = false;     ///< a word that is itself a token is taken whole (Llama 3)
  bool nfc = false;               ///< text is brought to Unicode normal form C first (Qwen2)
};

/// The bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0, end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

struct EncodeOptions {
  bool parse_special = true;      ///< recognise special tokens written in the text
  std::optional<bool> add_bos{};  ///< none = as the model's file says
  /// Where users speak inside a rendered template, in ascending order. A special token is not recognised there if it is
  /// a control token, ends an answer, or is written as a mark (<|...|>, <start_of_...>): users cannot forge a turn. All
  /// other text gets the tokens it would have without these ranges.
  std::span<const TextRange> content{};
  /// The text goes on where other text ended: nothing is put before it, neither bos nor SentencePiece's leading space.
  bool continues = false;
  std::optional<bool> add_eos{};  ///< none = as the model's file says where add_bos is none as well, else no
};

struct DecodeOptions {
  bool keep_special = false;  ///< control tokens appear as their literal text
  bool continues = false;     ///< the tokens go on where others ended: a leading space belongs to the text
};

class FRUGAL_API Tokenizer {
 public:
  /// Throws Error(bad_model) naming the first inconsistent entry (merge of unknown tokens, id out of range, ...).
  explicit Tokenizer(BpeVocabulary vocabulary);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Any bytes are accepted; invalid UTF-8 is encoded byte by byte. O(n log n) in the longest word.
  std::vector<Token> encode(std::string_view text, EncodeOptions options = {}) const;
  /// How many bytes at the head of `text` are encoded by themselves, whatever follows `text`: a border between words
  /// that no further character can move. Then encode(text + more) = encode(head), then encode(rest + more), all as
  /// continued text and without parsing specials. 0 where nothing is sure. Linear.
  std::size_t settled_bytes(std::string_view text) const;
  /// The bytes of the tokens joined: decode(encode(text)) = text. Special (control) tokens are left out unless asked
  /// for. An id outside the vocabulary throws Error(invalid_argument).
  std::string decode(const std::vector<Token>& tokens, DecodeOptions options = {}) const;
  /// Whether decode() drops one leading space of a whole text, because encode() put it there.
  bool drops_leading_space() const noexcept;
  /// The bytes one token stands for (its literal text for a special one). Lives as long as the tokenizer.
  std::string_view bytes(Token token) const;

  std::size_t size() const noexcept;
  /// size() without the entries marked unused at its end, by which files fill a vocabulary up to a round number.
  std::size_t used() const noexcept;
  bool is_special(Token token) const noexcept;  ///< control or user-defined: matched as a whole in text
  bool is_control(Token token) const noexcept;  ///< never part of visible text
  bool is_end(Token token) const noexcept;      ///< generation ends here
  std::optional<Token> bos() const noexcept;
  std::optional<Token> eos() const noexcept;
  /// The id of a token written literally, e.g. "<|im_end|>".
  std::optional<Token> find(std::string_view literal) const;
  /// Equal for tokenizers that encode alike; the key of a shared prefix tree.
  std::uint64_t fingerprint() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// Reads a Hugging Face tokenizer.json (and beside it, where present, tokenizer_config.json for bos and eos, and
/// special_tokens_map.json, config.json and generation_config.json for the tokens that end an answer). Throws
/// Error(bad_file) with file and offset, or Error(unsupported) naming the tokenizer type, pre-tokenizer or normaliser
/// we lack.
FRUGAL_API Tokenizer load_tokenizer_json(const std::string& file);

/// Reads a SentencePiece tokenizer.model of type BPE and the same files beside it. Throws likewise; a unigram model or
/// one with a character map is Error(unsupported).
FRUGAL_API Tokenizer load_sentencepiece_model(const std::string& file);

/// The pre-tokenizer a GGUF file names ("gpt-2", "smollm", "qwen2", "llama-bpe", ...); none where we lack it.
FRUGAL_API std::optional<PreTokenizer> pre_tokenizer_from_gguf_name(std::string_view name);

}  // namespace frugal
