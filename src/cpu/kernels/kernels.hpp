// Kernels: one table of inner loops per instruction set, chosen at run time. All tables give the same bits for the same
// input: integer sums inside a block are exact, every floating-point step is one IEEE operation or one fused
// multiply-add, in an order that depends on the row alone. Pure functions over caller's memory; no allocation, no
// threads.
#pragma once

#include "cpu/kernels/layout.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace frugal::cpu {

/// Keys and values in the arena. int8 heads carry fp16 scales, one per 32 dimensions, after their bytes.
enum class KvKind : std::uint8_t { fp16, fp32, int8 };

/// Attention of a few query rows to the keys of one kv head. All q and out rows are padded with zeros to `dims`.
struct AttendTask {
  const std::uint8_t* const* keys = nullptr;  ///< [last - first]: where the head's key of each position starts
  const std::uint8_t* const* values = nullptr;
  KvKind kind{};
  std::uint32_t head_dim = 0;
  std::uint32_t dims = 0;  ///< head_dim rounded up to 16
  std::uint32_t first = 0,
                last = 0;  ///< positions that at least one query sees: [first, last); first is a multiple of key_block
  std::uint32_t queries = 0;
  const float* q = nullptr;               ///< [queries, dims], already scaled
  float softcap = 0.0F;                   ///< scores s become softcap * tanh(s / softcap); 0 = they stay
  const std::uint32_t* begins = nullptr;  ///< [queries] each sees [begins, ends)
  const std::uint32_t* ends = nullptr;
  float* out = nullptr;      ///< [queries, dims]
  float* scratch = nullptr;  ///< [attend_scratch(queries, dims)]
};

inline constexpr std::uint32_t key_block = 32;
inline constexpr std::uint32_t tile_queries = 16;                    ///< of a tile of Bf16Kernels::attend
inline constexpr std::size_t running_floats = 16 * (3 + key_block);  ///< softmax of 16 queries

constexpr std::size_t attend_scratch(std::size_t queries, std::size_t dims) {
  return 2 * key_block * dims + (queries + 15) / 16 * running_floats;
}

/// Some blocks of a strip, opened; and the packed ones that will be opened next, which the memory is asked for meanwhile.
struct OpenPart {
  Format format{};
  std::uint32_t blocks = 0;
  const std::uint8_t* room = nullptr;
  const std::uint8_t* next_quants = nullptr;  ///< any readable or unreadable place, but not null: it is only asked for
  const std::uint8_t* next_scales = nullptr;
};

/// Products of more rows at once than `Kernels::multiply` takes, for units that only pay then. A strip's blocks are
/// opened into a room and then meet one panel of 3 to 16 rows after the other. Formats with one scale a block only: two
/// would need two tiles of half the depth, which takes longer than `Kernels::multiply` (measured).
struct WideKernels {
  /// Called on a thread before and after its open and multiply calls; cheap, but not free: once a phase.
  void (*begin)();
  void (*end)();
  /// A panel given to multiply begins at the part's first block; its rows are read as if there were 16 of them.
  /// Opens blocks [first, first + count) into `room` [count * wide_block_bytes], 64-byte aligned.
  void (*open)(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room);
  /// tile [lanes, 16] += panel x the opened blocks.
  void (*multiply)(const OpenPart& part, const std::uint8_t* panel, std::size_t lanes, float* tile);
};

/// Rows of floats, `stride` floats apart, padded with zeros to whole blocks of 32.
struct FloatRows {
  const float* data = nullptr;
  std::size_t stride = 0;
  std::uint32_t rows = 0;
};

/// Rows rounded to bf16, `stride` numbers apart. The memory must reach to a multiple of 16 rows.
struct Bf16Rows {
  const std::uint16_t* data = nullptr;
  std::size_t stride = 0;
  std::uint32_t rows = 0;
};

/// One or two strips (the second may be null), opened.
struct Bf16Strips {
  const std::uint8_t* opened[2];
  std::uint32_t blocks;
  std::size_t apart;  ///< floats from the first strip's tile to the second's
};

/// Bytes that Bf16Kernels::attend works in, 64-byte aligned.
constexpr std::size_t attend_bf16_room(std::size_t queries, std::size_t dims) {
  const std::size_t tiles = (queries + 15) / 16, depth = (dims + 31) / 32 * 32;
  return tiles * (32 * depth + 128 + 64 * dims) + key_block * 2 * (depth + dims) + key_block * 96 + 8 * depth;
}

