// Encoding: special tokens are cut out first, the text between them is normalised, split into words and merged.
#include "text/bpe.hpp"
#include "text/pretokenize.hpp"
#include "text/tokenizer_special.hpp"
#include "text/tokenizer_vocabulary.hpp"
#include "text/unicode.hpp"

#include <frugal/core/error.hpp>
#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <deque>

namespace frugal {
namespace {

using Kind = BpeVocabulary::Kind;
enum Flag : std::uint8_t { kControl = 1, kSpecial = 2, kEnds = 4 };

std::vector<std::uint8_t> token_flags(const BpeVocabulary& v) {
  std::vector<std::uint8_t> flags(v.tokens.size());
  for (std::size_t id = 0; id < flags.size(); ++id) {
    const Kind kind = text::kind_of(v, id);
    if (kind == Kind::control) flags[id] = kControl | kSpecial;
    if (kind == Kind::user_defined) flags[id] = kSpecial;
  }
  const auto end = [&flags](Token token) { flags[static_cast<std::size_t>(token)] |= kEnds; };
  for (const Token token : v.end_tokens) end(token);
  if (v.eos) end(*v.eos);
  if (v.eot) end(*v.eot);
  return flags;
}

std::size_t used_tokens(const BpeVocabulary& v) {
  std::size_t n = v.tokens.size();
  while (n > 0 && text::kind_of(v, n - 1) == Kind::unused) --n;
  return n;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(const BpeVocabulary& v) : Impl(v, (text::check_vocabulary(v), text::token_ids(v))) {}
  Impl(const BpeVocabulary& v, const text::TokenIds& ids)
      : bytes(text::token_bytes(v)),
        flags(token_flags(v)),
        used(used_tokens(v)),
        bpe(text::mergeable_words(v, bytes), text::resolve_merges(v, ids), text::bpe_options(v, ids)),
        pre(v.pre),
        bos(v.bos),
        eos(v.eos),
        add_bos(v.add_bos),
        nfc(v.nfc),
        fingerprint(text::vocabulary_fingerprint(v)) {
    add_specials(v);
    by_bytes.reserve(bytes.size());
    for (const bool special : {true, false})
      for (std::size_t id = 0; id < bytes.size(); ++id)
        if (((flags[id] & kSpecial) != 0) == special && !bytes[id].empty())
          by_bytes.emplace(bytes[id], static_cast<Token>(id));
  }

  void add_specials(const BpeVocabulary& v);
  void encode_segment(std::string_view segment, bool controls, std::span<const TextRange> content,
                      std::vector<Token>& out) const;
  void encode_words(std::string_view segment, std::vector<Token>& out) const;
  std::size_t sure_limit(std::string_view text) const;
  bool has(Token token, Flag flag) const noexcept {
    return token >= 0 && static_cast<std::size_t>(token) < flags.size() &&
           (flags[static_cast<std::size_t>(token)] & flag) != 0;
  }
  std::string_view bytes_of(Token token) const {
    if (token >= 0 && static_cast<std::size_t>(token) < bytes.size()) return bytes[static_cast<std::size_t>(token)];
    throw Error(Errc::invalid_argument,
                "token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(bytes.size()));
  }

  std::vector<std::string> bytes;
  std::vector<std::uint8_t> flags;
  std::size_t used;
  text::Bpe bpe;
  text::SpecialMatcher as_written;  // looked for in the text as it comes
  text::SpecialMatcher normalized;  // looked for in the normalised rest
  std::deque<std::string> normalized_literals;
  std::size_t longest_user_defined = 0;  // bytes of the longest literal that is found although specials are not parsed
  std::unordered_map<std::string_view, Token> by_bytes;
  PreTokenizer pre;
  std::optional<Token> bos, eos;
  bool add_bos, nfc;
  std::uint64_t fingerprint;
};

namespace {

/// Some files call the marks of a conversation user-defined tokens; their spelling tells what they are.
bool written_as_mark(std::string_view literal) {
  return (literal.starts_with("<|") && literal.ends_with("|>")) || literal.starts_with("<start_of_") ||
         literal.starts_with("<end_of_");
}

}  // namespace

void Tokenizer::Impl::add_specials(const BpeVocabulary& v) {
  std::unordered_map<Token, BpeVocabulary::Matching> matching;
  for (const auto& m : v.matching) matching.insert_or_assign(m.token, m);
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    const auto token = static_cast<Token>(id);
    if (!has(token, kSpecial)) continue;
    const auto found = matching.find(token);
    const BpeVocabulary::Matching how = found == matching.end() ? BpeVocabulary::Matching{} : found->second;
    const bool mark = has(token, kControl) || has(token, kEnds) || written_as_mark(bytes[id]);
    text::SpecialToken special{token, bytes[id], has(token, kControl), mark, how.lstrip, how.rstrip, how.single_word};
    if (!special.control) longest_user_defined = std::max(longest_user_defined, bytes[id].size());
    if (how.normalized && nfc) special.literal = normalized_literals.emplace_back(text::to_nfc(bytes[id]));
    (how.normalized ? normalized : as_written).add(special);
  }
}

namespace {

/// The ranges inside [begin, end), counted from `begin`.
std::vector<TextRange> ranges_within(std::span<const TextRange> all, std::size_t begin, std::size_t end) {
  std::vector<TextRange> out;
  auto at = std::partition_point(all.begin(), all.end(), [&](const TextRange& r) { return r.end <= begin; });
  for (; at != all.end() && at->begin < end; ++at)
    out.push_back({std::max(at->begin, begin) - begin, std::min(at->end, end) - begin});
  return out;
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
      const std::string nfc = text::to_nfc(chunk);
      size_ = chunk.size();
      to_size_ = nfc.size();
      changed_ = nfc != chunk;
    }
  }

