// A host that opens the LibTorch backend on the processor, and on CUDA where there is a device; without one it must be
// told so, not stopped.
#include <frugal/core/error.hpp>
#include <frugal/torch/backend.hpp>

#include <cstdio>
#include <string>

int main() {
  const auto cpu = frugal::torch_backend({.threads = 1});
  const bool named = cpu->name() == "torch" && cpu->traits().device == "cpu";
  std::string cuda = "opened";
  bool told = true;
  try {
    frugal::torch_backend({.device = "cuda"});
  } catch (const frugal::Error& error) {
    told = error.code() == frugal::Errc::unavailable;
    cuda = error.message();
  }
  std::printf("torch on the processor: %s; on CUDA: %s\n", named ? "opened" : "WRONG", cuda.c_str());
  return named && told ? 0 : 1;
}
