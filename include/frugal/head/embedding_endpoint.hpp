// EmbeddingEndpoint: texts become vectors: the pooled hidden states of a language model, as an endpoint, so that budgets,
// meters and servers treat it like any other. One forward pass takes many texts; no token is drawn.
//
// A request has its texts as the messages of a Chat (roles do not count), or one text as a RawPrompt or as a TokenPrompt.
// The answer is one piece: for each text, in order, the base64 of d_model little-endian fp32 numbers and a line end; the
// vectors have length 1. Usage::input counts the texts' tokens, Usage::output is 0.
//
// Refused: a text longer than most_tokens (nothing is cut), an empty one, an adapter, a constraint. Sampling is ignored.
// What the vectors are good for is the model's matter: one that was trained to write text is no trained embedder.
//
// Threads: as Endpoint; a waiting thread makes the passes. Memory: pages of one pass; the CPU backend shares the weights with
// an engine on the same file.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/head/head.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

struct EmbeddingEndpointOptions {
  std::string name = "embeddings";
  std::shared_ptr<const Model> model;
  std::shared_ptr<Backend> backend;  ///< new: no model added, no arena bound
  Pool pool = Pool::mean;            ///< mean or last, of the states after the model's final norm
  std::uint32_t most_tokens = 512;   ///< of a text
  std::uint32_t max_waiting = 4096;  ///< texts; a request that does not fit is refused with Errc::busy
  std::uint32_t batch_tokens = 512;  ///< most tokens in one pass; a longer text has a pass of its own
  const Clock* clock = nullptr;      ///< null = the process's steady clock; must outlive the endpoint
  LogSink log{};
};

class FRUGAL_API EmbeddingEndpoint final : public Endpoint {
 public:
  /// Throws Error(invalid_argument) that names the option; Error(unsupported) where the backend gives no hidden states;
  /// what the backend throws.
  explicit EmbeddingEndpoint(EmbeddingEndpointOptions options);
  /// Ends every live request with FinishReason::cancelled. Not from a callback.
  ~EmbeddingEndpoint() override;
  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// The vectors of an answer. Error(invalid_argument) where it is none.
FRUGAL_API expected<std::vector<std::vector<float>>> embeddings_of(std::string_view answer);

}  // namespace frugal
