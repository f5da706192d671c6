#include "model/gguf.hpp"

#include <frugal/core/error.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_set>

namespace frugal::model {
namespace {

constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
constexpr int deepest_array = 4;
constexpr std::uint32_t most_dims = 4;

std::string quoted(std::string_view text) {
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
std::uint64_t width_of(GgufType type) {
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

GgufType read_type(Cursor& in) {
  const std::uint64_t where = in.at();
  const auto id = in.read<std::uint32_t>("a value type");
  if (id > static_cast<std::uint32_t>(GgufType::f64)) in.fail(where, "unknown value type " + std::to_string(id));
  return static_cast<GgufType>(id);
}

void skip_elements(Cursor& in, GgufType element, std::uint64_t count, int depth);

void skip_array(Cursor& in, int depth) {
  const std::uint64_t where = in.at();
  if (depth == deepest_array) in.fail(where, "arrays are nested deeper than " + std::to_string(deepest_array));
  const GgufType element = read_type(in);
  skip_elements(in, element, in.read<std::uint64_t>("an array length"), depth + 1);
}

/// Walks over the elements; each costs at least a byte, so a false count runs into the end of the file before it costs
/// anything.
void skip_elements(Cursor& in, GgufType element, std::uint64_t count, int depth) {
  if (const std::uint64_t width = width_of(element); width != 0) {
    if (count > in.left() / width)
      in.fail(in.at(), "an array of " + std::to_string(count) + " " + std::string(to_string(element)) +
                           " passes the end of the file");
    in.take(count * width, "an array");
    return;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    if (element == GgufType::string) in.read_string("a string");
    if (element == GgufType::array) skip_array(in, depth);
  }
}

GgufValue read_value(Cursor& in, std::span<const std::byte> bytes) {
  GgufValue value;
  value.type = read_type(in);
  if (value.type == GgufType::array) {
    value.element = read_type(in);
    value.count = in.read<std::uint64_t>("an array length");
  }
  value.offset = in.at();
  if (value.type == GgufType::array) {
    skip_elements(in, value.element, value.count, 1);
  } else {
    skip_elements(in, value.type, 1, 0);
  }
  value.payload = bytes.subspan(value.offset, in.at() - value.offset);
  return value;
}

struct TypeRow {
  std::uint32_t id;
  DType type;
};
constexpr std::array<TypeRow, 15> known_types{{{0, DType::f32},
                                               {1, DType::f16},
                                               {2, DType::q4_0},
                                               {3, DType::q4_1},
                                               {6, DType::q5_0},
                                               {7, DType::q5_1},
                                               {8, DType::q8_0},
                                               {10, DType::q2_k},
                                               {11, DType::q3_k},
                                               {12, DType::q4_k},
                                               {13, DType::q5_k},
                                               {14, DType::q6_k},
                                               {20, DType::iq4_nl},
                                               {23, DType::iq4_xs},
                                               {30, DType::bf16}}};

/// The names of the types we cannot read, so that the error says more than a number.
std::string_view foreign_type(std::uint32_t id) {
  constexpr std::array<std::string_view, 42> names{
      "",      "",       "",      "",    "Q4_2", "Q4_3",    "",       "",        "",      "Q8_1",   "",
      "",      "",       "",      "",    "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
      "IQ2_S", "IQ4_XS", "I8",    "I16", "I32",  "I64",     "F64",    "IQ1_M",   "",      "",       "",
      "",      "TQ1_0",  "TQ2_0", "",    "",     "",        "MXFP4",  "NVFP4",   "Q1_0"};
  return id < names.size() ? names[id] : "";
}

DType read_tensor_type(Cursor& in, const std::string& tensor) {
  const std::uint64_t where = in.at();
  const auto id = in.read<std::uint32_t>("a tensor type");
  for (const TypeRow& row : known_types)
    if (row.id == id) return row.type;
  const std::string_view name = foreign_type(id);
  in.fail(where,
          "tensor " + tensor + " is stored as type " + std::to_string(id) +
              (name.empty() ? "" : " (" + std::string(name) + ")") +
              "; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS",
          name.empty() ? Errc::bad_file : Errc::unsupported);
}

/// A tensor of the table and where its bytes begin, relative to the data section.
struct Entry {
  Tensor tensor;
  std::uint64_t offset = 0;
  std::uint64_t offset_at = 0;  ///< where the file says so
};

/// Dimensions come innermost first: columns, then what multiplies up to rows.
Entry read_entry(Cursor& in) {
  Entry entry;
  Tensor& t = entry.tensor;
  t.name = std::string(in.read_string("a tensor name"));
  const std::string name = quoted(t.name);
  const std::uint64_t where = in.at();
  const auto dims = in.read<std::uint32_t>("a dimension count");
  if (dims == 0 || dims > most_dims)
    in.fail(where, "tensor " + name + " has " + std::to_string(dims) + " dimensions, expected 1 to 4");
  t.cols = in.read<std::uint64_t>("a dimension");
  for (std::uint32_t d = 1; d < dims; ++d) {
    const auto size = in.read<std::uint64_t>("a dimension");
    if (size != 0 && t.rows > std::numeric_limits<std::int64_t>::max() / size)
      in.fail(where, "the dimensions of tensor " + name + " overflow");
    t.rows *= size;
  }
  if (t.rows == 0 || t.cols == 0) in.fail(where, "tensor " + name + " has an empty dimension");
  t.type = read_tensor_type(in, name);
  entry.offset_at = in.at();
  entry.offset = in.read<std::uint64_t>("a tensor offset");
  if (t.cols % block_shape(t.type).values != 0)
    in.fail(where, "tensor " + name + " has rows of " + std::to_string(t.cols) +
                       " values, which is not a whole number of " + std::string(to_string(t.type)) + " blocks");
  return entry;
}

/// The entry's bytes inside the data section; every step is a division or a subtraction that cannot wrap.
std::span<const std::byte> locate(const Cursor& in, const Entry& entry, std::span<const std::byte> data,
                                  std::uint64_t alignment) {
  const Tensor& t = entry.tensor;
  const BlockShape block = block_shape(t.type);
  const std::string name = quoted(t.name);
  if (entry.offset % alignment != 0)
    in.fail(entry.offset_at, "tensor " + name + " begins at " + std::to_string(entry.offset) +
                                 ", which is not a multiple of the alignment " + std::to_string(alignment));
  const std::uint64_t left = entry.offset <= data.size() ? data.size() - entry.offset : 0;
  const std::uint64_t row_blocks = t.cols / block.values;
  if (row_blocks > left / block.bytes || t.rows > left / (row_blocks * block.bytes))
    in.fail(entry.offset_at, "tensor " + name + " [" + std::to_string(t.rows) + ", " + std::to_string(t.cols) +
                                 "] of " + std::string(to_string(t.type)) + " at data offset " +
                                 std::to_string(entry.offset) + " passes the end of the file (" + std::to_string(left) +
                                 " bytes left)");
  return data.subspan(entry.offset, t.rows * t.row_bytes());
}

std::uint32_t read_header(Cursor& in) {
  const std::uint64_t bytes = in.left();
  const bool begins = bytes >= 4 && in.read<std::uint32_t>("the magic number") == magic;
  if (bytes < 4 || (begins && bytes < 24))
    in.fail(0, "is too short to be a GGUF file (" + std::to_string(bytes) + " bytes)");
  if (!begins) in.fail(0, "is not a GGUF file (it does not begin with 'GGUF')");
  const auto version = in.read<std::uint32_t>("the version");
  if (version != 0 && (version & 0xFFFFU) == 0) in.fail(4, "big-endian GGUF", Errc::unsupported);
  if (version < 2 || version > 3)
    in.fail(4, "GGUF version " + std::to_string(version) + ", supported are 2 and 3", Errc::unsupported);
  return version;
}

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

std::string_view to_string(GgufType type) noexcept {
  constexpr std::array<std::string_view, 13> names{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                   "bool", "string", "array", "u64", "i64", "f64"};
  return names[static_cast<std::size_t>(type)];
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) {
  Cursor in(bytes, name_);
  version_ = read_header(in);
  const std::uint64_t counts_at = in.at();
  const auto tensor_count = in.read<std::uint64_t>("the tensor count");
  const auto metadata_count = in.read<std::uint64_t>("the metadata count");
  // The smallest entries: a key of length 0, its type and one byte; a name of length 0, one dimension, type and offset.
  if (metadata_count > in.left() / 13)
    in.fail(counts_at + 8, std::to_string(metadata_count) + " metadata entries do not fit the file");
  if (tensor_count > in.left() / 32) in.fail(counts_at, std::to_string(tensor_count) + " tensors do not fit the file");

  for (std::uint64_t i = 0; i < metadata_count; ++i) {
    const std::uint64_t where = in.at();
    const std::string_view key = in.read_string("a metadata key");
    if (!metadata_.emplace(key, read_value(in, bytes)).second)
      in.fail(where, "the key " + quoted(key) + " occurs twice");
  }

  const std::uint64_t alignment = integer("general.alignment", 1U << 24).value_or(32);
  if (alignment < 8 || (alignment & (alignment - 1)) != 0)
    fail("general.alignment", "an alignment of " + std::to_string(alignment) + " is not a power of two of at least 8");

  std::vector<Entry> entries;
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    const std::uint64_t where = in.at();
    entries.push_back(read_entry(in));
    if (!names.insert(entries.back().tensor.name).second)
      in.fail(where, "tensor " + quoted(entries.back().tensor.name) + " occurs twice");
  }
  const std::uint64_t padding = (alignment - in.at() % alignment) % alignment;
  const auto data = padding <= in.left() ? bytes.subspan(in.at() + padding) : std::span<const std::byte>{};
  tensors_.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.data = locate(in, entry, data, alignment);
    tensors_.push_back(std::move(entry.tensor));
  }
}

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
