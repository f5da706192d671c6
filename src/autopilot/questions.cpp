#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/text/chat_template.hpp>

#include <nlohmann/json.hpp>

#include <set>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal {

namespace {

using Json = nlohmann::json;

// One line of the file; errors name it.
class Line {
 public:
  Line(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail("must be a JSON object");
  }
  [[noreturn]] void fail(const std::string& what) const { throw Error(Errc::bad_file, where_ + ": " + what); }
  bool has(const char* name) const { return object_.contains(name) && !object_[name].is_null(); }
  const Json& at(const char* name) const { return object_[name]; }
  const std::string& where() const { return where_; }
  std::string text(const char* name) const {
    if (!has(name)) return {};
    if (!at(name).is_string()) fail("\"" + std::string(name) + "\" must be a string");
    return at(name).get<std::string>();
  }
  std::vector<std::string> texts(const char* name) const {
    if (!has(name)) return {};
    const Json& value = at(name);
    if (value.is_string()) return {value.get<std::string>()};
    const auto is_text = [](const Json& v) { return v.is_string(); };
    if (value.is_array() && std::all_of(value.begin(), value.end(), is_text))
      return value.get<std::vector<std::string>>();
    return {value.dump()};
  }

 private:
  const Json& object_;
  std::string where_;
};

Chat chat_of(const Line& line, const QuestionRules& rules) {
  if (line.has("messages")) return chat_from_json(line.at("messages").dump(), line.where());
  Chat chat;
  if (!rules.system.empty()) chat.messages.push_back({.role = "system", .content = rules.system});
  chat.messages.push_back({.role = "user", .content = line.text("prompt")});
  if (chat.messages.back().content.empty()) line.fail("has no \"prompt\" and no \"messages\"");
  return chat;
}

Question question_of(const Line& line, const QuestionRules& rules) {
  Question q;
  q.id = line.text("id");
  if (q.id.empty()) line.fail("has no \"id\"");
  q.type = line.text("type");
  q.expected = line.texts("expected");
  if (q.expected.empty() && rules.needs_expected) line.fail("has no \"expected\" answer");
  q.choices = line.has("choices") ? line.texts("choices") : rules.choices;
  q.request.prompt = chat_of(line, rules);
  q.request.type = q.type;
  q.request.id = q.id;
  q.request.max_tokens = rules.max_tokens;
  if (line.has("max_tokens")) {
    const Json& most = line.at("max_tokens");
    if (!most.is_number_unsigned() || most.get<std::uint64_t>() == 0 || most.get<std::uint64_t>() > 1U << 24)
      line.fail("\"max_tokens\" must be a whole number above 0");
    q.request.max_tokens = most.get<std::uint32_t>();
  }
  if (rules.constrain_to_choices) {
    if (q.choices.empty()) line.fail("has no \"choices\" to answer with");
    q.request.constraint = grammar::choice(q.choices);
  }
  return q;
}

}  // namespace

std::vector<Question> read_questions(const std::string& path, const QuestionRules& rules) {
  const std::string text = read_file(path);
  std::vector<Question> out;
  std::set<std::string> ids;
  std::string_view rest(text);
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view content = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = path + " line " + std::to_string(number);
    const Json object = parse_json_tree(content, where);
    const Line line(object, where);
    out.push_back(question_of(line, rules));
    if (!ids.insert(out.back().id).second) line.fail("the id \"" + out.back().id + "\" occurs twice");
  }
  if (out.empty()) throw Error(Errc::bad_file, path + ": no questions in it");
  return out;
}

}  // namespace frugal
