"""Loads a tiny random model in each released file layout that README lists, as a Hugging Face folder and as GGUF, and SmolLM2 in each
released quantisation, and compares the logits of the reference and the CPU backend with numpy_decoder.py.

The folders have the keys of the released config.json; the GGUF files have the keys, tensor names and arrangement that llama.cpp's
convert_hf_to_gguf.py gives that family (permuted queries and keys, norms plus one, stacked experts, rope factors as tensors), and are
written with the `gguf` package. Prints one line a comparison; ends with 1 where one fails.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from safetensors.numpy import save_file

import numpy_decoder

VOCAB, D, HEADS, KV = 300, 64, 4, 2
COMMON = {"hidden_size": D, "num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": VOCAB,
          "intermediate_size": 96, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
          "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16", "use_cache": True,
          "initializer_range": 0.02, "attention_dropout": 0.0}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1,
         "rope_scaling": None}
MISTRAL = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}
QWEN = {"sliding_window": 32768, "use_sliding_window": False, "max_window_layers": 28}
GEMMA = {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True, "head_dim": 32,
         "rms_norm_eps": 1e-6, "attention_bias": False}
PHI3 = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "embd_pdrop": 0.0, "resid_pdrop": 0.0, "original_max_position_embeddings": 512,
        "rope_scaling": None, "sliding_window": 20, "attention_bias": False}
LONG = [1.0 + 0.4 * i for i in range(8)]
SHORT = [1.0 + 0.03 * i for i in range(8)]
BANDS = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128, "rope_type": "llama3"}

LAYOUTS = {
    "SmolLM2": {**LLAMA, "tie_word_embeddings": True, "rope_theta": 100000, "rope_interleaved": False, "is_llama_config": True},
    "Llama 2 7B": {**LLAMA, "num_key_value_heads": HEADS},
    "TinyLlama": {**LLAMA},
    "Llama 3 8B": {**LLAMA, "rope_theta": 500000.0},
    "Llama 3.1, 3.2": {**LLAMA, "rope_theta": 500000.0, "head_dim": 16, "tie_word_embeddings": True, "rope_scaling": BANDS},
    "Mistral 7B 0.1": {**MISTRAL, "sliding_window": 24},
    "Mistral 7B 0.3": {**MISTRAL, "rope_theta": 1000000.0},
    "Mistral Nemo": {**MISTRAL, "rope_theta": 1000000.0, "head_dim": 24},
    "Mixtral 8x7B": {**MISTRAL, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 8,
                     "num_experts_per_tok": 2, "output_router_logits": False, "router_aux_loss_coef": 0.02},
    "Qwen2.5": {**QWEN, "model_type": "qwen2", "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "rope_theta": 1000000.0},
    "Qwen2.5 with YaRN": {**QWEN, "model_type": "qwen2", "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 128, "type": "yarn"}},
    "Qwen3": {**QWEN, "model_type": "qwen3", "head_dim": 32, "attention_bias": False, "rope_scaling": None, "rope_theta": 1000000},
    "Qwen2 MoE": {**QWEN, "model_type": "qwen2_moe", "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                  "shared_expert_intermediate_size": 64, "norm_topk_prob": False, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "Qwen3 MoE": {**QWEN, "model_type": "qwen3_moe", "head_dim": 32, "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                  "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "rope_scaling": None},
    "Gemma 2": {**GEMMA, "model_type": "gemma2", "attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0, "cache_implementation": "hybrid",
                "query_pre_attn_scalar": 32, "sliding_window": 24, "num_hidden_layers": 3},
    "Gemma 3": {**GEMMA, "model_type": "gemma3_text", "attn_logit_softcapping": None, "final_logit_softcapping": None, "query_pre_attn_scalar": 32,
                "sliding_window": 24, "sliding_window_pattern": 6, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rope_scaling": None,
                "num_hidden_layers": 7, "num_key_value_heads": 1},
    "Gemma 3 4B text": {**GEMMA, "model_type": "gemma3_text", "query_pre_attn_scalar": 32, "sliding_window": 24, "rope_theta": 1000000.0,
                        "rope_local_base_freq": 10000.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "num_hidden_layers": 7,
                        "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]},
    "Phi-3 4k": {**PHI3, "num_key_value_heads": HEADS},
    "Phi-3 128k, long": {**PHI3, "sliding_window": None, "original_max_position_embeddings": 64,
                         "rope_scaling": {"type": "longrope", "long_factor": LONG, "short_factor": SHORT}},
    "Phi-3 128k, short": {**PHI3, "sliding_window": None, "original_max_position_embeddings": 64, "wanted_context": 64,
                          "rope_scaling": {"type": "longrope", "long_factor": LONG, "short_factor": SHORT}},
}

# The released GGUF files of SmolLM2: llama-quantize's type by default, and where it takes another one.
MIXES = {
    "F16": ("F16", {}), "BF16": ("BF16", {}), "Q8_0": ("Q8_0", {}), "Q6_K": ("Q6_K", {}),
    "Q5_K_M": ("Q5_K", {"attn_v": "Q6_K", "ffn_down": "Q6_K"}), "Q5_K_S": ("Q5_K", {}), "Q5_1": ("Q5_1", {}), "Q5_0": ("Q5_0", {}),
    "Q4_K_M": ("Q4_K", {"attn_v": "Q6_K", "ffn_down": "Q6_K"}), "Q4_K_S": ("Q4_K", {"attn_v": "Q5_K", "ffn_down": "Q5_K"}),
    "Q4_1": ("Q4_1", {}), "Q4_0": ("Q4_0", {}), "IQ4_NL": ("IQ4_NL", {}), "IQ4_XS": ("IQ4_XS", {"attn_v": "Q5_K", "ffn_down": "Q5_K"}),
    "Q3_K_L": ("Q3_K", {"attn_v": "Q5_K", "attn_output": "Q5_K", "ffn_down": "Q5_K"}),
    "Q3_K_M": ("Q3_K", {"attn_v": "Q5_K", "attn_output": "Q4_K", "ffn_down": "Q4_K"}), "Q3_K_S": ("Q3_K", {}),
    "Q2_K": ("Q2_K", {"attn_v": "Q4_K", "attn_output": "Q3_K", "ffn_down": "Q3_K"}),
    "IQ3_M": ("IQ3_S", {"attn_v": "Q4_K", "attn_output": "Q4_K", "ffn_down": "Q4_K"}), "IQ3_XS": ("IQ3_S", {"attn_v": "IQ3_S", "attn_k": "IQ3_XXS"}),
    "IQ3_XXS": ("IQ3_XXS", {"attn_v": "Q4_K", "attn_output": "IQ3_S", "ffn_down": "Q3_K"}),
    "IQ2_M": ("IQ2_S", {"attn_v": "Q4_K", "attn_output": "IQ3_S", "ffn_down": "IQ3_S"}), "IQ2_XS": ("IQ2_XS", {"attn_v": "Q4_K", "ffn_down": "Q2_K"}),
    "IQ2_XXS": ("IQ2_XXS", {"attn_v": "Q4_K", "ffn_down": "Q2_K"}), "IQ1_M": ("IQ1_M", {"attn_v": "Q4_K", "attn_output": "IQ2_XXS"}),
    "IQ1_S": ("IQ1_S", {"attn_v": "Q4_K", "attn_output": "IQ2_XXS"}),
}
# ... and in rows that are no multiple of 256 values, as SmolLM2 135M and 360M have.
NARROW = {**{kind: "IQ4_NL" for kind in ("IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S")}, "Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "IQ4_XS": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
WIDTHS = {"SmolLM2 135M": {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "intermediate_size": 256},
          "SmolLM2 1.7B": {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 512}}


def config_of(name):
    c = {**COMMON, **LAYOUTS[name]}
    c.setdefault("head_dim", c["hidden_size"] // c["num_attention_heads"])
    return c


def weights_of(c, seed):
    """Random weights by their names in the safetensors, large enough that every part shows in the logits."""
    rng = np.random.default_rng(seed)
    d, q, kv = c["head_dim"], c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    w, kind, D = {}, c["model_type"], c["hidden_size"]
    gemma = kind.startswith("gemma")

    def matrix(name, rows, cols, scale=1.5):
        w[name] = (rng.normal(size=(rows, cols)) * scale / math.sqrt(cols)).astype(np.float32)

    def vector(name, size, around):
        w[name] = (around + 0.3 * rng.normal(size=size)).astype(np.float32)

    def gated(prefix, names, ff):
        gate, up, down = names
        matrix(prefix + gate + ".weight", ff, D)
        matrix(prefix + up + ".weight", ff, D)
        matrix(prefix + down + ".weight", D, ff)

    matrix("model.embed_tokens.weight", VOCAB, D, 4.0 if not gemma else 1.0)
    vector("model.norm.weight", D, 0 if gemma else 1)
    if not c["tie_word_embeddings"]:
        matrix("lm_head.weight", VOCAB, D)
    for layer in range(c["num_hidden_layers"]):
        p = "model.layers.%d." % layer
        for norm in ["input_layernorm", "post_attention_layernorm"] + ["pre_feedforward_layernorm", "post_feedforward_layernorm"] * gemma:
            vector(p + norm + ".weight", D, 0 if gemma else 1)
        if kind == "phi3":
            matrix(p + "self_attn.qkv_proj.weight", q + 2 * kv, D)
        else:
            for part, rows in (("q", q), ("k", kv), ("v", kv)):
                matrix(p + "self_attn.%s_proj.weight" % part, rows, D)
                if kind.startswith("qwen2"):
                    vector(p + "self_attn.%s_proj.bias" % part, rows, 0)
        matrix(p + "self_attn.o_proj.weight", D, q)
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            vector(p + "self_attn.q_norm.weight", d, 0 if gemma else 1)
            vector(p + "self_attn.k_norm.weight", d, 0 if gemma else 1)
        if kind == "mixtral":
            matrix(p + "block_sparse_moe.gate.weight", c["num_local_experts"], D)
            for e in range(c["num_local_experts"]):
                gated(p + "block_sparse_moe.experts.%d." % e, ("w1", "w3", "w2"), c["intermediate_size"])
        elif "num_experts" in c:
            matrix(p + "mlp.gate.weight", c["num_experts"], D)
            for e in range(c["num_experts"]):
                gated(p + "mlp.experts.%d." % e, ("gate_proj", "up_proj", "down_proj"), c["moe_intermediate_size"])
            if "shared_expert_intermediate_size" in c:
                gated(p + "mlp.shared_expert.", ("gate_proj", "up_proj", "down_proj"), c["shared_expert_intermediate_size"])
                matrix(p + "mlp.shared_expert_gate.weight", 1, D)
        elif kind == "phi3":
            matrix(p + "mlp.gate_up_proj.weight", 2 * c["intermediate_size"], D)
            matrix(p + "mlp.down_proj.weight", D, c["intermediate_size"])
        else:
            gated(p + "mlp.", ("gate_proj", "up_proj", "down_proj"), c["intermediate_size"])
    return w


def write_folder(folder, c, w):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({k: v for k, v in c.items() if k != "wanted_context"}))
    save_file(w, str(folder / "model.safetensors"), metadata={"format": "pt"})


ARCHITECTURES = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen2_moe": "qwen2moe",
                 "qwen3_moe": "qwen3moe", "gemma2": "gemma2", "gemma3_text": "gemma3", "phi3": "phi3"}


def permute(m, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    return m.reshape(heads, 2, m.shape[0] // heads // 2, *m.shape[1:]).swapaxes(1, 2).reshape(m.shape)


def gguf_layer_tensors(c, w, layer, legacy):
    p, blk, kind = "model.layers.%d." % layer, "blk.%d." % layer, c["model_type"]
    one = 1 if kind.startswith("gemma") else 0
    norms = {"input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm" if one else "ffn_norm",
             "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
    for hf, name in norms.items():
        if p + hf + ".weight" in w:
            yield blk + name + ".weight", w[p + hf + ".weight"] + one
    for hf, name in {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "qkv_proj": "attn_qkv"}.items():
        for end in (".weight", ".bias"):
            m = w.get(p + "self_attn." + hf + end)
            if m is not None:
                if ARCHITECTURES[kind] == "llama" and hf in ("q_proj", "k_proj"):
                    m = permute(m, c["num_attention_heads" if hf == "q_proj" else "num_key_value_heads"])
                yield blk + name + end, m
    mlp = {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up",
           "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp", "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
           "mlp.shared_expert.up_proj": "ffn_up_shexp", "mlp.shared_expert.down_proj": "ffn_down_shexp"}
    for hf, name in mlp.items():
        if p + hf + ".weight" in w:
            yield blk + name + ".weight", w[p + hf + ".weight"]
    if p + "mlp.shared_expert_gate.weight" in w:
        yield blk + "ffn_gate_inp_shexp.weight", w[p + "mlp.shared_expert_gate.weight"].reshape(-1)
    experts = {"w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down"} if kind == "mixtral" else {
        "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    block = p + ("block_sparse_moe." if kind == "mixtral" else "mlp.")
    for hf, name in experts.items():
        parts = [w[n] for e in range(256) if (n := "%sexperts.%d.%s.weight" % (block, e, hf)) in w]
        if parts and legacy:
            yield from ((blk + "%s.%d.weight" % (name, e), m) for e, m in enumerate(parts))
        elif parts:
            yield blk + name + "_exps.weight", np.stack(parts)


def mixed_type(name, columns, mix):
    usual, others = MIXES[mix]
    kind = "Q6_K" if name == "token_embd.weight" and usual not in ("F16", "BF16", "Q8_0") else usual
    kind = next((other for part, other in others.items() if part in name), kind)
    return NARROW.get(kind, kind) if columns % 256 else kind


def random_blocks(rng, rows, columns, kind, deviation):
    """Random whole blocks of a storage format whose values have mean zero and this deviation, as bytes [rows, row bytes]."""
    at = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}.get(kind, [0])
    code = gguf.GGMLQuantizationType[kind]
    values, size = gguf.GGML_QUANT_SIZES[code]
    blocks = rng.integers(0, 256, (rows * columns // values, size), dtype=np.uint8)

    def expanded(*scales):
        for offset, scale in zip(at, scales):
            if kind == "IQ1_M":  # in the upper nibbles of its four words of scales
                bits = int(np.float16(scale).view(np.uint16))
                for i in range(4):
                    blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | (bits >> 4 * i & 15) << 4
                continue
            blocks[:, offset:offset + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
        return gguf.quants.dequantize(blocks, code)

    ratio = 0.0
    if len(at) == 2:  # the second one moves the mean
        plain = expanded(1, 0).mean()
        ratio = -plain / (expanded(1, 1).mean() - plain)
    scale = deviation / expanded(1, ratio).std()
    expanded(scale, scale * ratio)
    return blocks.reshape(rows, -1)


def quantised(c, w, mix, seed):
    """The matrices of the GGUF file as blocks, and the weights that they hold."""
    rng, raw, held = np.random.default_rng(seed), {}, dict(w)
    matrices = [("token_embd.weight", "model.embed_tokens.weight")]
    for layer in range(c["num_hidden_layers"]):
        for hf, name in {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
                         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}.items():
            matrices.append(("blk.%d.%s.weight" % (layer, name), "model.layers.%d.%s.weight" % (layer, hf)))
    for name, hf in matrices:
        rows, columns = w[hf].shape
        kind = mixed_type(name, columns, mix)
        heads = {"attn_q": c["num_attention_heads"], "attn_k": c["num_key_value_heads"]}.get(name.split(".")[-2])
        if kind in ("F16", "BF16"):
            stored = permute(w[hf], heads) if heads else w[hf]
            raw[name] = (kind, gguf.quants.quantize(stored, gguf.GGMLQuantizationType[kind]))
        else:
            raw[name] = (kind, random_blocks(rng, rows, columns, kind, w[hf].std()))
        values = gguf.quants.dequantize(raw[name][1], gguf.GGMLQuantizationType[kind]).reshape(rows, columns)
        if heads:  # back to the order of the safetensors
            values = values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        held[hf] = values.astype(np.float32)
    return raw, held


def write_gguf(path, c, w, legacy=False, raw=None):
    kind, arch, D = c["model_type"], ARCHITECTURES[c["model_type"]], c["hidden_size"]
    out = gguf.GGUFWriter(str(path), arch)
    out.add_context_length(c["max_position_embeddings"])
    out.add_embedding_length(D)
    out.add_block_count(c["num_hidden_layers"])
    out.add_feed_forward_length(c["intermediate_size"])
    out.add_head_count(c["num_attention_heads"])
    out.add_head_count_kv(c["num_key_value_heads"])
    out.add_layer_norm_rms_eps(c["rms_norm_eps"])
    out.add_rope_freq_base(c["rope_theta"])
    if arch in ("llama", "phi3"):
        out.add_rope_dimension_count(c["head_dim"])
    if c["head_dim"] * c["num_attention_heads"] != D:
        out.add_key_length(c["head_dim"])
        out.add_value_length(c["head_dim"])
    if kind.startswith("gemma") or (kind in ("mistral", "phi3") and c.get("sliding_window")):
        out.add_sliding_window(c["sliding_window"])
    if kind == "gemma2":
        out.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        out.add_final_logit_softcapping(c["final_logit_softcapping"])
    if "num_local_experts" in c or "num_experts" in c:
        out.add_expert_count(c.get("num_local_experts") or c["num_experts"])
        out.add_expert_used_count(c["num_experts_per_tok"])
        if "moe_intermediate_size" in c:
            out.add_expert_feed_forward_length(c["moe_intermediate_size"])
        if "shared_expert_intermediate_size" in c:
            out.add_expert_shared_feed_forward_length(c["shared_expert_intermediate_size"])
    s = c.get("rope_scaling") or {}
    rope = s.get("rope_type") or s.get("type")
    if rope in ("linear", "yarn"):
        out.add_rope_scaling_type(gguf.RopeScalingType.LINEAR if rope == "linear" else gguf.RopeScalingType.YARN)
        out.add_rope_scaling_factor(s["factor"])
    if rope == "yarn":
        out.add_rope_scaling_orig_ctx_len(s["original_max_position_embeddings"])
    dims = c["head_dim"]
    if rope == "llama3":
        f = c["rope_theta"] ** -(np.arange(0, dims, 2) / dims)
        out.add_tensor("rope_freqs.weight", (f / numpy_decoder.llama3_frequencies(f, s)).astype(np.float32))
    if rope == "longrope":
        old = c["original_max_position_embeddings"]
        out.add_rope_scaling_orig_ctx_len(old)
        out.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(c["max_position_embeddings"] / old) / math.log(old)))
        out.add_tensor("rope_factors_long.weight", np.array(s["long_factor"], np.float32))
        out.add_tensor("rope_factors_short.weight", np.array(s["short_factor"], np.float32))

    def add(name, values):
        if raw and name in raw:
            out.add_tensor(name, raw[name][1], raw_dtype=gguf.GGMLQuantizationType[raw[name][0]])
        else:
            out.add_tensor(name, np.ascontiguousarray(values))

    add("token_embd.weight", w["model.embed_tokens.weight"])
    out.add_tensor("output_norm.weight", w["model.norm.weight"] + (1 if kind.startswith("gemma") else 0))
    if "lm_head.weight" in w:
        out.add_tensor("output.weight", w["lm_head.weight"])
    for layer in range(c["num_hidden_layers"]):
        for name, m in gguf_layer_tensors(c, w, layer, legacy):
            add(name, m)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def listed(readme):
    """The families in the first column of the table under "## Models"."""
    table = readme.read_text().split("## Models", 1)[1].split("##", 1)[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")][2:]
    return {name.strip().split(" ")[0] for row in rows for name in row.split(",")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--readme", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--backends", default="reference,cpu")
    options = parser.parse_args()
    # Of the logits' own spread. The reference computes in fp32, and so does the CPU backend where weights are plain floats. Before
    # quantised ones it has 16-bit activations here, and it rounds the scales of k-quants to half precision.
    allowed = {"reference": 1e-5, "cpu": 1e-5}
    allowed_mixed = {"reference": 1e-5, "cpu": 3e-3}
    failed = 0
    if listed(pathlib.Path(options.readme)) != set(ARCHITECTURES.values()):
        print("README lists %s, compared are %s: FAILED" % (sorted(listed(pathlib.Path(options.readme))), sorted(set(ARCHITECTURES.values()))))
        failed += 1
    with tempfile.TemporaryDirectory() as scratch:
        folder, jobs, expected = pathlib.Path(scratch), [], []

        def compare(label, c, w, path, number, allowed):
            """Both backends on the file, to be compared with numpy on the weights."""
            ids = np.random.default_rng(number).integers(0, VOCAB, 48)
            right = numpy_decoder.logits(c, w, ids)
            for backend in options.backends.split(","):
                out = folder / ("%d-%s.f32" % (len(jobs), backend))
                jobs.append(" ".join([str(path), backend, str(c.get("wanted_context", 0)), str(out)] + [str(i) for i in ids]))
                expected.append(("%s, %s" % (label, backend), right, out, allowed[backend]))

        for number, name in enumerate(LAYOUTS):
            if options.only not in name:
                continue
            c = config_of(name)
            w = weights_of(c, number)
            models = {"folder": folder / ("hf%d" % number), "GGUF": folder / ("m%d.gguf" % number)}
            write_folder(models["folder"], c, w)
            write_gguf(models["GGUF"], c, w)
            if c["model_type"] == "mixtral":
                models["GGUF, experts apart"] = folder / ("l%d.gguf" % number)
                write_gguf(models["GGUF, experts apart"], c, w, legacy=True)
            for form, path in models.items():
                compare("%s, %s" % (name, form), c, w, path, number, allowed)
        for number, (mix, size) in enumerate((mix, size) for mix in MIXES for size in WIDTHS):
            if options.only not in size + " " + mix:
                continue
            c = {**config_of("SmolLM2"), **WIDTHS[size]}
            c["head_dim"] = c["hidden_size"] // c["num_attention_heads"]
            raw, w = quantised(c, weights_of(c, number), mix, number)
            path = folder / ("q%d.gguf" % number)
            write_gguf(path, c, w, raw=raw)
            compare("%s %s" % (size, mix), c, w, path, number, allowed if mix in ("F16", "BF16") else allowed_mixed)
        (folder / "jobs").write_text("\n".join(jobs) + "\n")
        subprocess.run([options.driver, str(folder / "jobs")], check=True)
        for label, right, out, most in expected:
            if not out.exists():
                print("%s: FAILED: %s" % (label, pathlib.Path(str(out) + ".error").read_text()))
                failed += 1
                continue
            ours = np.fromfile(out, np.float32).reshape(right.shape).astype(np.float64)
            error = np.sqrt(((ours - right) ** 2).mean()) / right.std()
            good = bool(error < most)
            failed += not good
            print("%s: relative error %.2g%s" % (label, error, "" if good else " FAILED"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
