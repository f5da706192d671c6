// HugeBuffer: a large zeroed allocation on huge pages where the system allows them. Move-only; not resizable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace frugal::cpu {

class HugeBuffer {
 public:
  HugeBuffer() = default;
  /// Throws Error(out_of_memory). Pages are committed on first touch.
  explicit HugeBuffer(std::size_t bytes);
  HugeBuffer(HugeBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  HugeBuffer& operator=(HugeBuffer&& other) noexcept {
    std::swap(data_, other.data_), std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~HugeBuffer();

  std::uint8_t* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return bytes_; }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Memory that new allocations could take without swapping; none where the system does not say.
std::optional<std::size_t> available_memory();

/// Takes the whole pages inside a read-only file mapping out of this process's memory; read again, they come back.
void give_back(std::span<const std::byte> mapped) noexcept;

}  // namespace frugal::cpu
