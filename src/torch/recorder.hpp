// Recorder: what a device can do with a step that is the same every time: note its work once, and start all of it with
// one call. On CUDA that is a graph; tests have one on the pretend device.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

#include "torch/lane.hpp"

namespace frugal::aten {

/// Work that was noted. It reads and writes the addresses it had then; what it takes besides stays its own.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Starts the work on the lane; nobody waits.
  virtual void replay() = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  /// Calls `work`, which queues work on the lane, and notes it; none of it is done. `work` must not wait, copy to or from
  /// the host, or leave memory behind. Throws what it or the device throws; the lane is then as before.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work) = 0;
};

/// `lane` outlives the recorder.
using MakeRecorder = std::unique_ptr<Recorder> (*)(const Lane& lane, c10::Device device);

/// Null where frugal was built without FRUGAL_CUDA, or against a LibTorch without CUDA's headers.
MakeRecorder cuda_recorder() noexcept;

}  // namespace frugal::aten
