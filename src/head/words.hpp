// Words: a text as a sparse vector of its words and of its pairs of neighbouring words, hashed into buckets (Weinberger
// et al. 2009). What such words say about a label is what a few layers do not yet know, and they cost no pass.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::head {

inline constexpr std::uint32_t word_buckets = 1U << 16;

/// Entries of a sparse vector; places rise.
struct WordBag {
  std::vector<std::uint32_t> places{};
  std::vector<float> values{};
};

/// Words are runs of letters, digits, apostrophes and bytes above 127, in lower case; any other character but white
/// space is one of its own. An entry is 1 + ln(count), and the whole is brought to a fixed length, so that words and
/// standardised states share an L2 penalty. Looks at the first 64 KiB. Linear but for sorting.
WordBag bag_of(std::string_view text, std::uint32_t buckets);

/// The text without the stop words, by the rule of HeadParts::stop_words; one space stands between what is left. `sorted`
/// is in order and in lower case. Linear but for looking each word up.
std::string without_stop_words(std::string_view text, std::span<const std::string> sorted);

/// The words of some texts, as a fit reads them; none where buckets is 0.
struct Words {
  std::span<const WordBag> bags{};
  std::uint32_t buckets = 0;
};

}  // namespace frugal::head
