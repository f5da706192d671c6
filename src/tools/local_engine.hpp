// The engine that a subcommand runs: one local model, the flags that say how, and the levers that are switched on.
#pragma once

#include "tools/backends.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace frugal::tools {

struct EngineFlags {
  std::string model{};  ///< path: GGUF file or Hugging Face folder
  std::vector<std::string> speculate{};
  std::uint64_t kv_mib = 0;  ///< 0 = see local_engine
  BackendChoice backend{};
  bool quiet = false;
};

/// Adds --model, --speculate, --backend, --device, --threads, --kv-mib and --quiet.
void add_engine_flags(CLI::App& app, EngineFlags& flags);

/// An engine with the model as its only one, on the backend that the flags name. What `options` holds already is kept;
/// backend, models, speculation and kv_bytes are set here. Without --kv-mib: room for `contexts` whole contexts of every
/// model in the widest element type, but 1 GiB at most. Throws Error as the constructors do, and for a bad --speculate.
std::unique_ptr<Engine> local_engine(const EngineFlags& flags, const std::shared_ptr<const Model>& model,
                                     EngineOptions options = {}, std::size_t contexts = 1);

}  // namespace frugal::tools
