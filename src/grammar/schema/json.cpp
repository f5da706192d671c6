#include "grammar/schema/json.hpp"

#include <nlohmann/json.hpp>

namespace frugal::grammar {

namespace {

// Builds the tree from the events of nlohmann's parser, which does not recurse.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(Json& root, const Limits& limits) : root_(root), limits_(limits) {}

  bool null() override { return add({}); }
  bool boolean(bool value) override { return add({Json::Kind::boolean, value}); }
  bool number_integer(std::int64_t value) override { return add({Json::Kind::number, false, std::to_string(value)}); }
  bool number_unsigned(std::uint64_t value) override { return add({Json::Kind::number, false, std::to_string(value)}); }
  bool number_float(double, const std::string& text) override { return add({Json::Kind::number, false, text}); }
  bool string(std::string& value) override { return add({Json::Kind::string, false, std::move(value)}); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open({Json::Kind::object}); }
  bool start_array(std::size_t) override { return open({Json::Kind::array}); }
  bool key(std::string& name) override {
    key_ = std::move(name);
    return true;
  }
  bool end_object() override { return open_.pop_back(), true; }
  bool end_array() override { return open_.pop_back(), true; }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(Errc::invalid_argument, "grammar: the text is no JSON at byte " + std::to_string(at));
  }

 private:
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is(Json::Kind::array)) return &parent.items.emplace_back(std::move(value));
    return &parent.members.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Json value) { return place(std::move(value)), true; }
  bool open(Json value) {
    if (open_.size() >= limits_.source_depth) {
      over_limit("JSON nested deeper than " + std::to_string(limits_.source_depth));
    }
    open_.push_back(place(std::move(value)));
    return true;
  }

  Json& root_;
  const Limits& limits_;
  std::vector<Json*> open_;  // a parent's list does not grow while a child is open
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const Limits& limits) {
  if (text.size() > limits.source_bytes) {
    over_limit("a text of more than " + std::to_string(limits.source_bytes >> 20) + " MiB");
  }
  Json root;
  Builder builder(root, limits);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return root;
}

}  // namespace frugal::grammar
