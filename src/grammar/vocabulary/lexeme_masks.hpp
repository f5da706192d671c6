// LexemeMasks: for a state of an automaton, the tokens that it allows by itself, and the places in the trie where its
// language has a text that ends: from there on what follows in the grammar decides. Kept by state; one thread.
#pragma once

#include "grammar/expr/store.hpp"
#include "grammar/vocabulary/vocabulary.hpp"

#include <unordered_map>

namespace frugal::grammar {

struct LexemeMask {
  struct Exit {
    std::uint32_t node;  ///< a node of the trie, never the root
    ExprId state;        ///< accepts
    bool operator==(const Exit&) const = default;
  };
  std::vector<std::uint32_t> words{};  ///< a bit a token; empty where `tokens` is the shorter list
  std::vector<Token> tokens{};
  std::vector<Exit> exits{};  ///< by state, so that equal ones are neighbours
  std::size_t bytes() const {
    return words.size() * 4 + tokens.size() * sizeof(Token) + exits.size() * sizeof(Exit) + 64;
  }
};

class LexemeMasks {
 public:
  /// `character` of JSON strings in `store`, in both spellings.
  LexemeMasks(const Vocabulary& vocabulary, ExprId any_spelling, ExprId writers_spelling)
      : vocabulary_(vocabulary), any_(any_spelling), writers_(writers_spelling), places_(vocabulary.longest() + 1) {}

  /// Valid until the next call.
  const LexemeMask& of(ExprStore& store, ExprId state);
  std::size_t memory() const { return memory_; }

 private:
  LexemeMask make(ExprStore& store, ExprId state);
  bool from_slice(ExprStore& store, ExprId state, LexemeMask& out);
  ExprId free_part(ExprStore& store, ExprId state, ExprId character) const;
  bool from_search(ExprStore& store, ExprId state, LexemeMask& out);
  bool without(ExprStore& store, ExprId state, LexemeMask& out);
  void walk(ExprStore& store, ExprId state, LexemeMask& out);
  void pack(LexemeMask& mask) const;

  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;
  const Vocabulary& vocabulary_;
  ExprId any_, writers_;
  std::unordered_map<ExprId, LexemeMask> known_;
  std::size_t memory_ = 0;
  std::vector<ExprId> places_;  // scratch, by depth
};

}  // namespace frugal::grammar
