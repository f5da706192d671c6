#include "torch/pretend_memory.hpp"

#include <c10/util/Exception.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace frugal::testing::pretend {
namespace {

constexpr std::size_t range = std::size_t{16} << 30, unit = 512;
constexpr int nan_byte = 0xFF;  // a NaN in every float type, -1 in every whole number

thread_local std::int64_t stream_of_thread = 0;

std::size_t rounded(std::size_t bytes, std::size_t to) { return (std::max<std::size_t>(bytes, 1) + to - 1) / to * to; }

}  // namespace

std::int64_t current_stream() { return stream_of_thread; }
std::int64_t exchange_stream(std::int64_t stream) { return std::exchange(stream_of_thread, stream); }

Memory& Memory::get() {
  static Memory* const memory = new Memory;  // outlives every tensor
  return *memory;
}

Memory::Memory() {
  void* const p = mmap(nullptr, range, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TORCH_CHECK(p != MAP_FAILED, "pretend: no range of addresses");
  base_ = static_cast<char*>(p);
}

bool Memory::owns(const void* p) const { return p >= base_ && p < base_ + range; }

void Memory::protect(bool locked) const {
  const std::size_t bytes = rounded(top_, std::size_t{1} << 20);
  TORCH_CHECK(mprotect(base_, bytes, locked ? PROT_NONE : PROT_READ | PROT_WRITE) == 0, "pretend: mprotect failed");
}

void Memory::unlock() {
  if (unlocked_++ == 0) protect(false);
}

void Memory::lock() {
  if (--unlocked_ == 0) protect(true);
}

/// First fit.
std::size_t Memory::place(std::size_t bytes) {
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < bytes) continue;
    const auto [at, size] = *it;
    free_.erase(it);
    if (size > bytes) free_.emplace(at + bytes, size - bytes);
    return at;
  }
  TORCH_CHECK(top_ + bytes <= range, "pretend: the range of addresses is full");
  const std::size_t at = top_;
  ++Copies::get().counts.grown;
  top_ += bytes;
  if (unlocked_ > 0) protect(false);
  return at;
}

std::pair<std::size_t, std::size_t> Memory::getMemoryInfo(c10::DeviceIndex) {
  return {limit > in_use ? limit - in_use : 0, limit};
}

c10::DataPtr Memory::allocate(std::size_t bytes) {
  const std::size_t size = rounded(bytes, unit);
  TORCH_CHECK_WITH(OutOfMemoryError, size <= limit && in_use <= limit - size,
                   "pretend out of memory. Tried to allocate ", bytes, " bytes, ", in_use, " of ", limit, " are taken");
  const std::size_t at = pooling_ ? place_in_pool(size) : place(size);
  (pooling_ ? pool_taken_ : taken_)[at] = size;
  in_use += pooling_ ? 0 : size;
  unlock();
  std::memset(base_ + at, nan_byte, size);
  lock();
  return {base_ + at, base_ + at, &Memory::release, PretendDevice::get().device()};
}

void Memory::release(void* p) {
  Memory& m = get();
  const auto at = static_cast<std::size_t>(static_cast<char*>(p) - m.base_);
  if (const auto pooled = m.pool_taken_.find(at); pooled != m.pool_taken_.end()) {
    m.pool_free_.insert(*pooled);
    m.pool_taken_.erase(pooled);
    return;
  }
  const auto taken = m.taken_.find(at);
  const std::size_t size = taken->second;
  m.taken_.erase(taken);
  m.give_back(at, size);
}

void Memory::give_back(std::size_t at, std::size_t size) {
  Memory& m = *this;
  m.in_use -= size;
  constexpr std::size_t large = std::size_t{1} << 20;  // pages that are there make locking slow
  if (size >= large) madvise(m.base_ + rounded(at, 4096), size / 4096 * 4096 - 4096, MADV_DONTNEED);
  auto after = m.free_.lower_bound(at);
  if (after != m.free_.end() && at + size == after->first) {
    size += after->second;
    after = m.free_.erase(after);
  }
  if (after != m.free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == at) {
      before->second += size;
      return;
    }
  }
  m.free_.emplace(at, size);
}

void Memory::begin_pool() { pooling_ = true; }

