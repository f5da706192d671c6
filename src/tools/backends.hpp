// Which backend a subcommand runs on: the options, the names this build knows, the choice. The default is the fastest
// one built in.
#pragma once

#include <frugal/backend/backend.hpp>

#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace frugal::tools {

struct BackendChoice {
  std::string name{};          ///< empty = built_backends().front()
  std::string device = "cpu";  ///< torch only
  unsigned threads = 0;        ///< 0 = one per processor
  bool bf16_prompts = false;   ///< cpu only: CpuOptions::prompts
  bool repack_floats = false;  ///< cpu only: CpuOptions::float_weights
};

/// Best first.
std::vector<std::string> built_backends();

/// Adds --backend, --device, --threads, --bf16-prompts and --repack-floats.
void add_backend_options(CLI::App& app, BackendChoice& choice);

/// Throws Error(invalid_argument) for an unknown name, Error(unavailable) for one this build lacks.
std::shared_ptr<Backend> make_backend(const BackendChoice& choice);

}  // namespace frugal::tools
