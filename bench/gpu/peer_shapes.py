"""bench_gpu's shapes, for the loops beside it."""
SHAPES = {  # layers, d_model, d_ff, heads, kv_heads, vocab
    "llama-3-8b": (32, 4096, 14336, 32, 8, 128256),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 128256),
    "smollm2-135m": (30, 576, 1536, 9, 3, 49152),
}