std::size_t Memory::place_in_pool(std::size_t bytes) {
  for (auto it = pool_free_.begin(); it != pool_free_.end(); ++it) {
    if (it->second != bytes) continue;
    const std::size_t at = it->first;
    pool_free_.erase(it);
    return at;
  }
  in_use += bytes;
  return place(bytes);
}

bool Memory::end_pool(Blocks& pool) {
  pooling_ = false;
  pool = std::exchange(pool_free_, {});
  const bool clean = pool_taken_.empty();
  taken_.merge(pool_taken_);
  pool_taken_.clear();
  return clean;
}

void Memory::free_pool(const Blocks& pool) {
  for (const auto& [at, size] : pool) give_back(at, size);
}

void Memory::forget(const Blocks& blocks) {
  unlock();
  for (const auto& [at, size] : blocks) std::memset(base_ + at, nan_byte, size);
  lock();
}

Notes& Notes::get() {
  static Notes* const notes = new Notes;
  return *notes;
}

void Notes::refuse(const char* what) const { TORCH_CHECK(!open_, "pretend: ", what, " while a recording is made"); }

c10::DeleterFnPtr Memory::raw_deleter() const { return &Memory::release; }

void Memory::copy_data(void* to, const void* from, std::size_t bytes) const {
  const PretendDevice::Unlocked unlocked;
  std::memcpy(to, from, bytes);
}

Pinned& Pinned::get() {
  static Pinned* const pinned = new Pinned;
  return *pinned;
}

c10::DataPtr Pinned::allocate(std::size_t bytes) {
  Notes::get().refuse("pinned memory taken");
  const std::size_t size = rounded(bytes, 64);
  auto* const p = static_cast<char*>(std::aligned_alloc(64, size));
  TORCH_CHECK(p != nullptr, "pretend: no pinned memory");
  blocks_[p] = size;
  ++Copies::get().counts.pinned;
  return {p, p, &Pinned::release, c10::Device(c10::DeviceType::CPU)};
}

void Pinned::release(void* p) {
  get().freed_.push_back(static_cast<char*>(p));
  get().sweep();
}

void Pinned::sweep() {
  freed_.remove_if([&](char* p) {
    if (Copies::get().uses(p, blocks_.at(p))) return false;
    blocks_.erase(p);
    std::free(p);
    return true;
  });
}

c10::DeleterFnPtr Pinned::raw_deleter() const { return &Pinned::release; }
void Pinned::copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }

bool Pinned::owns(const void* p) const {
  const auto* const at = static_cast<const char*>(p);
  auto it = blocks_.upper_bound(const_cast<char*>(at));
  return it != blocks_.begin() && at < std::prev(it)->first + std::prev(it)->second;
}

Copies& Copies::get() {
  static Copies* const copies = new Copies;
  return *copies;
}

/// `from` is a snapshot already, contiguous and of the type of `to`.
void Copies::from_device(std::int64_t stream, const at::Tensor& from, const at::Tensor& to) {
  auto* const host = static_cast<char*>(to.data_ptr());
  std::memset(host, nan_byte, to.nbytes());
  pending_.push_back({stream, next_++, from, host, to.nbytes(), true});
}

void Copies::to_device(std::int64_t stream, const at::Tensor& from) {
  pending_.push_back({stream, next_++, from.clone(), static_cast<char*>(from.data_ptr()), from.nbytes(), false});
}

void Copies::wait(std::int64_t stream, std::uint64_t until) {
  Notes::get().refuse("a wait");
  ++counts.waits;
  std::uint64_t& done = waited_for_[stream];
  done = std::max(done, until);
  if (forget_waits) return;
  bool changed = false;
  pending_.remove_if([&](const Copy& c) {
    if (c.stream != stream || c.number >= until) return false;
    if (c.to_host)
      std::memcpy(c.host, c.snapshot.data_ptr(), c.bytes);
    else
      changed |= std::memcmp(c.host, c.snapshot.data_ptr(), c.bytes) != 0;
    return true;
  });
  Pinned::get().sweep();
  TORCH_CHECK(!changed, "pretend: pinned memory was changed before its copy to the device was done");
}

bool Copies::waited_for(std::int64_t stream, std::uint64_t until) const {
  const auto done = waited_for_.find(stream);
  return done != waited_for_.end() && done->second >= until;
}

bool Copies::uses(const char* block, std::size_t bytes) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const Copy& c) { return c.host >= block && c.host < block + bytes; });
}

}  // namespace frugal::testing::pretend
