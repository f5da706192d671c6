// See print.hpp.
#include "text/jinja/print.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

std::string hex(std::uint32_t code, int digits) {
  char buffer[16];
  const int size = std::snprintf(buffer, sizeof buffer, "%0*x", digits, static_cast<unsigned>(code));
  return {buffer, static_cast<std::size_t>(size)};
}

void append_escape(std::string& out, std::uint32_t code) {
  if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (code < 0x100) {
    out += "\\x" + hex(code, 2);
  } else if (code < 0x10000) {
    out += "\\u" + hex(code, 4);
  } else {
    out += "\\U" + hex(code, 8);
  }
}

std::string repr(const Value& value);

std::string text_repr(const std::string& text) {
  const bool doubled = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = doubled ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::decode_utf8(text, at);
    const std::size_t size = c.bytes;
    // a stray byte b is what Python's surrogateescape makes of it
    const std::uint32_t code =
        c.value < 0 ? 0xDC00U + static_cast<unsigned char>(text[at]) : static_cast<std::uint32_t>(c.value);
    if (code == static_cast<unsigned char>(quote) || code == '\\') out += '\\';
    if (c.value >= 0 && text::is_printable(c.value)) {
      out.append(text, at, size);
    } else {
      append_escape(out, code);
    }
    at += size;
  }
  return out + quote;
}

std::string joined_reprs(const std::vector<Value>& items) {
  std::string out;
  for (const Value& item : items) {
    if (&item != &items.front()) out += ", ";
    out += repr(item);
  }
  return out;
}

std::string sequence_repr(const Sequence& items) {
  switch (items.flavor) {
    case Flavor::list:
      return "[" + joined_reprs(items.items) + "]";
    case Flavor::tuple:
      return "(" + joined_reprs(items.items) + (items.items.size() == 1 ? ",)" : ")");
    case Flavor::range:
      return items.shown;
    case Flavor::keys:
      return "dict_keys([" + joined_reprs(items.items) + "])";
    case Flavor::values:
      return "dict_values([" + joined_reprs(items.items) + "])";
    case Flavor::items:
      return "dict_items([" + joined_reprs(items.items) + "])";
    case Flavor::iterator:
      break;
  }
  fail("a generator has no text; add |list or |join");
}

