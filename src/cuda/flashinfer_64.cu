#include "cuda/flashinfer.cuh"

namespace frugal::cuda {

int flashinfer_64(const PagedAttention& a, Element type, void* stream) noexcept {
  return flashinfer_heads<64>(a, type, stream);
}

}  // namespace frugal::cuda
