// What policies see of a sequence. The views borrow from it: use them within one question.
#pragma once

#include <frugal/core/view.hpp>

#include "endpoint/prompt_text.hpp"
#include "engine/sequence.hpp"

namespace frugal {

inline RequestView request_view(const Sequence& s, TimePoint now) {
  return {s.id,
          s.request.type,
          s.request.tenant,
          s.slot->name,
          prompt_text(s.request),
          s.prompt(),
          s.request.max_tokens,
          s.request.deadline,
          now,
          s.draft_text,
          s.request.id,
          conversation_of(s.request)};
}

inline SequenceView sequence_view(const Sequence& s, const RequestView& request) {
  return {request, s.output(), s.text.whole(), s.text.added(), s.scores, s.budget};
}

}  // namespace frugal
