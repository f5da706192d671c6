// fit_cascade: from recorded outcomes to a cascade policy with a stated, certified bound on what it costs in quality.
//
// The outcomes are split once, by seed. On one part, models of P(right) are fitted and one of several rules is chosen: a
// tier's answer is taken where its risk, weighed by the money it saves, is at most a threshold. On the other part that
// threshold is raised step by step for as long as an exact test says that the bound holds (fixed-sequence testing, so
// that trying many thresholds costs no confidence; Angelopoulos et al. 2021, "Learn then test"). The certificate holds
// for requests drawn like the recorded ones; it says nothing about traffic that has changed.
#pragma once

#include <frugal/calibrate/outcomes.hpp>
#include <frugal/config.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/policy/cascade.hpp>
#include <frugal/policy/embedder.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace frugal {

/// What is promised, with probability at least `confidence` over the outcomes that were drawn.
struct Guarantee {
  enum class Kind : std::uint8_t {
    max_loss,   ///< accuracy lost against always asking the last tier, over all requests
    max_error,  ///< share of wrong answers among those taken from a tier below the last
  };
  Kind kind = Kind::max_loss;
  double limit = 0;          ///< in (0, 1)
  double confidence = 0.95;  ///< in (0.5, 1)
  /// 0: the limit is kept in the long run. m: it is also kept as measured on the next m requests. None: m = as many as
  /// are fitted on.
  std::optional<std::uint64_t> horizon{};
};

/// Among which rules a fit chooses.
enum class Router : std::uint8_t {
  automatic,  ///< all that read prompts and answers
  /// By the requests of the training part whose embeddings are nearest: before anything is generated. Needs outcomes with
  /// embeddings, and an Embedder to serve.
  neighbours,
};

struct FitOptions {
  Guarantee guarantee{};
  Router router = Router::automatic;
  /// Each request type that has enough outcomes gets a threshold of its own, whose bound is certified for that type
  /// alone; all other types share one. The error level is divided among them, so that all bounds hold at once.
  bool by_type = false;
  double calibration_share = 0.6;  ///< of the outcomes; the rest trains the models. In [0.2, 0.8]
  std::uint64_t seed = 1;          ///< of the split, of the folds, and of the rounding of fractional grades
  std::string date{};              ///< goes into the policy file
};

/// What the fit found on its calibration part.
struct FitFacts {
  std::uint64_t outcomes = 0, train = 0, calibration = 0;
  double accepted_share = 0;      ///< of requests answered below the last tier
  double loss = 0;                ///< accuracy lost against the last tier
  std::optional<double> error{};  ///< among accepted answers; none = nothing was accepted
  double cost_share = 0;          ///< of the cost of always asking the last tier
  double p_value = 1;             ///< of the chosen threshold, the largest of several; at most 1 - confidence
  std::uint64_t thresholds = 1;   ///< that were certified: more than one with FitOptions::by_type
};

/// An endpoint that is to serve as a tier.
struct ServedTier {
  std::string name{};   ///< Endpoint::name
  std::string model{};  ///< model_identity of what answers, where it was recorded; else empty
};

/// A fitted policy: a value to save, load, evaluate and serve. Immutable; share between threads.
class FRUGAL_API FittedCascade {
 public:
  struct Impl;
  explicit FittedCascade(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  const std::vector<std::string>& tiers() const noexcept;
  /// model_identity of what answered as each tier when the outcomes were recorded; empty where they did not say.
  const std::vector<std::string>& models() const noexcept;
  const Guarantee& guarantee() const noexcept;
  const FitFacts& facts() const noexcept;
  /// "route" decides before anything is generated, and so does "neighbours", by similar requests; "judge" asks the
  /// cheapest tier first and judges its answer.
  std::string method() const;
  /// Embedder::identity of the vectors that a policy of neighbours reads; empty = it reads none.
  const std::string& embedder() const noexcept;

  /// The policy file: JSON with a checksum.
  std::string to_json() const;
  /// Throws Error(bad_file) for malformed or altered text, Error(unsupported) for another version's.
  static FittedCascade from_json(const std::string& text, const std::string& origin);

  /// To hand to a Cascade whose endpoints have these names. Throws Error(invalid_argument) where they are not the tiers
  /// that were fitted, Error(unsupported) where the rule reads a feature that only the recorded outcomes have. What the
  /// policy cannot judge (a type it has not seen, an answer without scores, an error) goes to the last tier.
  /// Where the outcomes said which models answered, these must serve, byte for byte. A policy of neighbours needs the
  /// embedder of its outcomes: none or another one is Error(invalid_argument); other policies ask for none. It is asked on
  /// the thread that submits, and costs a product with every request of the training part besides.
  std::shared_ptr<CascadePolicy> policy(std::span<const ServedTier> endpoints, Embedder embedder = {}) const;
  /// The same for outcomes that did not say.
  std::shared_ptr<CascadePolicy> policy(std::span<const std::string> endpoints, Embedder embedder = {}) const;
  /// A stricter policy: thresholds at which half as many answers are accepted. For when doubt has come up.
  std::shared_ptr<CascadePolicy> tightened(std::span<const ServedTier> endpoints, Embedder embedder = {}) const;

  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

/// Fits and certifies. An Error(invalid_argument) is returned where no useful threshold keeps the guarantee; its text says
/// how many outcomes would do, or the smallest limit that is feasible. Throws Error(invalid_argument) for options out of
/// range and for outcomes that cannot be fitted (fewer than 20, one tier, neighbours without embeddings). Seconds for ten
/// thousand outcomes.
FRUGAL_API expected<FittedCascade> fit_cascade(const Outcomes& outcomes, const FitOptions& options);

/// from_json of a file, then policy().
FRUGAL_API std::shared_ptr<CascadePolicy> load_cascade_policy(const std::string& path,
                                                              std::span<const ServedTier> endpoints,
                                                              Embedder embedder = {});
FRUGAL_API std::shared_ptr<CascadePolicy> load_cascade_policy(const std::string& path,
                                                              std::span<const std::string> endpoints,
                                                              Embedder embedder = {});

}  // namespace frugal
