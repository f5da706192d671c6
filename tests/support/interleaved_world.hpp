// A machine that computes prompts between the tokens of others' answers (chunked prefill), simulated pass by pass.
#pragma once

#include "support/worlds.hpp"

#include <cstdint>
#include <memory>

namespace frugal::test {

/// `recorded`: its log has stalled_ms.
std::unique_ptr<World> make_interleaved(std::uint64_t seed, bool recorded);

}  // namespace frugal::test
