#include "cpu/memory.hpp"

#include <frugal/core/error.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace frugal::cpu {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

std::size_t page_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

// A mapping has no alignment promise beyond 4 KiB, so one huge page more is mapped and the ends are returned.
HugeBuffer::HugeBuffer(std::size_t bytes) : bytes_((bytes + huge_page - 1) / huge_page * huge_page) {
  if (bytes_ == 0) return;
  void* raw = bytes_ < bytes ? MAP_FAILED
                             : mmap(nullptr, bytes_ + huge_page, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) throw Error(Errc::out_of_memory, "no memory for " + std::to_string(bytes) + " bytes");
  auto* start = static_cast<std::uint8_t*>(raw);
  const std::size_t skip = (huge_page - reinterpret_cast<std::uintptr_t>(start) % huge_page) % huge_page;
  if (skip != 0) munmap(start, skip);
  if (skip != huge_page) munmap(start + skip + bytes_, huge_page - skip);
  data_ = start + skip;
#ifdef MADV_HUGEPAGE
  madvise(data_, bytes_, MADV_HUGEPAGE);  // advice: without huge pages everything works, slower
#endif
}

HugeBuffer::~HugeBuffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

std::optional<std::size_t> available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string field;
  for (std::size_t kilobytes = 0; file >> field >> kilobytes; file.ignore(64, '\n'))
    if (field == "MemAvailable:") return kilobytes * 1024;
  return std::nullopt;
}

void give_back(std::span<const std::byte> mapped) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(mapped.data()), page = std::uintptr_t{page_bytes()};
  const std::uintptr_t first = (start + page - 1) / page * page, last = (start + mapped.size()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace frugal::cpu
