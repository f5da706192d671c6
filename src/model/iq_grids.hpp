// The grids of IQ1 to IQ3: a block holds the indices of points, and a point is 8 or 4 values at once. The points were
// chosen where groups of weights lie most often; they are part of the GGUF formats and come from ggml (MIT licence).
// A point is one number here: for each value its index among the few values there are, the first value lowest.
#pragma once

#include <array>
#include <cstdint>

namespace frugal::model {

// 8 values of 2 bits: -1, 0, 1 in IQ1; 8, 25, 43 in IQ2.
extern const std::array<std::uint16_t, 2048> iq1_grid;
extern const std::array<std::uint16_t, 256> iq2_xxs_grid;
extern const std::array<std::uint16_t, 512> iq2_xs_grid;
extern const std::array<std::uint16_t, 1024> iq2_s_grid;
// 4 values of 3 bits: 4, 12, 20, 28, 36, 44, 52, 62 in IQ3_XXS; 1, 3, 5 to 15 in IQ3_S.
extern const std::array<std::uint16_t, 256> iq3_xxs_grid;
extern const std::array<std::uint16_t, 512> iq3_s_grid;

}  // namespace frugal::model
