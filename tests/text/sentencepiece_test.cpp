// SentencePiece BPE by hand; differential_sentencepiece.py has the rest.
#include <frugal/core/error.hpp>
#include <frugal/text/detokenizer.hpp>
#include <frugal/text/tokenizer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/error_of.hpp"

namespace frugal {
namespace {

using Ids = std::vector<Token>;
using Kind = BpeVocabulary::Kind;
using Prefix = BpeVocabulary::Spaces::Prefix;

const std::string mark = "\xE2\x96\x81";

struct Piece {
  std::string text;
  float score;
  Kind kind = Kind::normal;
};

/// 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then the pieces of pieces().
constexpr Token first_piece = 259;

std::vector<Piece> pieces() {
  return {{mark, -1}, {"a", -2}, {"b", -3}, {"c", -4}, {"ab", -5}, {"bc", -6}, {mark + "a", -7}, {mark + mark, -8}};
}
enum Known : Token { space = first_piece, a, b, c, ab, bc, space_a, two_spaces };

BpeVocabulary vocabulary(Prefix prefix = Prefix::always) {
  BpeVocabulary v;
  v.alphabet = BpeVocabulary::Alphabet::characters;
  v.spaces.prefix = prefix;
  v.spaces.drop_leading = prefix != Prefix::never;
  const auto add = [&v](const Piece& p) {
    v.tokens.push_back(p.text);
    v.scores.push_back(p.score);
    v.kinds.push_back(p.kind);
  };
  for (const char* control : {"<unk>", "<s>", "</s>"}) add({control, 0, Kind::control});
  for (int byte = 0; byte < 256; ++byte) {
    const char* hex = "0123456789ABCDEF";
    add({std::string("<0x") + hex[byte / 16] + hex[byte % 16] + ">", 0, Kind::byte});
  }
  for (const Piece& p : pieces()) add(p);
  v.unknown = 0, v.bos = 1, v.eos = 2;
  return v;
}

Token byte(unsigned char value) { return 3 + value; }

}  // namespace

TEST_CASE("the pair with the best score merges first, the leftmost among equals") {
  const Tokenizer tokenizer(vocabulary(Prefix::never));
  CHECK(tokenizer.encode("abc") == Ids{ab, c});  // ab before bc
  BpeVocabulary other = vocabulary(Prefix::never);
  other.scores[bc] = -4.5F;
  CHECK(Tokenizer(other).encode("abc") == Ids{a, bc});
  other.scores[bc] = other.scores[ab];
  CHECK(Tokenizer(other).encode("abc") == Ids{ab, c});
  CHECK(Tokenizer(other).encode("bcab") == Ids{bc, ab});
}

TEST_CASE("a character without a piece is its bytes, so is what is not UTF-8") {
  const Tokenizer tokenizer(vocabulary(Prefix::never));
  CHECK(tokenizer.encode("a\xC3\xA9") == Ids{a, byte(0xC3), byte(0xA9)});
  CHECK(tokenizer.encode("\xE4\xB8") == Ids{byte(0xE4), byte(0xB8)});
  CHECK(tokenizer.decode(tokenizer.encode("a\xC3\xA9 \xFF")) == "a\xC3\xA9 \xFF");
}

TEST_CASE("without the bytes, neighbouring unknown characters are one unknown token") {
  BpeVocabulary v = vocabulary(Prefix::never);
  v.fuse_unknown = true;
  for (std::size_t i = 0; i < v.kinds.size(); ++i)
    if (v.kinds[i] == Kind::byte) v.kinds[i] = Kind::unused;
  CHECK(Tokenizer(v).encode("axyb") == Ids{a, 0, b});
  v.fuse_unknown = false;
  CHECK(Tokenizer(v).encode("axyb") == Ids{a, 0, 0, b});
  v.unknown.reset();
  CHECK(Tokenizer(v).encode("axyb") == Ids{ab});
}

TEST_CASE("control pieces never come out of ordinary text, whatever their score") {
  BpeVocabulary v = vocabulary(Prefix::never);
  for (const char* part : {"<", "s", ">", "<s"}) {
    v.tokens.emplace_back(part);
    v.scores.push_back(-1);
    v.kinds.push_back(Kind::normal);
  }
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.encode("<s>") == Ids{1});
  CHECK(tokenizer.encode("<s>", {.parse_special = false}) ==
        Ids{tokenizer.find("<s").value(), tokenizer.find(">").value()});
}

TEST_CASE("a space comes before the text, and after special tokens where the model has it so") {
  const Tokenizer always(vocabulary());
  CHECK(always.encode("a") == Ids{space_a});
  CHECK(always.encode(" a") == Ids{space, space_a});
  CHECK(always.encode("<s>a</s>a") == Ids{1, space_a, 2, space_a});
  CHECK(always.encode("").empty());
  const Tokenizer first(vocabulary(Prefix::first));
  CHECK(first.encode("a</s>a") == Ids{space_a, 2, a});
  CHECK(first.encode("<s>a") == Ids{1, a});
  BpeVocabulary once = vocabulary();
  once.spaces.even_before_space = false;
  CHECK(Tokenizer(once).encode(" a") == Ids{space_a});
  CHECK(Tokenizer(once).encode("a") == Ids{space_a});
  CHECK(Tokenizer(vocabulary(Prefix::never)).encode("a a") == Ids{a, space_a});
}

