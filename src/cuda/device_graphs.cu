#include "cuda/graphs.hpp"

#include <cuda_runtime_api.h>

namespace frugal::cuda {
namespace {

cudaStream_t on(void* stream) { return static_cast<cudaStream_t>(stream); }

/// Other threads may go on taking memory.
int begin(void* stream) noexcept { return cudaStreamBeginCapture(on(stream), cudaStreamCaptureModeThreadLocal); }

int end(void* stream, void** graph) noexcept {
  cudaGraph_t noted = nullptr;
  if (const cudaError_t status = cudaStreamEndCapture(on(stream), &noted); status != cudaSuccess) return status;
  cudaGraphExec_t ready = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&ready, noted, 0);
  cudaGraphDestroy(noted);
  *graph = ready;
  return status;
}

void abandon(void* stream) noexcept {
  cudaGraph_t noted = nullptr;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(on(stream), &status) == cudaSuccess && status != cudaStreamCaptureStatusNone)
    cudaStreamEndCapture(on(stream), &noted);
  if (noted != nullptr) cudaGraphDestroy(noted);
  cudaGetLastError();
}

int launch(void* graph, void* stream) noexcept {
  return cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), on(stream));
}

void destroy(void* graph) noexcept { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

constexpr GraphCalls table{begin, end, abandon, launch, destroy};

}  // namespace

const GraphCalls* device_graphs() noexcept { return &table; }

}  // namespace frugal::cuda
