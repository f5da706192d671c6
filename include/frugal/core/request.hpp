// Request: everything a caller may ask of an endpoint. A plain aggregate; all defaults are valid but the prompt.
// Copyable; not synchronised.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/core/constraint.hpp>
#include <frugal/core/ids.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace frugal {

/// A function the model asked to be called. `arguments` is JSON text: the template sees its keys in this order and its
/// integers with all their digits. `extra` is a JSON object with further fields of the call, or empty.
struct ToolCall {
  std::string id, name, arguments;
  std::string extra{};
};

/// One turn of a conversation. `role` is usually system, user, assistant or tool; a template may know more.
struct Message {
  std::string role;
  std::string content;
  std::string name{};
  std::string tool_call_id{};
  std::vector<ToolCall> tool_calls{};
  /// The prompt up to the end of this message will be sent again: worth caching. Local models cache every prefix and
  /// take it as a hint; a provider's API may bill by it.
  bool cache_point = false;
  bool null_content = false;         ///< the content is null, not an empty text; `content` must be empty
  std::vector<std::string> parts{};  ///< the content as a list of text parts, in place of `content`
  std::string reasoning{};           ///< what the model thought before it answered, as far as it is to be sent again
  std::string extra{};               ///< a JSON object with further fields of the message, for templates that know them
};

/// A conversation, rendered by the model's own chat template.
struct Chat {
  std::vector<Message> messages;
  std::string tools{};                ///< JSON array of tool definitions, or empty; keys keep their order
  bool add_generation_prompt = true;  ///< end with the header of the assistant's turn
  std::string variables{};            ///< a JSON object for the template, e.g. {"enable_thinking": false}, or empty
  std::string template_name{};  ///< one of the model's named templates; empty = "tool_use" where there are tools and
                                ///< the model has it, else its default
  bool parse_special = false;   ///< true: special tokens written in messages, tools and variables count as such, so
                                ///< that whoever wrote them can end a turn and begin another
};

/// Text that goes to the tokenizer as it is; special tokens written in it are recognised.
struct RawPrompt {
  std::string text;
  bool parse_special = true;
};

/// Token ids of the model that will answer; nothing is added.
struct TokenPrompt {
  std::vector<Token> tokens;
};

/// How one token is chosen from the logits. Applied in this order: logit bias and penalties, token mask, temperature,
/// top-k, top-p, min-p, draw. temperature 0 is greedy: the highest logit, the lowest id among equals.
struct Sampling {
  float temperature = 0.0F;         ///< 0 = greedy; otherwise logits are divided by it
  std::int32_t top_k = 0;           ///< keep the k most likely; 0 = all
  float top_p = 1.0F;               ///< keep the smallest set whose probabilities sum to at least top_p
  float min_p = 0.0F;               ///< keep tokens with at least min_p times the best probability
  float repetition_penalty = 1.0F;  ///< divides positive and multiplies negative logits of tokens seen in prompt or
                                    ///< answer (Keskar et al. 2019)
  float presence_penalty = 0.0F;    ///< subtracted once from tokens seen in the answer
  float frequency_penalty = 0.0F;   ///< subtracted per occurrence in the answer
  std::vector<std::pair<Token, float>> logit_bias{};  ///< added to single logits
  std::optional<std::uint64_t>
      seed{};  ///< same seed, prompt and model: same answer; none = the endpoint picks one and reports it
};

/// Which drafted tokens may stand though the model would have drawn another one: speculative cascades (Narasimhan et al.,
/// ICLR 2025). p is the model's distribution, q the one that the draft was drawn from.
enum class DeferralRule : std::uint8_t {
  /// Those with p(draft) >= (1 - alpha) max p, whoever guessed them: their rule TokenV3.
  token,
  /// Any, where max q >= max p - alpha TV(p, q): their rule OPT. Needs q: drafts of a DraftModel in greedy requests (q
  /// at temperature 1), and with `sampled` those drawn at random without a seed. All others are judged without a rule.
  opt,
};

/// Leave to trade quality for speed, token by token, where drafts are verified. Greedy draws have p and q at
/// temperature 1. Drafts that were drawn at random give exactly the rule's distribution of each token (under `token`:
/// q where the draft stands, p for what falls); others stand, or the model's own draw takes their place.
struct Deferral {
  DeferralRule rule = DeferralRule::token;
  float alpha = 0.0F;  ///< in [0, 1]; 0 = none: the answer is the model's own, whatever was drafted
};

/// How an answer probably goes: a previous answer, the document being edited, another model's attempt. Tokens are used
/// where they are of the answering model's own vocabulary, else the text is tokenised again.
struct DraftText {
  std::string text{};
  std::vector<Token> tokens{};
  std::uint64_t vocabulary = 0;  ///< of the tokens, as Finish::vocabulary names it; 0 = the answering model's own
};

struct Request {
  std::variant<Chat, RawPrompt, TokenPrompt> prompt;
  std::string model{};  ///< a name the endpoint knows; empty = its default
  Sampling sampling{};
  std::uint32_t max_tokens = 0;         ///< most tokens of the answer; 0 = until the context is full
  std::vector<std::string> stop{};      ///< the answer ends before the first of these texts
  std::optional<TimePoint> deadline{};  ///< absolute; past it the request ends with what it has
  std::string type{};    ///< the caller's name for this kind of request, e.g. "refund"; key of statistics
  std::string tenant{};  ///< salt of the prefix cache: two tenants never share a page
  std::string id{};      ///< the caller's own id, for logs and traces
  std::vector<std::pair<std::string, std::string>> labels{};  ///< the caller's own names and values, for traces
  /// Who goes first: higher before lower, both when waiting and when pages are short; equal among equals.
  std::int32_t priority = 0;
  std::string adapter{};  ///< a low-rank adapter of the model by its served name; empty = the model alone
  /// What the answer may look like; null = anything. Shared by requests, opened for each answer.
  std::shared_ptr<const ConstraintSource> constraint{};
  /// End the constraint's document within max_tokens: once a token would leave too few for the shortest way to end it,
  /// only tokens that leave enough are drawn. Refused where max_tokens is less than the shortest document.
  bool close_when_short = false;
  std::optional<std::uint32_t>
      logprobs{};       ///< report the log-probability of each token and of the k most likely; 0 = the token only
  bool scores = false;  ///< measure the margin of every token (a cascade sets this)
  DraftText draft{};    ///< without `deferral` it only costs or saves time; needs an engine with a SpeculationPolicy
  /// Where drafts may stand that are not the model's own draw. An engine refuses it on a backend that has no such rule.
  Deferral deferral{};
  std::optional<std::uint32_t> max_draft{};  ///< most drafted tokens a step; 0 = none; none = what the policy says
  bool use_prefix_cache = true;              ///< false: neither read nor write shared prefixes
  /// Pieces of the answer may be taken back (Delta::revises): a cascade that streams by CascadeStreaming::revise then
  /// shows a tier's answer while it may still be rejected.
  bool allow_revisions = false;
  std::uint32_t stream_capacity = 256;  ///< deltas a slow reader may leave unread before the sequence pauses
};

}  // namespace frugal
