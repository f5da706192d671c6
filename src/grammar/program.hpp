// Program: a compiled constraint. Values, arrays and objects of a JSON schema as tables, or productions of a grammar;
// both refer to expressions of one store. Copied for each running answer only as far as the store grows.
#pragma once

#include "grammar/expr/store.hpp"
#include "grammar/schema/refusal.hpp"

#include <optional>
#include <string>
#include <vector>

namespace frugal::grammar {

using ValueId = std::uint32_t;
constexpr std::uint32_t kNone = ~0U;

struct ValueNode {
  ExprId scalar = kNothing;  ///< null, booleans, numbers and strings, as they are written
  std::vector<std::uint32_t> arrays{}, objects{};
};

struct ArrayTable {
  /// An item in the role of the `meets`-th bit's "contains", or of none.
  struct Choice {
    std::uint32_t meets;
    ValueId value;
  };
  struct Contains {
    std::uint32_t from, least, most;
  };
  std::vector<std::vector<Choice>> prefix{};
  std::vector<Choice> rest{};  ///< empty: no further items
  std::uint32_t least = 0, most = kUnbounded;
  std::vector<Contains> contains{};
  bool unique = false;
  const std::vector<Choice>& item(std::uint32_t index) const { return index < prefix.size() ? prefix[index] : rest; }
};

/// The names of an object's known members, spelled as in JSON with both quotes, as a trie.
struct NameTrie {
  struct Node {
    std::uint8_t byte = 0;
    std::uint32_t child = 0, children = 0;  ///< neighbours, by byte
    std::uint32_t first = 0, last = 0;      ///< order[first, last) are the members below
    std::uint32_t member = kNone;           ///< the one that ends here
  };
  std::vector<Node> nodes{};  ///< 0 is the root
  std::vector<std::uint32_t> order{};

  static NameTrie of(const std::vector<std::pair<std::string, std::uint32_t>>& spelled);
  std::uint32_t step(std::uint32_t node, std::uint8_t b) const;  ///< kNone where there is none
};

struct ObjectTable {
  struct Choice {
    std::uint32_t meets;  ///< the obligations that a member with this value meets, as bits
    ValueId value;
  };
  struct Member {
    std::string name{};
    bool required = false;
    std::vector<Choice> choices{};  ///< empty: the member must not be there
  };
  struct NameClass {
    ExprId name;  ///< with both quotes
    std::vector<Choice> choices{};
  };
  std::vector<Member> members{};
  NameTrie names{};
  std::vector<NameClass> classes{};  ///< of all other names; no name is in two
  std::uint32_t least = 0, most = kUnbounded;
  std::vector<std::pair<std::uint32_t, std::uint32_t>>
      dependents{};               ///< members: where the first is, the second must be
  std::uint32_t obligations = 0;  ///< bits that must be met at the end
  bool in_order = false;
  std::uint32_t ordered = 0;  ///< so many members have an order; the others come after them
  bool tied = false;          ///< a member can stand in the way of others, so what is left is looked at before it comes
};

struct Symbol {
  enum class Kind : std::uint8_t { terminal, rule, value };
  Kind kind = Kind::terminal;
  std::uint32_t id = 0;  ///< an expression, a rule or a value
};

struct Program {
  explicit Program(const Limits& bounds = {}) : limits(bounds), store(bounds) {}

  Limits limits;
  ExprStore store;
  std::vector<ValueNode> values{};
  std::vector<ArrayTable> arrays{};
  std::vector<ObjectTable> objects{};
  std::vector<std::vector<Symbol>> productions{};
  std::vector<std::vector<std::uint32_t>> rules{};  ///< the productions of each
  std::vector<Symbol> start{};
  std::vector<Refusal> refusals{};
  /// Keywords were left out: the schema by which whole documents are judged; empty where they cannot be.
  std::optional<std::string> judged_by{};
  // Brackets and signs of JSON with the white space around them.
  ExprId open_array = 0, close_array = 0, close_empty_array = 0, open_object = 0, close_object = 0,
         close_empty_object = 0;
  ExprId comma = 0, colon = 0;
  ExprId any_character = 0, writers_character = 0;  ///< in strings, for the vocabulary's slices

  std::size_t memory() const;
};

/// Fills in the expressions of JSON's signs; `space` is what may stand beside them.
void add_json_signs(Program& program, ExprId space);

}  // namespace frugal::grammar
