// JSON that clients wrote, read field by field: every wrong field is named, and what nobody asked for is refused, so
// that nothing a client counts on is dropped in silence.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::server {

using Json = nlohmann::ordered_json;

/// Valid UTF-8; bytes that are no character become U+FFFD.
std::string dumped(const Json& value);

/// A request's body as an object. Throws Refused: malformed, too deep, or something else than an object.
Json parse_body(std::string_view body);

/// The fields of one object. All members throw Refused that names the field. JSON's null counts as absent.
class Fields {
 public:
  /// `where` stands before the names of fields: "" for the body itself, else e.g. "messages[2]".
  Fields(const Json& object, std::string where);

  const Json* take(const char* key);
  const Json& need(const char* key);
  std::optional<std::string> text(const char* key);
  std::string need_text(const char* key);
  std::optional<bool> flag(const char* key);
  std::optional<double> number(const char* key, double low, double high);
  std::optional<std::uint64_t> whole(const char* key, std::uint64_t low, std::uint64_t high);
  const Json* list(const char* key);
  const Json* object(const char* key);

  /// Accepted and without effect, because there is nothing that it could change here.
  void ignore(std::initializer_list<const char*> keys);
  /// Known and not offered: refused with this reason unless it has the value that means "no".
  void unsupported(const char* key, const char* why, const Json& harmless = nullptr);
  /// Everything that was not taken.
  void refuse_rest();

  /// The full name of a field.
  std::string path(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }

 private:
  const Json& object_;
  std::string where_;
  std::vector<std::string> taken_{};
};

}  // namespace frugal::server
