// Lane: a backend's own stream on its device. Everything the backend does there runs in on(), so that neither the
// stream nor the device of the calling thread matters. On a CPU there is no stream, and all of it does nothing.
#pragma once

#include <frugal/core/clock.hpp>

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>

#include <optional>
#include <utility>

namespace frugal::aten {

class Lane {
 public:
  explicit Lane(c10::Device device);

  template <class F>
  decltype(auto) on(F&& f) const {
    if (!stream_) return std::forward<F>(f)();
    const c10::StreamGuard guard(*stream_);
    return std::forward<F>(f)();
  }

  /// Waits for all work of the lane. Faults of kernels come out here.
  void wait() const;
  /// What kernels are launched on: a cudaStream_t; null on a CPU, and where this LibTorch does not tell (before 2.11).
  void* native() const;
  static bool tells_native();
  const std::optional<c10::Stream>& stream() const { return stream_; }

 private:
  std::optional<c10::Stream> stream_;
};

/// Time that a device spends between two points of a lane, by its own clock.
class DeviceTimer {
 public:
  explicit DeviceTimer(const Lane& lane);
  void start();
  /// Waits for everything up to here. None on a CPU.
  std::optional<Duration> stop();

 private:
  const Lane& lane_;
  std::optional<c10::Event> begin_, end_;
};

}  // namespace frugal::aten
