"""Parameters and latency of the contestants: what their figures cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.lab.evaluation.robustness import ModelSource
from metabev_ros.network.metabev import MetaBev
from metabev_ros.pipeline import Pipeline

ROUNDS, WARM_UP = 20, 3
BRANCHES = ('fused', 'camera', 'lidar')


def parameters(model: ModelConfig) -> dict[str, str]:
    """Number of parameters of the fuser and of the whole network."""
    network = MetaBev(model)
    fuser = sum(p.numel() for p in network.fusion.decoder.parameters())
    return {
        'parameters of the fuser': f'{fuser:,}',
        'of the network': f'{sum(p.numel() for p in network.parameters()):,}',
    }


def latencies(models: Mapping[str, ModelSource]) -> dict[str, dict[str, str]]:
    """Median of everything behind the encoders on one thread, contestants in turn.

    Args:
        models: contestant -> one of its trained models.
    """
    pipelines = {
        name: Pipeline.load(model.folder, model.backend, 1) for name, model in models.items()
    }
    rng = np.random.default_rng(0)
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(ROUNDS + WARM_UP):
        for name, pipeline in pipelines.items():
            config = pipeline.config
            shape = config.bev_grid.shape
            camera, lidar = (
                rng.normal(size=(1, channels, *shape)).astype(np.float32)
                for channels in (config.camera.bev_channels, config.lidar.bev_channels)
            )
            given = {'fused': (camera, lidar), 'camera': (camera, None), 'lidar': (None, lidar)}
            for branch in BRANCHES:
                before = time.perf_counter()
                pipeline.backend.fuse(*given[branch])
                if turn >= WARM_UP:
                    seconds.setdefault((name, branch), []).append(time.perf_counter() - before)
    return {
        name: {
            f'{branch}, ms': f'{1e3 * statistics.median(seconds[name, branch]):.0f}'
            for branch in BRANCHES
        }
        for name in pipelines
    }
