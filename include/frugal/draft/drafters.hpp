// The drafters that come with frugal. All guess from text that is at hand; none runs a model. Each throws
// Error(invalid_argument) on an option that makes no sense, named.
#pragma once

#include <frugal/config.hpp>
#include <frugal/draft/drafter.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace frugal {

struct PromptLookupOptions {
  std::uint32_t shortest_match = 2;    ///< last tokens that must have stood together before
  std::uint32_t longest_match = 16;    ///< a longer match counts as this one
  std::uint32_t draft_per_match = 4;   ///< tokens drafted at most for each token matched
  std::uint32_t most_candidates = 64;  ///< earlier places looked at, the latest first
};

/// What followed the last tokens where they stood before, in prompt or answer: of the longest matches the latest
/// (prompt lookup decoding, Saxena 2023). 12 bytes a token. O(1) a token learned, O(most_candidates longest_match) a
/// draft.
FRUGAL_API std::shared_ptr<Drafter> prompt_lookup(PromptLookupOptions options = {});

struct SuffixDrafterOptions {
  std::uint32_t shortest_match = 2;
  std::uint32_t draft_per_match = 4;
  double least_likely = 0.3;  ///< a run ends where it stands as a whole with less than this probability; 0 = never
  std::size_t past_bytes = std::size_t{16} << 20;  ///< for past answers, all together; 0 = none are kept
};

/// The longest suffix of the answer that stood before, of any length, in prompt, answer, or a past answer to a request
/// of the same type, model and tenant: two tenants never share one. Past answers are kept by recent use. What a match
/// of so many tokens was worth is counted as the answer goes on, asked or not, and decides how far a draft goes: prose
/// that repeats by chance is left alone, a copied document followed far. One suffix automaton a sequence, amortised
/// O(1) and about 60 to 150 bytes a token.
FRUGAL_API std::shared_ptr<Drafter> suffix_drafter(SuffixDrafterOptions options = {});

/// Follows Request::draft for as long as the answer does, and finds its way back after a difference. The engine puts
/// one before its other drafters where a request brings a draft. O(places of one token in the draft) a difference.
FRUGAL_API std::shared_ptr<Drafter> text_drafter();

/// The first that has an idea; one that has none costs next to nothing.
FRUGAL_API std::shared_ptr<Drafter> first_of(std::vector<std::shared_ptr<Drafter>> drafters);

}  // namespace frugal
