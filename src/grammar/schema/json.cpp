#include "grammar/schema/json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace frugal::grammar {

namespace {

// Builds the tree from the events of nlohmann's parser, which does not recurse.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  /// `written`: the numbers, in order, where others stand in the text for them; else empty.
  Builder(Json& root, const Limits& limits, std::vector<std::string_view> written = {})
      : root_(root), limits_(limits), written_(std::move(written)) {}

  bool too_large() const { return too_large_; }

  bool null() override { return add({}); }
  bool boolean(bool value) override { return add({Json::Kind::boolean, value}); }
  bool number_integer(std::int64_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(std::uint64_t value) override { return number(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return number(text); }
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
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& error) override {
    constexpr int kNumberOverflow = 406;
    too_large_ = error.id == kNumberOverflow && written_.empty();
    if (too_large_) return false;
    throw Error(Errc::invalid_argument, "grammar: the text is no JSON at byte " + std::to_string(at));
  }

 private:
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is(Json::Kind::array)) return &parent.items.emplace_back(std::move(value));
    return &parent.members.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool number(std::string text) {
    if (!written_.empty()) text = written_[numbers_++];
    return add({Json::Kind::number, false, std::move(text)});
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
  std::vector<std::string_view> written_;
  std::size_t numbers_ = 0;
  bool too_large_ = false;
};

bool is_number(std::string_view text) {
  const auto digits = [&](std::size_t at) {
    const std::size_t end = std::min(text.find_first_not_of("0123456789", at), text.size());
    return end - std::min(at, end);
  };
  std::size_t at = text.starts_with('-') ? 1 : 0;
  if (digits(at) == 0 || (text[at] == '0' && digits(at) > 1)) return false;
  at += digits(at);
  if (at < text.size() && text[at] == '.') {
    if (digits(at + 1) == 0) return false;
    at += 1 + digits(at + 1);
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    at += at + 1 < text.size() && (text[at + 1] == '+' || text[at + 1] == '-') ? 2 : 1;
    if (digits(at) == 0) return false;
    at += digits(at);
  }
  return at == text.size();
}

// The text with 0 for each of its numbers, some of which are beyond a double's range, and what they were.
std::string without_large(std::string_view text, std::vector<std::string_view>& numbers) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
      at = std::min(at + 1, text.size());
      out += text.substr(begin, at - begin);
    } else if (text[at] == '-' || (text[at] >= '0' && text[at] <= '9')) {
      at = std::min(text.find_first_not_of("0123456789+-.eE", at), text.size());
      numbers.push_back(text.substr(begin, at - begin));
      out += is_number(numbers.back()) ? "0" : numbers.back();
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace

Json parse_json(std::string_view text, const Limits& limits) {
  if (text.size() > limits.source_bytes) {
    over_limit("a text of more than " + std::to_string(limits.source_bytes >> 20) + " MiB");
  }
  Json root;
  Builder builder(root, limits);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!builder.too_large()) return root;
  std::vector<std::string_view> numbers;
  const std::string smaller = without_large(text, numbers);
  Json again;
  Builder rebuilder(again, limits, std::move(numbers));
  nlohmann::json::sax_parse(smaller.begin(), smaller.end(), &rebuilder);
  return again;
}

}  // namespace frugal::grammar
