#include "torch/lane.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>

namespace frugal::aten {
namespace {

template <class Stream>
constexpr bool has_handle = requires(const Stream& s) {
  s.native_handle();
};

template <class Stream>
void* handle_of(const Stream& s) {
  if constexpr (has_handle<Stream>)
    return s.native_handle();
  else
    return nullptr;
}

}  // namespace

Lane::Lane(c10::Device device) {
  if (!device.is_cpu()) stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

void Lane::wait() const {
  if (stream_) stream_->synchronize();
}

void* Lane::native() const { return stream_ ? handle_of(*stream_) : nullptr; }

bool Lane::tells_native() { return has_handle<c10::Stream>; }

DeviceTimer::DeviceTimer(const Lane& lane) : lane_(lane) {
  if (!lane.stream()) return;
  begin_.emplace(lane.stream()->device_type(), c10::EventFlag::BACKEND_DEFAULT);  // with times
  end_.emplace(lane.stream()->device_type(), c10::EventFlag::BACKEND_DEFAULT);
}

void DeviceTimer::start() {
  if (begin_) begin_->record(*lane_.stream());
}

std::optional<Duration> DeviceTimer::stop() {
  if (!end_) return std::nullopt;
  end_->record(*lane_.stream());
  end_->synchronize();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(begin_->elapsedTime(*end_)));
}

}  // namespace frugal::aten
