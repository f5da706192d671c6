#include "torch/pretend_recorder.hpp"

#include <c10/util/Exception.h>

#include <utility>

#include "torch/pretend_memory.hpp"

namespace frugal::testing {
namespace {

using pretend::Memory;
using pretend::Notes;

bool recordings_fail = false;

class PretendRecording final : public aten::Recording {
 public:
  PretendRecording(std::vector<std::function<void()>> calls, Memory::Blocks pool)
      : calls_(std::move(calls)), pool_(std::move(pool)) {}
  ~PretendRecording() override { Memory::get().free_pool(pool_); }

  /// The pool holds nothing from one replay to the next.
  void replay() override {
    ++pretend::Copies::get().counts.replays;
    Memory::get().forget(pool_);
    Notes::get().replaying = true;
    const PretendDevice::Unlocked unlocked;
    for (const auto& call : calls_) call();
    Notes::get().replaying = false;
  }

 private:
  std::vector<std::function<void()>> calls_;
  Memory::Blocks pool_;
};

class PretendRecorder final : public aten::Recorder {
 public:
  std::unique_ptr<aten::Recording> record(const std::function<void()>& work) override {
    TORCH_CHECK(!recordings_fail, "pretend: this device records nothing");
    Notes& notes = Notes::get();
    notes.calls.clear();
    Memory::get().begin_pool();
    notes.set_open(true);
    Memory::Blocks pool;
    try {
      work();
    } catch (...) {
      notes.set_open(false);
      Memory::get().end_pool(pool);
      Memory::get().free_pool(pool);
      throw;
    }
    notes.set_open(false);
    const bool clean = Memory::get().end_pool(pool);
    auto recording = std::make_unique<PretendRecording>(std::exchange(notes.calls, {}), std::move(pool));
    TORCH_CHECK(clean, "pretend: memory of a recording is held after its step");
    return recording;
  }
};

}  // namespace

std::unique_ptr<aten::Recorder> pretend_recorder(const aten::Lane&, c10::Device) {
  return std::make_unique<PretendRecorder>();
}

void fail_recordings(bool fail) { recordings_fail = fail; }

}  // namespace frugal::testing
