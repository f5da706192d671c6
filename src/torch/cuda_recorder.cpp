// Recordings as CUDA graphs. LibTorch's allocator gives what a recorded step takes from a pool of its own, so that nobody
// else gets that memory while the recording lives. Neither LibTorch's CUDA library nor CUDA's own is linked for it.
#include "torch/recorder.hpp"

#if defined(FRUGAL_HAS_DEVICE_KERNELS) && __has_include(<c10/cuda/CUDACachingAllocator.h>)

#include <frugal/core/error.hpp>

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <atomic>
#include <string>

#include "cuda/graphs.hpp"

namespace frugal::aten {
namespace {

void check(int status, const char* what) {
  if (status != 0)
    throw Error(Errc::device,
                std::string("torch: a graph cannot be ") + what + ": CUDA error " + std::to_string(status));
}

/// Of one backend: its recordings are replayed one after the other, and nothing of theirs outlives a replay, so they
/// share the memory.
struct Pool {
  c10::cuda::CUDACachingAllocator::CUDAAllocator& allocator;
  c10::DeviceIndex device;
  c10::MempoolId_t id;
};

class CudaRecording final : public Recording {
 public:
  CudaRecording(Pool pool, void* stream, void* graph) : pool_(pool), stream_(stream), graph_(graph) {}
  ~CudaRecording() override {
    cuda::device_graphs()->destroy(graph_);
    pool_.allocator.releasePool(pool_.device, pool_.id);
  }
  void replay() override { check(cuda::device_graphs()->launch(graph_, stream_), "started"); }

 private:
  Pool pool_;
  void* stream_;
  void* graph_;
};

c10::MempoolId_t new_pool() {
  static std::atomic<c10::CaptureId_t> next{c10::CaptureId_t{0xF2} << 48};  // away from LibTorch's own numbers
  return {0, next++};
}

class CudaRecorder final : public Recorder {
 public:
  CudaRecorder(const Lane& lane, c10::Device device)
      : lane_(lane),
        pool_{static_cast<c10::cuda::CUDACachingAllocator::CUDAAllocator&>(*c10::getDeviceAllocator(device.type())),
              device.index(), new_pool()} {
    // A reference of its own: a pool that was given back whole cannot be allocated to again.
    pool_.allocator.beginAllocateToPool(pool_.device, pool_.id, [](cudaStream_t) { return false; });
    pool_.allocator.endAllocateToPool(pool_.device, pool_.id);
  }
  ~CudaRecorder() override { pool_.allocator.releasePool(pool_.device, pool_.id); }
  CudaRecorder(const CudaRecorder&) = delete;
  CudaRecorder& operator=(const CudaRecorder&) = delete;

  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    void* const stream = lane_.native();
    pool_.allocator.beginAllocateToPool(pool_.device, pool_.id, [stream](cudaStream_t s) { return s == stream; });
    void* graph = nullptr;
    try {
      check(cuda::device_graphs()->begin(stream), "begun");
      work();
      check(cuda::device_graphs()->end(stream, &graph), "ended");
    } catch (...) {
      if (graph == nullptr) cuda::device_graphs()->abandon(stream);
      pool_.allocator.endAllocateToPool(pool_.device, pool_.id);
      pool_.allocator.releasePool(pool_.device, pool_.id);
      throw;
    }
    pool_.allocator.endAllocateToPool(pool_.device, pool_.id);
    return std::make_unique<CudaRecording>(pool_, stream, graph);
  }

 private:
  const Lane& lane_;
  Pool pool_;
};

}  // namespace

MakeRecorder cuda_recorder() noexcept {
  return [](const Lane& lane, c10::Device device) -> std::unique_ptr<Recorder> {
    return std::make_unique<CudaRecorder>(lane, device);
  };
}

}  // namespace frugal::aten

#else

namespace frugal::aten {

MakeRecorder cuda_recorder() noexcept { return nullptr; }

}  // namespace frugal::aten

#endif
