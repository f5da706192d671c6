"""The forward pass of each family in numpy, float64, written from the published formulas with Hugging Face's names and layouts: what
frugal's logits are compared with. Nothing here knows of frugal's own description of a decoder."""
import math

import numpy as np


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rms(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def soft_cap(x, cap):
    return x if not cap else cap * np.tanh(x / cap)


def llama3_frequencies(f, s):
    """transformers' _compute_llama3_parameters."""
    low, high, old = s["low_freq_factor"], s["high_freq_factor"], s["original_max_position_embeddings"]
    wave = 2 * math.pi / f
    smooth = (old / wave - low) / (high - low)
    blended = (1 - smooth) * f / s["factor"] + smooth * f
    out = np.where(wave > old / low, f / s["factor"], f)
    return np.where((wave <= old / low) & (wave >= old / high), blended, out)


def yarn_frequencies(f, s, base, dims):
    """transformers' _compute_yarn_parameters."""
    def pair(turns):
        return dims * math.log(s["original_max_position_embeddings"] / (turns * 2 * math.pi)) / (2 * math.log(base))
    low, high = max(math.floor(pair(32)), 0), min(math.ceil(pair(1)), dims - 1)
    ramp = np.clip((np.arange(dims // 2) - low) / (max(high - low, 0.001)), 0, 1)
    return f / s["factor"] * ramp + f * (1 - ramp), 0.1 * math.log(s["factor"]) + 1


def rope_table(c, positions, local=False):
    """cos and sin [positions, dims]."""
    dims = int(c["head_dim"] * c.get("partial_rotary_factor", 1))
    base = c["rope_local_base_freq"] if local else c["rope_theta"]
    f = base ** -(np.arange(0, dims, 2) / dims)
    scale, s = 1.0, None if local else c.get("rope_scaling")
    kind = s and (s.get("rope_type") or s.get("type"))
    if kind == "linear":
        f = f / s["factor"]
    elif kind == "llama3":
        f = llama3_frequencies(f, s)
    elif kind == "yarn":
        f, scale = yarn_frequencies(f, s, base, dims)
    elif kind == "longrope":
        old = c["original_max_position_embeddings"]
        f = f / np.array(s["long_factor" if c.get("wanted_context", c["max_position_embeddings"]) > old else "short_factor"])
        scale = math.sqrt(1 + math.log(c["max_position_embeddings"] / old) / math.log(old))
    angle = positions[:, None] * f[None]
    angle = np.concatenate([angle, angle], -1)
    return np.cos(angle) * scale, np.sin(angle) * scale


def rotate(x, cos, sin):
    """transformers' apply_rotary_pos_emb on [n, heads, head_dim]."""
    dims = cos.shape[-1]
    turning, rest = x[..., :dims], x[..., dims:]
    half = np.concatenate([-turning[..., dims // 2 :], turning[..., : dims // 2]], -1)
    return np.concatenate([turning * cos[:, None] + half * sin[:, None], rest], -1)


def attention(c, w, layer, h, sliding):
    n, d = len(h), c["head_dim"]
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
    p = "model.layers.%d.self_attn." % layer
    if p + "qkv_proj.weight" in w:
        q, k, v = np.split(h @ w[p + "qkv_proj.weight"].T, [heads * d, (heads + kv) * d], -1)
    else:
        q, k, v = (h @ w[p + x + "_proj.weight"].T + w.get(p + x + "_proj.bias", 0) for x in "qkv")
    q, k, v = q.reshape(n, heads, d), k.reshape(n, kv, d), v.reshape(n, kv, d)
    one = 1 if c["model_type"].startswith("gemma") else 0
    if p + "q_norm.weight" in w:
        q = rms(q, w[p + "q_norm.weight"] + one, c["rms_norm_eps"])
        k = rms(k, w[p + "k_norm.weight"] + one, c["rms_norm_eps"])
    cos, sin = rope_table(c, np.arange(n), local=sliding and "rope_local_base_freq" in c)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    k, v = np.repeat(k, heads // kv, 1), np.repeat(v, heads // kv, 1)
    scores = np.einsum("ihd,jhd->hij", q, k) * c.get("query_pre_attn_scalar", d) ** -0.5
    scores = soft_cap(scores, c.get("attn_logit_softcapping"))
    i, j = np.arange(n)[:, None], np.arange(n)[None]
    seen = j <= i
    if sliding:
        seen &= j > i - c["sliding_window"]
    mixed = np.einsum("hij,jhd->ihd", softmax(np.where(seen[None], scores, -np.inf)), v)
    return mixed.reshape(n, heads * d) @ w[p + "o_proj.weight"].T


def gated(w, names, h, act):
    gate, up, down = names
    return (act(h @ w[gate].T) * (h @ w[up].T)) @ w[down].T


def experts(c, w, layer, h):
    """MixtralSparseMoeBlock, Qwen2MoeSparseMoeBlock, Qwen3MoeSparseMoeBlock."""
    p = "model.layers.%d." % layer
    mixtral = c["model_type"] == "mixtral"
    block = p + ("block_sparse_moe." if mixtral else "mlp.")
    parts = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    weights = softmax(h @ w[block + "gate.weight"].T)
    out = np.zeros_like(h)
    for row in range(len(h)):
        chosen = np.argsort(-weights[row], kind="stable")[: c["num_experts_per_tok"]]
        share = weights[row][chosen]
        if mixtral or c["norm_topk_prob"]:
            share = share / share.sum()
        for e, s in zip(chosen, share, strict=True):
            out[row] += s * gated(w, ["%sexperts.%d.%s.weight" % (block, e, x) for x in parts], h[row], silu)
    if block + "shared_expert_gate.weight" in w:
        shared = gated(w, [block + "shared_expert.%s_proj.weight" % x for x in ("gate", "up", "down")], h, silu)
        out += shared / (1 + np.exp(-h @ w[block + "shared_expert_gate.weight"].T))
    return out


def feed_forward(c, w, layer, h):
    p = "model.layers.%d.mlp." % layer
    act = gelu_tanh if c["model_type"].startswith("gemma") else silu
    if p + "gate_up_proj.weight" in w:
        gate, up = np.split(h @ w[p + "gate_up_proj.weight"].T, 2, -1)
        return (act(gate) * up) @ w[p + "down_proj.weight"].T
    if "num_experts" in c or "num_local_experts" in c:
        return experts(c, w, layer, h)
    return gated(w, [p + x + "_proj.weight" for x in ("gate", "up", "down")], h, act)


def slides(c, layer):
    if c["model_type"] == "gemma2":
        return layer % 2 == 0
    if c["model_type"] == "gemma3_text":
        return (layer + 1) % 6 != 0
    if "layer_types" in c:
        return c["layer_types"][layer] == "sliding_attention"
    return bool(c.get("sliding_window")) and c.get("use_sliding_window", True)


def logits(c, weights, ids):
    """[len(ids), vocab] of a config.json's dict and the weights of its safetensors."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    gemma = c["model_type"].startswith("gemma")
    eps, one = c["rms_norm_eps"], 1 if gemma else 0
    x = w["model.embed_tokens.weight"][ids] * (math.sqrt(c["hidden_size"]) if gemma else 1)
    for layer in range(c["num_hidden_layers"]):
        p = "model.layers.%d." % layer

        def norm(name, y, p=p):
            return rms(y, w[p + name + ".weight"] + one, eps)

        a = attention(c, w, layer, norm("input_layernorm", x), slides(c, layer))
        x = x + (norm("post_attention_layernorm", a) if gemma else a)
        f = feed_forward(c, w, layer, norm("pre_feedforward_layernorm" if gemma else "post_attention_layernorm", x))
        x = x + (norm("post_feedforward_layernorm", f) if gemma else f)
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return soft_cap(rms(x, w["model.norm.weight"] + one, eps) @ head.T, c.get("final_logit_softcapping"))
