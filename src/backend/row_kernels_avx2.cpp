#include "backend/row_loops.hpp"

namespace frugal::backend {

const RowKernels& avx2_row_kernels() {
  static constexpr RowKernels table = row_kernels_named("avx2");
  return table;
}

}  // namespace frugal::backend
