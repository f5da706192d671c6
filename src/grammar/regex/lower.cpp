// From syntax tree to expression. A node is translated together with what follows it, up to the end of the text: then ^,
// $ and lookaheads are exact, since (?=x) is an intersection with what follows and $ asks that nothing does.
#include "grammar/regex/tree.hpp"

namespace frugal::grammar {

namespace {

using Kind = RegexNode::Kind;

class Lowering {
 public:
  explicit Lowering(const Alphabet& alphabet) : alphabet_(alphabet), store_(alphabet.store()) {}

  /// `start`: nothing has been read before the node, so ^ holds.
  ExprId lower(const RegexNode& node, ExprId rest, bool start) {
    if (!node.zero_width) return store_.concat(simple(node), rest);
    if (++steps_ > kMostSteps) throw RegexFault{"anchors and lookaheads are nested too deep", 0};
    switch (node.kind) {
      case Kind::begin:
        return start ? rest : kNothing;
      case Kind::end:
        return alphabet_.ends(rest) ? alphabet_.end() : kNothing;
      case Kind::ahead:
        return store_.all_of({lower(node.parts[0], alphabet_.any_text(), start), rest});
      case Kind::not_ahead:
        return store_.all_of({store_.complement(lower(node.parts[0], alphabet_.any_text(), start)), rest});
      case Kind::any_of: {
        std::vector<ExprId> parts;
        for (const RegexNode& part : node.parts) parts.push_back(lower(part, rest, start));
        return store_.any_of(std::move(parts));
      }
      case Kind::repeat:
        return repeat(node, rest, start);
      default:
        return list(node, rest, start);
    }
  }

 private:
  ExprId simple(const RegexNode& node) {
    if (node.kind == Kind::set) return alphabet_.one_of(node.set);
    if (node.kind == Kind::repeat) return store_.repeat(simple(node.parts[0]), node.least, node.most);
    if (node.kind == Kind::empty) return kEmptyText;
    std::vector<ExprId> parts;
    for (const RegexNode& part : node.parts) parts.push_back(simple(part));
    if (node.kind == Kind::any_of) return store_.any_of(std::move(parts));
    ExprId e = kEmptyText;
    for (std::size_t i = parts.size(); i-- > 0;) e = store_.concat(parts[i], e);
    return e;
  }

  // From the back: `inner` follows where something was read before, `first` where perhaps nothing was.
  ExprId list(const RegexNode& node, ExprId rest, bool start) {
    ExprId inner = rest, first = rest;
    bool begin_later = false;
    for (std::size_t i = node.parts.size(); i-- > 0;) {
      const RegexNode& part = node.parts[i];
      const bool reads_nothing = part.kind == Kind::begin || part.kind == Kind::end || part.kind == Kind::ahead ||
                                 part.kind == Kind::not_ahead || part.kind == Kind::empty;
      if (start && reads_nothing) {
        first = lower(part, first, true);
      } else if (start) {
        const ExprId read = lower(part, inner, true);
        first = begin_later && part.nullable ? store_.any_of({read, first}) : read;
      }
      inner = lower(part, inner, false);
      begin_later |= part.has_begin;
    }
    return start ? first : inner;
  }

  // As list() does it for `most` copies, of which those past `least` may be left out.
  ExprId repeat(const RegexNode& node, ExprId rest, bool start) {
    constexpr std::uint32_t kUnrolled = 16;
    if (node.most > kUnrolled) throw RegexFault{"an anchor or a lookahead inside a repeat", 0};
    const RegexNode& part = node.parts[0];
    ExprId inner = rest, first = rest;
    for (std::uint32_t i = node.most; i-- > 0;) {
      const bool optional = i >= node.least;
      if (start) {
        const ExprId read = lower(part, inner, true);
        const bool skipped = optional || (part.nullable && part.has_begin);
        first = skipped ? store_.any_of({read, first}) : read;
      }
      const ExprId read = lower(part, inner, false);
      inner = optional ? store_.any_of({read, inner}) : read;
    }
    return start ? first : inner;
  }

  static constexpr std::size_t kMostSteps = 20'000;

  const Alphabet& alphabet_;
  ExprStore& store_;
  std::size_t steps_ = 0;
};

}  // namespace

ExprId regex_search(const RegexNode& node, const Alphabet& alphabet) {
  Lowering lowering(alphabet);
  ExprStore& store = alphabet.store();
  const ExprId anywhere = lowering.lower(node, alphabet.any_text(), false);
  const ExprId later = store.concat(store.star(alphabet.any()), anywhere);
  if (!node.has_begin) return later;
  return store.any_of({lowering.lower(node, alphabet.any_text(), true),
                       anywhere == kNothing ? kNothing : store.concat(alphabet.any(), later)});
}

ExprId regex_match(const RegexNode& node, const Alphabet& alphabet) {
  return Lowering(alphabet).lower(node, alphabet.end(), true);
}

}  // namespace frugal::grammar
