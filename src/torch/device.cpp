#include "torch/device.hpp"

#include <frugal/core/error.hpp>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <dlfcn.h>

#include <charconv>
#include <string>
#include <string_view>

#include "torch/guard.hpp"
#include "torch/lane.hpp"

namespace frugal::aten {
namespace {

/// The folder LibTorch was loaded from: its CUDA half lies beside it.
std::string library_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &info) == 0 || info.dli_fname == nullptr) return "";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

/// LibTorch finds a device's functions in a registry that its CUDA library fills while it is loaded; so it must be open
/// before anything asks.
void open_cuda_library() {
  std::string tried;
  for (const std::string& path : {library_folder() + "libtorch_cuda.so", std::string("libtorch_cuda.so")}) {
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
    const char* reason = dlerror();
    tried += (tried.empty() ? "" : "; ") + std::string(reason != nullptr ? reason : path.c_str());
  }
  throw Error(Errc::unavailable, "torch: LibTorch's CUDA library cannot be opened: " + tried);
}

c10::DeviceIndex cuda_index(std::string_view name) {
  if (name == "cuda") return 0;
  int index = -1;
  const std::string_view digits = name.substr(5);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (error != std::errc() || end != digits.data() + digits.size() || index < 0 || index > 127) {
    throw Error(Errc::invalid_argument, "torch: unknown device '" + std::string(name) + "'");
  }
  return static_cast<c10::DeviceIndex>(index);
}

c10::Device open_cuda(std::string_view name) {
  const c10::DeviceIndex index = cuda_index(name);
  open_cuda_library();
  if (!at::globalContext().hasCUDA()) throw Error(Errc::unavailable, "torch: no CUDA device or driver here");
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (index >= count) {
    throw Error(Errc::unavailable, "torch: no device '" + std::string(name) + "', there are " + std::to_string(count));
  }
  return {c10::DeviceType::CUDA, index};
}

c10::ScalarType compute_type(std::string_view name, bool cuda) {
  if (name.empty()) return cuda ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
  if (name == "fp32") return c10::ScalarType::Float;
  if (name == "bf16") return c10::ScalarType::BFloat16;
  if (name == "fp16") return c10::ScalarType::Half;
  throw Error(Errc::invalid_argument, "torch: unknown compute type '" + std::string(name) + "' (fp32, bf16, fp16)");
}

bool wants_paged(const TorchOptions& options, bool cuda) {
  if (options.attention == "gather") return false;
  if (options.attention != "flashinfer")
    throw Error(Errc::invalid_argument, "torch: unknown attention '" + options.attention + "' (gather, flashinfer)");
  if (!cuda) throw Error(Errc::unavailable, "torch: attention 'flashinfer' is for device cuda");
  const cuda::Kernels* const kernels = cuda::device_kernels();
  if (kernels == nullptr || kernels->paged_attention == nullptr || !Lane::tells_native())
    throw Error(Errc::unavailable,
                "torch: attention 'flashinfer' needs frugal built with FRUGAL_FLASHINFER, over LibTorch 2.11 or later");
  return true;
}

}  // namespace

Device open_device(const TorchOptions& options) {
  return guarded("torch: device", true, [&]() -> Device {
    const std::string_view name = options.device;
    const bool cuda = name == "cuda" || name.substr(0, 5) == "cuda:";
    if (!cuda && name != "cpu") {
      throw Error(Errc::invalid_argument, "torch: unknown device '" + options.device + "' (cpu, cuda, cuda:<n>)");
    }
    const c10::ScalarType compute = compute_type(options.compute, cuda);
    if (options.threads < 0) throw Error(Errc::invalid_argument, "torch: threads is negative");
    if (options.graphs && (!cuda || cuda_recorder() == nullptr || !Lane::tells_native()))
      throw Error(Errc::unavailable,
                  cuda ? "torch: graphs need frugal built with FRUGAL_CUDA, over LibTorch 2.11 or later"
                       : "torch: graphs are for device cuda");
    const bool paged = wants_paged(options, cuda);
    const c10::Device device = cuda ? open_cuda(name) : c10::Device(c10::DeviceType::CPU);
    if (options.threads > 0) at::set_num_threads(options.threads);
    return {.device = device,
            .compute = compute,
            .name = device.str(),
            .kernels = cuda && Lane::tells_native() ? cuda::device_kernels() : nullptr,
            .make_recorder = options.graphs ? cuda_recorder() : nullptr,
            .paged = paged};
  });
}

}  // namespace frugal::aten