  std::size_t chunk_bytes() const {
    std::size_t end = from_ + text::decode_utf8(text_, from_).bytes;
    while (end < text_.size()) {
      const text::CodePoint c = text::decode_utf8(text_, end);
      if ((text::ClassTable::instance()[c.value] & text::kUnstable) == 0) break;
      end += c.bytes;
    }
    return end - from_;
  }

  std::string_view text_;
  std::size_t from_ = 0, size_ = 0, to_ = 0, to_size_ = 0;  // the chunk in the text, and in the normal form
  bool changed_ = false;
};

/// Calls `special(token)` and `rest(text)` for what a matcher finds and what lies between, in order.
template <class Special, class Rest>
void cut(const text::SpecialMatcher& matcher, std::string_view text, bool controls, std::span<const TextRange> content,
         Special special, Rest rest) {
  std::size_t at = 0;
  for (const auto& found : matcher.find_all(text, controls, content)) {
    if (found.begin > at) rest(text.substr(at, found.begin - at));
    special(found.token);
    at = found.end;
  }
  if (at < text.size()) rest(text.substr(at));
}

}  // namespace

void Tokenizer::Impl::encode_words(std::string_view segment, std::vector<Token>& out) const {
  text::WordSplitter splitter(pre, segment);
  for (std::string_view word; splitter.next(word);) bpe.encode(word, out);
}

void Tokenizer::Impl::encode_segment(std::string_view segment, bool controls, std::span<const TextRange> content,
                                     std::vector<Token>& out) const {
  std::string owned;
  std::vector<TextRange> moved;
  if (nfc && !text::is_surely_nfc(segment)) {
    owned = text::to_nfc(segment);
    if (!normalized.empty()) content = moved = NormalizedPlaces(segment).of(content);
    segment = owned;
  }
  cut(
      normalized, segment, controls, content, [&](Token t) { out.push_back(t); },
      [&](std::string_view rest) { encode_words(rest, out); });
}

namespace {

bool ends_in_blank(std::string_view text) {
  std::size_t at = text.size();
  while (at > 0 && (static_cast<unsigned char>(text[--at]) & 0xC0U) == 0x80) continue;
  return at < text.size() && (text::ClassTable::instance()[text::decode_utf8(text, at).value] & text::kSpace) != 0;
}

}  // namespace

