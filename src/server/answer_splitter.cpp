#include "server/answer_splitter.hpp"

#include <algorithm>
#include <utility>

#include "core/json_depth.hpp"
#include "server/json.hpp"

namespace frugal::server {

namespace {

constexpr std::string_view think = "<think>", think_end = "</think>", call = "<tool_call>", call_end = "</tool_call>";
constexpr std::string_view blanks = " \t\r\n";

// The length of the longest end of `text` that is a beginning of `tag`.
std::size_t may_begin(std::string_view text, std::string_view tag) {
  for (std::size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n)
    if (text.substr(text.size() - n) == tag.substr(0, n)) return n;
  return 0;
}

}  // namespace

AnswerSplitter::AnswerSplitter(const ToolStyle& style, std::vector<std::string> tools)
    : written_(style.written),
      tools_(std::move(tools)),
      state_(style.opens_thought ? State::thought : State::beginning) {}

void AnswerSplitter::emit(AnswerPiece::Kind kind, std::string_view text, std::vector<AnswerPiece>& out) {
  if (!text.empty()) out.push_back({kind, std::string(text), {}});
}

void AnswerSplitter::feed(std::string_view text, std::vector<AnswerPiece>& out) {
  held_ += text;
  while (advance(out)) {
  }
}

void AnswerSplitter::end(std::vector<AnswerPiece>& out) {
  std::string rest = std::exchange(held_, {});
  if (state_ == State::call && !read_calls(rest, out))
    rest.insert(0, call);
  else if (state_ == State::call || (state_ == State::bare && read_calls(rest, out)))
    rest.clear();
  if (state_ == State::after_call && rest.find_first_not_of(blanks) == std::string::npos) rest.clear();
  emit(state_ == State::thought ? AnswerPiece::Kind::thought : AnswerPiece::Kind::text, rest, out);
}

// True where the state has changed, so that what is held may mean something else now.
bool AnswerSplitter::advance(std::vector<AnswerPiece>& out) {
  switch (state_) {
    case State::beginning:
      return begin();
    case State::thought:
      return until_tag(think_end, State::after_thought, AnswerPiece::Kind::thought, out);
    case State::after_thought:
      return skip_blanks(State::text);
    case State::after_call:
      return skip_blanks(State::text);
    case State::call:
      return take_call(out);
    case State::bare:
      return false;
    case State::text:
      break;
  }
  if (!tools_.empty() && written_ == ToolStyle::Written::tags)
    return until_tag(call, State::call, AnswerPiece::Kind::text, out);
  emit(AnswerPiece::Kind::text, std::exchange(held_, {}), out);
  return false;
}

bool AnswerSplitter::begin() {
  const std::size_t first = held_.find_first_not_of(blanks);
  if (first == std::string::npos) return false;
  const std::string_view rest = std::string_view(held_).substr(first);
  if (rest.size() < think.size() && think.substr(0, rest.size()) == rest) return false;
  if (rest.substr(0, think.size()) == think) {
    held_.erase(0, first + think.size());
    state_ = State::thought;
  } else {
    const bool bare = !tools_.empty() && written_ == ToolStyle::Written::bare_json && rest.front() == '{';
    state_ = bare ? State::bare : State::text;
  }
  return true;
}

bool AnswerSplitter::until_tag(std::string_view tag, State next, AnswerPiece::Kind kind,
                               std::vector<AnswerPiece>& out) {
  const std::size_t at = held_.find(tag);
  const std::size_t sure = at != std::string::npos ? at : held_.size() - may_begin(held_, tag);
  emit(kind, std::string_view(held_).substr(0, sure), out);
  held_.erase(0, at == std::string::npos ? sure : sure + tag.size());
  if (at != std::string::npos) state_ = next;
  return at != std::string::npos;
}

bool AnswerSplitter::skip_blanks(State next) {
  held_.erase(0, held_.find_first_not_of(blanks));
  if (held_.empty()) return false;
  state_ = next;
  return true;
}

bool AnswerSplitter::take_call(std::vector<AnswerPiece>& out) {
  const std::size_t at = held_.find(call_end);
  if (at == std::string::npos) return false;
  const std::string body = held_.substr(0, at);
  held_.erase(0, at + call_end.size());
  const bool read = read_calls(body, out);
  if (!read) emit(AnswerPiece::Kind::text, std::string(call) + body + std::string(call_end), out);
  state_ = read ? State::after_call : State::text;
  return true;
}

bool AnswerSplitter::read_calls(std::string_view body, std::vector<AnswerPiece>& out) const {
  if (json_deeper_than(body, 100)) return false;
  Json parsed = Json::parse(body, nullptr, false);
  if (parsed.is_object()) parsed = Json::array({std::move(parsed)});
  if (!parsed.is_array() || parsed.empty()) return false;
  std::vector<AnswerPiece> calls;
  for (const Json& one : parsed) {
    if (!one.is_object() || !one.contains("name") || !one["name"].is_string()) return false;
    std::string name = one["name"].get<std::string>();
    if (std::find(tools_.begin(), tools_.end(), name) == tools_.end()) return false;
    const auto arguments = one.contains("arguments") ? one.find("arguments") : one.find("parameters");
    if (arguments != one.end() && !arguments->is_object()) return false;
    calls.push_back(
        {AnswerPiece::Kind::call, {}, {{}, std::move(name), arguments == one.end() ? "{}" : dumped(*arguments), {}}});
  }
  std::move(calls.begin(), calls.end(), std::back_inserter(out));
  return true;
}

}  // namespace frugal::server
