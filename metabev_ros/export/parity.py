"""The parity gate: the exported graphs give what the network gives, or they are not installed."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from metabev_ros.errors import ContractError

TOLERANCE = 1e-4  # largest error as a share of the output's range


def check_parity(reference, candidate, inputs: Iterable[tuple[dict | None, dict | None]]
                 ) -> dict[str, float]:
    """Compare two backends on the same inputs.

    Args:
        reference, candidate: backends; the reference is `TorchBackend`.
        inputs: (camera, lidar) as `Preprocessor` returns them.

    Returns:
        output name -> largest |difference| / range of the reference.

    Raises:
        ContractError: naming the output that is off.
    """
    worst: dict[str, float] = {}
    for camera, lidar in inputs:
        expected, got = reference.run(camera, lidar), candidate.run(camera, lidar)
        for name in expected:
            span = float(np.ptp(expected[name])) or 1.0
            worst[name] = max(worst.get(name, 0.0),
                              float(np.abs(got[name] - expected[name]).max()) / span)
    for name, error in worst.items():
        if not error <= TOLERANCE:
            raise ContractError(f'parity of {name}', f'an error below {TOLERANCE} of its range',
                                f'{error:.2e}', 'the graph is not installed: report this model')
    return worst
