// Kernels: the kernels of this room as a backend starts them. One table for devices, compiled by nvcc where FRUGAL_CUDA
// is on; one for the host, which runs the same source block after block: the device's oracle in tests.
#pragma once

#include "cuda/add_norm.hpp"
#include "cuda/experts.hpp"
#include "cuda/judge.hpp"
#include "cuda/packed.hpp"
#include "cuda/paged.hpp"
#include "cuda/rope_append.hpp"

#include <cstdint>

namespace frugal::cuda {

/// Every function takes pointers of the device, starts its work on `stream` (a cudaStream_t), and does not wait. The
/// result is a cudaError_t; 0 = started. `Element` is the compute type of what the arguments leave untyped.
struct Kernels {
  /// out[i] = the draw of rows[i]; both arrays are the device's.
  int (*draw)(const DrawRow* rows, std::uint32_t count, Drawn* out, void* stream) noexcept;
  int (*add_norm)(const AddNorm& a, Element type, void* stream) noexcept;
  int (*rope_append)(const RopeAppend& a, Element type, void* stream) noexcept;
  int (*unpack)(const Unpack& u, Element type, void* stream) noexcept;
  /// At most product_rows rows.
  int (*product)(const PackedProduct& a, Element type, void* stream) noexcept;
  /// At most routed_rows rows, most_experts experts, most_used of them a row.
  int (*route)(const Route& r, void* stream) noexcept;
  int (*expert_product)(const ExpertProduct& a, Element type, void* stream) noexcept;

  /// Heads that serves_paged() says yes to. All three are null where there is no FRUGAL_FLASHINFER.
  int (*paged_attention)(const PagedAttention& a, Element type, void* stream) noexcept;
  bool (*serves_paged)(const PagedHeads& heads, Element type) noexcept;
  /// Of the device of this number; 0 = it does not tell.
  std::uint32_t (*multiprocessors)(int device) noexcept;
};

/// Null where frugal was built without FRUGAL_CUDA.
const Kernels* device_kernels() noexcept;

const Kernels& host_kernels() noexcept;

}  // namespace frugal::cuda
