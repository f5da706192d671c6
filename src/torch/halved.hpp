// A batch in two halves: what a pass becomes for which the device has no memory.
#pragma once

#include <frugal/backend/backend.hpp>

#include <functional>

namespace frugal::aten {

/// Runs `pass` on the batch. Where that ends with Errc::out_of_memory, runs both halves one after the other, and so on
/// down to single rows. The results are those of one pass, within the backend's tolerance.
void run_or_halve(const Batch& batch, std::uint32_t d_model, std::uint32_t vocab,
                  const std::function<void(const Batch&)>& pass);

}  // namespace frugal::aten
