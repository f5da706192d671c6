// JSON that somebody else wrote, read field by field: every wrong field is named, and what nobody asked for is refused, so
// that nothing a caller counts on is dropped in silence.
//
// `Refusal` says how: refuse(path, what, code) throws; shown(value) is how a wrong value is repeated, or empty where it
// must not be.
#pragma once

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/short_number.hpp"

namespace frugal::text {

/// The fields of one object, which it refers to. JSON's null counts as absent. All members throw as Refusal does.
template <class Tree, class Refusal>
class JsonFields {
 public:
  using Json = Tree;

  /// `where` stands before the names of fields: "" for the body itself, else e.g. "messages[2]".
  JsonFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) wrong(where_, "must be an object");
  }

  const Json* take(const char* key) {
    taken_.emplace_back(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  const Json& need(const char* key) {
    const Json* const found = take(key);
    if (found == nullptr) wrong(path(key), "is missing");
    return *found;
  }
  std::optional<std::string> text(const char* key) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_string()) wrong(path(key), "must be a string" + Refusal::shown(*found));
    return found->template get<std::string>();
  }
  std::string need_text(const char* key) {
    need(key);
    return *text(key);
  }
  std::optional<bool> flag(const char* key) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_boolean()) wrong(path(key), "must be true or false" + Refusal::shown(*found));
    return found->template get<bool>();
  }
  std::optional<double> number(const char* key, double low, double high) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    const double value = found->is_number() ? found->template get<double>() : std::nan("");
    if (!(value >= low && value <= high))
      wrong(path(key),
            "must be a number from " + short_number(low) + " to " + short_number(high) + Refusal::shown(*found));
    return value;
  }
  std::optional<std::uint64_t> whole(const char* key, std::uint64_t low, std::uint64_t high) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    const bool fits = found->is_number_unsigned() && found->template get<std::uint64_t>() >= low &&
                      found->template get<std::uint64_t>() <= high;
    if (!fits)
      wrong(path(key), "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                           Refusal::shown(*found));
    return found->template get<std::uint64_t>();
  }
  const Json* list(const char* key) {
    const Json* const found = take(key);
    if (found != nullptr && !found->is_array()) wrong(path(key), "must be a list");
    return found;
  }
  const Json* object(const char* key) {
    const Json* const found = take(key);
    if (found != nullptr && !found->is_object()) wrong(path(key), "must be an object");
    return found;
  }

  /// Accepted and without effect, because there is nothing that it could change here.
  void ignore(std::initializer_list<const char*> keys) {
    for (const char* key : keys) taken_.emplace_back(key);
  }
  /// Known and not offered: refused with this reason unless it has the value that means "no".
  void unsupported(const char* key, const char* why, const Json& harmless = nullptr) {
    const Json* const found = take(key);
    if (found != nullptr && (harmless.is_null() || *found != harmless)) wrong(path(key), why, Errc::unsupported);
  }
  /// Everything that was not taken.
  void refuse_rest() {
    for (const auto& [key, value] : object_.items())
      if (std::find(taken_.begin(), taken_.end(), key) == taken_.end())
        wrong(path(key.substr(0, 80)), "this field is not known here", Errc::unsupported);
  }

  /// The full name of a field.
  std::string path(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }
  [[noreturn]] static void wrong(const std::string& path, const std::string& what, Errc code = Errc::invalid_argument) {
    Refusal::refuse(path, what, code);
  }

 private:
  const Json& object_;
  std::string where_;
  std::vector<std::string> taken_{};
};

}  // namespace frugal::text
