// A running 64-bit hash: each word is spread by splitmix64's finaliser (Steele et al. 2014), then rotated and
// multiplied into the state, so order counts and one changed bit changes half of what follows.
#include <frugal/meter/prefix_hash.hpp>

#include <frugal/meter/trace.hpp>

#include <bit>
#include <string>
#include <variant>

#include "core/splitmix.hpp"

namespace frugal {
namespace {

std::uint64_t next(std::uint64_t state, std::uint64_t word) {
  return (std::rotl(state, 27) ^ splitmix64(word)) * 0xff51afd7ed558ccdULL + 1;
}

struct Hash {
  std::uint64_t state = splitmix_gamma;

  Hash& add(std::uint64_t word) { return state = next(state, word), *this; }
  Hash& add(std::span<const Token> tokens) {
    for (const Token t : tokens) add(std::uint64_t{static_cast<std::uint32_t>(t)});
    return *this;
  }
  Hash& add(std::string_view text) {
    add(std::uint64_t{text.size()});
    for (; text.size() >= 8; text.remove_prefix(8)) add(word(text.substr(0, 8)));
    return add(word(text));
  }
  Hash& add(float value) { return add(std::uint64_t{std::bit_cast<std::uint32_t>(value)}); }

  std::uint64_t value() const { return mix64(state) >> 1; }

 private:
  static std::uint64_t word(std::string_view bytes) {  // little endian on every machine
    std::uint64_t w = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) w |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return w;
  }
};

struct AddPrompt {
  Hash& hash;
  void operator()(const TokenPrompt& p) const { hash.add(p.tokens); }
  void operator()(const RawPrompt& p) const { hash.add(p.text).add(std::uint64_t{p.parse_special}); }
  void operator()(const Chat& chat) const {
    for (const Message& m : chat.messages) {
      hash.add(m.role).add(m.content).add(m.name).add(m.tool_call_id).add(std::uint64_t{m.null_content});
      for (const std::string& part : m.parts) hash.add(part);
      hash.add(m.reasoning).add(m.extra);
      for (const ToolCall& call : m.tool_calls) hash.add(call.id).add(call.name).add(call.arguments).add(call.extra);
    }
    hash.add(chat.tools).add(std::uint64_t{chat.add_generation_prompt});
    hash.add(chat.variables).add(chat.template_name).add(std::uint64_t{chat.parse_special});
  }
};

void add_sampling(Hash& hash, const Sampling& s) {
  hash.add(s.temperature);
  for (const auto& [token, bias] : s.logit_bias) hash.add(static_cast<std::uint64_t>(token)).add(bias);
  hash.add(s.repetition_penalty).add(s.presence_penalty).add(s.frequency_penalty);
  if (s.temperature == 0) return;  // greedy: filters and seed change nothing
  hash.add(std::uint64_t{static_cast<std::uint32_t>(s.top_k)}).add(s.top_p).add(s.min_p);
  hash.add(std::uint64_t{s.seed.has_value()}).add(s.seed.value_or(0));
}

}  // namespace

std::vector<std::uint64_t> prefix_blocks(std::span<const Token> tokens, std::string_view salt) {
  std::vector<std::uint64_t> blocks;
  blocks.reserve(tokens.size() / trace_block_tokens);
  Hash hash;
  hash.add(salt);
  for (; tokens.size() >= trace_block_tokens; tokens = tokens.subspan(trace_block_tokens))
    blocks.push_back(hash.add(tokens.first(trace_block_tokens)).value());
  return blocks;
}

void RunningHash::add(std::span<const Token> tokens) { state_ = Hash{state_}.add(tokens).state; }
void RunningHash::add(std::string_view bytes) {
  for (const char c : bytes) state_ = next(state_, static_cast<unsigned char>(c));
}
std::uint64_t RunningHash::value() const { return Hash{state_}.value(); }

std::uint64_t question_hash(const Request& request, std::span<const Token> prompt) {
  Hash hash;
  prompt.empty() ? std::visit(AddPrompt{hash}, request.prompt) : static_cast<void>(hash.add(prompt));
  add_sampling(hash, request.sampling);
  hash.add(std::uint64_t{request.max_tokens});
  for (const std::string& stop : request.stop) hash.add(stop);
  return hash.value();
}

}  // namespace frugal
