#include "model/validate.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace frugal::model {
namespace {

[[noreturn]] void bad(const std::string& what) { throw Error(Errc::bad_model, what); }

void check_range(const char* field, std::uint64_t value, std::uint64_t most) {
  if (value == 0 || value > most)
    bad(std::string("decoder spec: ") + field + " is " + std::to_string(value) + ", expected 1 to " +
        std::to_string(most));
}

void check_not_negative(const char* field, double value) {
  if (!(value >= 0.0) || !std::isfinite(value))
    bad(std::string("decoder spec: ") + field + " is " + std::to_string(value) + ", expected 0 or more");
}

void check_positive(const char* field, double value) {
  if (!(value > 0.0) || !std::isfinite(value))
    bad(std::string("decoder spec: ") + field + " is " + std::to_string(value) + ", expected more than 0");
}

void check_experts(const ExpertsSpec& e) {
  check_range("experts.count", e.count, 1U << 12);
  check_range("experts.used", e.used, e.count);
  check_range("experts.d_ff", e.d_ff, 1U << 24);
  if (e.shared_d_ff != 0) check_range("experts.shared_d_ff", e.shared_d_ff, 1U << 24);
}

void add_gated(std::vector<Wanted>& wanted, const std::string& blk, const std::string& suffix, std::uint64_t d_ff,
               std::uint64_t d_model) {
  wanted.push_back({blk + "ffn_gate" + suffix + ".weight", d_ff, d_model});
  wanted.push_back({blk + "ffn_up" + suffix + ".weight", d_ff, d_model});
  wanted.push_back({blk + "ffn_down" + suffix + ".weight", d_model, d_ff});
}

void add_feed_forward(std::vector<Wanted>& wanted, const std::string& blk, const DecoderSpec& s) {
  const ExpertsSpec& e = s.experts;
  if (e.count == 0) return add_gated(wanted, blk, "", s.d_ff, s.d_model);
  wanted.push_back({blk + "ffn_gate_inp.weight", e.count, s.d_model});
  for (std::uint32_t i = 0; i < e.count; ++i) add_gated(wanted, blk, "." + std::to_string(i), e.d_ff, s.d_model);
  if (e.shared_d_ff == 0) return;
  add_gated(wanted, blk, "_shexp", e.shared_d_ff, s.d_model);
  wanted.push_back({blk + "ffn_gate_inp_shexp.weight", 1, s.d_model});
}

}  // namespace

void check_spec(const DecoderSpec& s) {
  // The limits keep every product of two fields below 2^63; real decoders are far inside.
  check_range("layers", s.layers, 4096);
  check_range("d_model", s.d_model, 1U << 20);
  if (s.experts.count == 0) check_range("d_ff", s.d_ff, 1U << 24);
  check_range("heads", s.heads, 1U << 12);
  check_range("kv_heads", s.kv_heads, s.heads);
  check_range("head_dim", s.head_dim, 1U << 16);
  check_range("vocab", s.vocab, std::numeric_limits<std::int32_t>::max());
  check_range("context", s.context, std::numeric_limits<std::int32_t>::max());
  check_range("rope_dims", s.rope_dims, s.head_dim);
  if (s.heads % s.kv_heads != 0)
    bad("decoder spec: kv_heads " + std::to_string(s.kv_heads) + " does not divide heads " + std::to_string(s.heads));
  if (s.rope_dims % 2 != 0) bad("decoder spec: rope_dims " + std::to_string(s.rope_dims) + " is odd");
  if (!(s.rms_eps >= 0.0F && s.rms_eps < 1.0F))
    bad("decoder spec: rms_eps " + std::to_string(s.rms_eps) + " is not in [0, 1)");
  if (!(s.rope_theta > 0.0) || !std::isfinite(s.rope_theta))
    bad("decoder spec: rope_theta " + std::to_string(s.rope_theta) + " is not positive");
  if (!s.rope_divisors.empty() && s.rope_divisors.size() != s.rope_dims / 2)
    bad("decoder spec: " + std::to_string(s.rope_divisors.size()) + " rope divisors for " +
        std::to_string(s.rope_dims / 2) + " frequencies");
  if (!s.full_attention.empty() && s.full_attention.size() != s.layers)
    bad("decoder spec: full_attention has " + std::to_string(s.full_attention.size()) + " entries for " +
        std::to_string(s.layers) + " layers");
  check_not_negative("local_rope_theta", s.local_rope_theta);
  check_not_negative("attention_scale", double{s.attention_scale});
  check_not_negative("attention_softcap", double{s.attention_softcap});
  check_not_negative("logit_softcap", double{s.logit_softcap});
  check_positive("rope_scale", double{s.rope_scale});
  check_positive("embedding_scale", double{s.embedding_scale});
  if (s.experts.count != 0) check_experts(s.experts);
  check_range("layers times experts", std::uint64_t{s.layers} * std::max(s.experts.count, 1U),
              1U << 16);  // of each, tensors
  for (const float divisor : s.rope_divisors)
    if (!(divisor > 0.0F) || !std::isfinite(divisor))
      bad("decoder spec: rope divisor " + std::to_string(divisor) + " is not positive");
}

