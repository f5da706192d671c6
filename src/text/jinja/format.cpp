// Formatting as Python's % and str.format do it, as far as templates use it: no widths, no alignment.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <string>
#include <utility>

#include "text/jinja/builtins.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/print.hpp"
#include "text/jinja/run.hpp"
#include "text/jinja/str.hpp"

namespace frugal::jinja {
namespace {

MarkedText inserted(const MarkedText& format, MarkedText piece) { return format.markup ? escaped(piece) : piece; }

// A double with so many digits after the point; independent of the host's locale.
std::string fixed(double number, int digits) {
  char buffer[512];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed, digits);
  if (end.ec != std::errc()) fail("a number too long to format");
  return {buffer, end.ptr};
}

std::string whole(const Value& value, char type) {
  if (value.is_undefined()) fail(value.hint());
  const auto real = value.real();
  const bool fits = value.integer() || (type != 'x' && real && std::abs(*real) < 9.2e18);
  if (!fits) fail(std::string("%") + type + " format: a number is required, not " + value.type_name());
  const std::int64_t number = value.integer() ? *value.integer() : static_cast<std::int64_t>(*real);
  if (type != 'x') return std::to_string(number);
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, 16).ptr;
  return {buffer, end};
}

class Percent {
 public:
  Percent(Run& run, const MarkedText& format, const Value& values) : run_(run), format_(format), values_(values) {
    const Sequence* items = values.sequence();
    if (items != nullptr && items->flavor == Flavor::tuple) tuple_ = items;
  }

  MarkedText text() {
    MarkedText out;
    const std::string& bytes = format_.bytes();
    std::size_t begun = 0;
    for (at_ = bytes.find('%'); at_ != std::string::npos; at_ = bytes.find('%', begun)) {
      out.append(format_, begun, at_ - begun);
      ++at_;
      const MarkedText piece = inserted(format_, conversion());
      run_.charge_bytes(piece.size());
      out.append(piece);
      begun = at_;
    }
    out.append(format_, begun);
    const std::size_t given = tuple_ != nullptr ? tuple_->items.size() : 1;
    if (!mapped_ && used_ < given && values_.dict() == nullptr)
      fail("not all arguments converted during string formatting");
    return out;
  }

 private:
  char peek() const { return at_ < format_.size() ? format_.bytes()[at_] : '\0'; }

  MarkedText conversion() {
    const Value* keyed = peek() == '(' ? &by_key() : nullptr;
    int digits = 6;
    if (peek() == '.') {
      digits = 0;
      for (++at_; peek() >= '0' && peek() <= '9' && digits < 100; ++at_) digits = digits * 10 + (peek() - '0');
    }
    const char type = peek();
    if (type == '\0') fail("incomplete format");
    ++at_;
    if (type == '%') return MarkedText("%");
    return converted(type, digits, keyed != nullptr ? *keyed : next());
  }

  static MarkedText converted(char type, int digits, const Value& value) {
    if (type == 's') return to_text(value);
    if (type == 'r') return to_repr(value);
    if (type == 'd' || type == 'i' || type == 'x') return MarkedText(whole(value, type));
    if (type != 'f') fail_lacking(std::string("the format %") + type);
    if (!value.real()) fail("must be real number, not " + value.type_name());
    return MarkedText(fixed(*value.real(), digits));
  }

  const Value& by_key() {
    const std::size_t end = format_.bytes().find(')', at_);
    if (end == std::string::npos) fail("incomplete format key");
    const std::string key = format_.bytes().substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    mapped_ = true;
    if (values_.dict() == nullptr) fail("format requires a mapping");
    const Value* found = values_.dict()->find(std::string_view(key));
    if (found == nullptr) fail("format: no key '" + key + "'");
    return *found;
  }

  const Value& next() {
    const std::size_t given = tuple_ != nullptr ? tuple_->items.size() : 1;
    if (used_ >= given) fail("not enough arguments for format string");
    return tuple_ != nullptr ? tuple_->items[used_++] : (++used_, values_);
  }

  Run& run_;
  const MarkedText& format_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::size_t at_ = 0, used_ = 0;
  bool mapped_ = false;
};

class Brace {
 public:
  Brace(Run& run, const MarkedText& format, const Args& args) : run_(run), format_(format), args_(args) {}

  MarkedText text() {
    MarkedText out;
    const std::string& bytes = format_.bytes();
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t mark = std::min(bytes.find_first_of("{}", at), bytes.size());
      out.append(format_, at, mark - at);
      at = mark;
      if (at == bytes.size()) break;
      if (bytes.compare(at, 2, "{{") == 0 || bytes.compare(at, 2, "}}") == 0) {
        out.append(format_, at, 1);
        at += 2;
        continue;
      }
      const std::size_t end = bytes.find('}', at);
      if (bytes[at] == '}' || end == std::string::npos) fail("a brace without its partner in a format string");
      const MarkedText piece =
          inserted(format_, to_text(argument(std::string_view(bytes).substr(at + 1, end - at - 1))));
      run_.charge_bytes(piece.size());
      out.append(piece);
      at = end + 1;
    }
    return out;
  }

 private:
  const Value& argument(std::string_view name) {
    if (name.find_first_of(":!.[{") != std::string_view::npos) fail_lacking("the format {" + std::string(name) + "}");
    std::size_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool numbered = !name.empty() && read.ec == std::errc() && read.ptr == name.data() + name.size();
    if (!name.empty() && !numbered) return named(name);
    if (name.empty()) index = next_++;
    numbered_ = numbered_ || numbered;
    if (numbered_ && next_ > 0) fail("{} and {0} in one format string");
    if (index >= args_.positional.size())
      fail("replacement index " + std::to_string(index) + " out of range for positional arguments");
    return args_.positional[index];
  }

  const Value& named(std::string_view name) const {
    for (const auto& [each, value] : args_.named) {
      if (each == name) return value;
    }
    fail("format: no argument named '" + std::string(name) + "'");
  }

  Run& run_;
  const MarkedText& format_;
  const Args& args_;
  std::size_t next_ = 0;  // of the fields without a number
  bool numbered_ = false;
};

}  // namespace

MarkedText percent_format(Run& run, const MarkedText& format, const Value& values) {
  MarkedText out = Percent(run, format, values).text();
  out.markup = format.markup;
  return out;
}

MarkedText brace_format(Run& run, const MarkedText& format, const Args& args) {
  MarkedText out = Brace(run, format, args).text();
  out.markup = format.markup;
  return out;
}

MarkedText escaped(const MarkedText& text) {
  if (text.markup) return text;
  MarkedText out;
  const std::string& bytes = text.bytes();
  std::size_t begun = 0;
  for (std::size_t at = bytes.find_first_of("&<>'\""); at != std::string::npos;
       at = bytes.find_first_of("&<>'\"", begun)) {
    out.append(text, begun, at - begun);
    const char c = bytes[at];
    MarkedText piece(c == '&'   ? "&amp;"
                     : c == '<' ? "&lt;"
                     : c == '>' ? "&gt;"
                     : c == '"' ? "&#34;"
                                : "&#39;",
                     text.part(at, 1).has_content());
    out.append(piece);
    begun = at + 1;
  }
  out.append(text, begun);
  out.markup = true;
  return out;
}

}  // namespace frugal::jinja
