// What both modes of bench_spec share: its settings, the file of requests, an engine with or without the lever.
#pragma once

#include <frugal/draft/drafters.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace frugal::bench {

struct SpecSettings {
  std::string model, cases, group, draft_model;
  double least_likely = SuffixDrafterOptions{}.least_likely;
  bool on_first = false;  ///< the engine with speculation is set up first
  unsigned threads = 2, repeat = 3, sequences = 1, draft = 0, self = 0, most = 16;
};
using ModelPtr = std::shared_ptr<const Model>;

double seconds(Duration d);
/// Of the settings' group; throws where there is none.
std::vector<nlohmann::json> cases_of(const SpecSettings& s);
Request request_of(const nlohmann::json& c);
/// Without a policy: the lever is off. No past answers are kept: a request that comes again is still a new one here.
std::unique_ptr<Engine> engine_of(const SpecSettings& s, const ModelPtr& model,
                                  std::shared_ptr<SpeculationPolicy> policy);

/// Each request without and with speculation in lockstep: decode time, whether the tokens are the same, the drafts.
nlohmann::json compare(const SpecSettings& s, const ModelPtr& model);
/// Lines of what any draft length would have met at each place of the plain answers, and what passes cost.
std::string trace(const SpecSettings& s, const ModelPtr& model);

}  // namespace frugal::bench
