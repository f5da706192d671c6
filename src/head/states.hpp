// States: pooled hidden states of texts. Holds a backend with the model bound and an arena for one pass; the frame's
// beginning is computed once and its pages are shared by all texts.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/head/head.hpp>
#include <frugal/model/model.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::head {

struct Frame {
  std::string before{}, after{};
  std::uint32_t most_tokens = 256;        ///< of a text
  bool cut = true;                        ///< longer texts are cut at their end; false: they are refused
  bool normed = false;                    ///< states are taken after the model's final norm; needs all of its layers
  std::vector<std::string> stop_words{};  ///< as HeadParts::stop_words
};

/// Of one text: [d_model] each.
struct Pooled {
  std::vector<float> mean{}, last{};
};

class States {
 public:
  static constexpr std::size_t most_texts = 64;  ///< in one pass
  /// `backend` is new. Throws Error(invalid_argument) where the model has no tokenizer or the frame does not fit,
  /// Error(unsupported) where the backend has no hidden states. `batch_tokens`: most rows of a pass.
  States(std::shared_ptr<const Model> model, std::shared_ptr<Backend> backend, Frame frame, std::uint32_t batch_tokens);

  /// The text's tokens, without its stop words, with those of the frame's end, cut to most_tokens before these. Thread-safe. Errors: no token;
  /// too_large where the frame does not cut.
  expected<std::vector<Token>> tokens(std::string_view text) const;
  /// The same for tokens that are at hand. Error also for what is no token of the model.
  expected<std::vector<Token>> framed(std::vector<Token> tokens) const;
  /// The frame's beginning, as every text has it.
  std::span<const Token> shared() const { return shared_; }
  /// Tokens of the frame's beginning that lie in shared pages, so that a text does not compute them.
  std::size_t cached() const { return shared_pages_.size() * page_tokens_; }
  /// How many of these texts, from the first on, fit one pass; at least one. Thread-safe.
  std::size_t fitting(std::span<const std::vector<Token>* const> texts) const;

  /// States after `layers` layers of as many texts as fit one pass. One more pass for the frame's beginning where
  /// `layers` is not that of the call before. Pool::last leaves the means empty, and spares the last layer most of its
  /// work. One thread at a time.
  std::vector<Pooled> pass(std::span<const std::vector<Token>* const> texts, std::uint32_t layers,
                           Pool pool = Pool::both);

 private:
  void read_shared(std::uint32_t layers);
  std::vector<Granule> pages_for(std::size_t tokens);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Backend> backend_;
  Frame frame_;
  std::uint32_t batch_tokens_, page_tokens_ = 16, granules_a_page_ = 0;
  ModelId id_{};
  std::vector<Token> shared_, after_;
  std::vector<Granule> shared_pages_{};  // whole pages only; the rest of shared_ is read with each text
  std::uint32_t shared_layers_ = 0;      // for which they were computed
  Granule next_ = 0;
};

}  // namespace frugal::head
