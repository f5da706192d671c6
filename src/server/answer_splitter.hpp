// AnswerSplitter: takes apart what a local model writes in one text: its thoughts, its answer, its calls of tools. Works
// on pieces of any size; holds back only what may still become a tag or a call.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/tool_style.hpp"

namespace frugal::server {

struct AnswerPiece {
  enum class Kind : std::uint8_t { text, thought, call };
  Kind kind = Kind::text;
  std::string text{};
  ToolCall call{};  ///< without an id
};

class AnswerSplitter {
 public:
  /// `tools` names the functions that were offered; a call of any other one stays text.
  AnswerSplitter(const ToolStyle& style, std::vector<std::string> tools);

  void feed(std::string_view text, std::vector<AnswerPiece>& out);
  /// What a provider told apart goes before the text that came with it.
  void feed(Delta delta, std::vector<AnswerPiece>& out) {
    if (!delta.reasoning.empty()) out.push_back({AnswerPiece::Kind::thought, std::move(delta.reasoning), {}});
    feed(std::string_view(delta.text), out);
  }
  /// The answer has ended: what was held back comes out, an unfinished call as the text it is.
  void end(std::vector<AnswerPiece>& out);

 private:
  enum class State : std::uint8_t { beginning, thought, after_thought, text, after_call, call, bare };
  bool advance(std::vector<AnswerPiece>& out);
  bool begin();
  bool until_tag(std::string_view tag, State next, AnswerPiece::Kind kind, std::vector<AnswerPiece>& out);
  bool take_call(std::vector<AnswerPiece>& out);
  bool read_calls(std::string_view body, std::vector<AnswerPiece>& out) const;
  bool skip_blanks(State next);
  static void emit(AnswerPiece::Kind kind, std::string_view text, std::vector<AnswerPiece>& out);

  ToolStyle::Written written_;
  std::vector<std::string> tools_;
  State state_;
  std::string held_{};
};

}  // namespace frugal::server
