#include "cpu/product.hpp"

#include <algorithm>
#include <cstring>

namespace frugal::cpu {
namespace {

constexpr std::uint32_t most_lanes = 16;   // of a panel
constexpr std::uint32_t few_rows = 8;      // that Kernels::multiply is best at
constexpr std::uint32_t few_beside = 2;    // the same, beside panels for which the strip is opened anyway
constexpr std::uint32_t room_blocks = 64;  // what is opened of a strip stays in the second-level cache
constexpr std::uint32_t wide_blocks = 18;  // what is opened of a strip stays in the first-level cache
constexpr std::uint32_t group_rows = 128;  // rows that share an opened part of a strip

/// A strip on its way through narrow panels. The first whole panel may open it for the others, where there is a room.
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

/// tile += rest + bias.
void add_rest(const float* rest, std::uint32_t lanes, const float* bias, float* tile) {
  for (std::size_t i = 0; i < lanes * strip_rows; ++i)
    tile[i] = tile[i] + rest[i] + (bias != nullptr ? bias[i % strip_rows] : 0.0F);
}

/// tile [lanes, 16] of one panel; the rest and then the bias are added where wanted.
void narrow_tile(const Kernels& kernels, Strip& strip, const Panels& x, Panels::Place panel, bool fine,
                 const float* bias, float* tile) {
  strip.multiply(kernels, x.data + panel.at, panel.lanes, fine ? nullptr : bias, tile);
  if (!fine) return;
  alignas(64) float rest[most_lanes * strip_rows];
  strip.multiply(kernels, x.rest + panel.at, panel.lanes, nullptr, rest);
  add_rest(rest, panel.lanes, bias, tile);
}

/// A product's strip as the loops below need it.
struct Task {
  const Kernels& kernels;
  const Product& product;
  std::uint32_t index;
  const Panels& x;
  const FloatRows& floats;

