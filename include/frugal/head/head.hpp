// Head: a small task-tuned model. A multinomial logistic regression on the hidden state of the first layers of a language
// model, pooled over the text: one short forward pass answers, where a prompted model would read an instruction and
// write tokens. Train one with train_head, serve it with HeadEndpoint.
//
// A head is bound to the bytes of the model it was trained on: another model's states mean something else, and are
// refused. Immutable; share between threads.
#pragma once

#include <frugal/config.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

class Model;

/// How the states of a text's tokens become one vector.
enum class Pool : std::uint8_t {
  mean,  ///< over the text's tokens and those of `after`
  last,  ///< of the last token
  both,  ///< mean, then last: twice as many inputs
};

/// How good a head is on some examples that it was not fitted on.
struct HeadMetrics {
  std::uint64_t n = 0;
  double accuracy = 0;           ///< share of right labels
  double majority = 0;           ///< accuracy of always saying the most frequent label
  double log_loss = 0;           ///< mean of -ln P(true label), in nats
  double calibration_error = 0;  ///< expected calibration error over ten bins of equal size (Guo et al. 2017)
};

/// Where a head comes from. All of it is in the file.
struct HeadOrigin {
  std::string model{};                  ///< the model's name, for people
  std::uint64_t model_fingerprint = 0;  ///< Model::fingerprint: what it is bound to
  std::uint64_t data_hash = 0;          ///< of all examples, in order
  std::uint64_t examples = 0, seed = 0;
  double validation_share = 0, test_share = 0;
  double penalty = 0;        ///< the L2 penalty that cross-validation chose
  HeadMetrics validation{};  ///< by which layer and pool were chosen, with a head fitted without these examples
  HeadMetrics test{};        ///< touched once, by the finished head; n = 0: no test share was asked for
  std::string date{}, version{};
};

struct HeadParts {
  std::vector<std::string> labels{};  ///< at least two, all different, none empty
  std::uint32_t layers = 0;           ///< the state is taken after so many layers; at least 1
  Pool pool = Pool::mean;
  std::string before{}, after{};  ///< the text's frame: before + text + after is what the model reads
  std::uint32_t most_tokens = 0;  ///< of a text; longer ones are cut at their end
  /// Left out of a text before the model reads it, wherever they stand alone between white space, in any case and with any
  /// punctuation at their ends. Single punctuation marks in the list are cut off the ends of all words. A text of nothing
  /// else is read whole. `words` below sees all of a text.
  std::vector<std::string> stop_words{};
  std::vector<float> weights{};  ///< [labels, inputs]; inputs = d_model, or twice that for Pool::both
  std::uint32_t word_buckets =
      0;                       ///< into which the text's words and pairs of words are hashed; 0 = words are not read
  std::vector<float> words{};  ///< [word_buckets, labels]: what each adds to the logits
  std::vector<float> bias{};   ///< [labels]
  double temperature = 1;      ///< logits are divided by it (Guo et al. 2017)
  HeadOrigin origin{};
};

class FRUGAL_API Head {
 public:
  /// Throws Error(invalid_argument) where the parts contradict each other or a number is not finite.
  explicit Head(HeadParts parts);

  const HeadParts& parts() const noexcept { return parts_; }
  const std::vector<std::string>& labels() const noexcept { return parts_.labels; }
  std::size_t inputs() const noexcept { return parts_.weights.size() / parts_.labels.size(); }

  /// P(label) of one pooled state [inputs], in the order of the labels; `text` is what the state is of, read where the
  /// head reads words. labels * inputs multiplications, and a pass over the text.
  std::vector<double> probabilities(std::span<const float> pooled, std::string_view text = {}) const;

  /// "head@HASH" of everything in the file: by which records and policies know what answered.
  std::string identity() const;
  /// A safetensors file: two or three tensors, and the rest as metadata with a checksum over everything.
  std::string to_bytes() const;
  /// Throws Error(bad_file) for malformed or altered bytes, Error(unsupported) for another format.
  static Head from_bytes(const std::string& bytes, const std::string& origin);

  /// Throws Error(invalid_argument) that names both models where this is not the one the head was trained on.
  void check_model(const Model& model) const;

 private:
  HeadParts parts_;
};

FRUGAL_API Head load_head(const std::string& path);

}  // namespace frugal
