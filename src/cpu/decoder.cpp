#include "cpu/decoder.hpp"

#include "backend/contract.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace frugal::cpu {
namespace {

constexpr std::uint32_t head_rows = 32;  // logits held at once
constexpr std::uint32_t tile_rows = 8, bf16_tile_rows = 16;
constexpr std::uint32_t least_own_rows = 64;  // of each member; fewer do not pay for opening all weights
std::uint32_t widest_feed_forward(const DecoderSpec& s) {
  return s.experts.count == 0 ? s.d_ff : std::max(s.experts.d_ff, s.experts.shared_d_ff);
}

/// Floats from row to row, an odd number of cache lines: a strip's 16 outputs of all rows would else meet in few sets of
/// the first-level cache.
std::size_t odd_lines(std::size_t floats) { return (floats / 16 | 1) * 16; }

/// Exponent bits of all ones, whatever the sign: infinities and NaN are the greatest such integers.
bool all_finite(const float* x, std::size_t n) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFU);
  return most < 0x7F800000U;
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const DecoderWeights> weights, const Kernels& kernels, Crew& crew,
                 Arithmetic arithmetic)
    : weights_(std::move(weights)),
      kernels_(&kernels),
      crew_(&crew),
      kv_(arithmetic.kv),
      fine_(arithmetic.fine),
      bf16_prompts_(arithmetic.bf16_prompts) {
  const DecoderSpec& s = model().spec();
  d_stride_ = round_up(s.d_model, 32), attn_stride_ = round_up(s.q_width(), 32);
  ff_stride_ = odd_lines(round_up(widest_feed_forward(s), 32));
  k_at_ = round_up(s.q_width(), 16), v_at_ = k_at_ + round_up(s.kv_width(), 16);
  qkv_stride_ = odd_lines(v_at_ + round_up(s.kv_width(), 16));
  vocab_stride_ = odd_lines(round_up(s.vocab, 16)), dims_ = round_up(s.head_dim, 16);
  rounded_stride_ = (std::max({d_stride_, ff_stride_, attn_stride_}) / 32 | 1) * 32;
  heads_.head_bytes = head_bytes(kv_, s.head_dim);
  heads_.heads = s.kv_heads;
  const std::size_t queries = (bf16_prompts_ ? bf16_tile_rows : tile_rows) * (s.heads / s.kv_heads);
  private_.resize(crew.members());
  errors_.resize(crew.members());
  broken_.resize(head_rows);
  for (Private& p : private_) {
    p.row.assign(d_stride_, 0.0F);
    p.head.assign(dims_, 0.0F);
    p.queries.assign(queries * dims_, 0.0F), p.mixed.assign(queries * dims_, 0.0F);
    p.begins.resize(queries), p.ends.resize(queries);
    p.scratch.assign(attend_scratch(queries, dims_), 0.0F);
    if (weights_->plain) p.floats.assign(replicated_rows * d_stride_, 0.0F);
    p.left.assign(std::max({d_stride_, ff_stride_, attn_stride_}), 0.0F);
    p.panels.resize(Panels::bytes(2 * replicated_rows, std::max({d_stride_, ff_stride_, attn_stride_}) / 32));
    if (bf16_prompts_)
      p.opened = HugeBuffer(bf16_room_bytes), p.attend_room = HugeBuffer(attend_bf16_room(queries, dims_));
  }
}

std::size_t Decoder::kv_bytes_per_token() const { return 2 * model().spec().layers * heads_.heads * heads_.head_bytes; }

std::size_t Decoder::workspace_bytes() const {
  const DecoderSpec& s = model().spec();
  std::size_t row = d_stride_ + qkv_stride_ + attn_stride_ + ff_stride_ + s.rope_dims;
  if (!weights_->local_frequencies.empty()) row += s.rope_dims;
  if (s.activation != Activation::silu) row += ff_stride_;
  if (s.post_norms || s.experts.count != 0) row += d_stride_;
  if (s.experts.count != 0) row += d_stride_;
  if (weights_->plain) row += d_stride_;
  const std::size_t blocks = std::max({d_stride_, ff_stride_, attn_stride_}) / 32;
  const std::size_t rounded = bf16_prompts_ ? 2 * most_rows() * rounded_stride_ * sizeof(std::uint16_t) : 0;
  return (most_rows() * row + head_rows * vocab_stride_) * sizeof(float) + Panels::bytes(2 * most_rows(), blocks) +
         rounded;
}

