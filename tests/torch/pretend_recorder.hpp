// Recordings on the pretend device. What each operation does to which addresses is noted, with memory from a pool of the
// recording's own, and done again at every replay: no code of the caller runs then, so that what it would have passed
// anew is not seen. While a recording is made nothing may wait, copy between host and device, or hold memory afterwards.
#pragma once

#include "torch/recorder.hpp"

namespace frugal::testing {

std::unique_ptr<aten::Recorder> pretend_recorder(const aten::Lane& lane, c10::Device device);

/// The next recordings fail, as on a device that cannot.
void fail_recordings(bool fail);

}  // namespace frugal::testing
