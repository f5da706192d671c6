// DraftModel: a small model that drafts for a big one, in the same arena: its pages, its prefix hits and its passes are
// the engine's, batched over all sequences it drafts for. A token it has not yet seen is computed with its next draft.
//
// Any decoder will do. One with the target's vocabulary drafts token by token; another one through a VocabularyBridge.
// first_layers(target, k) in model/model.hpp makes one of the target itself.
#pragma once

#include <frugal/config.hpp>

#include <memory>
#include <string>

namespace frugal {

class Model;

struct DraftModel {
  std::string target;                  ///< the EngineModel it drafts for; empty = the default model
  std::shared_ptr<const Model> model;  ///< prepared by the backend beside the served ones
  std::string name{};                  ///< for policies and reports; empty = the model's own name
  /// How it guesses where temperature > 0. false: by the request's own random number, accepted where the target draws
  /// the same token, so that the answer is byte for byte the one without drafts. true: by a number of its own, accepted
  /// with probability min(1, p/q) (Leviathan et al. 2023): more is accepted, and the answer is another draw of the same
  /// distribution. Requests with a seed always get the first.
  bool sampled = false;
};

}  // namespace frugal