void Decoder::bind(std::uint8_t* arena, std::uint32_t page_tokens) {
  heads_.arena = arena;
  heads_.page_tokens = page_tokens;
}

void Decoder::copy_page(const PageCopy& copy) const {
  for (std::uint32_t l = 0; l < model().spec().layers; ++l)
    for (const bool value : {false, true})
      for (std::uint32_t h = 0; h < heads_.heads; ++h)
        std::memcpy(heads_.at(copy.to, l, value, h, 0), heads_.at(copy.from, l, value, h, 0),
                    copy.tokens * heads_.head_bytes);
}

/// Where prompts are computed in their own way, their rows come first in a step, so in the batch as well.
void Decoder::forward(const Batch& batch) {
  last_layer_ = backend::layers_of(batch, model().spec());
  if (bf16_prompts_) add_segments(batch, true);
  add_segments(batch, false);
  if (rows_ > 0) run_step();
}

/// The prompt rows of all segments, or what is left.
void Decoder::add_segments(const Batch& batch, bool prompts) {
  std::size_t drawn = 0;
  for (const Segment& s : batch.segments) {
    const auto total = static_cast<std::uint32_t>(s.tokens.size());
    const std::uint32_t own = bf16_prompts_ ? std::min(s.prompt, total) : 0, end = prompts ? own : total;
    for (std::uint32_t first = prompts ? 0 : own; first < end;) {
      const std::uint32_t rows = std::min(end - first, most_rows() - rows_);
      if (first != 0) lone_tiles_ = false;
      add_rows(s, {first, rows}, batch.drawn.data() + drawn);
      if (prompts) prompt_rows_ += rows;
      first += rows;
      if (rows_ == most_rows()) run_step();
    }
    drawn += s.draws.size();
  }
}

void Decoder::add_rows(const Segment& segment, Rows part, TokenScore* scores) {
  const auto [first, rows] = part;
  const bool bf16 = bf16_prompts_ && first < segment.prompt;
  const std::uint32_t most = bf16 ? bf16_tile_rows : tile_rows;
  if (rows > most) lone_tiles_ = false;
  for (std::uint32_t r = 0; r < rows; r += most)
    tiles_.push_back({&segment, first + r, std::min(most, rows - r), rows_ + r, bf16});
  const std::size_t vocab = model().spec().vocab, copied = segment.logits.size() / vocab;
  const std::size_t total = segment.tokens.size(), draws = segment.draws.size();
  const std::size_t d_model = model().spec().d_model, seen = backend::hidden_rows(segment, model().spec());
  for (std::size_t r = first; r < first + rows; ++r) {
    Wanted w{rows_ + static_cast<std::uint32_t>(r - first), nullptr, nullptr, nullptr};
    if (r + copied >= total) w.logits = &segment.logits[(r + copied - total) * vocab];
    if (r + draws >= total) {
      const std::size_t index = r + draws - total;
      w.spec = &segment.draws[index], w.score = scores + index;
    }
    if (w.logits != nullptr || w.spec != nullptr) wanted_.push_back(w);
    if (r + seen >= total) {
      float* to = &segment.hidden[(r + seen - total) * d_model];
      hidden_.push_back({w.row, segment.hidden_layer, segment.hidden_normed, to});
    }
  }
  rows_ += rows;
}