/// Products and attention in bf16, for prompt rows: see bf16.hpp and attend_bf16.hpp.
struct Bf16Kernels {
  /// Called on a thread before and after its multiply calls.
  void (*begin)();
  void (*end)();
  /// Rounds n (a multiple of 32) numbers; `to` is 64-byte aligned.
  void (*round)(const float* x, std::size_t n, std::uint16_t* to);
  /// Rounds a tile [rows, 16] to rows of `to`, `stride` numbers apart.
  void (*place)(const float* tile, std::size_t rows, std::uint16_t* to, std::size_t stride);
  /// Opens blocks [first, first + count) of a strip of any stored format into `room` [count * bf16_block_bytes],
  /// 64-byte aligned.
  void (*open)(const StripView& strip, std::uint32_t first, std::uint32_t count, std::uint8_t* room);
  /// tiles [strips][rows, 16] += x times the opened blocks; up to 32 rows, of which whole 16 are written.
  void (*multiply)(const Bf16Rows& x, const Bf16Strips& w, float* tiles);
  /// `room` instead of the task's scratch.
  void (*attend)(const AttendTask& task, std::uint8_t* room);
};

struct Kernels {
  std::string_view name;
  /// multiply can open q4 and q5 strips; else it does not know the opened formats.
  bool opens = false;

  /// y = x / sqrt(mean(x^2) + eps) * w over n values; arrays padded with zeros to 16.
  void (*rms_norm)(const float* x, const float* w, float* y, std::size_t n, float eps);
  /// Quantises one row of blocks * 32 floats into lane `lane` of a panel of `lanes` rows, at most panel_rows().
  void (*quantize)(const float* x, std::size_t blocks, std::uint8_t* panel, std::size_t lane, std::size_t lanes);
  /// left = x - what lane `lane` of the panel holds of it.
  void (*residual)(const float* x, std::size_t blocks, const std::uint8_t* panel, std::size_t lane, std::size_t lanes,
                   float* left);
  /// tile [lanes, 16] = panel x strip + bias for up to panel_rows() lanes; bias [16] or null. Where this table opens, the strip is q4 or q5 and
  /// there are more than 4 lanes, it also leaves the strip opened in `room` [blocks * 640], 64-byte aligned, unless
  /// that is null.
  void (*multiply)(const StripView& strip, const std::uint8_t* panel, std::size_t lanes, const float* bias, float* tile,
                   std::uint8_t* room);
  /// Writes a tile [rows, 16] to rows of out, `stride` floats apart, or adds it to them.
  void (*place)(const float* tile, std::size_t rows, bool add, float* out, std::size_t stride);
  /// gate = silu(gate) * up over n (a multiple of 16) values.
  void (*silu_mul)(float* gate, const float* up, std::size_t n);
  void (*attend)(const AttendTask& task);
  /// Stores one head of n values as `kind` at `to`.
  void (*store_head)(const float* x, std::size_t n, KvKind kind, std::uint8_t* to);
  /// tile [rows, 16] = x times a strip of plain floats + bias, for any number of rows; bias [16] or null.
  void (*multiply_floats)(const StripView& strip, const FloatRows& x, const float* bias, float* tile);
  const WideKernels* wide = nullptr;  ///< or null
  const Bf16Kernels* bf16 = nullptr;  ///< or null

  /// Rows of a whole panel.
  std::uint32_t panel_rows() const { return wide != nullptr ? 16 : 8; }
};

/// Bytes of one head of one token.
constexpr std::size_t head_bytes(KvKind kind, std::size_t head_dim) {
  if (kind == KvKind::fp32) return 4 * head_dim;
  return kind == KvKind::fp16 ? 2 * head_dim : head_dim + 2 * ((head_dim + 31) / 32);
}

/// The tables this machine can run, best first; the last one is portable.
std::span<const Kernels* const> available_kernels();
/// What the machine has and the system does not let this process use, for people; mostly empty.
std::string_view refused_kernels();

const Kernels& portable_kernels();
const Kernels& avx2_kernels();
const Kernels& avxvnni_kernels();
const Kernels& avx512_kernels();
const Kernels& amx_kernels();
const Kernels& neon_kernels();
const Bf16Kernels& amx_bf16_kernels();

}  // namespace frugal::cpu
