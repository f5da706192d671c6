// The attention phase of Decoder: rotation, keys and values into their pages, and the tiles' scores. A task is up to 8
// rows of one segment and one kv head: all query heads of the group share each expanded key block. A row's key blocks
// are cut at multiples of 32 positions, so neither page size nor chunking shows in its sums.
#include "backend/rope.hpp"
#include "cpu/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace frugal::cpu {

void Decoder::rotate(float* head, std::uint32_t row, std::uint32_t layer) const {
  const DecoderSpec& spec = model().spec();
  const std::uint32_t half = spec.rope_dims / 2;
  const bool adjacent = spec.rope_layout == RopeLayout::adjacent;
  const std::vector<float>& angles = spec.local_rope(layer) ? local_trig_ : trig_;
  const float* trig = angles.data() + std::size_t{row} * spec.rope_dims;
  for (std::uint32_t i = 0; i < half; ++i) {
    float& a = head[adjacent ? 2 * i : i];
    float& b = head[adjacent ? 2 * i + 1 : i + half];
    const float c = trig[2 * i], s = trig[2 * i + 1], x = a, y = b;
    a = x * c - y * s;
    b = x * s + y * c;
  }
}

void Decoder::place_keys(unsigned m, std::uint32_t layer, const Piece& piece, std::uint32_t head) {
  const DecoderSpec& spec = model().spec();
  const LayerWeights& w = weights_->layers[layer];
  float* key = private_[m].head.data();
  for (std::uint32_t r = 0; r < piece.rows; ++r) {
    const float* qkv = qkv_row(piece.offset + r);
    std::memcpy(key, qkv + k_at_ + head * spec.head_dim, spec.head_dim * sizeof(float));
    if (spec.qk_norm) kernels_->rms_norm(key, w.k_norm.data(), key, spec.head_dim, spec.rms_eps);
    rotate(key, piece.offset + r, layer);
    const std::uint32_t position = piece.segment->start + piece.first + r;
    const Granule page = piece.segment->pages[position / heads_.page_tokens];
    const std::uint32_t token = position % heads_.page_tokens;
    kernels_->store_head(key, spec.head_dim, kv_, heads_.at(page, layer, false, head, token));
    kernels_->store_head(qkv + v_at_ + head * spec.head_dim, spec.head_dim, kv_,
                         heads_.at(page, layer, true, head, token));
  }
}

void Decoder::attend_tile(unsigned m, std::uint32_t layer, const Piece& tile, std::uint32_t head) {
  const DecoderSpec& spec = model().spec();
  const std::uint32_t group = spec.heads / spec.kv_heads;
  const float scale = backend::attention_scale(spec);
  const std::uint32_t window = spec.window(layer);
  Private& own = private_[m];
  for (std::uint32_t r = 0; r < tile.rows; ++r) {
    const std::uint32_t end = tile.segment->start + tile.first + r + 1;
    const std::uint32_t begin = window != 0 && end > window ? end - window : 0;
    for (std::uint32_t g = 0; g < group; ++g) {
      const std::uint32_t index = r * group + g;
      float* q = own.queries.data() + index * dims_;
      std::memcpy(q, qkv_row(tile.offset + r) + (head * group + g) * spec.head_dim, spec.head_dim * sizeof(float));
      if (spec.qk_norm) kernels_->rms_norm(q, weights_->layers[layer].q_norm.data(), q, spec.head_dim, spec.rms_eps);
      rotate(q, tile.offset + r, layer);
      for (std::uint32_t d = 0; d < spec.head_dim; ++d) q[d] *= scale;
      own.begins[index] = begin, own.ends[index] = end;
    }
  }
  AttendTask task;
  task.kind = kv_;
  task.softcap = spec.attention_softcap;
  task.head_dim = spec.head_dim, task.dims = static_cast<std::uint32_t>(dims_);
  task.first = own.begins[0] / key_block * key_block;
  task.queries = tile.rows * group;
  task.last = own.ends[task.queries - 1];
  own.keys.resize(task.last - task.first), own.values.resize(task.last - task.first);
  const std::size_t values_after = heads_.heads * heads_.run_bytes();
  for (std::uint32_t p = task.first; p < task.last;) {
    const std::uint32_t token = p % heads_.page_tokens, rest = std::min(heads_.page_tokens - token, task.last - p);
    const std::uint8_t* key = heads_.at(tile.segment->pages[p / heads_.page_tokens], layer, false, head, token);
    for (std::uint32_t i = 0; i < rest; ++i, ++p, key += heads_.head_bytes) {
      own.keys[p - task.first] = key;
      own.values[p - task.first] = key + values_after;
    }
  }
  task.keys = own.keys.data(), task.values = own.values.data();
  task.q = own.queries.data(), task.out = own.mixed.data(), task.scratch = own.scratch.data();
  task.begins = own.begins.data(), task.ends = own.ends.data();
  if (tile.bf16)
    kernels_->bf16->attend(task, own.attend_room.data());
  else
    kernels_->attend(task);
  for (std::uint32_t i = 0; i < task.queries; ++i) {
    float* out = attn_.data() + (tile.offset + i / group) * attn_stride_ + (head * group + i % group) * spec.head_dim;
    std::memcpy(out, own.mixed.data() + i * dims_, spec.head_dim * sizeof(float));
  }
}

/// Keys and values of a row are in their pages before it attends: at once where all rows of a segment are one task,
/// else after a meeting.
void Decoder::attention(unsigned m, std::uint32_t layer) {
  const std::uint32_t kv_heads = model().spec().kv_heads;
  const auto tasks = static_cast<std::uint32_t>(tiles_.size()) * kv_heads;
  for (std::uint32_t t = crew_->take(1); t < tasks; t = crew_->take(1)) {
    place_keys(m, layer, tiles_[t / kv_heads], t % kv_heads);
    if (lone_tiles_) attend_tile(m, layer, tiles_[t / kv_heads], t % kv_heads);
  }
  if (lone_tiles_) return;
  crew_->meet();
  for (std::uint32_t t = crew_->take(1); t < tasks; t = crew_->take(1)) {
    const std::uint32_t late = tasks - 1 - t;  // the longest first: later rows see more keys
    attend_tile(m, layer, tiles_[late / kv_heads], late % kv_heads);
  }
}

}  // namespace frugal::cpu
