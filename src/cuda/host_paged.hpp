// The host's twin of attention over pages: it walks the plan's arrays as FlashInfer's kernels are said to by their source,
// and merges partial results as they do. Slow and plain; the oracle of plans.
#pragma once

#include "cuda/paged.hpp"

namespace frugal::cuda {

int host_paged_attention(const PagedAttention& a, Element type, void* stream) noexcept;

}  // namespace frugal::cuda
