#include "backend/row_loops.hpp"

namespace frugal::backend {

const RowKernels& portable_row_kernels() {
  static constexpr RowKernels table = row_kernels_named("portable");
  return table;
}

}  // namespace frugal::backend
