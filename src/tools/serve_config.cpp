#include "tools/serve_config.hpp"

#include <frugal/core/error.hpp>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/json_tree.hpp"

namespace frugal::tools {

namespace {

using Json = nlohmann::json;

/// The members of one object of the file. Everything throws Error that names the member.
class Section {
 public:
  Section(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) wrong("", "must be an object");
  }
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
  template <class Number>
  void whole(const char* key, Number& out, std::int64_t low, std::int64_t high) {
    const Json* const found = take(key);
    if (found == nullptr) return;
    const bool fits =
        found->is_number_integer() && found->get<std::int64_t>() >= low && found->get<std::int64_t>() <= high;
    if (!fits) wrong(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    out = static_cast<Number>(found->get<std::int64_t>());
  }
  std::optional<double> number(const char* key, double low, double high) {
    const Json* const found = take(key);
    if (found == nullptr) return std::nullopt;
    const bool fits = found->is_number() && found->get<double>() >= low && found->get<double>() <= high;
    if (!fits) wrong(key, "must be a number from " + std::to_string(low) + " to " + std::to_string(high));
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
    for (std::size_t i = 0; i < found->size(); ++i) {
      Section inner((*found)[i], path(key) + "[" + std::to_string(i) + "]");
      read(inner);
    }
  }
  [[noreturn]] void wrong(const std::string& key, const std::string& what) const {
    throw Error(Errc::invalid_argument, path(key) + " " + what);
  }

 private:
  std::string path(const std::string& key) const {
    return where_ + (key.empty() ? "" : (where_.back() == ' ' ? "" : ".") + key);
  }
  const Json& object_;
  std::string where_;
  std::set<std::string> taken_{};
};

void read_remote(Section& s, ServeConfig& config) {
  ServeRemote remote;
  s.text("name", remote.name, true);
  s.text("url", remote.options.url, true);
  s.text("model", remote.options.model, true);
  s.text("key_file", remote.key_file);
  s.text("ca_file", remote.options.ca_file);
  std::string api = "openai_chat";
  s.text("api", api);
  if (api == "anthropic_messages")
    remote.options.api = HttpApi::anthropic_messages;
  else if (api != "openai_chat")
    s.wrong("api", "must be openai_chat or anthropic_messages");
  s.flag("extended_sampling", remote.options.extended_sampling);
  s.flag("completion_tokens_field", remote.options.completion_tokens_field);
  s.whole("max_running", remote.options.max_running, 1, 100'000);
  remote.options.name = remote.name;
  config.remotes.push_back(std::move(remote));
}

void read_cascade(Section& s, ServeConfig& config) {
  ServeCascade cascade;
  s.text("name", cascade.name, true);
  cascade.tiers = s.texts("tiers", true);
  cascade.margin = s.number("margin", 0, 1);
  s.text("policy", cascade.policy);
  if (cascade.tiers.size() < 2) s.wrong("tiers", "must name at least two");
  if (cascade.margin.has_value() == !cascade.policy.empty()) s.wrong("", "needs either margin or policy");
  config.cascades.push_back(std::move(cascade));
}

void read_lists(Section& s, ServeConfig& config) {
  s.each("models", [&](Section& m) {
    ServeModel model;
    m.text("path", model.path, true);
    m.text("name", model.name);
    config.models.push_back(std::move(model));
  });
  s.each("remotes", [&](Section& r) { read_remote(r, config); });
  s.each("cascades", [&](Section& c) { read_cascade(c, config); });
  s.each("keys", [&](Section& k) {
    ServeKey key;
    k.text("file", key.file, true);
    k.text("tenant", key.tenant);
    k.whole("most_priority", key.most_priority, std::numeric_limits<std::int32_t>::min(),
            std::numeric_limits<std::int32_t>::max());
    config.keys.push_back(std::move(key));
  });
}

}  // namespace

void set_listen(ServeConfig& config, const std::string& text, const std::string& origin) {
  const std::size_t colon = text.rfind(':');
  unsigned port = 0;
  const char* const end = text.data() + text.size();
  const bool fine = colon != std::string::npos && colon > 0 &&
                    std::from_chars(text.data() + colon + 1, end, port).ptr == end && colon + 1 < text.size() &&
                    port <= std::numeric_limits<std::uint16_t>::max();
  if (!fine) throw Error(Errc::invalid_argument, origin + " must be address:port, e.g. 127.0.0.1:8080");
  config.address = text.substr(0, colon);
  if (config.address.size() > 2 && config.address.front() == '[' && config.address.back() == ']')
    config.address = config.address.substr(1, config.address.size() - 2);
  config.port = static_cast<std::uint16_t>(port);
}

ServeConfig parse_serve_config(std::string_view json, const std::string& origin) {
  const Json parsed = parse_json_tree(json, origin, {.repeated = RepeatedKeys::refused});
  ServeConfig config;
  {
    Section s(parsed, origin + ": ");
    std::string listen;
    s.text("listen", listen);
    if (!listen.empty()) set_listen(config, listen, origin + ": listen");
    read_lists(s, config);
    s.whole("kv_mib", config.kv_mib, 0, 1 << 20);
    s.whole("max_running", config.max_running, 1, 4096);
    s.whole("max_waiting", config.max_waiting, 0, 1'000'000);
    config.speculate = s.texts("speculate");
    config.drain_seconds = s.number("drain_seconds", 0, 86400).value_or(config.drain_seconds);
    s.whole("body_mib", config.body_mib, 1, 1024);
    s.whole("connections", config.connections, 1, 1'000'000);
    s.text("access_log", config.access_log);
  }
  return config;
}

}  // namespace frugal::tools
