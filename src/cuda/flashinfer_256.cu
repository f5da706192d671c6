#include "cuda/flashinfer.cuh"

namespace frugal::cuda {

int flashinfer_256(const PagedAttention& a, Element type, void* stream) noexcept {
  return flashinfer_heads<256>(a, type, stream);
}

}  // namespace frugal::cuda
