// What FRUGAL_FLASHINFER adds to the table of kernels: a source for each size of heads.
#pragma once

#include "cuda/paged.hpp"

namespace frugal::cuda {

int flashinfer_64(const PagedAttention& a, Element type, void* stream) noexcept;
int flashinfer_128(const PagedAttention& a, Element type, void* stream) noexcept;
int flashinfer_256(const PagedAttention& a, Element type, void* stream) noexcept;

}  // namespace frugal::cuda
