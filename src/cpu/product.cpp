#include "cpu/product.hpp"

#include <algorithm>
#include <cstring>

namespace frugal::cpu {
namespace {

void finish_tile(const Kernels& kernels, const Product& p, std::size_t rows, float* tile, const float* other,
                 float* out) {
  if (p.ending == Ending::gate) kernels.silu_mul(tile, other, rows * strip_rows);
  for (std::size_t r = 0; r < rows; ++r, out += p.stride, tile += strip_rows) {
    if (p.ending == Ending::add) {
      for (std::size_t i = 0; i < strip_rows; ++i) out[i] += tile[i];
    } else {
      std::memcpy(out, tile, strip_rows * sizeof(float));
    }
  }
}

constexpr std::uint32_t open_lanes = 17;  // from so many on, opening a strip costs less than it saves
constexpr std::uint32_t open_blocks = 64;

/// A strip as it is multiplied with `lanes` lanes: opened into `room` where that pays.
StripView view_of(const Kernels& kernels, const PackedMatrix& weight, std::uint32_t strip, std::uint32_t lanes,
                  std::uint8_t* room) {
  StripView view = weight.strip(strip);
  if (kernels.open == nullptr || view.format != Format::q4 || lanes < open_lanes || view.blocks > open_blocks)
    return view;
  kernels.open(view, room);
  return {Format::q4_open, view.blocks, room, view.scales};
}

/// tile [lanes, 16] of one panel; the rest and then the bias are added where wanted.
void one_tile(const Kernels& kernels, const StripView& weight, const Panels& x, std::uint32_t panel, bool fine,
              const float* bias, float* tile) {
  const std::uint32_t lanes = x.lanes(panel);
  kernels.multiply(weight, x.panel(x.data, panel), lanes, fine ? nullptr : bias, tile);
  if (!fine) return;
  alignas(64) float rest[panel_rows * strip_rows];
  kernels.multiply(weight, x.panel(x.rest, panel), lanes, nullptr, rest);
  for (std::size_t i = 0; i < lanes * strip_rows; ++i)
    tile[i] = tile[i] + rest[i] + (bias != nullptr ? bias[i % strip_rows] : 0.0F);
}

void one_strip(const Kernels& kernels, const Product& p, std::uint32_t strip, const Panels& x) {
  alignas(64) float tile[panel_rows * strip_rows];
  alignas(64) float other[panel_rows * strip_rows];
  alignas(64) std::uint8_t room[2][open_blocks * 512];
  const std::uint32_t lanes = x.rows * (p.fine ? 2 : 1);
  const bool gate = p.ending == Ending::gate;
  const StripView weight = view_of(kernels, *p.weight, strip, lanes, room[0]);
  const StripView partner = gate ? view_of(kernels, *p.partner, strip, lanes, room[1]) : StripView{};
  const float* bias = p.bias != nullptr ? p.bias + strip * strip_rows : nullptr;
  for (std::uint32_t i = 0; i < x.count(); ++i) {
    one_tile(kernels, weight, x, i, p.fine, bias, tile);
    if (gate) one_tile(kernels, partner, x, i, p.fine, nullptr, other);
    finish_tile(kernels, p, x.lanes(i), tile, other, p.out + i * panel_rows * p.stride + strip * strip_rows);
  }
}

}  // namespace

void multiply(const Kernels& kernels, Crew& crew, std::span<const Product> products, const Panels& x) {
  std::uint32_t total = 0;
  for (const auto& p : products) total += p.weight->strips;
  for (auto share = crew.take_guided(total); share.first < share.last; share = crew.take_guided(total)) {
    std::uint32_t before = 0;
    for (const auto& p : products) {
      const std::uint32_t first = std::max(share.first, before), last = std::min(share.last, before + p.weight->strips);
      for (std::uint32_t s = first; s < last; ++s) one_strip(kernels, p, s - before, x);
      before += p.weight->strips;
    }
  }
}

}  // namespace frugal::cpu
