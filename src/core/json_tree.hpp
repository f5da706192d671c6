// Foreign JSON as a tree. Every reader of files and requests parses through this, so that one bound on depth and one rule
// for repeated keys hold everywhere. Because depth is bounded where text becomes a tree, code that walks, copies or
// prints the tree by recursion needs little stack.
#pragma once

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal {

/// Objects and lists inside each other end at this depth. Real files stay below 20.
inline constexpr std::size_t most_json_depth = 200;

/// Of two equal keys in one object the last one wins, as in Python's json; or the text is refused, where the keys are
/// names that must be unique.
enum class RepeatedKeys { last_wins, refused };

struct JsonRules {
  RepeatedKeys repeated = RepeatedKeys::last_wins;
  std::size_t first_byte = 0;  ///< where in the file the text begins, for errors
  bool by_line = false;  ///< errors name lines of `text` as "ORIGIN:LINE: " instead of bytes: it is written by hand
};

namespace detail {

class JsonTree final : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonTree(std::string_view text, const std::string& origin, const JsonRules& rules)
      : text_(text), origin_(origin), rules_(rules) {}

  nlohmann::json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
  bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
  bool key(std::string& name) override {
    auto& object = open_.back()->get_ref<nlohmann::json::object_t&>();
    const auto [at, fresh] = object.emplace(name, nullptr);
    if (!fresh && rules_.repeated == RepeatedKeys::refused)
      throw Error(Errc::bad_file, origin_ + ": the key \"" + name.substr(0, 80) + "\" occurs twice in one object");
    slot_ = &at->second;
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    const std::size_t at = position == 0 ? 0 : position - 1;
    if (error.id == 406) throw Error(Errc::bad_file, place(at) + "a number out of range");
    throw Error(Errc::bad_file, place(at) + (at >= text_.size() ? "the JSON ends too early" : "not valid JSON"));
  }

 private:
  std::string place(std::size_t at) const {
    if (rules_.by_line) {
      const std::string_view before = text_.substr(0, at);
      return origin_ + ":" + std::to_string(1 + std::count(before.begin(), before.end(), '\n')) + ": ";
    }
    return origin_ + ": byte " + std::to_string(rules_.first_byte + at) + ": ";
  }

  nlohmann::json* put(nlohmann::json value, int) {
    if (open_.empty()) return &(root_ = std::move(value));
    nlohmann::json& holder = *open_.back();
    if (holder.is_array()) return &holder.get_ref<nlohmann::json::array_t&>().emplace_back(std::move(value));
    return &(*slot_ = std::move(value));
  }
  bool put(nlohmann::json value) { return put(std::move(value), 0) != nullptr; }
  bool open(nlohmann::json container) {
    if (open_.size() >= most_json_depth)
      throw Error(Errc::bad_file, origin_ + ": JSON nested deeper than " + std::to_string(most_json_depth));
    open_.push_back(put(std::move(container), 0));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& origin_;
  JsonRules rules_;
  nlohmann::json root_{};
  std::vector<nlohmann::json*> open_{};  // containers stay where they are while something inside them is open
  nlohmann::json* slot_ = nullptr;       // where the value of the last key belongs
};

}  // namespace detail

/// Parses a whole text. Throws Error(bad_file) that begins with `origin` and says where: malformed text, a number that
/// no double holds, a repeated key, nesting beyond most_json_depth. Linear in the text (n log n in the keys of one
/// object).
inline nlohmann::json parse_json_tree(std::string_view text, const std::string& origin, const JsonRules& rules = {}) {
  detail::JsonTree tree(text, origin, rules);
  nlohmann::json::sax_parse(text.begin(), text.end(), &tree);
  return tree.take();
}

/// The beginning of a value's JSON text, for an error message: no longer than a line, whatever the file holds.
inline std::string json_excerpt(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace frugal
