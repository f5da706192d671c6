// Reading GGUF's bytes without passing their end.
#pragma once

#include <frugal/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "model/gguf.hpp"

namespace frugal::model {

/// A name from the file, fit for an error text.
inline std::string quoted(std::string_view text) {
  constexpr std::size_t most = 80;
  std::string out = "'";
  for (const char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (text.size() > most ? "...'" : "'");
}

/// A position in the file that never passes its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::uint64_t at() const { return at_; }
  std::uint64_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail(std::uint64_t where, const std::string& reason, Errc code = Errc::bad_file) const {
    throw Error(code, name_ + ": byte " + std::to_string(where) + ": " + reason);
  }
  std::span<const std::byte> take(std::uint64_t n, const char* what) {
    if (n > left())
      fail(at_, std::string(what) + " of " + std::to_string(n) + " bytes passes the end of the file (" +
                    std::to_string(left()) + " bytes left)");
    const auto taken = bytes_.subspan(at_, n);
    at_ += n;
    return taken;
  }
  template <class T>
  T read(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::string_view read_string(const char* what) {
    const auto length = read<std::uint64_t>(what);
    const auto text = take(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::uint64_t at_ = 0;
};

/// Bytes of a value of fixed width; 0 for strings and arrays.
inline std::uint64_t width_of(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      return 0;
  }
  return 0;
}

}  // namespace frugal::model