void Decoder::reserve(std::uint32_t rows) {
  const std::size_t held = d_stride_ == 0 ? 0 : x_.size() / d_stride_;
  if (held < rows) {
    const std::size_t n = rows <= tile_rows ? tile_rows : std::min(most_rows(), rows * 2);
    x_.assign(n * d_stride_, 0.0F), qkv_.assign(n * qkv_stride_, 0.0F);
    attn_.assign(n * attn_stride_, 0.0F), act_.assign(n * ff_stride_, 0.0F);
    trig_.assign(n * model().spec().rope_dims, 0.0F);
    const DecoderSpec& s = model().spec();
    if (!weights_->local_frequencies.empty()) local_trig_.assign(n * s.rope_dims, 0.0F);
    if (s.activation != Activation::silu) up_.assign(n * ff_stride_, 0.0F);
    if (s.post_norms || s.experts.count != 0) branch_.assign(n * d_stride_, 0.0F);
    if (s.experts.count != 0) normed_.assign(n * d_stride_, 0.0F), chosen_.resize(n), shared_.resize(n);
    routed_.resize(s.experts.count);
    if (weights_->plain) floats_.assign(n * d_stride_, 0.0F);
    panels_ = HugeBuffer(Panels::bytes(2 * n, std::max({d_stride_, ff_stride_, attn_stride_}) / 32));
    const std::size_t rounded = (n + 15) / 16 * 16 * rounded_stride_ * sizeof(std::uint16_t);
    if (bf16_prompts_) rounded_ = HugeBuffer(rounded), rounded_act_ = HugeBuffer(rounded);
  }
  const std::size_t logits = std::min<std::size_t>(wanted_.size(), head_rows) * vocab_stride_;
  if (logits_.size() < logits) logits_.resize(logits);
}

void Decoder::run_step() {
  struct Forget {  // also when draw throws
    Decoder& d;
    ~Forget() {
      d.rows_ = d.prompt_rows_ = 0, d.tiles_.clear(), d.wanted_.clear(), d.hidden_.clear(), d.lone_tiles_ = true;
    }
  } forget{*this};
  reserve(rows_);
  plan_narrowing();
  split_ = splits();
  std::fill(errors_.begin(), errors_.end(), nullptr);
  crew_->run([this](unsigned m) { layers(m); });
  for (const auto& error : errors_)
    if (error) std::rethrow_exception(error);
}

/// In bf16 opening the weights is cheap beside moving a step's numbers from core to core. So where each member has rows
/// enough, it takes the same ones through all products of a layer; only attention needs the others' rows.
bool Decoder::splits() const {
  const DecoderSpec& s = model().spec();
  const bool plain = s.experts.count == 0 && !s.post_norms && s.activation == Activation::silu && hidden_.empty();
  return plain && crew_->working() > 1 && prompt_rows_ == rows_ && rows_ >= least_own_rows * crew_->working();
}

/// Of whole tiles, so that no two members write one.
Decoder::Rows Decoder::own_rows(unsigned m) const {
  const std::uint32_t tiles = (rows_ + bf16_tile_rows - 1) / bf16_tile_rows,
                      each = (tiles + crew_->working() - 1) / crew_->working();
  const std::uint32_t first = std::min(rows_, m * each * bf16_tile_rows);
  return {first, std::min(rows_, first + each * bf16_tile_rows) - first};
}

void Decoder::meet_if_shared() {
  if (!split_) crew_->meet();
}

void Decoder::layers(unsigned m) {
  embed();
  write_hidden(m, 0);
  for (std::uint32_t l = 0; l < last_layer_; ++l) {
    const LayerWeights& w = weights_->layers[l];
    const auto bias = [](const PaddedFloats& b) { return b.empty() ? nullptr : b.data(); };
    // 8-bit inputs of keys and values are a quarter of all the divergence from fp32 (measured on SmolLM2 Q4_1: mean KL
    // 0.0029 instead of 0.0022), for a sixteenth of the work.
    const Product qkv[] = {{&w.q, nullptr, bias(w.q_bias), qkv_.data(), qkv_stride_, Ending::store, fine_},
                           {&w.k, nullptr, bias(w.k_bias), qkv_.data() + k_at_, qkv_stride_, Ending::store, true},
                           {&w.v, nullptr, bias(w.v_bias), qkv_.data() + v_at_, qkv_stride_, Ending::store, true}};
    multiply(*kernels_, *crew_, qkv,
             prepare(m, {x_.data(), d_stride_, d_stride_, &w.attn_norm}, forms_of({&w.q, &w.k, &w.v}, true)));
    crew_->meet();
    attention(m, l);
    crew_->meet();
    if (narrows_ && l + 1 == last_layer_) {
      if (kept_.empty()) return;
      if (m == 0) keep_rows();
      crew_->meet();
    }
    project(m, w);
    feed_forward(m, w);
    write_hidden(m, l + 1);
    if (!crew_->stays(m)) return;
  }
  if (split_) crew_->meet();
  heads(m);
}

