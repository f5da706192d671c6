// tokenize_driver TOKENIZER.json|TOKENIZER.model STRINGS IDS [--no-special]: encodes every string.
//
// STRINGS: per string a little-endian uint32 length and the bytes. IDS: per string a uint32 count and the ids as int32.
// With --time N: encodes the file STRINGS as one text, N times, and prints MB/s of processor time; with --decode:
// STRINGS is an IDS file and IDS gets texts.
#include <frugal/core/error.hpp>
#include <frugal/text/detokenizer.hpp>
#include <frugal/text/tokenizer.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string_view>

namespace {

std::string read_all(const char* file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw frugal::Error(frugal::Errc::bad_file, std::string(file) + ": cannot be opened");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::uint32_t read_number(const std::string& from, std::size_t& at) {
  std::uint32_t n = 0;
  std::memcpy(&n, from.data() + at, sizeof n);
  at += sizeof n;
  return n;
}

void write_number(std::ofstream& out, std::uint32_t n) { out.write(reinterpret_cast<const char*>(&n), sizeof n); }

void encode_all(const frugal::Tokenizer& tokenizer, const std::string& strings, std::ofstream& out, bool special) {
  for (std::size_t at = 0; at < strings.size();) {
    const std::uint32_t n = read_number(strings, at);
    const auto ids =
        tokenizer.encode(std::string_view(strings).substr(at, n), {.parse_special = special, .add_bos = false});
    at += n;
    write_number(out, static_cast<std::uint32_t>(ids.size()));
    out.write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(ids.size() * sizeof ids[0]));
  }
}

void decode_all(const frugal::Tokenizer& tokenizer, const std::string& ids, std::ofstream& out) {
  for (std::size_t at = 0; at < ids.size();) {
    frugal::Detokenizer detokenizer(tokenizer, false, false);
    std::string text;
    for (std::uint32_t n = read_number(ids, at); n > 0; --n)
      text += detokenizer.push(static_cast<frugal::Token>(read_number(ids, at)));
    text += detokenizer.flush();
    write_number(out, static_cast<std::uint32_t>(text.size()));
    out << text;
  }
}

void time_all(const frugal::Tokenizer& tokenizer, const std::string& text, int rounds) {
  const std::clock_t begin = std::clock();  // processor time: other work on the machine does not count
  std::size_t tokens = 0;
  for (int i = 0; i < rounds; ++i) tokens += tokenizer.encode(text).size();
  const double spent = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  std::printf("%.1f MB/s, %zu tokens\n", static_cast<double>(text.size()) * rounds / 1e6 / spent, tokens);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4)
    return std::fputs("usage: tokenize_driver TOKENIZER.json STRINGS IDS [--no-special|--decode|--time N]\n", stderr),
           2;
  const std::string mode = argc > 4 ? argv[4] : "";
  const bool sentencepiece = std::string_view(argv[1]).ends_with(".model");
  const frugal::Tokenizer tokenizer =
      sentencepiece ? frugal::load_sentencepiece_model(argv[1]) : frugal::load_tokenizer_json(argv[1]);
  const std::string input = read_all(argv[2]);
  if (mode == "--time") return time_all(tokenizer, input, std::atoi(argv[5])), 0;
  std::ofstream out(argv[3], std::ios::binary);
  if (mode == "--decode")
    decode_all(tokenizer, input, out);
  else
    encode_all(tokenizer, input, out, mode != "--no-special");
  return out.good() ? 0 : 1;
} catch (const frugal::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
