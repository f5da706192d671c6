"""torch_loop.py SHAPE: a plain decode loop of torch's beside bench_gpu's, on weights of the same shapes: one sequence, bfloat16, a key and value
cache that grows in place, scaled_dot_product_attention, no graph and no compiler. Prints its figures as bench_gpu does."""
import json
import sys
import time

import torch
import torch.nn.functional as F

from peer_shapes import SHAPES


def weights(rows, cols):
    return torch.empty(rows, cols, dtype=torch.bfloat16, device="cuda").normal_(0, 0.02)


class Layer:
    def __init__(self, d, ff, heads, kv, most):
        self.heads, self.kv, self.hd = heads, kv, d // heads
        self.qkv, self.out = weights((heads + 2 * kv) * self.hd, d), weights(d, d)
        self.gate_up, self.down = weights(2 * ff, d), weights(d, ff)
        self.k = torch.zeros(1, kv, most, self.hd, dtype=torch.bfloat16, device="cuda")
        self.v = torch.zeros_like(self.k)
        self.norm = torch.ones(d, dtype=torch.bfloat16, device="cuda")

    def __call__(self, x, at, cos, sin):
        h = F.rms_norm(x, x.shape[-1:], self.norm)
        q, k, v = (h @ self.qkv.T).view(1, 1, -1, self.hd).transpose(1, 2).split([self.heads, self.kv, self.kv], 1)

        def turn(t):
            a, b = t.chunk(2, -1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

        self.k[:, :, at : at + 1], self.v[:, :, at : at + 1] = turn(k), v
        mixed = F.scaled_dot_product_attention(turn(q), self.k[:, :, : at + 1], self.v[:, :, : at + 1], enable_gqa=True)
        x = x + mixed.transpose(1, 2).reshape(1, 1, -1) @ self.out.T
        gate, up = (F.rms_norm(x, x.shape[-1:], self.norm) @ self.gate_up.T).chunk(2, -1)
        return x + (F.silu(gate) * up) @ self.down.T


def main():
    shape = sys.argv[1]
    count, d, ff, heads, kv, vocab = SHAPES[shape]
    layers = [Layer(d, ff, heads, kv, 1024) for _ in range(count)]
    embedding, head = weights(vocab, d), weights(vocab, d)
    angles = torch.arange(1024, device="cuda")[:, None] * torch.logspace(0, -5, d // heads // 2, device="cuda")
    cos, sin = angles.cos().bfloat16(), angles.sin().bfloat16()
    times, token = [], torch.zeros(1, dtype=torch.long, device="cuda")
    with torch.inference_mode():
        for at in range(512, 600):
            before = time.perf_counter()
            x = embedding[token].view(1, 1, d)
            for layer in layers:
                x = layer(x, at, cos[at], sin[at])
            token = (x[0] @ head.T).argmax(-1)
            token.item()
            times.append(time.perf_counter() - before)
    step = sorted(times[16:])[len(times[16:]) // 2]
    print(json.dumps({"part": "peers", "shape": shape, "format": "bf16", "name": "plain torch loop at batch 1", "value": 1 / step, "unit": "tok/s"}))


main()
