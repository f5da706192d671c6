// GgufWriter: writes GGUF v3 files for tests, well-formed unless told otherwise. write_gguf puts a whole model into
// one.
#pragma once

#include <frugal/model/model.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::testing {

using Blob = std::vector<std::byte>;

class GgufWriter {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;  ///< write it as metadata too (general.alignment) where it is not 32

  GgufWriter& add(std::string_view key, std::string_view text);
  GgufWriter& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
  GgufWriter& add(std::string_view key, std::uint32_t value);
  GgufWriter& add(std::string_view key, std::uint16_t value);
  GgufWriter& add(std::string_view key, std::int32_t value);
  GgufWriter& add(std::string_view key, float value);
  GgufWriter& add(std::string_view key, bool value);
  GgufWriter& add(std::string_view key, const std::vector<std::string>& texts);
  GgufWriter& add(std::string_view key, const std::vector<std::int32_t>& values);
  GgufWriter& add(std::string_view key, const std::vector<float>& values);
  /// A value of any type id with the bytes given.
  GgufWriter& add_raw(std::string_view key, std::uint32_t type, const Blob& payload);
  GgufWriter& add(const Tensor& tensor);
  /// A tensor entry of any type id; data may be shorter than it claims.
  GgufWriter& add_raw_tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& dims,
                             const Blob& data);

  /// The file so far.
  Blob bytes() const;

 private:
  struct Entry {
    std::string name;
    std::uint32_t type;
    std::vector<std::uint64_t> dims;
    Blob data;
  };
  Blob& key(std::string_view name, std::uint32_t type);

  std::uint64_t metadata_count_ = 0;
  Blob metadata_;
  std::vector<Entry> tensors_;
};

/// The number GGUF files give a storage format.
std::uint32_t gguf_type_id(DType type);

/// Everything but the tensors: architecture keys and, where given, the tokenizer.
GgufWriter gguf_header(const ModelParts& parts, const BpeVocabulary* vocabulary = nullptr);

/// The model as a GGUF v3 file. The spec's rope divisors are written as rope_freqs.weight.
Blob gguf_bytes(const ModelParts& parts, const BpeVocabulary* vocabulary = nullptr);
void write_gguf(const std::filesystem::path& path, const ModelParts& parts, const BpeVocabulary* vocabulary = nullptr);

void write_file(const std::filesystem::path& path, const Blob& bytes);
void write_file(const std::filesystem::path& path, std::string_view text);
Blob read_file(const std::filesystem::path& path);

/// A folder of its own below the system's temporary one, removed with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace frugal::testing
