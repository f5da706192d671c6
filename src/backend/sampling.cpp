#include <frugal/backend/sampling.hpp>

#include "backend/counter.hpp"
#include "backend/drawer.hpp"

namespace frugal {

double counter_uniform(std::uint64_t seed, std::uint32_t position, std::uint32_t purpose) noexcept {
  return static_cast<double>(backend::counter_number(seed, position, purpose) >> 11) * 0x1p-53;
}

TokenScore draw(std::span<const float> logits, const DrawSpec& spec) { return backend::Drawer().draw(logits, spec); }

std::vector<float> draw_distribution(std::span<const float> logits, const DrawSpec& spec) {
  std::vector<float> p(logits.size());
  backend::Drawer().distribution(logits, spec, p);
  return p;
}

}  // namespace frugal
