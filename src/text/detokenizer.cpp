#include "text/unicode.hpp"

#include <frugal/text/detokenizer.hpp>
#include <frugal/text/tokenizer.hpp>

#include <utility>

namespace frugal {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Moves whole characters from `held` to the result; an unfinished one at the end stays unless `all`.
std::string drain(std::string& held, bool all) {
  std::string out;
  std::size_t at = 0;
  while (at < held.size()) {
    const text::Utf8Prefix prefix = text::utf8_prefix(held, at);
    if (prefix.open && !all) break;
    if (prefix.whole)
      out.append(held, at, prefix.bytes);
    else
      out += kReplacement;
    at += prefix.bytes;
  }
  held.erase(0, at);
  return out;
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool keep_special, bool continues)
    : tokenizer_(&tokenizer), keep_special_(keep_special), drop_space_(!continues && tokenizer.drops_leading_space()) {}

std::string Detokenizer::push(Token token) {
  std::string_view bytes = tokenizer_->bytes(token);
  if (!keep_special_ && tokenizer_->is_control(token)) return {};
  if (drop_space_ && bytes.starts_with(' ')) bytes.remove_prefix(1);
  drop_space_ = drop_space_ && tokenizer_->bytes(token).empty();
  held_ += bytes;
  return drain(held_, false);
}

std::string Detokenizer::flush() { return drain(held_, true); }

}  // namespace frugal
