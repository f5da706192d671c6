#!/usr/bin/env python3
"""Writes golden/dequantize.bin: seeded random blocks of every storage format, hostile scales among them, and what the gguf package
(2.4.6 or later; pip install gguf numpy) expands them to. One record a format, little-endian: u32 DType, u32 bytes, u32 values, the blocks,
the values as float32."""
import pathlib
import struct

import gguf
import numpy as np

# The half of IQ1_M lies in the upper nibbles of its four scale words.
SPREAD = [48]
# In DType's order: (name, offsets of the half-precision fields in a block). Plain floats have none.
FORMATS = [
    ("F32", []), ("F16", []), ("BF16", []),
    ("Q4_0", [0]), ("Q4_1", [0, 2]), ("Q5_0", [0]), ("Q5_1", [0, 2]), ("Q8_0", [0]),
    ("Q2_K", [80, 82]), ("Q3_K", [108]), ("Q4_K", [0, 2]), ("Q5_K", [0, 2]), ("Q6_K", [208]),
    ("IQ4_NL", [0]), ("IQ4_XS", [0]),
    ("IQ2_XXS", [0]), ("IQ2_XS", [0]), ("IQ2_S", [0]), ("IQ3_XXS", [0]), ("IQ3_S", [0]), ("IQ1_S", [0]), ("IQ1_M", SPREAD),
]
# zero, minus zero, smallest subnormal, largest subnormal, largest, infinities, a NaN
HOSTILE = [0x0000, 0x8000, 0x0001, 0x03FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E01]


def put_half(block, fields, field, half):
    """Writes the bytes of a half at a field."""
    if fields is not SPREAD:
        block[field:field + 2] = half
        return
    bits = int.from_bytes(half.tobytes(), "little")
    for i in range(4):
        block[49 + 2 * i] = block[49 + 2 * i] & 15 | (bits >> 4 * i & 15) << 4


def blocks_of(rng, kind, fields):
    """Random blocks: two with everyday scales, one per hostile scale (in each field in turn)."""
    _, size = gguf.GGML_QUANT_SIZES[kind]
    if not fields:
        plain = rng.integers(0, 256, (248, size), dtype=np.uint8)
        edge = np.array(HOSTILE, dtype="<u2").repeat(size // 2).view(np.uint8).reshape(-1, size)
        return np.concatenate([plain, edge])
    blocks = rng.integers(0, 256, (2 + len(HOSTILE), size), dtype=np.uint8)
    for i, block in enumerate(blocks):
        for field in fields:
            put_half(block, fields, field, np.frombuffer(np.float16(rng.normal() * 0.01).tobytes(), np.uint8))
        if i >= 2:
            field = fields[i % len(fields)]
            put_half(block, fields, field, np.frombuffer(struct.pack("<H", HOSTILE[i - 2]), np.uint8))
    return blocks


def main():
    rng = np.random.default_rng(20240229)
    out = bytearray()
    for dtype, (name, fields) in enumerate(FORMATS):
        kind = gguf.GGMLQuantizationType[name]
        blocks = blocks_of(rng, kind, fields)
        with np.errstate(all="ignore"):
            values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype("<f4").reshape(-1)
        out += struct.pack("<III", dtype, blocks.size, values.size) + blocks.tobytes() + values.tobytes()
    path = pathlib.Path(__file__).parent / "golden" / "dequantize.bin"
    path.write_bytes(out)
    print(path.name, len(out), "bytes")


if __name__ == "__main__":
    main()
