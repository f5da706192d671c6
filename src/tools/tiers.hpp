// The tiers that a command line names: local models, heads and remote APIs, each as an endpoint with its price.
#pragma once

#include "tools/backends.hpp"

#include <frugal/autopilot/record.hpp>
#include <frugal/head/embed.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace frugal {
class Endpoint;
class Model;
}  // namespace frugal

namespace frugal::tools {

struct TierRules {
  BackendChoice backend{};               ///< each local tier gets a backend of its own
  std::optional<double> usd_per_hour{};  ///< of this machine: turns a local tier's seconds into money
  std::string key_variable{};            ///< the environment variable that holds the key of remote APIs
  std::size_t kv_mib = 256;              ///< of each local model
  bool quiet = false;
};

/// What --tier takes, for --help.
extern const char* const tier_syntax;

/// Tiers in the order of the command line, with the endpoints that they lend. Local tiers cost seconds, or money where
/// usd_per_hour is given; remote ones cost what the price book says.
class Tiers {
 public:
  /// Throws Error(invalid_argument) for a text that is no tier, for two of one name, and where seconds and money would
  /// be mixed; what loading throws.
  Tiers(const std::vector<std::string>& texts, const TierRules& rules);
  ~Tiers();
  const std::vector<RecordTier>& recorded() const { return recorded_; }
  bool all_remote() const { return all_remote_; }
  bool any_remote() const { return any_remote_; }
  /// By the model of the first local tier, a head's included. Throws Error(invalid_argument) where there is none.
  Embedder hidden(const HiddenState& state) const;

 private:
  void add(const std::string& text, const TierRules& rules);

  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::vector<RecordTier> recorded_;
  bool all_remote_ = true, any_remote_ = false;
  BackendChoice backend_;
  std::shared_ptr<const Model> first_local_;
};

}  // namespace frugal::tools
