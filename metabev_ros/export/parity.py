"""The parity gate: the exported graphs give what the network gives, or they are not installed."""
from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.datasets.samples import sample_from_frame
from metabev_ros.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.errors import ContractError
from metabev_ros.preprocess.preprocessor import Preprocessor

PARITY_SEED = 800_000
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


def parity_inputs(config: ModelConfig):
    """Every branch with 1, 4 and 6 cameras: a rendered frame, and noise in its pixels."""
    drive = SyntheticDrive(PARITY_SEED, DriveConfig(frames=1))
    preprocessor = Preprocessor(config)
    sample = sample_from_frame(drive[0], preprocessor.prepare_image)
    images = list(sample.cameras.values())
    lidar = preprocessor.lidar_inputs(sample.sweep)
    rng = np.random.default_rng(PARITY_SEED)
    for count in (1, 4, 6):
        camera = preprocessor.camera_inputs(images[:count])
        yield camera, lidar
        yield camera, None
        noise = rng.integers(0, 256, camera['images'].shape, dtype=np.uint8)
        yield {**camera, 'images': noise}, lidar
    yield None, lidar
    features = next(iter(lidar))                         # pillars or voxel_features come first
    yield None, {**lidar, features: rng.normal(size=lidar[features].shape).astype(np.float32)}
