#include "backend/row_loops.hpp"

namespace frugal::backend {

const RowKernels& avx512_row_kernels() {
  static constexpr RowKernels table = row_kernels_named("avx512");
  return table;
}

}  // namespace frugal::backend
