#include "gpu/opened.hpp"

#include <utility>

#include "gpu/made_weights.hpp"
#include "gpu/shapes.hpp"
#include "torch/device.hpp"
#include "torch/factory.hpp"

namespace frugal::bench {
namespace {

MadeWeights& weights() {
  static MadeWeights made;
  return made;
}

}  // namespace

std::unique_ptr<Backend> open_backend(const TorchOptions& options) {
  aten::Device device = aten::open_device(options);
  device.weights = &weights();
  return aten::make_backend(std::move(device));
}

bool shares_layers(const Backend& backend, const std::vector<std::shared_ptr<const Model>>& models, std::size_t arena) {
  static bool decided = false;  // later backends of the process find the weights there
  const BackendTraits traits = backend.traits();
  if (std::exchange(decided, true) || !traits.free_bytes) return weights().are_shared();
  double bytes = static_cast<double>(arena);
  for (const auto& model : models) bytes += static_cast<double>(device_bytes(*model, traits.device_draws));
  if (bytes > 0.75 * static_cast<double>(*traits.free_bytes)) weights().share_layers();
  return weights().are_shared();
}

}  // namespace frugal::bench
