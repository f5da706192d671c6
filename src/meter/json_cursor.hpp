// JsonCursor: reads one JSON text from left to right, without building it. Fit for a million flat lines: numbers stay
// exact 64-bit integers, strings without escapes are views into the text. It trusts nothing: every fault throws
// JsonFault with the place. One thread; the text must outlive the cursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::meter {

struct JsonFault {
  std::size_t at;  ///< byte in the text, from 0
  std::string what;
};

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  /// The first byte of the next value, or 0 at the end.
  char peek();
  void begin_object() { begin('{', "an object"); }
  void begin_array() { begin('[', "a list"); }
  /// Moves to the next member; false, and out of the object, at its end. `key` is valid until the next call.
  bool next_key(std::string_view& key);
  bool next_item() { return next(']'); }

  bool take_null();  ///< null, or Python's NaN
  bool boolean();
  double number();
  std::uint64_t unsigned_integer();  ///< also one written as 12.0
  std::string_view string();         ///< valid until the next call
  /// A whole number of 64 bits, also a negative one; or a text: 16 hexadecimal digits are their value, others are
  /// hashed.
  std::uint64_t hash();
  void skip();  ///< one value of any kind
  void end();   ///< nothing but blanks may be left

  std::size_t at() const { return at_; }
  [[noreturn]] void fail(std::string what) const { throw JsonFault{at_, std::move(what)}; }

 private:
  void blanks();
  void begin(char bracket, const char* what);
  bool next(char close);
  std::string_view number_text();
  char escaped();
  void append_code_point(std::string& out);

  std::string_view text_;
  std::size_t at_ = 0;
  bool fresh_ = false;  ///< right after an opening bracket
  std::string scratch_{};
};

}  // namespace frugal::meter