void check_tensor(const Tensor& t) {
  const BlockShape block = block_shape(t.type);
  const std::string shape = t.name + " [" + std::to_string(t.rows) + ", " + std::to_string(t.cols) + "]";
  if (t.rows == 0 || t.cols == 0) bad("tensor " + shape + " is empty");
  if (t.cols % block.values != 0)
    bad("tensor " + shape + ": a row is not a whole number of " + std::string(to_string(t.type)) + " blocks");
  if (t.cols / block.values > std::numeric_limits<std::uint64_t>::max() / block.bytes ||
      t.rows > std::numeric_limits<std::uint64_t>::max() / t.row_bytes() || t.data.size() != t.rows * t.row_bytes())
    bad("tensor " + shape + " of " + std::string(to_string(t.type)) + " does not fit its " +
        std::to_string(t.data.size()) + " bytes");
}

std::vector<Wanted> wanted_tensors(const DecoderSpec& s) {
  std::vector<Wanted> wanted;
  wanted.push_back({"token_embd.weight", s.vocab, s.d_model});
  for (std::uint32_t layer = 0; layer < s.layers; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    wanted.push_back({blk + "attn_norm.weight", 1, s.d_model});
    wanted.push_back({blk + "attn_q.weight", s.q_width(), s.d_model});
    wanted.push_back({blk + "attn_k.weight", s.kv_width(), s.d_model});
    wanted.push_back({blk + "attn_v.weight", s.kv_width(), s.d_model});
    if (s.qkv_bias) {
      wanted.push_back({blk + "attn_q.bias", 1, s.q_width()});
      wanted.push_back({blk + "attn_k.bias", 1, s.kv_width()});
      wanted.push_back({blk + "attn_v.bias", 1, s.kv_width()});
    }
    if (s.qk_norm) {
      wanted.push_back({blk + "attn_q_norm.weight", 1, s.head_dim});
      wanted.push_back({blk + "attn_k_norm.weight", 1, s.head_dim});
    }
    wanted.push_back({blk + "attn_output.weight", s.d_model, s.q_width()});
    wanted.push_back({blk + "ffn_norm.weight", 1, s.d_model});
    if (s.post_norms) {
      wanted.push_back({blk + "post_attention_norm.weight", 1, s.d_model});
      wanted.push_back({blk + "post_ffw_norm.weight", 1, s.d_model});
    }
    add_feed_forward(wanted, blk, s);
  }
  wanted.push_back({"output_norm.weight", 1, s.d_model});
  if (!s.tied_head) wanted.push_back({"output.weight", s.vocab, s.d_model});
  return wanted;
}

}  // namespace frugal::model
