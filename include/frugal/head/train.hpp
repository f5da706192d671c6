// train_head: from labelled texts to a Head. Layer and pool are chosen on a validation split, the L2 penalty and the
// temperature by cross-validation; a test split is touched once, by the finished head.
//
// Cost: a forward pass of each candidate's layers over part of the texts, one of the chosen layers over the others, and
// seconds of fitting. Ten thousand sentences on SmolLM2-135M take minutes on two cores.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/head/head.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct HeadExample {
  std::string text, label;
};

struct HeadTraining {
  /// Candidates; empty = a sixth, a quarter, a third, a half and two thirds of the model's layers. The fewest layers
  /// whose validation accuracy is within one standard error of the best are taken (Breiman et al. 1984).
  std::vector<std::uint32_t> layers{};
  std::vector<Pool> pools{Pool::mean, Pool::last, Pool::both};
  std::string before{}, after{};    ///< the text's frame, e.g. "Review: " and "\nThe review is"
  std::uint32_t most_tokens = 256;  ///< of a text
  /// As HeadParts::stop_words: the pass is as much shorter, and more layers can be had for its cost. None by default.
  std::vector<std::string> stop_words{};
  /// The head reads the text's words as well, and pairs of them, hashed: for labels that words tell. Costs no pass; the
  /// file grows by 256 KiB a label.
  bool words = false;
  double validation_share = 0.15, test_share = 0.15;
  std::uint64_t seed = 1;             ///< of the split (by a hash of each text) and of the folds
  std::size_t selection_most = 2000;  ///< examples that layer and pool are chosen by; the final fit uses all
  std::string date{};                 ///< goes into the file
  std::function<void(std::string_view stage, double share)> progress{};
};

/// `backend` must be new: no model added, no arena bound. Throws Error(invalid_argument) for fewer than 20 examples, one
/// label only, a label with fewer than 5 examples, or options out of range; and what the backend throws.
FRUGAL_API Head train_head(const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend,
                           const std::vector<HeadExample>& examples, const HeadTraining& training = {});

struct HeadAnswer {
  std::size_t label = 0;              ///< the most likely one: a place in Head::labels()
  std::vector<double> probability{};  ///< [labels]
};

/// The answers to many texts, batched. The backend as above. Throws where the model is not the head's.
FRUGAL_API std::vector<HeadAnswer> classify(const Head& head, const std::shared_ptr<const Model>& model,
                                            std::shared_ptr<Backend> backend, const std::vector<std::string>& texts);

/// Throws Error(invalid_argument) for answers without examples, or for a label that the head does not know.
FRUGAL_API HeadMetrics measure(const Head& head, const std::vector<HeadAnswer>& answers,
                               const std::vector<HeadExample>& examples);

/// English words that say next to nothing about a text's label, and marks: articles, pronouns, prepositions, auxiliaries,
/// commas, quotes and brackets. No negation, nothing of degree or contrast.
FRUGAL_API const std::vector<std::string>& english_stop_words();

/// Reads JSON lines, each an object with "label" and "text" or "prompt". Throws Error(bad_file) that names file and line.
FRUGAL_API std::vector<HeadExample> read_head_examples(const std::string& path);

}  // namespace frugal
