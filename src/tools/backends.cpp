#include "tools/backends.hpp"

#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#ifdef FRUGAL_WITH_CPU
#include <frugal/cpu/backend.hpp>
#endif
#ifdef FRUGAL_WITH_TORCH
#include <frugal/torch/backend.hpp>
#endif

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

namespace frugal::tools {

namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

[[noreturn]] void reject(const std::string& name) {
  const bool known = name == "cpu" || name == "torch";
  throw Error(known ? Errc::unavailable : Errc::invalid_argument, "--backend " + name + ": " +
                                                                      (known ? "not in this build" : "unknown") +
                                                                      "; there is " + joined(built_backends()));
}

}  // namespace

std::vector<std::string> built_backends() {
  std::vector<std::string> names;
#ifdef FRUGAL_WITH_CPU
  names.emplace_back("cpu");
#endif
#ifdef FRUGAL_WITH_TORCH
  names.emplace_back("torch");
#endif
  names.emplace_back("reference");
  return names;
}

void add_backend_options(CLI::App& app, BackendChoice& choice) {
  app.add_option("--backend", choice.name,
                 "What computes: reference, torch or cpu. In this build: " + joined(built_backends()) +
                     "; the first one is the default");
  app.add_option("--device", choice.device, "Device of the torch backend: cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--threads", choice.threads, "Computing threads; 0 = one per processor. The reference always uses one")
      ->check(CLI::Range(0U, 1024U))
      ->capture_default_str();
  app.add_flag("--bf16-prompts", choice.bf16_prompts,
               "Prompts in bf16: about twice as fast on processors with AMX, the same elsewhere. The cpu backend only");
  app.add_flag("--repack-floats", choice.repack_floats,
               "F16, BF16 and F32 weights are quantised to 8 bits: half or a quarter of the memory, and answers of a "
               "coarser model. The cpu backend only");
}

std::shared_ptr<Backend> make_backend(const BackendChoice& choice) {
  const std::string name = choice.name.empty() ? built_backends().front() : choice.name;
  [[maybe_unused]] const unsigned threads =
      choice.threads != 0 ? choice.threads : std::max(1U, std::thread::hardware_concurrency());
  if (choice.device != "cpu" && name != "torch")
    throw Error(Errc::invalid_argument,
                "--device " + choice.device + ": only the torch backend has devices, not " + name);
  if (choice.bf16_prompts && name != "cpu")
    throw Error(Errc::invalid_argument, "--bf16-prompts: only the cpu backend has them, not " + name);
  if (choice.repack_floats && name != "cpu")
    throw Error(Errc::invalid_argument, "--repack-floats: only the cpu backend does that, not " + name);
#ifdef FRUGAL_WITH_CPU
  if (name == "cpu")
    return cpu_backend({.threads = threads,
                        .prompts = choice.bf16_prompts ? PromptArithmetic::bf16 : PromptArithmetic::exact,
                        .float_weights = choice.repack_floats ? FloatWeights::repacked : FloatWeights::kept});
#endif
#ifdef FRUGAL_WITH_TORCH
  if (name == "torch") return torch_backend({.device = choice.device, .threads = static_cast<int>(threads)});
#endif
  if (name == "reference") return reference_backend();
  reject(name);
}

}  // namespace frugal::tools
