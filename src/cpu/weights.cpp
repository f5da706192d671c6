#include "cpu/weights.hpp"

#include "backend/prepared.hpp"
#include "backend/rope.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>

namespace frugal::cpu {
namespace {

struct Plan {
  const Tensor* tensor;
  PackedMatrix* matrix;
};

/// Activations are rounded to whole numbers before quantised matrices, where a NaN would be lost: it is refused at the
/// door, in every format alike.
[[noreturn]] void refuse(const Tensor& tensor) {
  throw Error(Errc::bad_model, "tensor " + tensor.name + " holds values that are not finite numbers");
}

PaddedFloats vector_of(const Tensor* tensor) {
  if (tensor == nullptr) return {};
  PaddedFloats values(round_up(tensor->rows * tensor->cols, block_inputs));
  dequantize(tensor->type, tensor->data, {values.data(), tensor->rows * tensor->cols});
  if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) refuse(*tensor);
  return values;
}

void plan_gated(const std::array<const Tensor*, 3>& parts, GatedWeights& to, std::vector<Plan>& plans) {
  plans.push_back({parts[0], &to.gate});
  plans.push_back({parts[1], &to.up});
  plans.push_back({parts[2], &to.down});
}

void plan_experts(const Model& model, std::uint32_t index, LayerWeights& layer, std::vector<Plan>& plans) {
  const ExpertsSpec& experts = model.spec().experts;
  layer.router = vector_of(model.layer(index, "ffn_gate_inp"));
  layer.experts.resize(experts.count);
  for (std::uint32_t e = 0; e < experts.count; ++e)
    plan_gated(
        {model.expert(index, "ffn_gate", e), model.expert(index, "ffn_up", e), model.expert(index, "ffn_down", e)},
        layer.experts[e], plans);
  if (experts.shared_d_ff == 0) return;
  const auto at = [&](const char* part) { return model.layer(index, part); };
  plan_gated({at("ffn_gate_shexp"), at("ffn_up_shexp"), at("ffn_down_shexp")}, layer.shared, plans);
  layer.shared_gate = vector_of(at("ffn_gate_inp_shexp"));
}

std::vector<Plan> plan_layer(const Model& model, std::uint32_t index, LayerWeights& layer) {
  const auto at = [&](const char* part) { return model.layer(index, part); };
  const DecoderSpec& spec = model.spec();
  layer.attn_norm = vector_of(at("attn_norm")), layer.ffn_norm = vector_of(at("ffn_norm"));
  if (spec.qk_norm) layer.q_norm = vector_of(at("attn_q_norm")), layer.k_norm = vector_of(at("attn_k_norm"));
  if (spec.qkv_bias) {
    layer.q_bias = vector_of(model.layer(index, "attn_q", true));
    layer.k_bias = vector_of(model.layer(index, "attn_k", true));
    layer.v_bias = vector_of(model.layer(index, "attn_v", true));
  }
  if (spec.post_norms) {
    layer.post_attention_norm = vector_of(at("post_attention_norm"));
    layer.post_ffw_norm = vector_of(at("post_ffw_norm"));
  }
  std::vector<Plan> plans{
      {at("attn_q"), &layer.q}, {at("attn_k"), &layer.k}, {at("attn_v"), &layer.v}, {at("attn_output"), &layer.o}};
  if (spec.experts.count != 0)
    plan_experts(model, index, layer, plans);
  else
    plan_gated({at("ffn_gate"), at("ffn_up"), at("ffn_down")}, layer.ffn, plans);
  return plans;
}

/// Places every matrix in the buffer, each strip on its own cache line.
void place(std::vector<Plan>& plans, FloatWeights floats, DecoderWeights& weights) {
  std::size_t bytes = 0;
  for (Plan& p : plans) {
    *p.matrix = packed_shape(*p.tensor, floats);
    weights.plain |= is_plain(p.matrix->format);
    bytes += p.matrix->bytes();
  }
  weights.buffer = HugeBuffer(bytes);
  const std::uint8_t* next = weights.buffer.data();
  for (Plan& p : plans) {
    p.matrix->data = next;
    next += p.matrix->bytes();
  }
}

constexpr std::uint32_t strips_per_take = 16;

/// The file's bytes of strips [first, last) are packed: they need no memory any more.
void forget(const Tensor& tensor, std::uint32_t first, std::uint32_t last) {
  if (!tensor.mapped) return;
  const std::uint64_t from = std::min<std::uint64_t>(first * strip_rows, tensor.rows),
                      to = std::min<std::uint64_t>(last * strip_rows, tensor.rows);
  give_back(tensor.data.subspan(from * tensor.row_bytes(), (to - from) * tensor.row_bytes()));
}

void fill(const std::vector<Plan>& plans, DecoderWeights& weights, Crew& crew) {
  std::uint8_t* base = weights.buffer.data();
  std::atomic<const Tensor*> broken{nullptr};
  crew.run([&](unsigned) {
    std::uint32_t before = 0, start = crew.take(strips_per_take);
    for (const Plan& p : plans) {
      const PackedMatrix& m = *p.matrix;
      const std::uint32_t padded = static_cast<std::uint32_t>(round_up(m.strips, strips_per_take));  // whole takes
      while (start < before + padded) {
        const std::uint32_t first = start - before, last = std::min(first + strips_per_take, m.strips);
        if (!pack_strips(*p.tensor, m, first, last, base + (m.data - base))) broken = p.tensor;
        forget(*p.tensor, first, last);
        start = crew.take(strips_per_take);
      }
      before += padded;
    }
    crew.meet();
  });
  if (const Tensor* tensor = broken) refuse(*tensor);
}

}  // namespace

std::shared_ptr<const DecoderWeights> shared_weights(std::shared_ptr<const Model> model, Crew& crew,
                                                     FloatWeights floats) {
  static backend::Prepared<DecoderWeights> prepared;
  const Model* key = model.get();
  const char* form = floats == FloatWeights::repacked ? "8-bit floats" : "";
  return prepared.get(key, form, [&] { return pack_weights(std::move(model), crew, floats); });
}

DecoderWeights pack_weights(std::shared_ptr<const Model> model, Crew& crew, FloatWeights floats) {
  DecoderWeights weights;
  const DecoderSpec& spec = model->spec();
  if (spec.rope_dims > spec.head_dim || spec.rope_dims % 2 != 0)
    throw Error(Errc::unsupported, "rope_dims " + std::to_string(spec.rope_dims) + " do not fit the head");
  weights.layers.resize(spec.layers);
  std::vector<Plan> plans;
  for (std::uint32_t l = 0; l < spec.layers; ++l)
    for (const Plan& p : plan_layer(*model, l, weights.layers[l])) plans.push_back(p);
  plans.push_back({&model->head(), &weights.head});
  weights.output_norm = vector_of(&model->output_norm());
  weights.rope_frequencies = backend::rope_frequencies(spec);
  weights.local_frequencies = backend::local_rope_frequencies(spec);
  place(plans, floats, weights);
  fill(plans, weights, crew);
  for (const Plan& p : plans) forget(*p.tensor, 0, p.matrix->strips);  // pages that two takes shared
  weights.model = std::move(model);
  return weights;
}

}  // namespace frugal::cpu
