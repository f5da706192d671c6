// The GGUF container (versions 2 and 3, little-endian): typed metadata and a table of tensors, as views into the file's
// bytes.
//
// Nothing in the file is believed before it is checked: every count, length and offset is compared with the bytes that
// are left, so that memory stays proportional to the file. All failures throw Error naming file, byte offset and
// reason. Parsing costs one pass over the metadata.
#pragma once

#include <frugal/model/tensor.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::model {

enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
std::string_view to_string(GgufType type) noexcept;

/// One metadata value: its type and its bytes. An array holds `count` elements of type `element`.
struct GgufValue {
  GgufType type{};
  GgufType element{};
  std::uint64_t count = 0;
  std::uint64_t offset = 0;  ///< of the payload in the file
  std::span<const std::byte> payload{};
};

class GgufFile {
 public:
  /// `bytes` must outlive the object and its tensors; `name` appears in errors.
  GgufFile(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const noexcept { return name_; }
  std::uint32_t version() const noexcept { return version_; }
  const std::map<std::string_view, GgufValue>& metadata() const noexcept { return metadata_; }
  const std::vector<Tensor>& tensors() const noexcept { return tensors_; }
  bool has(std::string_view key) const { return metadata_.contains(key); }

  // Each reads a key: none where it is absent, Error(bad_file) where it has another type or is out of range.
  std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t most) const;
  std::optional<double> number(std::string_view key) const;  ///< any float or integer
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  std::optional<std::vector<std::string_view>> strings(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;
  /// An array of bools; none as well where the key is not an array.
  std::optional<std::vector<bool>> flags(std::string_view key) const;
  std::optional<std::vector<float>> numbers(std::string_view key) const;  ///< an array of f32

  /// An error that names this file and the key's place in it.
  [[noreturn]] void fail(std::string_view key, const std::string& reason) const;

 private:
  const GgufValue* find(std::string_view key) const;
  const GgufValue* find_array(std::string_view key) const;

  std::string name_;
  std::uint32_t version_ = 0;
  std::map<std::string_view, GgufValue> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace frugal::model
