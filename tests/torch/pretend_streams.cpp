// Streams, events and hooks of the pretend device.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <atomic>
#include <chrono>

#include "torch/pretend_memory.hpp"

namespace frugal::testing::pretend {
namespace {

constexpr auto type_of_device = c10::DeviceType::PrivateUse1;

struct RecordedEvent {
  std::int64_t stream = 0;
  std::uint64_t until = 0;
  std::chrono::steady_clock::time_point at{};
};

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return type_of_device; }
  c10::Device exchangeDevice(c10::Device d) const override { return d; }
  c10::Device getDevice() const override { return {type_of_device, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }

  c10::Stream getStream(c10::Device d) const override { return named(current_stream(), d); }
  c10::Stream getDefaultStream(c10::Device d) const override { return named(0, d); }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool) const override {
    static std::atomic<std::int64_t> next{1};
    return named(next++, d);
  }
  c10::Stream exchangeStream(c10::Stream s) const override { return named(exchange_stream(s.id()), s.device()); }
  bool queryStream(const c10::Stream&) const override { return false; }
  void synchronizeStream(const c10::Stream& s) const override { Copies::get().wait(s.id(), Copies::get().now()); }
  void synchronizeDevice(c10::DeviceIndex) const override {
    for (std::int64_t s = 0; s < 1024; ++s) Copies::get().wait(s, Copies::get().now());
  }
  void* getStreamNativeHandle(const c10::Stream s) const override { return reinterpret_cast<void*>(s.id()); }

  void record(void** event, const c10::Stream& s, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new RecordedEvent;
    *static_cast<RecordedEvent*>(*event) = {s.id(), Copies::get().now(), std::chrono::steady_clock::now()};
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void* event) const override {
    const auto& e = *static_cast<RecordedEvent*>(event);
    return Copies::get().waited_for(e.stream, e.until);
  }
  void synchronizeEvent(void* event) const override {
    const auto& e = *static_cast<RecordedEvent*>(event);
    Copies::get().wait(e.stream, e.until);
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<RecordedEvent*>(event);
  }
  double elapsedTime(void* a, void* b, c10::DeviceIndex) const override {
    const auto took = static_cast<RecordedEvent*>(b)->at - static_cast<RecordedEvent*>(a)->at;
    return std::chrono::duration<double, std::milli>(took).count();
  }

 private:
  static c10::Stream named(std::int64_t id, c10::Device d) {
    const c10::DeviceIndex index = d.index() < 0 ? c10::DeviceIndex{0} : d.index();
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(type_of_device, index), id);
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* p) const override { return Pinned::get().owns(p); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &Pinned::get(); }
};

}  // namespace

void register_device() {
  static const Guard guard;
  static Hooks hooks;
  c10::impl::device_guard_impl_registry[static_cast<std::size_t>(type_of_device)].store(&guard);
  at::RegisterPrivateUse1HooksInterface(&hooks);
  c10::SetAllocator(type_of_device, &Memory::get());
}

}  // namespace frugal::testing::pretend
