#include "grammar/parser/canonical.hpp"

#include "grammar/expr/counters.hpp"
#include "grammar/regex/alphabet.hpp"
#include "grammar/schema/json.hpp"

#include <algorithm>

namespace frugal::grammar {

namespace {

void append_number(const std::string& text, std::string& out) {
  const auto number = Decimal::parse(text);
  if (!number) {  // beyond 10^400: equal only where written alike
    out += text;
    return;
  }
  std::string digits = number->digits;
  std::size_t places = number->places, zeros = 0;
  while (places == 0 && digits.size() > 1 && digits.back() == '0') digits.pop_back(), ++zeros;
  const std::size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  out += (number->negative ? "-" : "") + digits.substr(first) + 'e' +
         std::to_string(static_cast<long>(zeros) - static_cast<long>(places));
}

void append(const Json& value, std::string& out) {
  switch (value.kind) {
    case Json::Kind::null:
      out += "null";
      return;
    case Json::Kind::boolean:
      out += value.truth ? "true" : "false";
      return;
    case Json::Kind::number:
      return append_number(value.text, out);
    case Json::Kind::string:
      out += '"' + json_spelling(value.text, false) + '"';
      return;
    case Json::Kind::array:
      out += '[';
      for (const Json& item : value.items) append(item, out), out += ',';
      out += ']';
      return;
    case Json::Kind::object:
      break;
  }
  std::vector<const std::pair<std::string, Json>*> members;
  for (const auto& member : value.members) members.push_back(&member);
  std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  out += '{';
  for (const auto* member : members) {
    out += '"' + json_spelling(member->first, false) + "\":";
    append(member->second, out);
    out += ',';
  }
  out += '}';
}

}  // namespace

std::string canonical_json(std::string_view text, const Limits& limits) {
  return canonical_json(parse_json(text, limits));
}

std::string canonical_json(const Json& value) {
  std::string out;
  append(value, out);
  return out;
}

}  // namespace frugal::grammar
