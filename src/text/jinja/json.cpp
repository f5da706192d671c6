// See json.hpp. Built from parser events, so that no second tree is made and depth is ours to bound.
#include "text/jinja/json.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/operators.hpp"

namespace frugal::jinja {
namespace {

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::string_view what) : what_(what) {}
  Value take() { return std::move(result_); }

  bool null() override { return put(Value(None{})); }
  bool boolean(bool truth) override { return put(Value(truth)); }
  bool number_integer(number_integer_t number) override { return put(Value(static_cast<std::int64_t>(number))); }
  bool number_unsigned(number_unsigned_t number) override {
    if (number > static_cast<number_unsigned_t>(INT64_MAX)) return put(big(std::to_string(number)));
    return put(Value(static_cast<std::int64_t>(number)));
  }
  bool number_float(number_float_t number, const std::string& text) override {
    return put(text.find_first_of(".eE") == std::string::npos ? big(text) : Value(number));
  }
  bool string(std::string& text) override { return put(Value(MarkedText(std::move(text), true))); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool key(std::string& text) override {
    open_.back().key = MarkedText(std::move(text), true);
    return true;
  }
  bool end_object() override {
    Dict dict = std::move(open_.back().dict);
    open_.pop_back();
    return put(make_dict(std::move(dict)));
  }
  bool end_array() override {
    std::vector<Value> items = std::move(open_.back().items);
    open_.pop_back();
    return put(make_sequence(std::move(items)));
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    fail(std::string(what_) + " is not valid JSON: byte " + std::to_string(position == 0 ? 0 : position - 1));
  }

 private:
  struct Open {
    bool is_dict = false;
    MarkedText key{};
    Dict dict{};
    std::vector<Value> items{};
  };

  static Value big(std::string digits) { return Value(BigInt{std::make_shared<const std::string>(std::move(digits))}); }

  bool open(bool is_dict) {
    if (open_.size() >= kMaxValueDepth)
      fail_limit(std::string(what_) + " is nested deeper than " + std::to_string(kMaxValueDepth));
    open_.push_back(Open{is_dict});
    return true;
  }

  bool put(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (open_.back().is_dict) {
      open_.back().dict.set(Value(open_.back().key), std::move(value));
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::string_view what_;
  std::vector<Open> open_;
  Value result_;
};

}  // namespace

Value parse_json(std::string_view text, std::string_view what) {
  Builder builder(what);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

}  // namespace frugal::jinja
