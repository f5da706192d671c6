// What a trace does not say, and what cannot be known without it.
#include "advise/state.hpp"
#include "advise/words.hpp"

#include <string>
#include <vector>

namespace frugal {

namespace {

/// Sentences about `n` requests.
class Sentences {
 public:
  explicit Sentences(std::uint64_t n) : n_(n) {}

  void say(std::string sentence) { said_.push_back(std::move(sentence)); }
  void missing(std::uint64_t count, const std::string& field, const std::string& consequence) {
    if (count == 0)
      say(field + " is not recorded: " + consequence);
    else if (count < n_)
      say(field + " is recorded for " + std::to_string(count) + " of " + std::to_string(n_) +
          " requests: the others are left out where it is needed");
  }
  std::vector<std::string> take() { return std::move(said_); }

 private:
  std::uint64_t n_;
  std::vector<std::string> said_{};
};

void say_times(Sentences& s, const Recorded& known, std::uint64_t n) {
  if (known.in_one_piece > 0)
    s.say(std::to_string(known.in_one_piece) +
          " answers came in one piece: their time to the first token and time per output token were not measured");
  if (known.in_one_piece == 0 || known.ttft_ms + known.in_one_piece < n)
    s.missing(known.ttft_ms + known.in_one_piece, "ttft_ms",
              "waiting for the first token is unknown, and so is which part of the time is decoding");
  s.missing(known.e2e_ms, "e2e_ms", "time per output token is unknown, so what speculation would save as well");
  if (known.e2e_ms > 0 && known.ttft_ms > 0 && known.stalled_ms == 0)
    s.say(
        "stalled_ms is not recorded: how much of the time after the first token goes to other requests' prompts is "
        "estimated from the pace beside them, where that tells");
}

void say_prices(Sentences& s, const Workload& w) {
  const Recorded& known = w.recorded();
  const SliceStats& all = w.total();
  if (known.priced > 0 && all.unpriced > 0)
    s.say(std::to_string(all.unpriced) +
          " requests have a part without a known price: all costs are lower bounds, and these requests are left out of "
          "what levers would save of the bill");
  if (known.priced == 0 && known.model > 0)
    s.say(
        "no model of the trace has a known price: costs are relative, an output token counting 5 and a cached one 0.1 "
        "input tokens");
}

}  // namespace

std::vector<std::string> Workload::unknowable() const {
  const Recorded& known = recorded();
  const std::uint64_t n = total().requests;
  if (n == 0) return {"there is no answered request in the trace"};
  Sentences s(n);
  s.missing(known.timestamp, "timestamp", "a cache's time to live, bursts and requests in flight are unknown");
  s.missing(known.type, "type", "no request type can be named, capped on its own or given a model of its own");
  s.missing(known.model, "model", "nothing can be priced");
  s.missing(known.cached_tokens, "cached_tokens", "taken as 0: a prefix cache that is at work already is not seen");
  say_times(s, known, n);
  s.missing(known.prefix_blocks, "prefix_blocks",
            "whether prompts share a beginning is unknown, so prefix_cache and context cannot be judged");
  if (known.prompt_hash == 0 && known.prefix_blocks == 0)
    s.say("prompt_hash is not recorded: repeated questions are unknown, so answer_cache cannot be judged");
  if (known.scores == 0) s.say("no attempt of a smaller model with its score is recorded: cascade cannot be judged");
  if (known.drafts == 0) s.say("no drafted token is recorded: speculation is judged by usual acceptance rates");
  say_prices(s, *this);
  if (!state_->unread_fields.empty())
    s.say("fields that may count tokens are not read: " + advisor::list_of(state_->unread_fields) +
          ": what they count is missing from the bill");
  if (state_->short_chains > 0)
    s.say("prefix_blocks end before the prompt does in " + std::to_string(state_->short_chains) +
          " requests: whether these repeat another one, and whether their rest is shared, is unknown");
  if (state_->bad_lines > 0) s.say(std::to_string(state_->bad_lines) + " lines could not be read and are left out");
  if (failed().requests > 0)
    s.say(std::to_string(failed().requests) + " requests were refused or failed and are left out");
  return s.take();
}

}  // namespace frugal
