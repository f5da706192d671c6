#include <frugal/head/train.hpp>

namespace frugal {

const std::vector<std::string>& english_stop_words() {
  static const std::vector<std::string> words{
      "a",     "an",   "the",     "and",    "or",    "that", "this", "these", "those", "which", "who", "whom",
      "whose", "i",    "me",      "my",     "you",   "your", "he",   "him",   "his",   "she",   "her", "it",
      "its",   "it's", "we",      "us",     "our",   "they", "them", "their", "there", "of",    "to",  "in",
      "into",  "on",   "at",      "by",     "for",   "from", "with", "as",    "about", "is",    "are", "was",
      "were",  "be",   "been",    "being",  "has",   "have", "had",  "will",  "would", "can",   "may", "do",
      "does",  "did",  "there's", "that's", "while", ",",    ";",    ":",     "\"",    "(",     ")"};
  return words;
}

}  // namespace frugal
