// AnswerText: accepted tokens in, text that is safe to show out. Holds back unfinished characters and whatever may turn
// out to be the beginning of a stop text. One per sequence.
#pragma once

#include <frugal/text/detokenizer.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

class AnswerText {
 public:
  /// tokenizer may be null: then there is no text and no stop text ever matches.
  AnswerText(const Tokenizer* tokenizer, std::vector<std::string> stops);

  /// Adds one token; returns the text that can no longer change. Once a stop text has matched, returns what stood
  /// before it. Where it throws (a failed allocation), nothing has changed.
  std::string push(Token token);
  /// The answer ends without a stop text: everything held back comes out.
  std::string flush();
  /// Takes the newest token back, whatever push() returned for it: flush() then gives what was held back before it.
  /// At most once after each push().
  void drop_newest();
  /// The stop text that matched.
  const std::optional<std::string>& matched() const { return matched_; }
  /// All whole characters so far, those held back for a stop text included; the last `added()` bytes came with the
  /// newest token.
  std::string_view whole() const { return whole_; }
  std::size_t added() const { return added_; }

 private:
  std::string take(Token token);
  std::string release(std::size_t bytes);

  std::optional<Detokenizer> detokenizer_, detokenizer_before_;  // before = ahead of the newest token
  std::vector<std::string> stops_;
  std::string pending_, pending_before_;
  std::string whole_;
  std::size_t added_ = 0;
  std::optional<std::string> matched_;
};

}  // namespace frugal
