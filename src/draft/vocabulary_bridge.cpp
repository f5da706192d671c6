// Both directions keep the same state: tokens that are final, and the text after them, which is encoded again with
// every piece that comes, because the last word may still grow.
#include <frugal/core/error.hpp>
#include <frugal/draft/vocabulary_bridge.hpp>
#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace frugal {

struct VocabularyBridge::Impl {
  const Tokenizer* target;
  const Tokenizer* draft;
  std::vector<Token> to_target;       // [draft tokens], -1 = none
  std::vector<std::uint32_t> shared;  // bits
};

namespace {

/// The token of `to` with the same bytes and kind as `token` of `from`. Any end token will do for an end token.
Token counterpart(const Tokenizer& from, Token token, const Tokenizer& to) {
  const std::string_view bytes = from.bytes(token);
  if (bytes.empty()) return -1;
  const std::optional<Token> same = to.find(bytes);
  const bool alike = same && from.is_control(token) == to.is_control(*same) &&
                     from.is_special(token) == to.is_special(*same) && from.is_end(token) == to.is_end(*same);
  if (alike) return *same;
  return from.is_end(token) ? to.eos().value_or(-1) : -1;
}

std::vector<Token> encode_text(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, {.parse_special = false, .add_bos = false, .continues = true});
}

}  // namespace

VocabularyBridge::VocabularyBridge(const Tokenizer& target, const Tokenizer& draft) {
  Impl impl{&target, &draft, std::vector<Token>(draft.size(), -1),
            std::vector<std::uint32_t>((draft.size() + 31) / 32)};
  bool any = false;
  for (std::size_t t = 0; t < draft.used(); ++t) {
    const Token same = counterpart(draft, static_cast<Token>(t), target);
    if (same < 0 || static_cast<std::size_t>(same) >= target.used()) continue;
    impl.to_target[t] = same;
    impl.shared[t / 32] |= 1U << t % 32;
    any = any || !draft.is_special(static_cast<Token>(t));
  }
  if (!any) throw Error(Errc::unsupported, "vocabulary bridge: target and draft model share no token");
  impl_ = std::make_unique<const Impl>(std::move(impl));
}

VocabularyBridge::~VocabularyBridge() = default;
const Tokenizer& VocabularyBridge::target() const noexcept { return *impl_->target; }
const Tokenizer& VocabularyBridge::draft() const noexcept { return *impl_->draft; }
std::span<const std::uint32_t> VocabularyBridge::shared() const noexcept { return impl_->shared; }

Token VocabularyBridge::to_target(Token draft) const noexcept {
  const bool known = draft >= 0 && static_cast<std::size_t>(draft) < impl_->to_target.size();
  return known ? impl_->to_target[static_cast<std::size_t>(draft)] : -1;
}

//  draft's tokens   |-------- context: settled --------|-- of open text --|
//  target's tokens  |--------- learned before ----------------|-- tail ---|   tail: since a border that is sure there
struct Translation::State {
  const VocabularyBridge* bridge;
  bool begun = false;
  std::vector<Token> context{};
  std::size_t settled = 0;  // leading tokens of context that no learn() changes
  std::string open{};       // text after those
  std::vector<Token> tail{};

  void learn(std::span<const Token> tokens);

 private:
  std::size_t begin(std::span<const Token> tokens);
  void add_special(Token token);
  void add_text(std::string_view bytes) { open += bytes; }
  void encode_open();
  void settle();
  void shorten_tail();
};

void Translation::State::learn(std::span<const Token> tokens) {
  context.resize(settled);
  const Tokenizer& target = bridge->target();
  for (const Token token : tokens.subspan(begun ? 0 : begin(tokens))) {
    if (target.is_special(token)) {
      add_special(token);
    } else {
      add_text(target.bytes(token));
      tail.push_back(token);
    }
  }
  settle();
  encode_open();
  shorten_tail();
}

