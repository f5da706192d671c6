// GgufFile's metadata by key, each read as the type that is asked for.
#include <cstring>
#include <limits>

#include "model/gguf_cursor.hpp"

namespace frugal::model {
namespace {

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// An integer of any width, or none for another type. u64 beyond int64 comes back as -1 and fails every
/// range check.
std::optional<std::int64_t> as_integer(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::u8:
      return load<std::uint8_t>(at);
    case GgufType::i8:
      return load<std::int8_t>(at);
    case GgufType::u16:
      return load<std::uint16_t>(at);
    case GgufType::i16:
      return load<std::int16_t>(at);
    case GgufType::u32:
      return load<std::uint32_t>(at);
    case GgufType::i32:
      return load<std::int32_t>(at);
    case GgufType::i64:
      return load<std::int64_t>(at);
    case GgufType::u64: {
      const auto value = load<std::uint64_t>(at);
      return value <= std::uint64_t{std::numeric_limits<std::int64_t>::max()} ? static_cast<std::int64_t>(value) : -1;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = metadata_.find(key);
  return at == metadata_.end() ? nullptr : &at->second;
}

void GgufFile::fail(std::string_view key, const std::string& reason) const {
  const GgufValue* value = find(key);
  throw Error(Errc::bad_file, name_ + ": " + (value ? "byte " + std::to_string(value->offset) + ": " : std::string()) +
                                  "key " + quoted(key) + ": " + reason);
}

std::optional<std::uint64_t> GgufFile::integer(std::string_view key, std::uint64_t most) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto n = as_integer(value->type, value->payload.data());
  if (!n) fail(key, "is " + std::string(to_string(value->type)) + ", expected an integer");
  if (*n < 0 || static_cast<std::uint64_t>(*n) > most) fail(key, "is out of range (0 to " + std::to_string(most) + ")");
  return static_cast<std::uint64_t>(*n);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type == GgufType::f32) return load<float>(value->payload.data());
  if (value->type == GgufType::f64) return load<double>(value->payload.data());
  if (const auto n = as_integer(value->type, value->payload.data())) return static_cast<double>(*n);
  fail(key, "is " + std::string(to_string(value->type)) + ", expected a number");
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::boolean) fail(key, "is " + std::string(to_string(value->type)) + ", expected a bool");
  return value->payload[0] != std::byte{0};
}

std::optional<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->type != GgufType::string) fail(key, "is " + std::string(to_string(value->type)) + ", expected a string");
  return Cursor(value->payload, name_).read_string("a string");
}

const GgufValue* GgufFile::find_array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value && value->type != GgufType::array)
    fail(key, "is " + std::string(to_string(value->type)) + ", expected an array");
  return value;
}

std::optional<std::vector<std::string_view>> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find_array(key);
  if (!value) return std::nullopt;
  if (value->element != GgufType::string && value->count != 0)
    fail(key, "holds " + std::string(to_string(value->element)) + ", expected strings");
  std::vector<std::string_view> out;
  out.reserve(value->count);  // each took 8 bytes of the file at least
  Cursor in(value->payload, name_);
  for (std::uint64_t i = 0; i < value->count; ++i) out.push_back(in.read_string("a string"));
  return out;
}

std::optional<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find_array(key);
  if (!value) return std::nullopt;
  std::vector<std::int64_t> out;
  const std::uint64_t width = width_of(value->element);
  if (width != 0) out.reserve(value->count);
  for (std::uint64_t i = 0; i < value->count; ++i) {
    const auto n = width == 0 ? std::nullopt : as_integer(value->element, value->payload.data() + i * width);
    if (!n) fail(key, "holds " + std::string(to_string(value->element)) + ", expected integers");
    out.push_back(*n);
  }
  return out;
}

std::optional<std::vector<bool>> GgufFile::flags(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value || value->type != GgufType::array) return std::nullopt;
  if (value->element != GgufType::boolean && value->count != 0)
    fail(key, "holds " + std::string(to_string(value->element)) + ", expected bools");
  std::vector<bool> out;
  for (const std::byte b : value->payload) out.push_back(b != std::byte{0});
  return out;
}

std::optional<std::vector<float>> GgufFile::numbers(std::string_view key) const {
  const GgufValue* value = find_array(key);
  if (!value) return std::nullopt;
  if (value->element != GgufType::f32 && value->count != 0)
    fail(key, "holds " + std::string(to_string(value->element)) + ", expected f32");
  std::vector<float> out(value->count);
  if (!out.empty()) std::memcpy(out.data(), value->payload.data(), out.size() * sizeof(float));
  return out;
}

}  // namespace frugal::model