// Beyond it a border may still move: a contraction reads three bytes ahead ("'r" becomes "'re"), a run of blanks gives
// its last one to the word that follows, an unfinished character and the beginning of a user-defined token become
// something else, and under normal form C a mark changes the character before it.
std::size_t Tokenizer::Impl::sure_limit(std::string_view text) const {
  const text::ClassTable& classes = text::ClassTable::instance();
  std::size_t whole = 0, words = 0, starter = 0;  // ends of whole characters and of the last word, the last starter
  while (whole < text.size()) {
    const text::CodePoint c = text::decode_utf8(text, whole);
    if (c.value < 0 && text::utf8_prefix(text, whole).open) break;
    const std::uint8_t bits = classes[c.value];
    if ((bits & text::kUnstable) == 0) starter = whole;
    whole += c.bytes;
    if ((bits & text::kSpace) == 0) words = whole;
  }
  const std::size_t ahead = std::max<std::size_t>(2, longest_user_defined);
  return std::min({whole - std::min(whole, ahead), words, nfc ? starter : whole});
}

std::size_t Tokenizer::settled_bytes(std::string_view text) const {
  const std::size_t limit = impl_->sure_limit(text);
  std::size_t settled = 0, at = 0;
  bool sure = true;
  // Not after a blank: by itself a run of blanks keeps the last one that it would leave to a word.
  const auto move_to = [&](std::size_t end) {
    at = end;
    if (sure && at <= limit && !ends_in_blank(text.substr(0, at))) settled = at;
  };
  const auto words = [&](std::string_view piece) {
    text::WordSplitter splitter(impl_->pre, piece);
    for (std::string_view word; splitter.next(word);) move_to(at + word.size());
  };
  const auto pieces = [&](const text::SpecialMatcher& matcher, std::string_view whole, auto rest) {
    std::size_t from = 0;
    for (const auto& found : matcher.find_all(whole, false)) {
      if (found.begin > from) rest(whole.substr(from, found.begin - from));
      move_to(at + (found.end - found.begin));
      from = found.end;
    }
    if (from < whole.size()) rest(whole.substr(from));
  };
  pieces(impl_->as_written, text, [&](std::string_view piece) {
    if (impl_->nfc && !text::is_surely_nfc(piece) && text::to_nfc(piece) != piece) sure = false;
    pieces(impl_->normalized, piece, words);
  });
  return settled;
}

Tokenizer::Tokenizer(BpeVocabulary vocabulary) : impl_(std::make_unique<const Impl>(vocabulary)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<Token> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<Token> out;
  out.reserve(text.size() / 4 + 4);
  if (options.add_bos.value_or(impl_->add_bos) && impl_->bos) out.push_back(*impl_->bos);
  const bool controls = options.parse_special;
  cut(
      impl_->as_written, text, controls, options.content, [&](Token t) { out.push_back(t); },
      [&](std::string_view rest) {
        std::vector<TextRange> inside;
        const auto begin = static_cast<std::size_t>(rest.data() - text.data());
        if (!impl_->normalized.empty()) inside = ranges_within(options.content, begin, begin + rest.size());
        impl_->encode_segment(rest, controls, inside, out);
      });
  return out;
}

std::string Tokenizer::decode(const std::vector<Token>& tokens, bool keep_special) const {
  std::string out;
  for (const Token token : tokens) {
    const std::string_view piece = impl_->bytes_of(token);
    if (keep_special || !impl_->has(token, kControl)) out += piece;
  }
  return out;
}

std::string_view Tokenizer::bytes(Token token) const { return impl_->bytes_of(token); }
std::size_t Tokenizer::size() const noexcept { return impl_->bytes.size(); }
std::size_t Tokenizer::used() const noexcept { return impl_->used; }
bool Tokenizer::is_special(Token token) const noexcept { return impl_->has(token, kSpecial); }
bool Tokenizer::is_control(Token token) const noexcept { return impl_->has(token, kControl); }
bool Tokenizer::is_end(Token token) const noexcept { return impl_->has(token, kEnds); }
std::optional<Token> Tokenizer::bos() const noexcept { return impl_->bos; }
std::optional<Token> Tokenizer::eos() const noexcept { return impl_->eos; }

std::optional<Token> Tokenizer::find(std::string_view literal) const {
  const auto found = impl_->by_bytes.find(literal);
  return found == impl_->by_bytes.end() ? std::nullopt : std::optional<Token>(found->second);
}

std::uint64_t Tokenizer::fingerprint() const noexcept { return impl_->fingerprint; }

}  // namespace frugal
