// The phases of Decoder between attention and the next layer: the projection of what attention mixed, and the
// feed-forward part or a mixture of experts. A row's numbers depend on the row alone: an expert computes its rows side by
// side, and a row adds its experts by index.
#include "cpu/decoder.hpp"

#include <algorithm>
#include <cmath>

namespace frugal::cpu {
namespace {

float gelu_tanh(float x) {
  constexpr float c = 0.79788456F;  // sqrt(2 / pi)
  return 0.5F * x * (1.0F + std::tanh(c * (x + 0.044715F * x * x * x)));
}

/// a . b in sixteen chains, which a compiler can lay side by side.
float dot(const float* a, const float* b, std::size_t n) {
  float sums[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (std::size_t j = 0; j < 16; ++j) sums[j] += a[i + j] * b[i + j];
  for (; i < n; ++i) sums[i % 16] += a[i] * b[i];
  float total = 0.0F;
  for (const float sum : sums) total += sum;
  return total;
}

}  // namespace

/// A row as it is, or normed into `room`.
const float* Decoder::normed_row(const RowSource& from, std::uint32_t row, float* room) const {
  if (from.norm == nullptr) return from.at(row);
  kernels_->rms_norm(from.at(row), from.norm->data(), room, model().spec().d_model, model().spec().rms_eps);
  return room;
}

/// Rows for products.
Inputs Decoder::prepare_rows(unsigned m, RowCounts counts, const RowSource& from, const Forms& forms) {
  const std::uint32_t rows = counts.rows - counts.prompt;
  const bool mine = counts.rows <= replicated_rows && counts.prompt == 0;
  Private& own = private_[m];
  auto* const rounded = reinterpret_cast<std::uint16_t*>(rounded_.data());
  const auto round = [&](std::uint32_t row) {
    kernels_->bf16->round(normed_row(from, row, own.row.data()), from.width, rounded + row * rounded_stride_);
  };
  if (split_) {
    const Rows part = own_rows(m);
    for (std::uint32_t row = part.first; row < part.first + part.count; ++row) round(row);
    const Bf16Rows x{rounded + part.first * rounded_stride_, rounded_stride_, part.count};
    return {x, {}, {}, own.opened.data(), true, part.first};
  }
  Panels panels{mine ? own.panels.data() : panels_.data(), rows, static_cast<std::uint32_t>(from.width / 32)};
  if (forms.fine) panels.rest = panels.data + Panels::bytes(rows, panels.blocks);
  const bool moved = forms.floats && !from.in_place();
  float* const room = mine ? own.floats.data() : floats_.data();
  FloatRows floats{nullptr, 0, rows};
  if (forms.floats)
    floats.data = moved ? room : from.at(counts.prompt), floats.stride = moved ? d_stride_ : from.stride;
  const auto fill = [&](std::uint32_t row) {
    if (row < counts.prompt) return round(row);
    float* const to = moved ? room + (row - counts.prompt) * d_stride_ : own.row.data();
    const float* x = normed_row(from, row, to);
    if (moved && x != to) std::copy_n(x, from.width, to);
    if (forms.bytes) panels.fill(*kernels_, row - counts.prompt, x, own.left.data());
  };
  if (mine) {
    for (std::uint32_t row = 0; row < rows; ++row) fill(row);
  } else if (moved || forms.bytes || counts.prompt != 0) {
    for (std::uint32_t row = crew_->take(1); row < counts.rows; row = crew_->take(1)) fill(row);
    crew_->meet();
  }
  return {{rounded, rounded_stride_, counts.prompt}, panels, floats, own.opened.data()};
}

/// The rows of this step.
Inputs Decoder::prepare(unsigned m, const RowSource& from, const Forms& forms) {
  return prepare_rows(m, {rows_, prompt_rows_}, from, forms);
}

/// x += rms_norm(branch, norm).
void Decoder::add_branch(unsigned m, const PaddedFloats& norm) {
  const DecoderSpec& spec = model().spec();
  float* normed = private_[m].row.data();
  for (std::uint32_t row = crew_->take(1); row < rows_; row = crew_->take(1)) {
    kernels_->rms_norm(branch_.data() + row * d_stride_, norm.data(), normed, spec.d_model, spec.rms_eps);
    float* x = x_.data() + row * d_stride_;
    for (std::size_t i = 0; i < spec.d_model; ++i) x[i] += normed[i];
  }
  crew_->meet();
}

void Decoder::project(unsigned m, const LayerWeights& w) {
  const bool post = !w.post_attention_norm.empty();
  const Product o[] = {{&w.o, nullptr, nullptr, post ? branch_.data() : x_.data(), d_stride_,
                        post ? Ending::store : Ending::add, fine_}};
  multiply(*kernels_, *crew_, o, prepare(m, {attn_.data(), attn_stride_, attn_stride_}, forms_of({&w.o}, fine_)));
  meet_if_shared();
  if (post) add_branch(m, w.post_attention_norm);
}

void Decoder::feed_forward(unsigned m, const LayerWeights& w) {
  if (!w.experts.empty()) return mixture(m, w);
  const bool post = !w.post_ffw_norm.empty();
  const RowSource from{x_.data(), d_stride_, d_stride_, &w.ffn_norm};
  gated(m, w.ffn, prepare(m, from, forms_of({&w.ffn.gate, &w.ffn.up}, fine_)), post ? Ending::store : Ending::add,
        post ? branch_.data() : x_.data());
  if (post) add_branch(m, w.post_ffw_norm);
}

/// act = activation(act) * up, over whole rows.
void Decoder::activate(std::uint32_t rows, std::size_t width) {
  for (std::uint32_t row = crew_->take(1); row < rows; row = crew_->take(1)) {
    float* act = act_.data() + row * ff_stride_;
    const float* up = up_.data() + row * ff_stride_;
    for (std::size_t i = 0; i < width; ++i) act[i] = gelu_tanh(act[i]) * up[i];
  }
  crew_->meet();
}

/// A wider expert may have left something in the last block of a row.
void Decoder::clear_padding(unsigned m, std::uint32_t rows, std::size_t from, std::size_t to) {
  if (to == from || routed_.empty()) return;
  auto* const rounded = reinterpret_cast<std::uint16_t*>(rounded_act_.data());
  for (std::uint32_t row = 0; m == 0 && row < rows; ++row) {
    std::fill_n(act_.data() + row * ff_stride_ + from, to - from, 0.0F);
    if (rounded != nullptr) std::fill_n(rounded + row * rounded_stride_ + from, to - from, std::uint16_t{0});
  }
  crew_->meet();
}

/// What the gate let through of the rows of x, as inputs; `rounded`: those of prompts are there in bf16, or null.
Inputs Decoder::gate_inputs(unsigned m, const Inputs& x, const PackedMatrix& down, const std::uint16_t* rounded) {
  const std::uint32_t done = rounded != nullptr ? x.prompt.rows : 0;
  const RowSource from{act_.data() + done * ff_stride_, ff_stride_, std::size_t{down.blocks} * 32};
  const Forms forms = forms_of({&down}, fine_);
  if (rounded == nullptr) return prepare_rows(m, {x.rows(), x.prompt.rows}, from, forms);
  Inputs act = x;
  if (!x.own) {
    const Inputs others = prepare_rows(m, {x.panels.rows, 0}, from, forms);
    act.panels = others.panels, act.floats = others.floats;
  }
  act.prompt.data = rounded + x.first * rounded_stride_;
  return act;
}

/// out = (or +=) (activation(x gate) * (x up)) down for the rows of x.
void Decoder::gated(unsigned m, const GatedWeights& w, const Inputs& x, Ending ending, float* out) {
  const std::size_t width = std::size_t{w.down.blocks} * 32;
  clear_padding(m, x.rows(), w.gate.rows, width);
  std::uint16_t* rounded = nullptr;
  if (model().spec().activation == Activation::silu) {
    if (x.prompt.rows != 0) rounded = reinterpret_cast<std::uint16_t*>(rounded_act_.data());
    const Product gate[] = {
        {&w.gate, &w.up, nullptr, act_.data(), ff_stride_, Ending::gate, fine_, rounded, rounded_stride_}};
    multiply(*kernels_, *crew_, gate, x);
    meet_if_shared();
  } else {
    const Product both[] = {{&w.gate, nullptr, nullptr, act_.data(), ff_stride_, Ending::store, fine_},
                            {&w.up, nullptr, nullptr, up_.data(), ff_stride_, Ending::store, fine_}};
    multiply(*kernels_, *crew_, both, x);
    crew_->meet();
    activate(x.rows(), w.gate.rows);
  }
  const Product down[] = {{&w.down, nullptr, nullptr, out, d_stride_, ending, fine_}};
  multiply(*kernels_, *crew_, down, gate_inputs(m, x, w.down, rounded));
  meet_if_shared();
}

/// Which experts each row passes; afterwards the rows of each expert.
void Decoder::route(unsigned m, const LayerWeights& w) {
  const DecoderSpec& spec = model().spec();
  std::vector<float> scores(spec.experts.count);
  for (std::uint32_t row = crew_->take(1); row < rows_; row = crew_->take(1)) {
    float* normed = normed_.data() + row * d_stride_;
    kernels_->rms_norm(x_.data() + row * d_stride_, w.ffn_norm.data(), normed, spec.d_model, spec.rms_eps);
    for (std::size_t e = 0; e < scores.size(); ++e)
      scores[e] = dot(normed, w.router.data() + e * spec.d_model, spec.d_model);
    chosen_[row] = backend::choose_experts(spec.experts, scores);
    if (!w.shared_gate.empty())
      shared_[row] = 1.0F / (1.0F + std::exp(-dot(normed, w.shared_gate.data(), spec.d_model)));
  }
  crew_->meet();
  if (m == 0) {
    for (Routed& r : routed_) r.rows.clear(), r.weights.clear();
    for (std::uint32_t row = 0; row < rows_; ++row)
      for (const auto& [expert, weight] : chosen_[row]) {
        routed_[expert].rows.push_back(row);
        routed_[expert].weights.push_back(weight);
      }
  }
  crew_->meet();
}

/// x += weight * branch for the rows that passed an expert.
void Decoder::add_experts(std::uint32_t expert) {
  const Routed& routed = routed_[expert];
  const auto rows = static_cast<std::uint32_t>(routed.rows.size());
  for (std::uint32_t i = crew_->take(1); i < rows; i = crew_->take(1)) {
    float* x = x_.data() + routed.rows[i] * d_stride_;
    const float* y = branch_.data() + i * d_stride_;
    for (std::size_t j = 0; j < model().spec().d_model; ++j) x[j] += routed.weights[i] * y[j];
  }
  crew_->meet();
}

void Decoder::mixture(unsigned m, const LayerWeights& w) {
  route(m, w);
  for (std::uint32_t e = 0; e < w.experts.size(); ++e) {
    const Routed& routed = routed_[e];
    if (routed.rows.empty()) continue;
    const auto prompt = std::lower_bound(routed.rows.begin(), routed.rows.end(), prompt_rows_) - routed.rows.begin();
    const RowCounts counts{static_cast<std::uint32_t>(routed.rows.size()), static_cast<std::uint32_t>(prompt)};
    const RowSource from{normed_.data(), d_stride_, d_stride_, nullptr, routed.rows.data()};
    const GatedWeights& expert = w.experts[e];
    const Inputs inputs = prepare_rows(m, counts, from, forms_of({&expert.gate, &expert.up}, fine_));
    gated(m, expert, inputs, Ending::store, branch_.data());
    add_experts(e);
  }
  if (w.shared_gate.empty()) return;
  const RowSource from{normed_.data(), d_stride_, d_stride_};
  const Inputs inputs = prepare(m, from, forms_of({&w.shared.gate, &w.shared.up}, fine_));
  gated(m, w.shared, inputs, Ending::store, branch_.data());
  for (std::uint32_t row = crew_->take(1); row < rows_; row = crew_->take(1)) {
    float* x = x_.data() + row * d_stride_;
    const float* y = branch_.data() + row * d_stride_;
    for (std::size_t j = 0; j < model().spec().d_model; ++j) x[j] += shared_[row] * y[j];
  }
  crew_->meet();
}

}  // namespace frugal::cpu
