#include "grammar/schema/document.hpp"

namespace frugal::grammar {

namespace {

std::string text_of(const Json& schema, std::string_view key) {
  const Json* value = schema.find(key);
  return value && value->is(Json::Kind::string) ? value->text : std::string();
}

int draft_of(const std::string& uri) {
  for (const auto& [part, draft] : {std::pair{"draft-03", 4},
                                    {"draft-04", 4},
                                    {"draft-06", 6},
                                    {"draft-07", 7},
                                    {"2019-09", 2019},
                                    {"2020-12", 2020}}) {
    if (uri.find(part) != std::string::npos) return draft;
  }
  return 2020;
}

std::string unescape_token(std::string_view token) {
  std::string out;
  const auto hex = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '%' && i + 2 < token.size() && std::isxdigit(static_cast<unsigned char>(token[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(token[i + 2]))) {
      out += static_cast<char>(hex(token[i + 1]) * 16 + hex(token[i + 2]));
      i += 2;
    } else {
      out += token[i];
    }
  }
  std::string plain;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '~' && i + 1 < out.size() && (out[i + 1] == '0' || out[i + 1] == '1')) {
      plain += out[++i] == '0' ? '~' : '/';
    } else {
      plain += out[i];
    }
  }
  return plain;
}

std::string escape_token(const std::string& name) {
  std::string out;
  for (const char c : name) out += c == '~' ? "~0" : (c == '/' ? "~1" : std::string(1, c));
  return out;
}

// Values under these names are data, not schemas.
bool is_data(const std::string& key) {
  return key == "enum" || key == "const" || key == "default" || key == "examples" || key == "example";
}

}  // namespace

std::string resolve_uri(const std::string& base, const std::string& reference) {
  const std::size_t scheme = reference.find(':');
  if (scheme != std::string::npos && scheme < reference.find_first_of("/?#")) return reference;
  const std::string stem = base.substr(0, base.find('#'));
  if (reference.empty() || reference[0] == '#') return stem + reference;
  const std::size_t authority = stem.find("://");
  const std::size_t host = authority == std::string::npos ? 0 : authority + 3;
  if (reference[0] == '/') {
    const std::size_t slash = authority == std::string::npos ? std::string::npos : stem.find('/', host);
    return (authority == std::string::npos ? std::string() : stem.substr(0, slash)) + reference;
  }
  const std::size_t last = stem.rfind('/');
  if (last == std::string::npos || last < host)
    return authority == std::string::npos ? reference : stem + "/" + reference;
  return stem.substr(0, last + 1) + reference;
}

Document::Document(std::string_view text, const Limits& limits) : root_(parse_json(text, limits)) {
  draft_ = draft_of(text_of(root_, "$schema"));
  by_uri_[""] = &root_;
  visit(root_, "", "");
}

void Document::visit(const Json& value, const std::string& base, const std::string& path) {
  if (value.is(Json::Kind::array)) {
    for (std::size_t i = 0; i < value.items.size(); ++i) visit(value.items[i], base, path + "/" + std::to_string(i));
    return;
  }
  if (!value.is(Json::Kind::object)) {
    if (value.is(Json::Kind::boolean)) path_[&value] = path;
    return;
  }
  std::string here = base;
  const std::string id = draft_ < 6 ? text_of(value, "id") : text_of(value, "$id");
  const bool shadowed = only_ref() && value.find("$ref") != nullptr;
  if (!id.empty() && !shadowed) {
    here = resolve_uri(base, id);
    if (here.ends_with('#')) here.pop_back();
    by_uri_.emplace(here, &value);
    if (id[0] == '#') here = base;  // an anchor, in the older drafts
  }
  base_[&value] = here;
  path_[&value] = path;
  const std::string anchor = text_of(value, "$anchor"), dynamic = text_of(value, "$dynamicAnchor");
  const std::string stem = here.substr(0, here.find('#'));
  if (!anchor.empty()) by_uri_.emplace(stem + "#" + anchor, &value);
  if (!dynamic.empty()) {
    by_uri_.emplace(stem + "#" + dynamic, &value);
    dynamic_anchors_.emplace(dynamic, &value);
  }
  for (const auto& [key, member] : value.members) {
    if (!is_data(key) || path.ends_with("/properties") || path.ends_with("/definitions") || path.ends_with("/$defs")) {
      visit(member, here, path + "/" + escape_token(key));
    }
  }
}

const Json* Document::pointer(const Json& from, std::string_view fragment) const {
  const Json* at = &from;
  while (!fragment.empty()) {
    fragment.remove_prefix(1);  // the slash
    const std::size_t end = std::min(fragment.find('/'), fragment.size());
    const std::string token = unescape_token(fragment.substr(0, end));
    fragment.remove_prefix(end);
    if (at->is(Json::Kind::object)) {
      at = at->find(token);
    } else if (at->is(Json::Kind::array)) {
      std::size_t index = 0;
      if (token.empty() || token.size() > 9) return nullptr;
      for (const char c : token) {
        if (c < '0' || c > '9') return nullptr;
        index = index * 10 + static_cast<std::size_t>(c - '0');
      }
      at = index < at->items.size() ? &at->items[index] : nullptr;
    } else {
      return nullptr;
    }
    if (!at) return nullptr;
  }
  return at;
}

const Json& Document::resolve(const Json& from, const std::string& ref, const Refusal& refusal) const {
  const auto known = base_.find(&from);
  const std::string uri = resolve_uri(known == base_.end() ? "" : known->second, ref);
  const std::size_t mark = std::min(uri.find('#'), uri.size());
  const std::string stem = uri.substr(0, mark), fragment = uri.substr(std::min(mark + 1, uri.size()));
  if (const auto whole = by_uri_.find(uri); whole != by_uri_.end()) return *whole->second;
  const auto resource = by_uri_.find(stem);
  const Json* found = nullptr;
  if (resource != by_uri_.end() && (fragment.empty() || fragment[0] == '/'))
    found = pointer(*resource->second, fragment);
  if (!found && ref.starts_with("#/")) found = pointer(root_, ref.substr(1));  // where an id is there for show
  if (found && (found->is(Json::Kind::object) || found->is(Json::Kind::boolean))) return *found;
  Refusal fault = refusal;
  fault.why = (resource == by_uri_.end() && !stem.empty() ? "a schema elsewhere: " : "no such schema: ") + ref;
  throw fault;
}

const Json& Document::resolve_dynamic(const Json& from, const std::string& ref, const Refusal& refusal) const {
  const std::string name = ref.substr(ref.find('#') == std::string::npos ? ref.size() : ref.find('#') + 1);
  if (dynamic_anchors_.count(name) > 1) {
    Refusal fault = refusal;
    fault.why = "several schemas have the dynamic anchor " + name;
    throw fault;
  }
  return resolve(from, ref, refusal);
}

const std::string& Document::path(const Json& schema) const {
  static const std::string unknown;
  const auto found = path_.find(&schema);
  return found == path_.end() ? unknown : found->second;
}

}  // namespace frugal::grammar