std::string dict_repr(const Dict& dict) {
  std::string out = "{";
  for (const auto& [key, value] : dict.entries()) {
    if (out.size() > 1) out += ", ";
    out += repr(key) + ": " + repr(value);
  }
  return out + "}";
}

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value) {
    if (value.is_none()) {
      out_ += "null";
    } else if (const auto* truth = value.as<bool>()) {
      out_ += *truth ? "true" : "false";
    } else if (const std::string* text = value.text()) {
      write_text(*text);
    } else if (const auto* number = value.as<double>()) {
      out_ += real_text(*number);
    } else if (value.is_number()) {
      out_ += to_text(value).bytes();
    } else if (const Dict* dict = value.dict()) {
      write_dict(*dict);
    } else if (const Sequence* items = value.sequence(); items != nullptr && items->flavor <= Flavor::tuple) {
      write_items(items->items);
    } else {
      fail("Object of type " + value.type_name() + " is not JSON serializable" +
           (value.is_undefined() ? " (" + value.hint() + ")" : ""));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string real_text(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return real_repr(number);
  }

  void write_items(const std::vector<Value>& items) {
    if (items.empty()) return static_cast<void>(out_ += "[]");
    open('[');
    for (const Value& item : items) {
      if (&item != &items.front()) separate();
      write(item);
    }
    close(']');
  }

  void write_dict(const Dict& dict) {
    if (dict.size() == 0) return static_cast<void>(out_ += "{}");
    std::vector<const Dict::Entry*> order;
    for (const Dict::Entry& entry : dict.entries()) order.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(),
                       [](const auto* a, const auto* b) { return less(a->first, b->first); });
    }
    open('{');
    for (const Dict::Entry* entry : order) {
      if (entry != order.front()) separate();
      write_text(key_text(entry->first));
      out_ += style_.key_separator;
      write(entry->second);
    }
    close('}');
  }

  static std::string key_text(const Value& key) {
    if (const std::string* text = key.text()) return *text;
    if (key.is_none()) return "null";
    if (const auto* truth = key.as<bool>()) return *truth ? "true" : "false";
    if (const auto* number = key.as<double>()) return real_text(*number);
    if (key.is_number()) return to_text(key).bytes();
    fail("keys must be str, int, float, bool or None, not " + key.type_name());
  }

  void open(char bracket) {
    out_ += bracket;
    ++level_;
    new_line();
  }
  void close(char bracket) {
    --level_;
    new_line();
    out_ += bracket;
  }
  void separate() {
    out_ += style_.item_separator;
    new_line();
  }
  void new_line() {
    if (!style_.indent) return;
    if (style_.indent->size() * level_ > (1U << 20)) fail_limit("tojson: indentation too wide");
    out_ += '\n';
    for (std::size_t i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  void write_text(const std::string& text) {
    out_ += '"';
    for (std::size_t at = 0; at < text.size();) {
      const text::CodePoint c = text::decode_utf8(text, at);
      const std::uint32_t code =
          c.value < 0 ? 0xDC00U + static_cast<unsigned char>(text[at]) : static_cast<std::uint32_t>(c.value);
      write_char(code, std::string_view(text).substr(at, c.bytes));
      at += c.bytes;
    }
    out_ += '"';
  }

  void write_char(std::uint32_t code, std::string_view bytes) {
    switch (code) {
      case '"':
        out_ += "\\\"";
        return;
      case '\\':
        out_ += "\\\\";
        return;
      case '\n':
        out_ += "\\n";
        return;
      case '\r':
        out_ += "\\r";
        return;
      case '\t':
        out_ += "\\t";
        return;
      case '\f':
        out_ += "\\f";
        return;
      case '\b':
        out_ += "\\b";
        return;
      default:
        break;
    }
    if (code >= 0x20 && (code < 0x7F || !style_.ensure_ascii)) {
      out_ += bytes;
    } else if (code < 0x10000) {
      out_ += "\\u" + hex(code, 4);
    } else {
      const std::uint32_t pair = code - 0x10000;
      out_ += "\\u" + hex(0xD800 + (pair >> 10), 4) + "\\u" + hex(0xDC00 + (pair & 0x3FFU), 4);
    }
  }

  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
};

}  // namespace

std::string real_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string digits(buffer, end);  // d.ddde+xx
  const std::size_t mark = digits.find('e');
  const int exponent = std::stoi(digits.substr(mark + 1));
  if (exponent < -4 || exponent >= 16) return digits;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed).ptr;
  std::string out(buffer, fixed);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

namespace {

std::string plain(const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_none()) return "None";
  if (const std::string* text = value.text()) return *text;
  if (const auto* truth = value.as<bool>()) return *truth ? "True" : "False";
  if (const auto* number = value.as<std::int64_t>()) return std::to_string(*number);
  if (const auto* number = value.as<double>()) return real_repr(*number);
  if (const auto* number = value.as<BigInt>()) return *number->digits;
  if (const Dict* dict = value.dict()) return dict_repr(*dict);
  if (const Sequence* items = value.sequence()) return sequence_repr(*items);
  fail("a " + value.type_name() + " has no text that is the same in every run");
}

std::string repr(const Value& value) {
  if (const MarkedText* text = value.marked())
    return text->markup ? "Markup(" + text_repr(text->bytes()) + ")" : text_repr(text->bytes());
  return value.is_undefined() ? "Undefined" : plain(value);
}

}  // namespace

MarkedText to_text(const Value& value) {
  if (const MarkedText* text = value.marked()) return *text;
  return MarkedText(plain(value), value.extent().content);
}

MarkedText to_repr(const Value& value) { return MarkedText(repr(value), value.extent().content); }

std::string to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace frugal::jinja
