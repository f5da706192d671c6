// The layout of a GGUF file: header, metadata table, tensor table, data section.
#include "model/gguf.hpp"

#include <array>
#include <limits>
#include <unordered_set>
#include <utility>

#include "model/gguf_cursor.hpp"

namespace frugal::model {
namespace {

constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
constexpr int deepest_array = 4;
constexpr std::uint32_t most_dims = 4;

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
constexpr std::array<TypeRow, 22> known_types{
    {{0, DType::f32},     {1, DType::f16},    {2, DType::q4_0},     {3, DType::q4_1},    {6, DType::q5_0},
     {7, DType::q5_1},    {8, DType::q8_0},   {10, DType::q2_k},    {11, DType::q3_k},   {12, DType::q4_k},
     {13, DType::q5_k},   {14, DType::q6_k},  {20, DType::iq4_nl},  {23, DType::iq4_xs}, {16, DType::iq2_xxs},
     {17, DType::iq2_xs}, {22, DType::iq2_s}, {18, DType::iq3_xxs}, {21, DType::iq3_s},  {19, DType::iq1_s},
     {29, DType::iq1_m},  {30, DType::bf16}}};

/// The names of the types we cannot read, so that the error says more than a number.
std::string_view foreign_type(std::uint32_t id) {
  constexpr std::array<std::string_view, 42> names{
      "",    "",     "", "", "Q4_2", "Q4_3", "",      "",      "", "Q8_1", "",   "",      "",      "",
      "",    "Q8_K", "", "", "",     "",     "",      "",      "", "",     "I8", "I16",   "I32",   "I64",
      "F64", "",     "", "", "",     "",     "TQ1_0", "TQ2_0", "", "",     "",   "MXFP4", "NVFP4", "Q1_0"};
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
              "; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K and IQ1_S to IQ4_XS",
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

}  // namespace frugal::model
