// MappedFile: a whole file, read-only, as bytes; pages come in when touched. Immutable; share between threads.
// The file must not shrink while it is mapped: no reader of mappings can turn that into an error (the system raises
// SIGBUS).
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace frugal::model {

class MappedFile {
 public:
  /// Throws Error(bad_file) with the system's reason.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace frugal::model
