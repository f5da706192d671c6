#include "cpu/product.hpp"

#include <algorithm>

namespace frugal::cpu {
namespace {

constexpr std::uint32_t room_blocks = 64;  // what is opened of a strip stays in the second-level cache

/// A strip on its way through the panels. The first whole panel may open it for the others, where there is a room.
struct Strip {
  StripView view;
  std::uint8_t* room;

  void multiply(const Kernels& kernels, const std::uint8_t* panel, std::uint32_t lanes, const float* bias,
                float* tile) {
    const bool opens = room != nullptr && lanes > 4 && (view.format == Format::q4 || view.format == Format::q5);
    kernels.multiply(view, panel, lanes, bias, tile, opens ? room : nullptr);
    if (opens) view = {view.format == Format::q4 ? Format::q4_open : Format::q5_open, view.blocks, room, nullptr};
  }
};

/// tile [lanes, 16] of one panel; the rest and then the bias are added where wanted.
void one_tile(const Kernels& kernels, Strip& strip, const Panels& x, std::uint32_t panel, bool fine, const float* bias,
              float* tile) {
  const std::uint32_t lanes = x.lanes(panel);
  strip.multiply(kernels, x.panel(x.data, panel), lanes, fine ? nullptr : bias, tile);
  if (!fine) return;
  alignas(64) float rest[panel_rows * strip_rows];
  strip.multiply(kernels, x.panel(x.rest, panel), lanes, nullptr, rest);
  for (std::size_t i = 0; i < lanes * strip_rows; ++i)
    tile[i] = tile[i] + rest[i] + (bias != nullptr ? bias[i % strip_rows] : 0.0F);
}

void one_strip(const Kernels& kernels, const Product& p, std::uint32_t index, const Panels& x) {
  alignas(64) float tile[panel_rows * strip_rows];
  alignas(64) float other[panel_rows * strip_rows];
  alignas(64) std::uint8_t rooms[2][room_blocks * format_shape(Format::q4_open).block_bytes()];
  const bool opens = kernels.opens && x.blocks <= room_blocks && (x.count() > 1 || p.fine);
  const bool gate = p.ending == Ending::gate;
  Strip strip{p.weight->strip(index), opens ? rooms[0] : nullptr};
  Strip partner{gate ? p.partner->strip(index) : StripView{}, opens ? rooms[1] : nullptr};
  const float* bias = p.bias != nullptr ? p.bias + index * strip_rows : nullptr;
  float* out = p.out + index * strip_rows;
  for (std::uint32_t i = 0; i < x.count(); ++i, out += panel_rows * p.stride) {
    one_tile(kernels, strip, x, i, p.fine, bias, tile);
    if (gate) one_tile(kernels, partner, x, i, p.fine, nullptr, other);
    if (gate) kernels.silu_mul(tile, other, x.lanes(i) * strip_rows);
    kernels.place(tile, x.lanes(i), p.ending == Ending::add, out, p.stride);
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