TEST_CASE("continued text takes no space, and decoding it drops none") {
  const Tokenizer tokenizer(vocabulary());
  CHECK(tokenizer.encode("a", {.continues = true}) == Ids{a});
  CHECK(tokenizer.encode("a</s>a", {.continues = true}) == Ids{a, 2, space_a});
  CHECK(tokenizer.decode({space_a, b}) == "ab");
  CHECK(tokenizer.decode({two_spaces, b}) == " b");
  CHECK(tokenizer.decode({space_a, b}, {.continues = true}) == " ab");
  CHECK(tokenizer.decode({1, space_a}, {.keep_special = true}) == "<s> a");
  CHECK(Tokenizer(vocabulary(Prefix::never)).decode({space_a, b}) == " ab");
}

TEST_CASE("an answer keeps its leading space, a whole text loses it, token by token too") {
  const Tokenizer tokenizer(vocabulary());
  Detokenizer answer(tokenizer), text(tokenizer, false, false);
  CHECK(answer.push(space_a) == " a");
  CHECK(text.push(1).empty());
  CHECK(text.push(space_a) == "a");
  CHECK(text.push(space_a) == " a");
}

TEST_CASE("bos and eos are added as the model has it, unless the caller says otherwise") {
  BpeVocabulary v = vocabulary();
  v.add_bos = v.add_eos = true;
  const Tokenizer tokenizer(v);
  CHECK(tokenizer.encode("a") == Ids{1, space_a, 2});
  CHECK(tokenizer.encode("a", {.add_bos = false}) == Ids{space_a});
  CHECK(tokenizer.encode("a", {.add_bos = true}) == Ids{1, space_a});
  CHECK(tokenizer.encode("a", {.add_bos = false, .add_eos = true}) == Ids{space_a, 2});
  CHECK(tokenizer.encode("a", {.continues = true}) == Ids{a});
}

TEST_CASE("scores that do not fit the tokens or are no numbers are refused") {
  BpeVocabulary v = vocabulary();
  v.scores.pop_back();
  CHECK(testing::error_of([&] { Tokenizer{v}; }).code() == Errc::bad_model);
  v.scores.push_back(std::nanf(""));
  CHECK(testing::error_of([&] { Tokenizer{v}; }).message() == "tokenizer: the score of token 266 is not a number");
}

namespace {

std::string varint(std::uint64_t n) {
  std::string out;
  for (; n > 127; n >>= 7) out += static_cast<char>((n & 127) | 128);
  return out + static_cast<char>(n);
}
std::string number(int field, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(field) << 3) + varint(value);
}
std::string bytes(int field, const std::string& value) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(value.size()) + value;
}
std::string piece(const std::string& text, float score, int type) {
  std::string raw(4, '\0');
  std::memcpy(raw.data(), &score, 4);
  return bytes(1, bytes(1, text) + varint(2 << 3 | 5) + raw + number(3, static_cast<std::uint64_t>(type)));
}

std::string pieces_message() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece(mark, -1, 1) + piece("a", -2, 1) +
         piece(mark + "a", -3, 1);
}

Tokenizer load(const std::string& message) {
  const auto folder = std::filesystem::temp_directory_path() / "frugal_sentencepiece_test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer.model", std::ios::binary) << message;
  return load_sentencepiece_model(folder / "tokenizer.model");
}

std::string refusal(const std::string& message) {
  const Error error = testing::error_of([&] { (void)load(message); });
  const std::size_t at = error.message().find("tokenizer.model: ");
  REQUIRE(at != std::string::npos);
  return std::string(to_string(error.code())) + ": " + error.message().substr(at + 17);
}

}  // namespace

TEST_CASE("tokenizer.model loads where it is BPE without a character map") {
  const std::string bpe = bytes(2, number(3, 2)), identity = bytes(3, bytes(1, "identity") + number(4, 0));
  const Tokenizer tokenizer = load(pieces_message() + bpe + identity);
  CHECK(tokenizer.encode("a a") == Ids{1, 5, 5});
  CHECK(tokenizer.decode({5, 5}) == "a a");
  CHECK(tokenizer.is_end(2));
  const std::string bare = bytes(3, number(3, 0) + number(4, 0));
  CHECK(load(pieces_message() + bpe + bare).encode("a a") == Ids{1, 4, 5});

  CHECK(refusal(pieces_message() + bytes(2, number(3, 1)) + identity) ==
        "unsupported: a SentencePiece model of type unigram (BPE is supported) is not supported");
  CHECK(refusal(pieces_message() + bpe + bytes(3, bytes(2, "map") + number(4, 0))) ==
        "unsupported: a SentencePiece model with a character map is not supported");
  CHECK(refusal(pieces_message() + bpe + bytes(3, "")) ==
        "unsupported: a SentencePiece model that removes extra whitespace is not supported");
  CHECK(refusal(pieces_message()) == "bad_file: not a SentencePiece model: it lacks pieces or settings");
  CHECK(refusal("once upon a time").starts_with("bad_file: not a SentencePiece model"));
  CHECK(refusal(pieces_message() + "\x0A\x7F") ==
        "bad_file: not a SentencePiece model: a field passes the end of the file");
}

}  // namespace frugal
