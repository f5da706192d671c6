#include "tools/yaml_text.hpp"

#include <frugal/core/error.hpp>

#ifdef FRUGAL_WITH_YAML
#include <yaml.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/json_tree.hpp"
#endif

namespace frugal::tools {

#ifdef FRUGAL_WITH_YAML

namespace {

std::string quoted(std::string_view text) { return nlohmann::json(text).dump(); }

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

/// The digits at the beginning of `text`, taken off it.
std::string_view take_digits(std::string_view& text) {
  const auto end = std::find_if(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) == 0; });
  const std::string_view digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(digits.size());
  return digits;
}

bool take(std::string_view& text, std::string_view any_of, char* taken = nullptr) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  if (taken != nullptr) *taken = text.front();
  text.remove_prefix(1);
  return true;
}

/// The decimal number that a scalar is, as JSON writes it. One that begins with 0 and goes on is none: YAML 1.1 and 1.2
/// read it differently.
std::optional<std::string> as_number(std::string_view text) {
  std::string out;
  char sign = '+';
  if (take(text, "+-", &sign) && sign == '-') out += sign;
  const std::string_view whole = take_digits(text);
  if (whole.size() > 1 && whole.front() == '0') return std::nullopt;
  out += whole.empty() ? "0" : whole;
  std::string_view fraction;
  if (take(text, ".")) {
    fraction = take_digits(text);
    out += "." + (fraction.empty() ? "0" : std::string(fraction));
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  if (take(text, "eE")) {
    out += 'e';
    if (take(text, "+-", &sign)) out += sign;
    const std::string_view power = take_digits(text);
    if (power.empty()) return std::nullopt;
    out += power;
  }
  return text.empty() ? std::optional(out) : std::nullopt;
}

// YAML 1.2's core schema without its hexadecimal and octal numbers, infinities and "not a number".
std::string json_of_plain(std::string_view text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return "null";
  if (is_one_of(text, {"true", "True", "TRUE"})) return "true";
  if (is_one_of(text, {"false", "False", "FALSE"})) return "false";
  return as_number(text).value_or(quoted(text));
}

std::string_view view(const yaml_char_t* text, std::size_t size) { return {reinterpret_cast<const char*>(text), size}; }

/// An event of libyaml's parser.
class Event {
 public:
  Event() = default;
  ~Event() { yaml_event_delete(&event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  yaml_event_t* get() { return &event_; }
  const yaml_event_t* operator->() const { return &event_; }

 private:
  yaml_event_t event_{};
};

class Translator {
 public:
  Translator(std::string_view yaml, const std::string& origin) : yaml_(yaml), origin_(origin) {
    if (yaml_parser_initialize(&parser_) == 0) throw Error(Errc::unavailable, origin_ + ": no memory to read it");
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(yaml.data()), yaml.size());
  }
  ~Translator() { yaml_parser_delete(&parser_); }
  Translator(const Translator&) = delete;
  Translator& operator=(const Translator&) = delete;

  std::string all() {
    bool seen = false;
    for (;;) {
      Event event;
      if (yaml_parser_parse(&parser_, event.get()) == 0) fail();
      if (event->type == YAML_STREAM_END_EVENT) break;
      if (event->type == YAML_DOCUMENT_START_EVENT && std::exchange(seen, true))
        wrong(event->start_mark, "a second document begins here; a file has one");
      add(event);
    }
    if (!seen) throw Error(Errc::bad_file, origin_ + ":1: the file is empty");
    return std::move(out_);
  }

 private:
  struct Level {
    bool mapping;
    std::size_t parts = 0;  // names and values so far
  };

  void add(const Event& event) {
    const yaml_mark_t& mark = event->start_mark;
    switch (event->type) {
      case YAML_ALIAS_EVENT:
        wrong(mark, "aliases (*name) are not taken; write out what is meant");
      case YAML_SCALAR_EVENT:
        check_plain(mark, event->data.scalar.anchor, event->data.scalar.tag);
        return scalar(event);
      case YAML_SEQUENCE_START_EVENT:
        check_plain(mark, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        return open(mark, false);
      case YAML_MAPPING_START_EVENT:
        check_plain(mark, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        return open(mark, true);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        out_ += levels_.back().mapping ? '}' : ']';
        levels_.pop_back();
        return;
      default:
        return;  // where the stream and its document begin and end
    }
  }

  void check_plain(const yaml_mark_t& mark, const yaml_char_t* anchor, const yaml_char_t* tag) const {
    if (anchor != nullptr) wrong(mark, "anchors (&name) are not taken; write out what is meant");
    if (tag != nullptr) wrong(mark, "tags (!name) are not taken; put texts into quotes instead");
  }

  void scalar(const Event& event) {
    const auto& s = event->data.scalar;
    const std::string_view text = view(s.value, s.length);
    const bool plain = s.style == YAML_PLAIN_SCALAR_STYLE;
    if (begin(event->start_mark)) {
      if (plain && text == "<<") wrong(event->start_mark, "merge keys (<<) are not taken; write out what is meant");
      out_ += quoted(text);
    } else {
      out_ += plain ? json_of_plain(text) : quoted(text);
    }
  }

  void open(const yaml_mark_t& mark, bool mapping) {
    if (levels_.size() >= most_json_depth) wrong(mark, "nested deeper than " + std::to_string(most_json_depth));
    if (begin(mark)) wrong(mark, "a name must be a text");
    out_ += mapping ? '{' : '[';
    levels_.push_back({mapping});
  }

  /// Writes what goes before a name or a value, up to its line. True = it is a name.
  bool begin(const yaml_mark_t& mark) {
    bool name = false;
    if (!levels_.empty()) {
      Level& level = levels_.back();
      name = level.mapping && level.parts % 2 == 0;
      if (level.parts > 0) out_ += level.mapping && !name ? ':' : ',';
      ++level.parts;
    }
    for (; line_ < mark.line; ++line_) out_ += '\n';
    return name;
  }

  [[noreturn]] void wrong(const yaml_mark_t& mark, const std::string& what) const {
    throw Error(Errc::bad_file, origin_ + ":" + std::to_string(mark.line + 1) + ": " + what);
  }

  [[noreturn]] void fail() const {
    if (parser_.error == YAML_MEMORY_ERROR) throw Error(Errc::unavailable, origin_ + ": no memory to read it");
    const std::string problem = parser_.problem != nullptr ? parser_.problem : "malformed";
    if (parser_.error == YAML_READER_ERROR) {
      const std::string_view before = yaml_.substr(0, std::min(parser_.problem_offset, yaml_.size()));
      wrong({0, static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')), 0},
            "not valid YAML: " + problem);
    }
    const bool since = parser_.context != nullptr && parser_.context_mark.line != parser_.problem_mark.line;
    wrong(parser_.problem_mark, "not valid YAML: " + problem +
                                    (since ? " (" + std::string(parser_.context) + " that began in line " +
                                                 std::to_string(parser_.context_mark.line + 1) + ")"
                                           : ""));
  }

  std::string_view yaml_;
  const std::string& origin_;
  yaml_parser_t parser_{};
  std::vector<Level> levels_{};
  std::string out_{};
  std::size_t line_ = 0;  // of `out_`
};

}  // namespace

std::string json_from_yaml(std::string_view yaml, const std::string& origin) { return Translator(yaml, origin).all(); }

#else

std::string json_from_yaml(std::string_view, const std::string& origin) {
  throw Error(Errc::unavailable, origin + ": this build cannot read YAML (it was made without libyaml); write JSON");
}

#endif

}  // namespace frugal::tools
