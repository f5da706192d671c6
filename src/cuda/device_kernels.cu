#include "cuda/kernels.hpp"

#include <cuda_runtime_api.h>

#include "cuda/dispatch.hpp"
#include "cuda/flashinfer.hpp"

namespace frugal::cuda {
namespace {

__global__ void __launch_bounds__(draw_threads, 2) draw_kernel(const DrawRow* rows, Drawn* out) {
  __shared__ DrawShared shared;
  const Drawn drawn = drawn_from(Block{draw_threads}, rows[blockIdx.x], shared);
  if (threadIdx.x == 0) out[blockIdx.x] = drawn;
}

template <class T>
__global__ void __launch_bounds__(norm_threads) add_norm_kernel(const AddNorm a) {
  __shared__ NormShared shared;
  add_norm_row<T>(Block{norm_threads}, a, blockIdx.x, shared);
}

template <class T>
__global__ void __launch_bounds__(rope_threads) rope_append_kernel(const RopeAppend a) {
  __shared__ RopeShared shared;
  rope_append_row<T>(Block{rope_threads}, a, blockIdx.x, shared);
}

template <class T, Packing P>
__global__ void __launch_bounds__(unpack_threads) unpack_kernel(const Unpack u) {
  unpack_blocks<T, P>(Block{unpack_threads}, u, blockIdx.x);
}

template <class T, Packing P, std::uint32_t Rows>
__global__ void __launch_bounds__(product_threads) product_kernel(const PackedProduct a) {
  __shared__ ProductShared shared;
  packed_product<T, P, Rows>(Block{product_threads}, a, blockIdx.x, shared);
}

__global__ void __launch_bounds__(choose_threads) choose_kernel(const Route r) {
  __shared__ ChooseShared shared;
  choose_experts_row(Block{choose_threads}, r, blockIdx.x, shared);
}

__global__ void __launch_bounds__(group_threads) group_kernel(const Route r) {
  __shared__ GroupShared shared;
  group_choices(Block{group_threads}, r, shared);
}

template <class T, class Weights, std::uint32_t Rows>
__global__ void __launch_bounds__(product_threads) expert_kernel(const ExpertProduct a) {
  __shared__ ExpertShared shared;
  cuda::expert_product<T, Weights, Rows>(Block{product_threads}, a, blockIdx.x, blockIdx.y, shared);
}

cudaStream_t on(void* stream) { return static_cast<cudaStream_t>(stream); }
unsigned grid(std::uint64_t blocks) { return static_cast<unsigned>(blocks); }

int draw(const DrawRow* rows, std::uint32_t count, Drawn* out, void* stream) noexcept {
  if (count == 0) return cudaSuccess;
  draw_kernel<<<count, draw_threads, 0, on(stream)>>>(rows, out);
  return cudaGetLastError();
}

int add_norm(const AddNorm& a, Element type, void* stream) noexcept {
  if (a.rows == 0) return cudaSuccess;
  return with_element(type, [&]<class T>(Type<T>) -> int {
    add_norm_kernel<T><<<a.rows, norm_threads, 0, on(stream)>>>(a);
    return cudaGetLastError();
  });
}

int rope_append(const RopeAppend& a, Element type, void* stream) noexcept {
  if (a.rows == 0) return cudaSuccess;
  return with_element(type, [&]<class T>(Type<T>) -> int {
    rope_append_kernel<T><<<a.rows, rope_threads, 0, on(stream)>>>(a);
    return cudaGetLastError();
  });
}

int unpack(const Unpack& u, Element type, void* stream) noexcept {
  if (unpack_grid(u) == 0) return cudaSuccess;
  return with_element(type, [&]<class T>(Type<T>) -> int {
    return with_packing(u.matrix.packing, [&](auto packing) -> int {
      unpack_kernel<T, decltype(packing)::value><<<grid(unpack_grid(u)), unpack_threads, 0, on(stream)>>>(u);
      return cudaGetLastError();
    });
  });
}

int product(const PackedProduct& a, Element type, void* stream) noexcept {
  if (a.rows == 0 || a.matrix.rows == 0) return cudaSuccess;
  return with_element(type, [&]<class T>(Type<T>) -> int {
    return with_packing(a.matrix.packing, [&](auto packing) -> int {
      return with_rows(a.rows, [&](auto rows) -> int {
        product_kernel<T, decltype(packing)::value, decltype(rows)::value>
            <<<grid(product_grid(a)), product_threads, 0, on(stream)>>>(a);
        return cudaGetLastError();
      });
    });
  });
}

int route(const Route& r, void* stream) noexcept {
  if (r.rows == 0) return cudaSuccess;
  choose_kernel<<<r.rows, choose_threads, 0, on(stream)>>>(r);
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) return status;
  group_kernel<<<1, group_threads, 0, on(stream)>>>(r);
  return cudaGetLastError();
}

int expert_product(const ExpertProduct& a, Element type, void* stream) noexcept {
  if (a.tile_count == 0 || a.features == 0) return cudaSuccess;
  return with_element(type, [&]<class T>(Type<T>) -> int {
    return with_weights<T>(a.matrix.packing, [&]<class Weights>(Type<Weights>) -> int {
      return with_rows(a.most_rows, [&](auto rows) -> int {
        const dim3 blocks(grid(product_grid(a)), a.tile_count);
        expert_kernel<T, Weights, decltype(rows)::value><<<blocks, product_threads, 0, on(stream)>>>(a);
        return cudaGetLastError();
      });
    });
  });
}

#if defined(FRUGAL_HAS_FLASHINFER)
bool serves_paged(const PagedHeads& h, Element type) noexcept {
  const bool size = h.head_dim == 64 || h.head_dim == 128 || h.head_dim == 256;
  return size && type != Element::f32 && h.heads % h.kv_heads == 0;
}

int paged_attention(const PagedAttention& a, Element type, void* stream) noexcept {
  if (a.blocks == 0) return cudaSuccess;
  switch (a.heads.head_dim) {
    case 64:
      return flashinfer_64(a, type, stream);
    case 128:
      return flashinfer_128(a, type, stream);
    case 256:
      return flashinfer_256(a, type, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

std::uint32_t multiprocessors(int device) noexcept {
  int count = 0;
  const cudaError_t status = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return status == cudaSuccess ? static_cast<std::uint32_t>(count) : 0;
}
#else
constexpr auto paged_attention = nullptr, serves_paged = nullptr, multiprocessors = nullptr;
#endif

constexpr Kernels table{draw,  add_norm,       rope_append,     unpack,       product,
                        route, expert_product, paged_attention, serves_paged, multiprocessors};

}  // namespace

const Kernels* device_kernels() noexcept { return &table; }

}  // namespace frugal::cuda
