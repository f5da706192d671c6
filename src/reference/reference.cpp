// The decoder as DecoderSpec states it, one row at a time from the embedding to the logits. Rows of a segment run in
// order, so the keys and values a row attends to are written before it comes; nothing is shared between rows, which is
// why the result cannot depend on the batch.
#include <frugal/backend/reference.hpp>

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "backend/contract.hpp"
#include "backend/experts.hpp"
#include "backend/prepared.hpp"
#include "backend/rope.hpp"
#include "reference/weights.hpp"

namespace frugal {
namespace {

using Eigen::Index;
using reference::LayerWeights;
using reference::Vector;
using HeadMap = Eigen::Map<const Vector>;

struct Loaded {
  explicit Loaded(std::shared_ptr<const Model> m)
      : model(std::move(m)),
        weights(*model),
        frequencies(backend::rope_frequencies(model->spec())),
        local_frequencies(backend::local_rope_frequencies(model->spec())) {}

  /// The same for every reference backend of the process that runs this Model object.
  static std::shared_ptr<const Loaded> of(std::shared_ptr<const Model> m) {
    static backend::Prepared<Loaded> prepared;
    const Model* key = m.get();
    return prepared.get(key, "", [&] { return Loaded(std::move(m)); });
  }
  std::shared_ptr<const Model> model;
  reference::Weights weights;
  std::vector<double> frequencies, local_frequencies;  // the second of layers with a window, empty where they are alike
};

/// Where one sequence's keys and values of one model lie: [layer][K|V][token][kv head][head_dim] inside each page.
struct Pages {
  std::byte* arena;
  std::span<const Granule> table;
  std::size_t page_tokens;
  std::size_t kv_width;

  float* at(std::size_t layer, bool value, std::size_t position) const {
    const std::size_t page = static_cast<std::size_t>(table[position / page_tokens]) * granule_bytes;
    const std::size_t row = (layer * 2 + (value ? 1 : 0)) * page_tokens + position % page_tokens;
    return reinterpret_cast<float*>(arena + page) + row * kv_width;
  }
};

template <class In>
Vector rms_norm(const In& x, const Vector& gain, float eps) {
  const float scale = 1.0F / std::sqrt(x.squaredNorm() / static_cast<float>(x.size()) + eps);
  return (x * scale).cwiseProduct(gain);
}

Vector linear(const reference::Matrix& w, const Vector& bias, const Vector& x) {
  Vector y = w * x;
  if (bias.size() > 0) y += bias;
  return y;
}

/// The forward pass of one row; `position` is its place in the sequence.
class Row {
 public:
  Row(const Loaded& loaded, Pages pages, Token token, std::uint32_t position)
      : loaded_(loaded), spec_(loaded.model->spec()), pages_(pages), position_(position), x_(embed(token)) {}

  /// The layers up to `end`, from where it stands.
  void run_to(std::uint32_t end) {
    for (; layer_ < end; ++layer_) {
      const LayerWeights& w = loaded_.weights.layers[layer_];
      set_angles(layer_);
      x_ += normed_again(attention(w, layer_, rms_norm(x_, w.attn_norm, spec_.rms_eps)), w.post_attention_norm);
      x_ += normed_again(feed_forward(w, rms_norm(x_, w.ffn_norm, spec_.rms_eps)), w.post_ffw_norm);
    }
  }

  /// The residual stream after the layers run so far.
  const Vector& hidden() const { return x_; }
  Vector normed() const { return rms_norm(x_, loaded_.weights.output_norm, spec_.rms_eps); }
  Vector logits() const {
    Vector y = loaded_.weights.head() * normed();
    soft_cap(y, spec_.logit_softcap);
    return y;
  }

 private:
  Vector embed(Token token) const { return loaded_.weights.embedding.row(token).transpose() * spec_.embedding_scale; }

  static void soft_cap(Vector& x, float cap) {
    if (cap != 0.0F) x = (cap * (x.array() / cap).tanh()).eval();
  }

  Vector normed_again(const Vector& x, const Vector& gain) const {
    return gain.size() == 0 ? x : rms_norm(x, gain, spec_.rms_eps);
  }

  void set_angles(std::size_t layer) {
    cos_.resize(spec_.rope_dims / 2), sin_.resize(spec_.rope_dims / 2);
    backend::rope_angles(spec_.local_rope(layer) ? loaded_.local_frequencies : loaded_.frequencies, position_, cos_,
                         sin_);
    for (float& c : cos_) c *= spec_.rope_scale;
    for (float& s : sin_) s *= spec_.rope_scale;
  }

