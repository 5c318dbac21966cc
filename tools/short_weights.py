"""Round weights to fewer bits, which a repository packs smaller; half of them are enough.

    .venv/bin/metabev-env python tools/short_weights.py WEIGHTS.safetensors [--lost-bits 15]

A float32 has 23 bits of fraction. Here the last 13 become zero, to the nearest: a weight changes
by at most one part in 2048. With 15 it is one in 512, as bfloat16 autocast has it in every step
of a training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from metabev_ros.files import replacing

LOST_BITS = 13


def main() -> None:
    """Round a file in place."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition('\n')[0])
    parser.add_argument('weights', type=Path)
    parser.add_argument('--lost-bits', type=int, default=LOST_BITS, choices=range(1, 20))
    options = parser.parse_args()
    path, lost = options.weights, options.lost_bits
    with safe_open(path, 'numpy') as file:
        names = list(file.keys())
        weights = {name: shortened(file.get_tensor(name), lost) for name in names}
        metadata = file.metadata()
    with replacing(path) as part:
        save_file(weights, part, metadata)


def shortened(values: np.ndarray, lost_bits: int = LOST_BITS) -> np.ndarray:
    """Float32 values with the last bits of their fraction zero, the nearest there is.

    Other types stay as they are, and so does what is no finite number.
    """
    if values.dtype != np.float32:
        return values
    half, mask = np.uint32(1 << (lost_bits - 1)), np.uint32(0xFFFFFFFF << lost_bits & 0xFFFFFFFF)
    rounded = ((values.view(np.uint32) + half) & mask).view(np.float32)
    return np.where(np.isfinite(values) & np.isfinite(rounded), rounded, values)


if __name__ == '__main__':
    main()
