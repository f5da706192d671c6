#include "cpu/memory.hpp"

#include <frugal/core/error.hpp>

#include <sys/mman.h>

namespace frugal::cpu {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

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

}  // namespace frugal::cpu