  Vector activated(const Vector& x) const {
    if (spec_.activation == Activation::silu) return x.array() / (1.0F + (-x.array()).exp());
    const float c = std::sqrt(2.0F / std::numbers::pi_v<float>);
    return 0.5F * x.array() * (1.0F + (c * (x.array() + 0.044715F * x.array().cube())).tanh());
  }

  Vector gated(const reference::FeedForward& w, const Vector& h) const {
    const Vector gate = w.gate * h;
    const Vector up = w.up * h;
    return w.down * activated(gate).cwiseProduct(up);
  }

  Vector feed_forward(const LayerWeights& w, const Vector& h) const {
    if (spec_.experts.count == 0) return gated(w.ffn, h);
    const Vector scores = w.router * h;
    Vector y = Vector::Zero(h.size());
    for (const auto& [expert, weight] : backend::choose_experts(spec_.experts, {scores.data(), spec_.experts.count}))
      y += weight * gated(w.experts[expert], h);
    if (spec_.experts.shared_d_ff != 0) y += gated(w.shared, h) / (1.0F + std::exp(-w.shared_gate.dot(h)));
    return y;
  }

  Vector attention(const LayerWeights& w, std::size_t layer, const Vector& h) {
    Vector q = linear(w.q, w.q_bias, h), k = linear(w.k, w.k_bias, h);
    const Vector v = linear(w.v, w.v_bias, h);
    prepare_heads(q, w.q_norm), prepare_heads(k, w.k_norm);
    std::copy_n(k.data(), k.size(), pages_.at(layer, false, position_));
    std::copy_n(v.data(), v.size(), pages_.at(layer, true, position_));
    Vector mixed(q.size());
    for (std::uint32_t head = 0; head < spec_.heads; ++head) {
      const Index d = spec_.head_dim;
      mixed.segment(head * d, d) = attend(layer, head / (spec_.heads / spec_.kv_heads), q.segment(head * d, d));
    }
    return w.o * mixed;
  }

  void prepare_heads(Vector& x, const Vector& norm) const {
    const Index d = spec_.head_dim;
    for (Index at = 0; at < x.size(); at += d) {
      if (norm.size() > 0) x.segment(at, d) = rms_norm(x.segment(at, d).eval(), norm, spec_.rms_eps);
      turn(x.data() + at);
    }
  }

  void turn(float* head) const {
    for (std::size_t i = 0; i < cos_.size(); ++i) {
      const auto [a, b] = backend::rope_pair(spec_, i);
      const float xa = head[a], xb = head[b];
      head[a] = xa * cos_[i] - xb * sin_[i];
      head[b] = xb * cos_[i] + xa * sin_[i];
    }
  }

  Vector attend(std::size_t layer, std::uint32_t kv_head, const Vector& q) const {
    const std::uint32_t window = spec_.window(layer);
    const std::uint32_t first = window > 0 && position_ + 1 > window ? position_ + 1 - window : 0;
    const std::size_t offset = std::size_t{kv_head} * spec_.head_dim;
    const Index d = spec_.head_dim, n = position_ + 1 - first;
    Vector p(n);
    for (Index i = 0; i < n; ++i) {
      p[i] = q.dot(HeadMap(pages_.at(layer, false, first + static_cast<std::size_t>(i)) + offset, d));
    }
    p *= backend::attention_scale(spec_);
    soft_cap(p, spec_.attention_softcap);
    p = (p.array() - p.maxCoeff()).exp().eval();
    p /= p.sum();
    Vector out = Vector::Zero(d);
    for (Index i = 0; i < n; ++i) {
      out += p[i] * HeadMap(pages_.at(layer, true, first + static_cast<std::size_t>(i)) + offset, d);
    }
    return out;
  }

  const Loaded& loaded_;
  const DecoderSpec& spec_;
  Pages pages_;
  std::uint32_t position_;
  std::uint32_t layer_ = 0;
  Vector x_;  // [d_model], the residual stream
  std::vector<float> cos_, sin_;
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  BackendTraits traits() const override {
    return {.device = "cpu", .batch_invariant = true, .hidden_states = true, .deferral = true};
  }

  ModelId add_model(std::shared_ptr<const Model> model) override {
    backend::with_memory("reference: weights", [&] { models_.push_back(Loaded::of(std::move(model))); });
    return ModelId{static_cast<std::uint32_t>(models_.size() - 1)};
  }

  std::size_t kv_bytes_per_token(ModelId model) const override {
    const DecoderSpec& spec = loaded(model).model->spec();
    return std::size_t{2} * spec.layers * spec.kv_width() * sizeof(float);
  }

