// Arrays: how many items, what "contains" asks for, and items that must differ.
#include "grammar/parser/canonical.hpp"
#include "grammar/parser/parser.hpp"

#include <algorithm>

namespace frugal::grammar {

using Op = Frame::Op;

namespace {

// The items met so far of up to two "contains", 16 bits each.
std::uint32_t count_of(std::uint32_t counts, std::size_t c) { return (counts >> (16 * c)) & 0xFFFF; }

}  // namespace

void Parser::array_open(const Frame& f, std::uint32_t text) {
  const ArrayTable& table = program_.arrays[f.a];
  if (table.least == 0 && contains_holds(table, 0)) add(program_.close_empty_array, f.parent, text);
  if (may_add_item(table, f)) start_item({Op::array_next, f.a, 0, 0, 0, f.parent}, text);
}

bool Parser::may_add_item(const ArrayTable& table, const Frame& at) {
  if (at.b >= table.most) return false;
  const auto& choices = table.item(at.b);
  if (table.contains.empty() && (!table.unique || at.d == 0)) return !choices.empty();
  return std::any_of(choices.begin(), choices.end(), [&](const ArrayTable::Choice& choice) {
    const auto counts = counts_with(table, at.c, choice.meets);
    if (!counts || !list_can_end(table, at.b + 1, *counts)) return false;
    if (!table.unique || at.d == 0) return true;
    const ValueNode& node = program_.values[choice.value];
    return !node.arrays.empty() || !node.objects.empty() || without(node.scalar, at.d) != kNothing;
  });
}

bool Parser::contains_holds(const ArrayTable& table, std::uint32_t counts) const {
  for (std::size_t c = 0; c < table.contains.size(); ++c) {
    if (count_of(counts, c) < table.contains[c].least) return false;
  }
  return true;
}

std::optional<std::uint32_t> Parser::counts_with(const ArrayTable& table, std::uint32_t counts, std::uint32_t meets) {
  std::uint32_t after = 0;
  for (std::size_t c = 0; c < table.contains.size(); ++c) {
    const ArrayTable::Contains& contains = table.contains[c];
    std::uint32_t count = count_of(counts, c) + ((meets >> c) & 1);
    if (count > contains.most) return std::nullopt;
    if (contains.most == kUnbounded) count = std::min(count, contains.least);
    after |= count << (16 * c);
  }
  return after;
}

void Parser::start_item(Frame f, std::uint32_t text) {
  const ArrayTable& table = program_.arrays[f.a];
  f.op = Op::array_item;
  const auto& choices = table.item(f.b);
  // Beyond this many items none is different from the next; fewer states are more of the same.
  const auto enough = std::max(table.least, static_cast<std::uint32_t>(table.prefix.size()));
  f.b = table.most == kUnbounded ? std::min(f.b + 1, enough + 1) : f.b + 1;
  for (const ArrayTable::Choice& choice : choices) {
    const std::optional<std::uint32_t> counts = counts_with(table, f.c, choice.meets);
    if (!counts || !list_can_end(table, f.b, *counts)) continue;
    const std::uint32_t array = add_frame({Op::array_item, f.a, f.b, *counts, f.d, f.parent});
    if (!table.unique) {
      start_value(choice.value, array, text);
    } else {
      start_value(choice.value, add_frame({Op::unique_item, f.a, f.d, text, 0, array}), text == 0 ? 1 : text, f.d);
    }
  }
}

void Parser::array_item(Frame f, std::uint32_t text) {
  const ArrayTable& table = program_.arrays[f.a];
  if (may_add_item(table, f)) add(program_.comma, add_frame({Op::array_next, f.a, f.b, f.c, f.d, f.parent}), text);
  if (f.b >= table.least && contains_holds(table, f.c)) add(program_.close_array, f.parent, text);
}

// The item's text in a form that equal values share is looked for among those before it.
void Parser::unique_item(const Frame& f, std::uint32_t text) {
  const std::uint32_t start = f.c == 0 ? 1 : f.c;
  const std::string item = canonical_json(text_since(text, start), program_.limits);
  if (in_list(f.b, item)) return;
  std::uint32_t stored = 1;
  for (const char c : item) stored = append(stored, static_cast<std::uint8_t>(c));
  Frame array = frames_[f.parent];
  array.d = lists_.add({f.b, stored});
  const std::uint32_t frame = add_frame(array);
  resume(frame, f.c == 0 ? 0 : text);
}

}  // namespace frugal::grammar