// The draft model's own bos comes first where it expects one, in place of the target's.
std::size_t Translation::State::begin(std::span<const Token> tokens) {
  begun = true;
  context = bridge->draft().encode("", {.add_eos = false});
  settled = context.size();
  const std::optional<Token> bos = bridge->target().bos();
  return settled > 0 && bos && !tokens.empty() && tokens.front() == *bos ? 1 : 0;
}

// A special token ends the text before it. One that the draft model lacks is text to it.
void Translation::State::add_special(Token token) {
  const Token same = counterpart(bridge->target(), token, bridge->draft());
  tail.clear();
  if (same < 0) return add_text(bridge->target().bytes(token));
  encode_open();
  open.clear();
  context.push_back(same);
  settled = context.size();
}

void Translation::State::encode_open() {
  const std::vector<Token> tokens = encode_text(bridge->draft(), open);
  context.insert(context.end(), tokens.begin(), tokens.end());
}

void Translation::State::settle() {
  const std::size_t sure = bridge->draft().settled_bytes(open);
  const std::vector<Token> tokens = encode_text(bridge->draft(), std::string_view(open).substr(0, sure));
  context.insert(context.end(), tokens.begin(), tokens.end());
  settled = context.size();
  open.erase(0, sure);
}

// Only whole tokens before the sure border may go.
void Translation::State::shorten_tail() {
  const Tokenizer& target = bridge->target();
  const std::size_t sure = target.settled_bytes(target.decode(tail, {.continues = true}));
  std::size_t bytes = 0, n = 0;
  while (n < tail.size() && bytes + target.bytes(tail[n]).size() <= sure) bytes += target.bytes(tail[n++]).size();
  tail.erase(tail.begin(), tail.begin() + static_cast<std::ptrdiff_t>(n));
}

namespace {

/// The target's tokens for a text after `tail`: encoded together where that leaves the tail as it is, else alone.
/// Returns how many are final.
std::size_t encode_after(const Tokenizer& target, const std::vector<Token>& tail, const std::string& text,
                         std::vector<Token>& out) {
  std::string whole = target.decode(tail, {.continues = true}) + text;
  std::vector<Token> tokens = encode_text(target, whole);
  std::size_t skip = tail.size();
  if (tokens.size() < skip || !std::equal(tail.begin(), tail.end(), tokens.begin()))
    tokens = encode_text(target, text), skip = 0, whole = text;
  const std::size_t sure = target.settled_bytes(whole);
  std::size_t bytes = 0, final_tokens = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    bytes += target.bytes(tokens[i]).size();
    if (i < skip) continue;
    out.push_back(tokens[i]);
    final_tokens += bytes <= sure;
  }
  return final_tokens;
}

}  // namespace

Translation::Translation(const VocabularyBridge& bridge) : state_(std::make_unique<State>(State{.bridge = &bridge})) {}
Translation::~Translation() = default;
Translation::Translation(Translation&&) noexcept = default;
Translation& Translation::operator=(Translation&&) noexcept = default;

void Translation::learn(std::span<const Token> target) { state_->learn(target); }
const std::vector<Token>& Translation::context() const noexcept { return state_->context; }

std::size_t Translation::to_target(std::span<const Token> drafted, std::vector<Token>& out) const {
  const VocabularyBridge& bridge = *state_->bridge;
  const Tokenizer& draft = bridge.draft();
  const std::size_t before = out.size();
  std::string text;
  std::size_t at = 0;
  while (at < drafted.size() && !draft.is_special(drafted[at])) text += draft.bytes(drafted[at++]);
  const std::size_t sure = text.empty() ? 0 : encode_after(bridge.target(), state_->tail, text, out);
  if (at == drafted.size()) return sure;
  // A special token ends the text, and here the draft: what the draft model makes of the rest is its own affair.
  if (const Token same = bridge.to_target(drafted[at]); same >= 0) out.push_back(same);
  return out.size() - before;
}

}  // namespace frugal
