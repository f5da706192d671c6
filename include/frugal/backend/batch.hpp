// Batch: the ragged rows of one forward pass of one model, and what the engine wants back. Plain views: the engine owns
// every buffer and keeps it until forward returns.
#pragma once

#include <frugal/core/finish.hpp>
#include <frugal/core/ids.hpp>
#include <frugal/core/request.hpp>

#include <cstdint>
#include <span>

namespace frugal {

/// How to turn one row of logits into one token: see draw() in sampling.hpp.
struct DrawSpec {
  const Sampling* sampling = nullptr;
  std::span<const Token> prompt{};  ///< history for repetition_penalty
  std::span<const Token>
      output{};  ///< history for all penalties: the answer before the drawn token, drafts of this row included
  std::span<const std::uint32_t> mask{};  ///< bit t of word t/32 set = token t allowed; empty = all allowed
  /// Ids from here on are no tokens but the padding of a head that is wider than its vocabulary (Model::tokens()): cut
  /// off before anything else, so that they are never drawn and have no share in log-probabilities. 0 = all are tokens.
  std::uint32_t tokens = 0;
  std::uint64_t seed = 0;
  std::uint32_t position = 0;      ///< of the drawn token in its sequence: with seed, the counter of its random number
  std::uint32_t top_logprobs = 0;  ///< how many of the most likely to report
  bool scores = false;             ///< fill logprob and margin (else they are 0); costs one pass over the logits
  /// Where the next row's token was drafted at random: the distribution it was drawn from [vocab], and the token. The
  /// result is then verify()'s in verification.hpp: the same token = accepted. Empty = an own draw, as always.
  std::span<const float> draft_distribution{};
  Token drafted = -1;
};

/// The rows of one sequence in a step: a prefill chunk, one decode row, or a verify chain [last committed, d1 .. dg]
/// with g + 1 draws: row i draws what follows d_i, so the drafts hold as far as each equals the draw of the row before.
struct Segment {
  std::span<const Token> tokens;      ///< [rows], rows >= 1
  std::uint32_t start = 0;            ///< position of tokens[0] = length of the sequence's KV before this step
  std::span<const Granule> pages;     ///< block table of the sequence: covers start + rows tokens, page_tokens each
  std::span<const DrawSpec> draws{};  ///< [k], k <= rows: the last k rows each draw one token
  std::span<float> logits{};          ///< empty, or [j, vocab]: raw logits of the last j rows are written here
  /// The row that row i follows, [rows]; -1 = what is in the pages already. Empty = a chain: i - 1. For trees of
  /// drafts; so far backends run chains only and refuse everything else with Error(unsupported).
  std::span<const std::int32_t> parent{};
};

/// One forward pass. Keys and values of every row are written before any row attends; row i of a segment attends to
/// positions [0, start + i]. Segments share nothing but pages that none of them writes.
struct Batch {
  ModelId model{};
  std::span<const Segment> segments;
  std::span<TokenScore> drawn;  ///< [sum of k]: the draws of all segments in order
};

}  // namespace frugal
