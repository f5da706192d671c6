// Intake: a request checked and turned into tokens, on the submitting thread. Every refusal is an Error that says which
// field and why.
#pragma once

#include <frugal/backend/backend.hpp>
#include <frugal/core/expected.hpp>
#include <frugal/core/request.hpp>

#include <vector>

#include "engine/sequence.hpp"

namespace frugal {

/// Checks all fields that do not depend on the prompt. Thread-safe.
expected<void> validate(const Request& request, const ModelSlot& slot);

/// The adapter that the request names, or AdapterId{}. An adapter that the backend does not know is refused by name.
/// Thread-safe.
expected<AdapterId> find_adapter(const Request& request, const Backend& backend, const ModelSlot& slot);

/// Renders (with `clock` for today's date) and tokenises the prompt, and checks that it fits the context and the arena. Thread-safe.
expected<std::vector<Token>> tokenize(const Request& request, const ModelSlot& slot, const Clock& clock);

/// Request::draft in the model's vocabulary; empty where there is none or it cannot be read. Thread-safe.
expected<std::vector<Token>> tokenize_draft(const Request& request, const ModelSlot& slot);

}  // namespace frugal
