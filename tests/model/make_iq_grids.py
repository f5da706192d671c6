#!/usr/bin/env python3
"""Writes src/model/iq_grids.cpp: the grids of GGUF's formats IQ1 to IQ3, which are part of these formats, from the gguf package (2.4.6 or later;
pip install gguf numpy). Run clang-format over the result."""
import pathlib

import numpy as np
from gguf import quants

# name, class, bits of a value's index
GRIDS = [("iq1", quants.IQ1_S, 2), ("iq2_xxs", quants.IQ2_XXS, 2), ("iq2_xs", quants.IQ2_XS, 2), ("iq2_s", quants.IQ2_S, 2),
         ("iq3_xxs", quants.IQ3_XXS, 3), ("iq3_s", quants.IQ3_S, 3)]


def words(kind, bits):
    """A point of the grid as one number: `bits` for each value's index in grid_map, the first value lowest."""
    kind.init_grid()
    points = kind.grid.reshape(kind.grid_shape)
    index = np.searchsorted(np.array(kind.grid_map), points)
    assert (np.array(kind.grid_map)[index] == points).all()
    return (index << bits * np.arange(kind.grid_shape[1])).sum(axis=1)


def main():
    out = ["// Made by tests/model/make_iq_grids.py.", '#include "model/iq_grids.hpp"', "", "namespace frugal::model {", ""]
    for name, kind, bits in GRIDS:
        numbers = ", ".join(f"0x{w:04x}" for w in words(kind, bits))
        out += [f"const std::array<std::uint16_t, {kind.grid_shape[0]}> {name}_grid{{{numbers}}};", ""]
    path = pathlib.Path(__file__).resolve().parents[2] / "src/model/iq_grids.cpp"
    path.write_text("\n".join(out + ["}  // namespace frugal::model"]) + "\n")


if __name__ == "__main__":
    main()
