// CUDA graphs as far as a recorded step needs them. Results are cudaError_t; 0 = done.
#pragma once

namespace frugal::cuda {

struct GraphCalls {
  /// From here on what this thread queues on the stream (a cudaStream_t) is noted and not done.
  int (*begin)(void* stream) noexcept;
  /// *graph = what was noted, ready to be started.
  int (*end)(void* stream, void** graph) noexcept;
  /// Ends the notes of a stream, whatever came of them.
  void (*abandon)(void* stream) noexcept;
  int (*launch)(void* graph, void* stream) noexcept;
  void (*destroy)(void* graph) noexcept;
};

/// Null where frugal was built without FRUGAL_CUDA.
const GraphCalls* device_graphs() noexcept;

}  // namespace frugal::cuda
