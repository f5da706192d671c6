// torch_backend: the LibTorch backend, on CPU or CUDA. This header includes no torch.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>

#include <memory>
#include <string>

namespace frugal {

struct TorchOptions {
  std::string device = "cpu";  ///< "cpu", "cuda" or "cuda:<n>"
  std::string compute = "";    ///< "fp32", "bf16" or "fp16"; empty = fp32 on CPU, bf16 on CUDA
  /// Records decode and verify steps as CUDA graphs and starts each with one call. Never run on a device so far, hence off.
  bool graphs = false;
  /// "gather": LibTorch's attention over gathered pages. "flashinfer": kernels that read pages where they lie; on CUDA, in
  /// bf16 and fp16, for heads of 64, 128 and 256 without a soft cap, where frugal was built with FRUGAL_FLASHINFER. What it
  /// does not serve is refused, models by add_model. Never run on a device so far, hence not the default.
  std::string attention = "gather";
  int threads = 0;  ///< >0: sets torch's intra-op threads, which is process-wide; 0 leaves them alone
};

/// Throws Error(unavailable) where the device is not there (the message says what was looked for),
/// Error(invalid_argument) for unknown names.
FRUGAL_API std::unique_ptr<Backend> torch_backend(const TorchOptions& options = {});

}  // namespace frugal
