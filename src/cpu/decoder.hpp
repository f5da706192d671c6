// Decoder: the forward pass of one model over the paged arena, run by a crew. Rows of a batch are cut into steps of at
// most `step_rows`, which bounds the working memory; within a step every phase is shared out by rows, strips or heads,
// so that each number is computed by one member in one order.
#pragma once

#include "backend/drawer.hpp"
#include "backend/experts.hpp"
#include "cpu/kernels/kernels.hpp"
#include "cpu/product.hpp"
#include "cpu/row_helpers.hpp"
#include "cpu/weights.hpp"

#include <frugal/backend/backend.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

namespace frugal::cpu {

/// The arena as one model sees it: page g, layer l, K or V, head h, token t. The tokens of a page lie side by side for
/// each head, so that an attention task reads whole lines in order.
struct PagedHeads {
  std::uint8_t* arena = nullptr;
  std::uint32_t page_tokens = 0;
  std::uint32_t heads = 0;     ///< kv heads
  std::size_t head_bytes = 0;  ///< of one token

  std::size_t run_bytes() const { return page_tokens * head_bytes; }  ///< one head's tokens of a page
  std::uint8_t* at(Granule page, std::uint32_t layer, bool value, std::uint32_t head, std::uint32_t token) const {
    const std::size_t run = (std::size_t{layer} * 2 + (value ? 1 : 0)) * heads + head;
    return arena + static_cast<std::size_t>(page) * granule_bytes + run * run_bytes() + token * head_bytes;
  }
};

/// In which numbers a decoder computes.
struct Arithmetic {
  KvKind kv = KvKind::fp16;
  bool fine = false;          ///< 16-bit inputs before every matrix
  bool bf16_prompts = false;  ///< rows of prompts in bf16: the kernels have it, and `fine` is off
};

class Decoder {
 public:
  /// Up to so many rows every member quantises for itself: cheaper than a meeting.
  static constexpr std::uint32_t replicated_rows = 2;
  static constexpr std::uint32_t step_rows = 256;  ///< activations of a step stay in the second-level cache
  /// With prompts in bf16: a step opens all weights, once for each member where rows are split.
  static constexpr std::uint32_t bf16_step_rows = 512;

  Decoder(std::shared_ptr<const DecoderWeights> weights, const Kernels& kernels, Crew& crew, Arithmetic arithmetic);
  Decoder(Decoder&&) = default;

  const Model& model() const { return *weights_->model; }
  std::uint32_t most_rows() const { return bf16_prompts_ ? bf16_step_rows : step_rows; }  ///< of a step
  std::size_t kv_bytes_per_token() const;
  /// Memory that passes of any size need beside the arena.
  std::size_t workspace_bytes() const;
  void bind(std::uint8_t* arena, std::uint32_t page_tokens);
  void copy_page(const PageCopy& copy) const;
  /// The batch has been checked. Throws what draw throws.
  void forward(const Batch& batch);

 private:
  /// Rows [first, first + count) of a segment.
  struct Rows {
    std::uint32_t first, count;
  };
  /// Rows [first, first + rows) of a segment, at [offset, offset + rows) of the step.
  struct Piece {
    const Segment* segment;
    std::uint32_t first, rows, offset;
    bool bf16;  ///< of a prompt that is computed so
  };
  struct Wanted {
    std::uint32_t row;     ///< in the step
    float* logits;         ///< or null
    const DrawSpec* spec;  ///< or null
    TokenScore* score;
  };
  struct Hidden {
    std::uint32_t row;  ///< in the step
    std::uint32_t layer;
    bool normed;
    float* to;  ///< [d_model]
  };
  /// Memory of one member alone.
  struct Private {
    std::vector<float> row, left, floats, head, queries, mixed, scratch;
    std::vector<std::uint32_t> begins, ends;
    std::vector<const std::uint8_t*> keys, values;
    std::vector<std::uint8_t> panels;
    HugeBuffer opened, attend_room;  ///< where prompts are computed in bf16: weights; queries, keys and values
    backend::Drawer drawer;
    std::unique_ptr<RowHelpers> helpers = std::make_unique<RowHelpers>();  ///< of its draws
  };

  void add_segments(const Batch& batch, bool prompts);
  bool splits() const;
  Rows own_rows(unsigned m) const;
  void meet_if_shared();
  void add_rows(const Segment& segment, Rows rows, TokenScore* scores);
  void run_step();
  void reserve(std::uint32_t rows);
  void layers(unsigned m);
  void embed();
  void plan_narrowing();
  void keep_rows();
  void write_hidden(unsigned m, std::uint32_t layer);
  /// How many rows there are, and how many of the first ones are of prompts in bf16.
  struct RowCounts {
    std::uint32_t rows, prompt;
  };
  /// Rows of floats that become inputs: `width` of each, a multiple of 32, normed first where there is a norm.
  struct RowSource {
    const float* x;
    std::size_t stride, width;
    const PaddedFloats* norm = nullptr;
    const std::uint32_t* rows = nullptr;  ///< which ones; null: one after the other

