#include "model/safetensors.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/json_tree.hpp"

namespace frugal::model {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t prefix_bytes = 8;              // the header's length, little-endian
constexpr std::uint64_t longest_header = 100'000'000;  // as the format's own reader has it

struct Dtype {
  std::string_view name;
  std::uint64_t bytes;
  DType type;
};
constexpr Dtype dtypes[] = {{"F32", 4, DType::f32}, {"F16", 2, DType::f16}, {"BF16", 2, DType::bf16}};

/// The header text with what errors need: the file's name and where things are.
class Header {
 public:
  Header(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::string_view text() const { return text_; }
  [[noreturn]] void fail(std::uint64_t at, const std::string& reason) const {
    throw Error(Errc::bad_file, name_ + ": byte " + std::to_string(at) + ": " + reason);
  }
  /// Searched only on failure: where the tensor's entry begins.
  [[noreturn]] void fail_at(const std::string& tensor, const std::string& reason) const {
    const std::size_t at = text_.find('"' + tensor + '"');
    fail(prefix_bytes + (at == std::string_view::npos ? 0 : at), "tensor '" + tensor.substr(0, 80) + "' " + reason);
  }

 private:
  std::string_view text_;
  const std::string& name_;
};

/// A non-negative JSON integer.
std::optional<std::uint64_t> as_size(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  return std::nullopt;
}

struct Range {
  std::uint64_t begin, end;
};

Range read_range(const Header& header, const std::string& name, const Json& entry, std::uint64_t data_bytes) {
  const auto at = entry.find("data_offsets");
  if (at == entry.end() || !at->is_array() || at->size() != 2) header.fail_at(name, "has no pair of data_offsets");
  const auto begin = as_size((*at)[0]), end = as_size((*at)[1]);
  if (!begin || !end || *begin > *end) header.fail_at(name, "has data_offsets that are not a range");
  if (*end > data_bytes)
    header.fail_at(name, "ends at data offset " + std::to_string(*end) + ", but the file has " +
                             std::to_string(data_bytes) + " bytes of data");
  return {*begin, *end};
}

struct Placed {
  Range range;
  std::string name;
};

void refuse_overlaps(const Header& header, std::vector<Placed>& placed) {
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return a.range.begin < b.range.begin; });
  for (std::size_t i = 1; i < placed.size(); ++i)
    if (placed[i].range.begin < placed[i - 1].range.end)
      header.fail_at(placed[i].name, "overlaps tensor '" + placed[i - 1].name.substr(0, 80) + "'");
}

/// Fills rows and cols; the product stays below 2^63.
void read_shape(const Header& header, const Json& entry, Tensor& t) {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) header.fail_at(t.name, "has no shape");
  t.rows = 1, t.cols = 1;
  for (std::size_t d = 0; d < shape->size(); ++d) {
    const auto size = as_size((*shape)[d]);
    if (!size) header.fail_at(t.name, "has a dimension that is not a size");
    if (*size != 0 && t.cols > std::numeric_limits<std::int64_t>::max() / *size / std::max<std::uint64_t>(t.rows, 1))
      header.fail_at(t.name, "has dimensions that overflow");
    if (d > 0) t.rows *= t.cols;
    t.cols = *size;
  }
}

std::string read_dtype(const Header& header, const std::string& name, const Json& entry) {
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) header.fail_at(name, "has no dtype");
  return dtype->get<std::string>();
}

Header read_header(std::span<const std::byte> bytes, const std::string& name) {
  std::uint64_t length = 0;
  const Header none({}, name);
  if (bytes.size() < prefix_bytes)
    none.fail(0, "is too short for a safetensors file (" + std::to_string(bytes.size()) + " bytes)");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size() - prefix_bytes || length > longest_header)
    none.fail(0, "a header of " + std::to_string(length) + " bytes passes the end of the file or the limit of " +
                     std::to_string(longest_header));
  return Header({reinterpret_cast<const char*>(bytes.data()) + prefix_bytes, length}, name);
}

Json parse_header(const Header& header, const std::string& name) {
  // of two entries of one name the later one would hide the other: repeated keys are refused
  Json parsed = parse_json_tree(header.text(), name, {RepeatedKeys::refused, prefix_bytes});
  if (!parsed.is_object()) header.fail(prefix_bytes, "the header is not a JSON object");
  return parsed;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& name) {
  const Header header = read_header(bytes, name);
  const auto data = bytes.subspan(prefix_bytes + header.text().size());
  const Json parsed = parse_header(header, name);
  std::vector<Placed> placed;
  for (const auto& [key, entry] : parsed.items()) {
    if (key == "__metadata__") continue;
    if (!entry.is_object()) header.fail_at(key, "is not a JSON object");
    Tensor t{key, DType::f32, 1, 1, {}};
    const std::string dtype = read_dtype(header, key, entry);
    const Range range = read_range(header, key, entry, data.size());
    if (range.end > range.begin) placed.push_back({range, key});
    read_shape(header, entry, t);
    const auto* known =
        std::find_if(std::begin(dtypes), std::end(dtypes), [&](const Dtype& d) { return d.name == dtype; });
    if (known == std::end(dtypes) || t.rows == 0 || t.cols == 0) {
      foreign.push_back({key, known == std::end(dtypes) ? "is stored as " + dtype.substr(0, 20) : "is empty"});
      continue;
    }
    t.type = known->type;
    const std::uint64_t length = range.end - range.begin;
    if (length / known->bytes / t.cols != t.rows || length % (known->bytes * t.cols) != 0)
      header.fail_at(key, "has " + std::to_string(length) + " bytes for " + std::to_string(t.rows) + " x " +
                              std::to_string(t.cols) + " values of " + dtype);
    t.data = data.subspan(range.begin, length);
    tensors.push_back(std::move(t));
  }
  refuse_overlaps(header, placed);
}

}  // namespace frugal::model
