#include "cuda/flashinfer.cuh"

namespace frugal::cuda {

int flashinfer_128(const PagedAttention& a, Element type, void* stream) noexcept {
  return flashinfer_heads<128>(a, type, stream);
}

}  // namespace frugal::cuda