void Decoder::plan_narrowing() {
  kept_.clear();
  for (const Wanted& w : wanted_) kept_.push_back(w.row);
  for (const Hidden& h : hidden_)
    if (h.layer == last_layer_) kept_.push_back(h.row);
  std::sort(kept_.begin(), kept_.end());
  kept_.erase(std::unique(kept_.begin(), kept_.end()), kept_.end());
  narrows_ = kept_.size() < rows_;
}

/// After the last layer's attention only rows that are wanted are needed, so they are moved together.
void Decoder::keep_rows() {
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    const std::size_t from = kept_[i];  // rising, so i <= from
    std::memmove(x_.data() + i * d_stride_, x_.data() + from * d_stride_, d_stride_ * sizeof(float));
    std::memmove(attn_.data() + i * attn_stride_, attn_.data() + from * attn_stride_, attn_stride_ * sizeof(float));
  }
  const auto place_of = [&](std::uint32_t row) {
    return static_cast<std::uint32_t>(std::lower_bound(kept_.begin(), kept_.end(), row) - kept_.begin());
  };
  for (Wanted& w : wanted_) w.row = place_of(w.row);
  for (Hidden& h : hidden_)
    if (h.layer == last_layer_) h.row = place_of(h.row);
  rows_ = static_cast<std::uint32_t>(kept_.size());
  prompt_rows_ = place_of(prompt_rows_);
  split_ = false;
}

/// The residual stream stands still from here to the next layer's feed-forward, which no member begins before all have
/// met twice.
void Decoder::write_hidden(unsigned m, std::uint32_t layer) {
  const std::size_t d_model = model().spec().d_model;
  for (std::size_t i = m; i < hidden_.size(); i += crew_->working()) {
    const Hidden& h = hidden_[i];
    if (h.layer != layer) continue;
    const float* from = x_.data() + h.row * d_stride_;
    if (h.normed) {
      float* normed = private_[m].row.data();
      kernels_->rms_norm(from, weights_->output_norm.data(), normed, d_model, model().spec().rms_eps);
      from = normed;
    }
    std::copy_n(from, d_model, h.to);
  }
}

namespace {

/// Cosine and sine of every angle of a position.
void fill_angles(std::span<const double> frequencies, double position, float scale, float* trig) {
  for (const double f : frequencies) {
    *trig++ = static_cast<float>(std::cos(position * f)) * scale;
    *trig++ = static_cast<float>(std::sin(position * f)) * scale;
  }
}

}  // namespace

/// Rows of the embedding, and cosine and sine of every angle of every row's position.
void Decoder::embed() {
  const DecoderSpec& spec = model().spec();
  for (std::uint32_t t = crew_->take(1); t < tiles_.size(); t = crew_->take(1)) {
    const Piece& p = tiles_[t];
    for (std::uint32_t r = 0; r < p.rows; ++r) {
      const auto token = static_cast<std::uint64_t>(p.segment->tokens[p.first + r]);
      const std::span<float> x{x_.data() + (p.offset + r) * d_stride_, spec.d_model};
      dequantize_rows(model().embedding(), token, 1, x);
      if (spec.embedding_scale != 1.0F)
        for (float& value : x) value *= spec.embedding_scale;
      const double position = p.segment->start + p.first + r;
      const std::size_t trig = (p.offset + r) * spec.rope_dims;
      fill_angles(weights_->rope_frequencies, position, spec.rope_scale, trig_.data() + trig);
      if (!weights_->local_frequencies.empty())
        fill_angles(weights_->local_frequencies, position, spec.rope_scale, local_trig_.data() + trig);
    }
  }
  crew_->meet();
}