  void bind_arena(const ArenaLayout& layout) override {
    std::vector<std::size_t> kv;
    for (std::uint32_t i = 0; i < models_.size(); ++i) kv.push_back(kv_bytes_per_token(ModelId{i}));
    geometry_ = backend::check_layout(layout, kv);
    backend::with_memory("reference: arena",
                         [&] { bytes_ = std::make_unique_for_overwrite<std::byte[]>(layout.bytes); });
  }

  void copy_pages(std::span<const PageCopy> copies) override {
    backend::check_copies(copies, geometry_);
    for (const PageCopy& c : copies) {
      const Pages from = pages(c.model, {&c.from, 1}), to = pages(c.model, {&c.to, 1});
      for (std::size_t l = 0; l < loaded(c.model).model->spec().layers; ++l) {
        for (const bool value : {false, true}) {
          std::memcpy(to.at(l, value, 0), from.at(l, value, 0), c.tokens * from.kv_width * sizeof(float));
        }
      }
    }
  }

  Ticket read_pages(std::span<const PageRead> pages) override {
    return run_now([&] {
      for (const PageRead& p : pages)
        std::memcpy(p.bytes.data(), page_at(p.model, p.page, p.bytes.size()), p.bytes.size());
    });
  }

  Ticket write_pages(std::span<const PageWrite> pages) override {
    return run_now([&] {
      for (const PageWrite& p : pages)
        std::memcpy(page_at(p.model, p.page, p.bytes.size()), p.bytes.data(), p.bytes.size());
    });
  }

  std::uint64_t layout_fingerprint(ModelId id) const override {
    const Model& model = *loaded(id).model;
    if (id.index() >= geometry_.models.size()) return 0;
    return backend::layout_number("reference 1 [layer][K|V][token][head] fp32", model.spec(), model.fingerprint(),
                                  geometry_.models[id.index()].page_tokens);
  }

  void forward(const Batch& batch) override {
    const Loaded& model = loaded(batch.model);
    const std::uint32_t vocab = model.model->spec().vocab;
    backend::check_batch(batch, geometry_, model.model->spec(), traits().max_rows);
    backend::with_memory("reference: forward", [&] { run(batch, model, vocab); });
  }

 private:
  std::byte* page_at(ModelId model, Granule page, std::size_t bytes) const {
    return bytes_.get() + backend::check_page_bytes(model, page, bytes, geometry_, kv_bytes_per_token(model));
  }

  const Loaded& loaded(ModelId id) const {
    if (id.index() >= models_.size()) throw Error(Errc::invalid_argument, "reference: unknown model");
    return *models_[id.index()];
  }

  Pages pages(ModelId id, std::span<const Granule> table) const {
    return {.arena = bytes_.get(),
            .table = table,
            .page_tokens = geometry_.models[id.index()].page_tokens,
            .kv_width = loaded(id).model->spec().kv_width()};
  }

  /// Where row i's hidden state is asked for, runs it there and writes it down.
  static void copy_hidden(const Segment& s, std::size_t i, Row& row) {
    if (s.hidden.empty()) return;
    const auto width = static_cast<std::size_t>(row.hidden().size());
    const std::size_t before = s.tokens.size() - s.hidden.size() / width;
    if (i < before) return;
    row.run_to(s.hidden_layer);
    const Vector state = s.hidden_normed ? row.normed() : row.hidden();
    std::copy_n(state.data(), width, &s.hidden[(i - before) * width]);
  }

  void run(const Batch& batch, const Loaded& model, std::uint32_t vocab) {
    std::vector<Row> wanted;  // of all segments, in order
    const std::uint32_t layers = backend::layers_of(batch, model.model->spec());
    for (const Segment& s : batch.segments) {
      const std::size_t first = s.tokens.size() - backend::wanted_rows(s, vocab);
      for (std::size_t i = 0; i < s.tokens.size(); ++i) {
        Row row(model, pages(batch.model, s.pages), s.tokens[i], s.start + static_cast<std::uint32_t>(i));
        copy_hidden(s, i, row);
        row.run_to(layers);
        if (i >= first) wanted.push_back(std::move(row));
      }
    }
    Vector logits;
    std::size_t next = 0;
    backend::emit(batch, vocab, [&](std::size_t, std::size_t) -> std::span<const float> {
      logits = wanted[next++].logits();
      return {logits.data(), vocab};
    });
  }

  std::vector<std::shared_ptr<const Loaded>> models_;
  backend::BoundArena geometry_;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace

std::unique_ptr<Backend> reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace frugal
