#include "cuda/launch.hpp"

#include <cuda_runtime_api.h>

namespace frugal::cuda {
namespace {

__global__ void __launch_bounds__(draw_threads) draw_kernel(const DrawRow* rows, std::int32_t* tokens) {
  __shared__ DrawShared shared;
  const std::int32_t token = draw_row(Block{draw_threads}, rows[blockIdx.x], shared);
  if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}

}  // namespace

int draw_rows(const DrawRow* rows, std::uint32_t count, std::int32_t* tokens, void* stream) noexcept {
  if (count == 0) return cudaSuccess;
  draw_kernel<<<count, draw_threads, 0, static_cast<cudaStream_t>(stream)>>>(rows, tokens);
  return cudaGetLastError();
}

}  // namespace frugal::cuda
