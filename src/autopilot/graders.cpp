#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>
#include <frugal/grammar/grammar.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

#include "core/ascii.hpp"
#include "core/json_tree.hpp"
#include "grammar/compile.hpp"
#include "grammar/limits.hpp"
#include "grammar/parser/parser.hpp"

namespace frugal {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \n\t\r";
  const std::size_t from = text.find_first_not_of(blanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Where `word` first stands in `text` by itself; both in lower case.
std::size_t find_word(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return at;
  }
  return std::string_view::npos;
}

bool any(const Question& question, const std::function<bool(const std::string&)>& holds) {
  return std::any_of(question.expected.begin(), question.expected.end(), holds);
}

}  // namespace

Grader expect_exact() {
  return [](const Question& q, std::string_view answer) {
    return any(q, [&](const std::string& text) { return trimmed(text) == trimmed(answer); }) ? 1.0 : 0.0;
  };
}

Grader expect_contains() {
  return [](const Question& q, std::string_view answer) {
    return any(q, [&](const std::string& text) { return answer.find(text) != std::string_view::npos; }) ? 1.0 : 0.0;
  };
}

Grader expect_regex() {
  return [](const Question& q, std::string_view answer) {
    return any(q,
               [&](const std::string& pattern) {
                 const auto program = grammar::compile_regex(pattern, grammar::Limits{});
                 grammar::Parser parser(*program);
                 return parser.state(parser.run(parser.start(), trimmed(answer))).complete;
               })
               ? 1.0
               : 0.0;
  };
}

Grader expect_choice() {
  return [](const Question& q, std::string_view answer) {
    if (q.choices.empty())
      throw Error(Errc::invalid_argument, "question \"" + q.id + "\" has no choices to look for in the answer");
    const std::string text = lower_ascii(answer);
    std::size_t first = std::string::npos, length = 0;
    std::string found;
    for (const std::string& choice : q.choices) {
      const std::size_t at = find_word(text, lower_ascii(choice));
      if (at > first || at == std::string::npos || (at == first && choice.size() <= length)) continue;
      first = at, length = choice.size();
      found = choice;
    }
    return !found.empty() && any(q, [&](const std::string& e) { return lower_ascii(e) == lower_ascii(found); }) ? 1.0
                                                                                                                : 0.0;
  };
}

Grader expect_json_schema(const std::string& schema) {
  const grammar::SchemaCheck check = grammar::check_json_schema(schema, {});
  if (!check.compiled)
    throw Error(Errc::unsupported, "the schema's \"" + check.refused.front().keyword + "\" at " +
                                       check.refused.front().path + ": " + check.refused.front().why);
  return [schema](const Question& q, std::string_view answer) {
    nlohmann::json value;
    try {
      value = parse_json_tree(answer, "answer");
    } catch (const Error&) {
      return 0.0;
    }
    if (!grammar::check_json_schema(schema, {std::string(answer)}).valid.at(0)) return 0.0;
    if (q.expected.empty()) return 1.0;
    return any(q, [&](const std::string& text) { return parse_json_tree(text, "expected") == value; }) ? 1.0 : 0.0;
  };
}

}  // namespace frugal