void Decoder::heads(unsigned m) {
  const DecoderSpec& spec = model().spec();
  for (std::size_t start = 0; start < wanted_.size(); start += head_rows) {
    const auto rows = static_cast<std::uint32_t>(std::min<std::size_t>(head_rows, wanted_.size() - start));
    const bool plain = is_plain(weights_->head.format);
    Panels panels{panels_.data(), rows, static_cast<std::uint32_t>(d_stride_ / 32)};
    if (fine_) panels.rest = panels.data + Panels::bytes(rows, panels.blocks);
    for (std::uint32_t i = crew_->take(1); i < rows; i = crew_->take(1)) {
      const float* x = x_.data() + wanted_[start + i].row * d_stride_;
      float* const normed = plain ? floats_.data() + i * d_stride_ : private_[m].row.data();
      kernels_->rms_norm(x, weights_->output_norm.data(), normed, spec.d_model, spec.rms_eps);
      broken_[i] = !all_finite(normed, spec.d_model);
      if (!plain) panels.fill(*kernels_, i, normed, private_[m].left.data());
    }
    if (m == 0) drawn_->store(0, std::memory_order_relaxed);
    crew_->meet();
    const Product head[] = {{&weights_->head, nullptr, nullptr, logits_.data(), vocab_stride_, Ending::store, fine_}};
    multiply(*kernels_, *crew_, head, {{}, panels, {floats_.data(), d_stride_, rows}});
    crew_->meet();
    if (spec.logit_softcap != 0.0F) cap_logits(rows);
    draw_rows(m, static_cast<std::uint32_t>(start), rows);
    crew_->meet();
  }
}

/// A row each. Who finds none left helps those that draw.
void Decoder::draw_rows(unsigned m, std::uint32_t start, std::uint32_t rows) {
  for (std::uint32_t i = crew_->take(1); i < rows; i = crew_->take(1)) {
    float* logits = logits_.data() + i * vocab_stride_;
    if (broken_[i]) std::fill_n(logits, model().spec().vocab, std::numeric_limits<float>::quiet_NaN());
    try {
      emit(m, wanted_[start + i], logits);
    } catch (...) {
      errors_[m] = std::current_exception();
    }
    drawn_->fetch_add(1, std::memory_order_release);
  }
  while (drawn_->load(std::memory_order_acquire) < rows) {
    bool helped = false;
    for (unsigned other = 0; other < crew_->working(); ++other) helped |= private_[other].helpers->help();
    if (!helped) breathe();
  }
}

/// In chunks, since a vocabulary is wide and often only one row is wanted.
void Decoder::cap_logits(std::uint32_t rows) {
  constexpr std::uint32_t chunk = 4096;
  const DecoderSpec& spec = model().spec();
  const std::uint32_t chunks = (spec.vocab + chunk - 1) / chunk;
  for (std::uint32_t t = crew_->take(1); t < rows * chunks; t = crew_->take(1)) {
    float* row = logits_.data() + t / chunks * vocab_stride_;
    const std::uint32_t first = t % chunks * chunk, last = std::min(first + chunk, spec.vocab);
    for (std::uint32_t i = first; i < last; ++i) row[i] = spec.logit_softcap * std::tanh(row[i] / spec.logit_softcap);
  }
  crew_->meet();
}

void Decoder::emit(unsigned m, const Wanted& wanted, const float* logits) {
  const std::span<const float> row{logits, model().spec().vocab};
  if (wanted.logits != nullptr) std::copy(row.begin(), row.end(), wanted.logits);
  RowHelpers* const helpers = crew_->working() > 1 ? private_[m].helpers.get() : nullptr;
  if (wanted.spec != nullptr) *wanted.score = private_[m].drawer.draw(row, *wanted.spec, helpers);
}

}  // namespace frugal::cpu
