// HeadEndpoint: a Head as an endpoint, so that it is a tier of a cascade like any other. One forward pass of the head's
// layers answers all requests that wait; the answer is the label's text, in one piece.
//
// Score: the answer has one TokenScore: logprob and margin of the label's calibrated probability, and in `top` all
// labels by probability, with their places in Head::labels() as tokens. So margin_threshold and fitted policies judge a
// head as they judge a language model.
//
// What it reads is the raw prompt or the last message's text. Refused: a prompt of tokens, an adapter, and a constraint
// that allows none of the labels; where it allows some, those share the probability. Sampling is ignored: the answer is
// the most likely label.
//
// Threads: as Endpoint; a waiting thread makes the passes. Cost: layers / all layers of a prompt's forward pass.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>
#include <frugal/head/head.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace frugal {

struct HeadEndpointOptions {
  std::string name = "head";
  std::shared_ptr<const Head> head;
  std::shared_ptr<const Model> model;  ///< the one that the head was trained on
  std::shared_ptr<Backend> backend;    ///< new: no model added, no arena bound
  std::uint32_t max_waiting = 1024;    ///< one more is refused with Errc::busy
  std::uint32_t batch_tokens = 512;    ///< most tokens in one pass; a longer text has a pass of its own
  const Clock* clock = nullptr;        ///< null = the process's steady clock; must outlive the endpoint
  LogSink log{};
};

class FRUGAL_API HeadEndpoint final : public Endpoint {
 public:
  /// Throws Error(invalid_argument) that names the option; where the model is not the head's; what the backend throws.
  explicit HeadEndpoint(HeadEndpointOptions options);
  /// Ends every live request with FinishReason::cancelled. Not from a callback.
  ~HeadEndpoint() override;
  std::string_view name() const override;
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace frugal
