// MadeWeights: random weights that are made where they will be used, so that nothing is uploaded. The tensors of the model
// give names, shapes and formats; their bytes are not read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "torch/weights.hpp"

namespace frugal::bench {

class MadeWeights final : public aten::WeightSource {
 public:
  /// From now on all layers read the memory of one, array by array: where a device is too small for the model. What a
  /// step costs stays the same as long as a layer is larger than the device's caches.
  void share_layers() { shared_ = true; }
  bool are_shared() const { return shared_; }

  /// Norms are one, all else is normal with deviation 0.02.
  at::Tensor dense(const std::vector<const Tensor*>& parts, c10::Device device, c10::ScalarType type) const override;
  /// Quants are random bits, scales such that values have about that deviation.
  at::Tensor packed(const aten::Matrix& m, const std::vector<const Tensor*>& parts, c10::Device device) const override;

 private:
  template <class Make>
  at::Tensor once(const std::vector<const Tensor*>& parts, const std::string& form, Make make) const;

  bool shared_ = false;
  mutable std::map<std::string, at::Tensor> made_;
};

}  // namespace frugal::bench
