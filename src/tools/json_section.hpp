// Section: one object of a settings file, read member by member. What is wrong is named by line and key, and what nobody
// knows is refused, as is a key that occurs twice.
#pragma once

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/short_number.hpp"
#include "tools/raw_json.hpp"

namespace frugal::tools {

using Json = nlohmann::json;

/// The members of one object of the file. Everything throws Error that names line and member.
class Section {
 public:
  /// `text` is the file's; `object` is what it holds, parsed.
  Section(const Json& object, std::string_view text, std::string origin)
      : Section(object, text, std::move(origin), text, "") {}
  ~Section() noexcept(false) {
    if (std::uncaught_exceptions() > 0) return;
    for (const auto& [key, value] : object_.items())
      if (!taken_.count(key)) wrong(key, "is not known here");
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  const Json* take(const char* key) {
    taken_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  void text(const char* key, std::string& out, bool required = false) {
    const Json* const found = take(key);
    if (found == nullptr && required) wrong(key, "is missing");
    if (found == nullptr) return;
    if (!found->is_string() || found->get_ref<const std::string&>().empty())
      wrong(key, "must be a text that is not empty");
    out = found->get<std::string>();
  }
  /// One of the named values; `out` stays where the member is absent.
  template <class T>
  void choice(const char* key, T& out, std::initializer_list<std::pair<std::string_view, T>> known) {
    std::string name, names;
    text(key, name);
    if (name.empty()) return;
    for (const auto& one : known) {
      if (one.first == name) {
        out = one.second;
        return;
      }
      names += &one == known.begin() ? "" : &one + 1 == known.end() ? " or " : ", ";
      names += one.first;
    }
    wrong(key, "must be " + names);
  }
  template <class Number>
  void whole(const char* key, Number& out, std::int64_t low, std::int64_t high) {
    const Json* const found = take(key);
    if (found == nullptr) return;
    const bool fits = found->is_number_integer() && is_whole(*found, low, high);
    if (!fits) wrong(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    out = static_cast<Number>(found->get<std::int64_t>());
  }
  std::optional<double> number(const char* key, double low, double high) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    const bool fits = found->is_number() && found->get<double>() >= low && found->get<double>() <= high;
    if (!fits) wrong(key, "must be a number from " + short_number(low) + " to " + short_number(high));
    return found->get<double>();
  }
  void flag(const char* key, bool& out) {
    const Json* const found = take(key);
    if (found == nullptr) return;
    if (!found->is_boolean()) wrong(key, "must be true or false");
    out = found->get<bool>();
  }
  std::vector<std::string> texts(const char* key, bool required = false) {
    const Json* const found = take(key);
    if (found == nullptr && required) wrong(key, "is missing");
    std::vector<std::string> out;
    if (found == nullptr) return out;
    if (!found->is_array()) wrong(key, "must be a list of texts");
    for (const Json& one : *found) {
      if (!one.is_string()) wrong(key, "must be a list of texts");
      out.push_back(one.get<std::string>());
    }
    return out;
  }
  template <class Read>
  void each(const char* key, Read read) {
    const Json* const found = take(key);
    if (found == nullptr) return;
    if (!found->is_array()) wrong(key, "must be a list");
    const std::vector<std::string_view> raw = raw_elements(members_.find(key)->second.value);
    for (std::size_t i = 0; i < found->size(); ++i) {
      Section inner((*found)[i], file_, origin_, raw.at(i), path(key) + "[" + std::to_string(i) + "]");
      read(inner);
    }
  }
  /// A member that is an object, or nothing.
  template <class Read>
  void inside(const char* key, Read read) {
    const Json* const found = take(key);
    if (found == nullptr) return;
    Section inner(*found, file_, origin_, members_.find(key)->second.value, path(key));
    read(inner);
  }
  /// The members of an object whose names are free, each read by read(section, name); none where there is no such member.
  template <class Value, class Read>
  std::vector<std::pair<std::string, Value>> pairs(const char* key, Read read) {
    std::vector<std::pair<std::string, Value>> out;
    inside(key, [&](Section& inner) {
      for (const auto& [name, value] : inner.object_.items()) out.emplace_back(name, read(inner, name.c_str()));
    });
    return out;
  }
  [[noreturn]] void wrong(const std::string& key, const std::string& what) const {
    throw Error(Errc::invalid_argument, place(key) + path(key) + " " + what);
  }
  /// "FILE:LINE: ", of the member, or of the object where it has none.
  std::string place(const std::string& key = {}) const {
    const auto member = members_.find(key);
    return place_at(member == members_.end() ? raw_.data() : member->second.begin);
  }
  /// "models[0].path"; "the file" where it is all of it.
  std::string path(const std::string& key) const {
    if (where_.empty()) return key.empty() ? "the file" : key;
    return key.empty() ? where_ : where_ + "." + key;
  }

 private:
  Section(const Json& object, std::string_view file, std::string origin, std::string_view raw, std::string where)
      : object_(object), file_(file), origin_(std::move(origin)), raw_(raw), where_(std::move(where)) {
    if (!object.is_object()) wrong("", "must be an object");
    each_raw_member(raw_, [this](const std::string& key, std::size_t at, std::string_view value) {
      const bool fresh = members_.emplace(key, Member{raw_.data() + at, value}).second;
      if (!fresh) throw Error(Errc::bad_file, place_at(raw_.data() + at) + path(key) + " occurs twice");
      return true;
    });
  }
  std::string place_at(const char* at) const {
    const auto line = 1 + std::count(file_.begin(), file_.begin() + (at - file_.data()), '\n');
    return origin_ + ":" + std::to_string(line) + ": ";
  }
  static bool is_whole(const Json& number, std::int64_t low, std::int64_t high) {
    if (number.is_number_unsigned())
      return number.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::max<std::int64_t>(high, 0)) &&
             number.get<std::int64_t>() >= low;
    return number.get<std::int64_t>() >= low && number.get<std::int64_t>() <= high;
  }

  struct Member {
    const char* begin;  ///< of its name
    std::string_view value;
  };

  const Json& object_;
  std::string_view file_;
  std::string origin_;
  std::string_view raw_;  ///< the object's own text, a part of the file's
  std::string where_;     ///< its path in the file
  std::map<std::string, Member> members_{};
  std::set<std::string> taken_{};
};

}  // namespace frugal::tools
