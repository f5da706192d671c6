// Encoding: special tokens are cut out first; a SegmentEncoder encodes the text between them.
#include "text/segment_encoder.hpp"
#include "text/tokenizer_special.hpp"
#include "text/tokenizer_vocabulary.hpp"

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

namespace {

/// Which special tokens are looked for, and where not.
struct Special {
  bool controls;
  std::span<const TextRange> content;
};

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(const BpeVocabulary& v)
      : bytes((text::check_vocabulary(v), text::token_bytes(v))),
        flags(token_flags(v)),
        used(used_tokens(v)),
        encoder(v.alphabet == BpeVocabulary::Alphabet::characters ? text::sentencepiece_encoder(v, bytes)
                                                                  : text::byte_level_encoder(v, bytes)),
        bos(v.bos),
        eos(v.eos),
        add_bos(v.add_bos),
        add_eos(v.add_eos),
        fingerprint(text::vocabulary_fingerprint(v)) {
    add_specials(v);
    by_bytes.reserve(bytes.size());
    // Where several tokens stand for the same bytes, special ones go first and bytes of a fallback last.
    const auto order = [&](std::size_t id) {
      return (flags[id] & kSpecial) != 0 ? 0 : text::kind_of(v, id) == Kind::byte ? 2 : 1;
    };
    for (const int turn : {0, 1, 2})
      for (std::size_t id = 0; id < bytes.size(); ++id)
        if (order(id) == turn && !bytes[id].empty()) by_bytes.emplace(bytes[id], static_cast<Token>(id));
  }

  void add_specials(const BpeVocabulary& v);
  void encode_segment(std::string_view segment, text::Before before, const Special& special,
                      std::vector<Token>& out) const;
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
  std::unique_ptr<const text::SegmentEncoder> encoder;
  text::SpecialMatcher as_written;  // looked for in the text as it comes
  text::SpecialMatcher normalized;  // looked for in the normalised rest
  std::deque<std::string> literals;
  std::size_t longest_user_defined = 0;  // bytes of the longest literal that is found although specials are not parsed
  std::unordered_map<std::string_view, Token> by_bytes;
  std::optional<Token> bos, eos;
  bool add_bos, add_eos;
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
    std::string& literal = literals.emplace_back(v.tokens[id]);
    if (how.normalized) {
      std::string room;
      literal = std::string(encoder->normalize(literal, text::Before::nothing, room));
    }
    const bool mark = has(token, kControl) || has(token, kEnds) || written_as_mark(v.tokens[id]);
    const text::SpecialToken special{token,      literal,    has(token, kControl), mark,
                                     how.lstrip, how.rstrip, how.single_word};
    if (!special.control) longest_user_defined = std::max(longest_user_defined, literal.size());
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

/// Calls `found(token, end)` and `rest(begin, end)` for what a matcher finds and what lies between, in order.
template <class Match, class Rest>
void cut(const text::SpecialMatcher& matcher, std::string_view text, const Special& special, Match match, Rest rest) {
  std::size_t at = 0;
  for (const auto& found : matcher.find_all(text, special.controls, special.content)) {
    if (found.begin > at) rest(at, found.begin);
    match(found.token, found.end);
    at = found.end;
  }
  if (at < text.size()) rest(at, text.size());
}

}  // namespace

void Tokenizer::Impl::encode_segment(std::string_view segment, text::Before before, const Special& special,
                                     std::vector<Token>& out) const {
  std::string room;
  const std::string_view text = encoder->normalize(segment, before, room);
  std::vector<TextRange> moved;
  if (!normalized.empty()) moved = encoder->normalized_ranges(segment, before, special.content);
  cut(
      normalized, text, {special.controls, moved}, [&](Token t, std::size_t) { out.push_back(t); },
      [&](std::size_t begin, std::size_t end) {
        encoder->encode(text.substr(begin, end - begin), begin == 0 ? before : text::Before::special, out);
      });
}

std::size_t Tokenizer::settled_bytes(std::string_view text) const {
  const text::SegmentEncoder& encoder = *impl_->encoder;
  const std::size_t ahead = impl_->longest_user_defined;
  const std::size_t limit = std::min(encoder.sure_limit(text), text.size() - std::min(text.size(), ahead));
  std::size_t settled = 0;
  const auto settle = [&](std::size_t end) {
    if (end <= limit) settled = end;
  };
  const auto special = [&](Token, std::size_t end) {
    if (encoder.alike_after_special()) settle(end);
  };
  cut(impl_->as_written, text, {false, {}}, special, [&](std::size_t begin, std::size_t end) {
    const std::string_view piece = text.substr(begin, end - begin);
    std::string room;
    if (encoder.normalize(piece, text::Before::text, room) != piece) return;  // borders are elsewhere
    cut(
        impl_->normalized, piece, {false, {}}, [&](Token t, std::size_t at) { special(t, begin + at); },
        [&](std::size_t from, std::size_t to) {
          encoder.borders(piece.substr(from, to - from), [&](std::size_t at) { settle(begin + from + at); });
        });
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
  if (options.add_bos.value_or(impl_->add_bos && !options.continues) && impl_->bos) out.push_back(*impl_->bos);
  const Special special{options.parse_special, options.content};
  const text::Before first = options.continues ? text::Before::text : text::Before::nothing;
  cut(
      impl_->as_written, text, special, [&](Token t, std::size_t) { out.push_back(t); },
      [&](std::size_t begin, std::size_t end) {
        std::vector<TextRange> inside;
        if (!impl_->normalized.empty()) inside = ranges_within(options.content, begin, end);
        impl_->encode_segment(text.substr(begin, end - begin), begin == 0 ? first : text::Before::special,
                              {special.controls, inside}, out);
      });
  const bool own = !options.add_bos && !options.continues && impl_->add_eos;
  if (options.add_eos.value_or(own) && impl_->eos) out.push_back(*impl_->eos);
  return out;
}

std::string Tokenizer::decode(const std::vector<Token>& tokens, DecodeOptions options) const {
  std::string out;
  for (const Token token : tokens) {
    const std::string_view piece = impl_->bytes_of(token);
    if (options.keep_special || !impl_->has(token, kControl)) out += piece;
  }
  if (!options.continues && drops_leading_space() && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

bool Tokenizer::drops_leading_space() const noexcept { return impl_->encoder->drops_leading_space(); }
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
