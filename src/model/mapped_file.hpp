// MappedFile: a whole file, read-only, as bytes: mapped, so that pages come in when touched, or read into memory.
// Immutable; share between threads. A mapped file must not shrink: no reader of mappings can turn that into an error
// (the system raises SIGBUS). Only regular files: a pipe or a device would block or never end.
#pragma once

#include <frugal/model/model.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace frugal::model {

class MappedFile {
 public:
  /// Throws Error(bad_file) with the system's reason.
  explicit MappedFile(const std::filesystem::path& path, LoadOptions::Weights how = LoadOptions::Weights::map);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace frugal::model
