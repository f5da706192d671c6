// Batch: the rows of one forward pass of one model, and what the engine wants back. Plain views: the engine owns every
// buffer. Inputs must live until submit() returns, outputs (drawn, logits, hidden states) until wait() does.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace frugal {

/// What a random number is for: the third argument of counter_uniform(). Independent streams for one (seed, position).
enum class DrawPurpose : std::uint32_t { draw = 0, draft = 1, accept = 2, residual = 3 };

/// One draw of an earlier pass: `draw` indexes that batch's `drawn`. Passes up to `ticket_memory` back can be named.
struct DrawRef {
  Ticket ticket{};
  std::uint32_t draw = 0;
};
inline constexpr std::uint32_t ticket_memory = 64;

/// How to turn one row of logits into one token: see draw() in sampling.hpp.
struct DrawSpec {
  const Sampling* sampling = nullptr;
  std::span<const Token> prompt{};  ///< history for repetition_penalty
  /// History for all penalties: the answer before the drawn token, drafts of this segment included.
  std::span<const Token> output{};
  std::span<const std::uint32_t> mask{};  ///< bit t of word t/32 set = token t allowed; empty = all allowed
  /// Ids from here on are padding of a head that is wider than its vocabulary (Model::tokens()). They are cut off before
  /// anything else: never drawn, without a share in log-probabilities. 0 = all ids are tokens.
  std::uint32_t tokens = 0;
  std::uint64_t seed = 0;
  std::uint32_t position = 0;      ///< of the drawn token in its sequence: with seed, the counter of its random number
  std::uint32_t top_logprobs = 0;  ///< how many of the most likely to report
  bool scores = false;             ///< fill logprob and margin (else they are 0); costs one pass over the logits
  DrawPurpose purpose = DrawPurpose::draw;  ///< `draft` for a token that another model will verify
  /// Where the next row's token was drafted at random: the distribution it was drawn from [vocab], and the token. The
  /// result is then verify()'s in verification.hpp: the same token = accepted. Empty = an own draw.
  std::span<const float> draft_distribution{};
  Token drafted = -1;
  /// The same, taken from an earlier pass whose DrawSpec said keep_distribution. Takes precedence when its ticket is set.
  DrawRef draft{};
  /// With a drafted token: by which rule it may stand though it is not this row's own draw. Obeyed where
  /// BackendTraits::deferral says so. With alpha 0 nothing changes, whatever `drafted` says.
  Deferral deferral{};
  /// Later passes may name this draw in `draft`, as long as BackendTraits::kept_distributions says.
  bool keep_distribution = false;
  std::vector<float>* distribution = nullptr;  ///< if set: receives the distribution of this draw, [vocab]
};

/// The rows of one sequence in a step: a prefill chunk, one decode row, or a verify chain [last committed, d1 .. dg]
/// with g + 1 draws. Row i draws what follows d_i, so the drafts hold as far as each equals the draw of the row before.
struct Segment {
  std::span<const Token> tokens;      ///< [rows], rows >= 1
  std::uint32_t start = 0;            ///< position of tokens[0] = length of the sequence's KV before this step
  std::span<const Granule> pages;     ///< block table of the sequence: covers start + rows tokens, page_tokens each
  std::span<const DrawSpec> draws{};  ///< [k], k <= rows: the last k rows each draw one token
  std::span<float> logits{};          ///< empty, or [j, vocab]: raw logits of the last j rows are written here
  /// Empty, or [rows]: where a ticket is set, the row's token is that draw and tokens[i] is ignored. A row whose token
  /// is drawn as -1 fails the pass.
  std::span<const DrawRef> from{};
  /// Stable while the sequence runs, unique among the segments of a batch, small (below the most sequences that run at
  /// once): a backend may keep counts, masks or random state of the sequence under it.
  std::uint32_t slot = 0;
  AdapterId adapter{};  ///< as Backend::find_adapter() gave it
  /// How many of the first rows are of the request's prompt. A backend may compute these in numbers of another width
  /// than an answer's rows, if it is told to; which row has which then depends on nothing else.
  std::uint32_t prompt = 0;
  /// Empty, or [h, d_model]: hidden states of the last h rows are written here, in fp32. Layer 0 is the embedding, layer
  /// k the residual stream after layer k; with `hidden_normed`, after the model's final norm (last layer only).
  std::span<float> hidden{};
  std::uint32_t hidden_layer = 0;
  bool hidden_normed = false;
};

/// One forward pass. Keys and values of every row are written before any row attends; row i of a segment attends to
/// positions [0, start + i]. Segments share nothing but pages that none of them writes.
struct Batch {
  ModelId model{};
  std::span<const Segment> segments;
  /// [sum of k]: the draws of all segments in order. Token -1: the row held no finite logit, or its mask allowed no token.
  std::span<TokenScore> drawn;
  /// Run only the first so many layers: for hidden states that need no more. No draws and no logits then. Keys and
  /// values of the other layers are not written, so such pages serve passes of as many layers only. None = all.
  std::optional<std::uint32_t> layers{};
};

}  // namespace frugal