    bool in_place() const { return norm == nullptr && rows == nullptr; }
    const float* at(std::uint32_t row) const { return x + (rows != nullptr ? rows[row] : row) * stride; }
  };
  Inputs prepare(unsigned m, const RowSource& from, const Forms& forms);
  Inputs prepare_rows(unsigned m, RowCounts counts, const RowSource& from, const Forms& forms);
  const float* normed_row(const RowSource& from, std::uint32_t row, float* room) const;
  void project(unsigned m, const LayerWeights& w);
  void feed_forward(unsigned m, const LayerWeights& w);
  void clear_padding(unsigned m, std::uint32_t rows, std::size_t from, std::size_t to);
  Inputs gate_inputs(unsigned m, const Inputs& x, const PackedMatrix& down, const std::uint16_t* rounded);
  void gated(unsigned m, const GatedWeights& w, const Inputs& x, Ending ending, float* out);
  void activate(std::uint32_t rows, std::size_t width);
  void add_branch(unsigned m, const PaddedFloats& norm);
  void mixture(unsigned m, const LayerWeights& w);
  void route(unsigned m, const LayerWeights& w);
  void add_experts(std::uint32_t expert);
  void attention(unsigned m, std::uint32_t layer);
  void place_keys(unsigned m, std::uint32_t layer, const Piece& piece, std::uint32_t head);
  void attend_tile(unsigned m, std::uint32_t layer, const Piece& tile, std::uint32_t head);
  void rotate(float* head, std::uint32_t row, std::uint32_t layer) const;
  void heads(unsigned m);
  void cap_logits(std::uint32_t rows);
  void draw_rows(unsigned m, std::uint32_t start, std::uint32_t rows);
  void emit(unsigned m, const Wanted& wanted, const float* logits);
  float* qkv_row(std::uint32_t row) { return qkv_.data() + row * qkv_stride_; }

  std::shared_ptr<const DecoderWeights> weights_;
  const Kernels* kernels_;
  Crew* crew_;
  KvKind kv_;
  bool fine_, bf16_prompts_;
  PagedHeads heads_;

  std::size_t d_stride_, qkv_stride_, k_at_, v_at_, attn_stride_, ff_stride_, vocab_stride_, dims_;
  std::vector<float> x_, qkv_, attn_, act_, trig_, logits_;  ///< [rows, stride] each
  std::vector<float> local_trig_;  ///< of layers with a window, where they rotate in their own way
  std::vector<float> up_;          ///< [rows, ff_stride_], for activations that the product does not end with
  std::vector<float> branch_;      ///< [rows, d_stride_], what is normed or weighed before it is added to x
  std::vector<float> normed_;      ///< [rows, d_stride_], what the router and the experts read
  /// The rows that pass each expert, and its weight for each; rows rise.
  struct Routed {
    std::vector<std::uint32_t> rows;
    std::vector<float> weights;
  };
  std::vector<Routed> routed_;                              ///< [experts]
  std::vector<std::vector<backend::ChosenExpert>> chosen_;  ///< [rows]
  std::vector<float> shared_;                               ///< [rows], the shared expert's weight
  HugeBuffer panels_;
  std::vector<float> floats_;     ///< [rows, d_stride_], where a matrix is of plain floats: rows that are not in place
  HugeBuffer rounded_;            ///< [rows, rounded_stride_] in bf16, where prompts are computed so
  HugeBuffer rounded_act_;        ///< the same, of what the gate lets through
  std::size_t rounded_stride_{};  ///< an odd number of cache lines, so that 16 rows' lines do not meet in one set
  std::vector<Private> private_;
  std::uint32_t rows_ = 0;         ///< of this step
  std::uint32_t prompt_rows_ = 0;  ///< of these, the first ones, which are computed in bf16
  bool split_ = false;             ///< each member computes rows of its own through all products
  std::vector<Piece> tiles_;  ///< pieces of at most 8 rows, 16 in bf16: what one attention task takes, for each kv head
  bool lone_tiles_ = true;    ///< no segment has two tiles in this step
  bool narrows_ = false;      ///< not all rows are wanted: the last layer ends with fewer
  std::uint32_t last_layer_ = 0;     ///< layers that this pass runs
  std::vector<std::uint32_t> kept_;  ///< rows that are wanted after the last layer, rising
  std::vector<Hidden> hidden_;
  std::vector<Wanted> wanted_;
  std::vector<std::uint8_t> broken_;  ///< [head_rows]: the row is not finite before the head, so its logits are NaN
  /// Rows of the present head_rows that are done with. Held by pointer, for decoders move.
  std::unique_ptr<std::atomic<std::uint32_t>> drawn_ = std::make_unique<std::atomic<std::uint32_t>>(0);
  std::vector<std::exception_ptr> errors_;  ///< [members]
};

}  // namespace frugal::cpu
