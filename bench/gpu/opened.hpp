// Backends of bench_gpu: their weights are made on the device, the same for all of a process.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/model/model.hpp>
#include <frugal/torch/backend.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace frugal::bench {

std::unique_ptr<Backend> open_backend(const TorchOptions& options);

/// Before models are added: whether their layers share weights, which the first call of a process decides: all must fit
/// beside an arena of so many bytes and a fourth of the free memory, which passes need. A processor never shares.
bool shares_layers(const Backend& backend, const std::vector<std::shared_ptr<const Model>>& models, std::size_t arena);

}  // namespace frugal::bench