  bool gate() const { return product.ending == Ending::gate; }
  StripView strip() const { return product.weight->strip(index); }
  StripView partner() const { return product.partner->strip(index); }
  const float* bias() const { return product.bias != nullptr ? product.bias + index * strip_rows : nullptr; }
  void finish(float* tile, const float* other, std::uint32_t row, std::uint32_t rows) const {
    if (gate()) kernels.silu_mul(tile, other, rows * strip_rows);
    float* out = product.out + row * product.stride + index * strip_rows;
    kernels.place(tile, rows, product.ending == Ending::add, out, product.stride);
  }
};

/// Rows [first, rows), panel by panel.
void narrow_rows_of(const Task& t, std::uint32_t first) {
  alignas(64) float tile[most_lanes * strip_rows];
  alignas(64) float other[most_lanes * strip_rows];
  alignas(64) std::uint8_t rooms[2][room_blocks * format_shape(Format::q4_open).block_bytes()];
  const bool several = t.x.rows - first > t.kernels.panel_rows() || t.product.fine;
  const bool opens = t.kernels.opens && t.x.blocks <= room_blocks && several;
  Strip strip{t.strip(), opens ? rooms[0] : nullptr};
  Strip partner{t.gate() ? t.partner() : StripView{}, opens ? rooms[1] : nullptr};
  for (std::uint32_t row = first; row < t.x.rows;) {
    const Panels::Place panel = t.x.panel_of(t.kernels, row);
    narrow_tile(t.kernels, strip, t.x, panel, t.product.fine, t.bias(), tile);
    if (t.gate()) narrow_tile(t.kernels, partner, t.x, panel, t.product.fine, nullptr, other);
    t.finish(tile, other, row, panel.lanes);
    row += panel.lanes;
  }
}

/// Rows [first, first + count), which are wide panels.
struct Rows {
  std::uint32_t first, count;
};

/// The strip that is multiplied, and the one that is wanted after it.
struct Strips {
  StripView now, next;
};

/// tiles [rows, 16]: a part of the strip is opened and meets all rows, then the next part, so that each output stays
/// one chain of additions.
void wide_tiles(const Task& t, const Strips& strips, Rows rows, const float* bias, float* tiles) {
  const StripView &strip = strips.now, &next = strips.next;
  alignas(64) std::uint8_t room[wide_blocks * wide_block_bytes];
  alignas(64) float rest[group_rows * strip_rows];
  const bool fine = t.product.fine;
  const FormatShape shape = format_shape(strip.format);
  std::memset(rest, 0, fine ? rows.count * strip_rows * sizeof(float) : 0);
  for (std::uint32_t r = 0; r < rows.count; ++r) {
    if (bias == nullptr || fine)
      std::memset(tiles + r * strip_rows, 0, strip_rows * sizeof(float));
    else
      std::memcpy(tiles + r * strip_rows, bias, strip_rows * sizeof(float));
  }
  for (std::uint32_t b = 0; b < strip.blocks; b += wide_blocks) {
    OpenPart part{strip.format, std::min(wide_blocks, strip.blocks - b), room, next.quants,
                  reinterpret_cast<const std::uint8_t*>(next.scales)};
    if (b + part.blocks < strip.blocks) {
      part.next_quants = strip.quants + (b + part.blocks) * shape.quant_bytes;
      part.next_scales = reinterpret_cast<const std::uint8_t*>(strip.scales + (b + part.blocks) * shape.scale_halves());
    }
    t.kernels.wide->open(strip, b, part.blocks, room);
    for (std::uint32_t r = 0; r < rows.count;) {
      const Panels::Place panel = t.x.panel_of(t.kernels, rows.first + r);
      const std::size_t at = panel.at + b * panel_block_bytes(panel.lanes);
      t.kernels.wide->multiply(part, t.x.data + at, panel.lanes, tiles + r * strip_rows);
      part.next_quants = part.next_scales = room;  // asked for once
      if (fine) t.kernels.wide->multiply(part, t.x.rest + at, panel.lanes, rest + r * strip_rows);
      r += panel.lanes;
    }
  }
  if (fine) add_rest(rest, rows.count, bias, tiles);
}

/// Rows [0, rows), of which each panel has more than 8, or more than 2 after a whole one.
void wide_rows_of(const Task& t, std::uint32_t rows) {
  alignas(64) float tiles[group_rows * strip_rows];
  alignas(64) float others[group_rows * strip_rows];
  const StripView after = t.product.weight->strip(t.index + 1);  // after the last one lies what is read next, mostly
  for (std::uint32_t first = 0; first < rows; first += group_rows) {
    const Rows group{first, std::min(group_rows, rows - first)};
    const bool last = first + group_rows >= rows;
    const StripView next = last ? after : t.strip();
    wide_tiles(t, {t.strip(), t.gate() ? t.partner() : next}, group, t.bias(), tiles);
    if (t.gate()) wide_tiles(t, {t.partner(), next}, group, nullptr, others);
    t.finish(tiles, others, first, group.count);
  }
}

/// tiles [rows, 16] by a matrix of any format.
void any_tiles(const Task& t, const PackedMatrix& matrix, Rows rows, const float* bias, float* tiles) {
  if (is_plain(matrix.format)) {
    const FloatRows x{t.floats.data + rows.first * t.floats.stride, t.floats.stride, rows.count};
    return t.kernels.multiply_floats(matrix.strip(t.index), x, bias, tiles);
  }
  Strip strip{matrix.strip(t.index), nullptr};
  for (std::uint32_t r = 0; r < rows.count;) {
    const Panels::Place panel = t.x.panel_of(t.kernels, rows.first + r);
    narrow_tile(t.kernels, strip, t.x, panel, t.product.fine, bias, tiles + r * strip_rows);
    r += panel.lanes;
  }
}

/// All rows, where the weights or their partner are plain floats.
void float_rows_of(const Task& t) {
  alignas(64) float tiles[group_rows * strip_rows];
  alignas(64) float others[group_rows * strip_rows];
  for (std::uint32_t first = 0; first < t.x.rows; first += group_rows) {
    const Rows group{first, std::min(group_rows, t.x.rows - first)};
    any_tiles(t, *t.product.weight, group, t.bias(), tiles);
    if (t.gate()) any_tiles(t, *t.product.partner, group, nullptr, others);
    t.finish(tiles, others, first, group.count);
  }
}

bool has_floats(const Product& p) {
  return is_plain(p.weight->format) || (p.partner != nullptr && is_plain(p.partner->format));
}

/// How many of the first rows go through the wide kernels: whole panels, and a last one that has rows enough.
std::uint32_t wide_rows(const Kernels& kernels, const Product& p, std::uint32_t rows) {
  const auto takes = [](const PackedMatrix* m) { return m == nullptr || format_shape(m->format).subs == 1; };
  if (kernels.wide == nullptr || !takes(p.weight) || !takes(p.partner)) return 0;  // nor plain floats
  const std::uint32_t last = rows % kernels.panel_rows();
  return last > (rows > last ? few_beside : few_rows) ? rows : rows - last;
}

/// Wide kernels want a begin and an end on each thread.
struct Phase {
  const WideKernels* wide;
  explicit Phase(const WideKernels* kernels) : wide(kernels) {
    if (wide != nullptr) wide->begin();
  }
  ~Phase() {
    if (wide != nullptr) wide->end();
  }
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;
};

/// Strips [first, last) for the rows that are not in bf16.
void multiply_panels(const Kernels& kernels, Product p, Crew::Share strips, const Inputs& x) {
  p.out += x.prompt.rows * p.stride;
  const std::uint32_t rows = x.panels.rows, wide = wide_rows(kernels, p, rows);
  const bool floats = has_floats(p);
  for (std::uint32_t s = strips.first; s < strips.last; ++s) {
    const Task task{kernels, p, s, x.panels, x.floats};
    if (floats) {
      float_rows_of(task);
      continue;
    }
    if (wide != 0) wide_rows_of(task, wide);
    if (wide < rows) narrow_rows_of(task, wide);
  }
}

}  // namespace

Forms forms_of(std::initializer_list<const PackedMatrix*> matrices, bool fine) {
  Forms forms{false, false, fine};
  for (const PackedMatrix* m : matrices) (is_plain(m->format) ? forms.floats : forms.bytes) = true;
  return forms;
}

void multiply(const Kernels& kernels, Crew& crew, std::span<const Product> products, const Inputs& x) {
  if (x.own) {
    for (Product p : products) {
      p.out += x.first * p.stride;
      if (p.rounded != nullptr) p.rounded += x.first * p.rounded_stride;
      multiply_bf16(kernels, p, {0, p.weight->strips}, x.prompt, x.room);
    }
    return;
  }
  const bool mixed = x.prompt.rows != 0;
  const WideKernels* wide = nullptr;
  std::uint32_t total = 0;
  for (const auto& p : products) {
    total += p.weight->strips;
    if (wide_rows(kernels, p, x.panels.rows) != 0) wide = kernels.wide;
  }
  const Phase phase(mixed ? nullptr : wide);
  for (auto share = crew.take_guided(total); share.first < share.last; share = crew.take_guided(total)) {
    std::uint32_t before = 0;
    for (const auto& p : products) {
      const std::uint32_t first = std::max(share.first, before), last = std::min(share.last, before + p.weight->strips);
      if (first < last) {
        if (mixed) multiply_bf16(kernels, p, {first - before, last - before}, x.prompt, x.room);
        const Phase own(mixed ? wide : nullptr);
        multiply_panels(kernels, p, {first - before, last - before}, x);
      }
      before += p.weight->strips;
    }
  }
}

}  // namespace frugal::cpu
