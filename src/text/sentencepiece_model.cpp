// Reads a SentencePiece tokenizer.model: a protocol buffer message ModelProto (sentencepiece_model.proto) with the pieces,
// what the trainer was told and how text is normalised. Only the fields that decide how a BPE model encodes are read; the
// wire format is protobuf's (varints, 32 and 64 bits, length-delimited).
#include "text/tokenizer_json.hpp"
#include "text/tokenizer_vocabulary.hpp"

#include "core/read_file.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstring>

namespace frugal {
namespace {

using Kind = BpeVocabulary::Kind;

[[noreturn]] void malformed(const std::string& what) { throw Error(Errc::bad_file, what); }
[[noreturn]] void lack(const std::string& what) { throw Error(Errc::unsupported, what + " is not supported"); }

/// One field of a message: its number, and its value as an integer or as bytes.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes{};
};

/// Walks over the fields of a message.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.value = varint();
        return true;
      case 1:
        field.bytes = take(8);
        return true;
      case 2:
        field.bytes = take(varint());
        return true;
      case 5:
        field.bytes = take(4);
        return true;
      default:
        malformed("not a SentencePiece model: unknown wire type " + std::to_string(key & 7));
    }
  }

 private:
  std::string_view take(std::uint64_t n) {
    if (n > rest_.size()) malformed("not a SentencePiece model: a field passes the end of the file");
    const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(n));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 127U) << shift;
      if (byte < 128) return value;
    }
    malformed("not a SentencePiece model: a number has more than 64 bits");
  }

  std::string_view rest_;
};

float float_of(std::string_view bytes) {
  float value = 0;
  if (bytes.size() != sizeof value) malformed("not a SentencePiece model: a score is not 32 bits");
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Kind kind_of(std::uint64_t type) {
  switch (type) {
    case 1:
      return Kind::normal;
    case 2:  // unknown: never found in text
    case 3:
      return Kind::control;
    case 4:
      return Kind::user_defined;
    case 5:
      return Kind::unused;
    case 6:
      return Kind::byte;
    default:
      malformed("a piece has the unknown type " + std::to_string(type));
  }
}

void read_piece(std::string_view bytes, BpeVocabulary& v) {
  Message message(bytes);
  std::string piece;
  float score = 0;
  std::uint64_t type = 1;
  for (Field f; message.next(f);) {
    if (f.number == 1) piece = f.bytes;
    if (f.number == 2) score = float_of(f.bytes);
    if (f.number == 3) type = f.value;
  }
  if (type == 2) v.unknown = static_cast<Token>(v.tokens.size());
  v.tokens.push_back(piece);
  v.scores.push_back(score);
  v.kinds.push_back(kind_of(type));
}

std::optional<Token> id_of(std::uint64_t value) {
  const auto id = static_cast<std::int64_t>(value);
  return id < 0 ? std::nullopt : std::optional(static_cast<Token>(std::min<std::int64_t>(id, 0x7FFFFFFF)));
}

void read_trainer(std::string_view bytes, BpeVocabulary& v) {
  std::uint64_t type = 1;
  v.bos = 1, v.eos = 2;  // the message's defaults
  Message message(bytes);
  for (Field f; message.next(f);) {
    if (f.number == 3) type = f.value;
    if (f.number == 24 && f.value != 0) lack("a SentencePiece model that treats whitespace as a suffix");
    if (f.number == 41) v.bos = id_of(f.value);
    if (f.number == 42) v.eos = id_of(f.value);
    if (f.number == 43) v.pad = id_of(f.value);
  }
  constexpr std::string_view names[] = {"0", "unigram", "BPE", "word", "char"};
  if (type != 2)
    lack("a SentencePiece model of type " + std::string(type < 5 ? names[type] : "unknown") + " (BPE is supported)");
}

void read_normalizer(std::string_view bytes, BpeVocabulary& v) {
  bool dummy_prefix = true, remove_extra = true, escape = true;
  Message message(bytes);
  for (Field f; message.next(f);) {
    if (f.number == 2 && !f.bytes.empty()) lack("a SentencePiece model with a character map");
    if (f.number == 3) dummy_prefix = f.value != 0;
    if (f.number == 4) remove_extra = f.value != 0;
    if (f.number == 5) escape = f.value != 0;
  }
  if (remove_extra) lack("a SentencePiece model that removes extra whitespace");
  if (!escape) lack("a SentencePiece model that does not write spaces as U+2581");
  using Prefix = BpeVocabulary::Spaces::Prefix;
  v.spaces = {dummy_prefix ? Prefix::first : Prefix::never, true, true, false, dummy_prefix};
}

BpeVocabulary vocabulary_from(std::string_view file) {
  BpeVocabulary v;
  v.alphabet = BpeVocabulary::Alphabet::characters;
  v.fuse_unknown = true;
  bool trained = false, normalized = false;
  Message message(file);
  for (Field f; message.next(f);) {
    if (f.number == 1) read_piece(f.bytes, v);
    if (f.number == 2) read_trainer(f.bytes, v), trained = true;
    if (f.number == 3) read_normalizer(f.bytes, v), normalized = true;
  }
  if (v.tokens.empty() || !trained || !normalized) malformed("not a SentencePiece model: it lacks pieces or settings");
  const auto known = [&](std::optional<Token>& id) {
    if (id && static_cast<std::size_t>(*id) >= v.tokens.size()) id.reset();
  };
  known(v.bos), known(v.eos), known(v.pad);
  return v;
}

}  // namespace

Tokenizer load_sentencepiece_model(const std::string& name) {
  const std::filesystem::path file(name);
  const std::string bytes = read_file(name);
  try {
    BpeVocabulary vocabulary = vocabulary_from(bytes);
    vocabulary.add_bos = vocabulary.bos.has_value();  // as the models' own tokenizers do where no file says otherwise
    text::read_side_files(file.parent_path(), vocabulary);
    return Tokenizer(std::move(vocabulary));
  } catch (const Error& error) {
    throw Error(error.code(), file.string() + ": " + error.message());
  }
}

}  // namespace frugal
