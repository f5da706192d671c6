// `frugal batch --provider`: the lines go to a provider's batch API instead of a local model.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/finish.hpp>
#include <frugal/core/request.hpp>
#include <frugal/endpoint/batch.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace frugal::tools {

struct ProviderFlags {
  std::string provider{};  ///< openai or anthropic; empty = a local model answers
  std::string url{}, key_file{}, ca_file{};
  double poll_seconds = 60;
};

/// Adds --provider, --url, --key-file, --ca-file and --poll.
void add_provider_flags(CLI::App& app, ProviderFlags& flags);

/// What a provider answers with, beside BatchOptions::on_answer.
struct ProviderRun {
  std::string model{};
  std::string state_file{};  ///< removed by the caller when all answers are safe
  bool quiet = false;
};

/// Throws Error where the key's file cannot be used or the build has no HTTP: before anything is written.
void check_provider(const ProviderFlags& flags);

/// run_batch through the provider: all requests as one batch. Throws Error.
BatchProgress run_provider_batch(const ProviderFlags& flags, const ProviderRun& run, std::vector<Request> requests,
                                 BatchOptions options);

/// What the usage costs at the provider's batch price, in dollars; none = the price is not known.
std::optional<double> batch_cost(const ProviderFlags& flags, const std::string& model, const Usage& usage);

}  // namespace frugal::tools
