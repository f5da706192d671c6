// Any bytes as a constraint and a text for it: an Error or a judgement, never a crash, a leak or a run without end, and
// no text that is let through so far leads to a place where nothing may follow and nothing is whole. The first byte says what the first line is (r: a regular expression, g: a grammar in GBNF, l: in Lark's spelling, else a
// JSON schema); the rest is the text, for a schema as one document a line.
#include <frugal/core/constraint.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/small_vocabulary.hpp"

namespace {

const frugal::Tokenizer& bytes() {
  static const frugal::Tokenizer tokenizer(frugal::test::small_vocabulary());
  return tokenizer;
}

bool is_dead_end(const frugal::Constraint& constraint, const std::vector<std::uint32_t>& mask) {
  return constraint.state() == frugal::ConstraintState::open &&
         std::all_of(mask.begin(), mask.end(), [](std::uint32_t word) { return word == 0; });
}

/// Takes the text as far as it is allowed: advance() takes a byte exactly where the mask before it has it.
void follow(const frugal::ConstraintSource& source, std::string_view text) {
  const auto opened = source.open(bytes());
  if (!opened) return;
  frugal::Constraint& constraint = **opened;
  std::vector<std::uint32_t> words((bytes().size() + 31) / 32);
  for (const char c : text.substr(0, 64)) {
    constraint.mask(words);
    if (is_dead_end(constraint, words)) std::abort();
    const auto t = static_cast<std::size_t>(static_cast<unsigned char>(c));
    const bool allowed = ((words[t / 32] >> (t % 32)) & 1) != 0;
    if (constraint.advance(static_cast<frugal::Token>(t)) != allowed) std::abort();
    if (!allowed) break;
  }
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty() && lines.size() < 8) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  frugal::grammar::set_cache_bytes(0);
  const char kind = input.front();
  if (kind == 'r' || kind == 'g' || kind == 'l') input.remove_prefix(1);
  const std::size_t cut = std::min(input.find(kind == 'g' || kind == 'l' ? '\0' : '\n'), input.size());
  const std::string_view source = input.substr(0, cut), text = input.substr(std::min(cut + 1, input.size()));
  try {
    if (kind == 'r') {
      follow(*frugal::grammar::regex(source), text);
    } else if (kind == 'g' || kind == 'l') {
      follow(*frugal::grammar::ebnf(source), text);
    } else {
      (void)frugal::grammar::check_json_schema(source, lines_of(text));
      follow(*frugal::grammar::json_schema(source), text);
    }
  } catch (const frugal::Error& error) {
    if (std::string_view(error.what()).empty()) std::abort();
  }
  return 0;
}
