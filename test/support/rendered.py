"""Records of synthetic drives as a run takes them."""

from __future__ import annotations

from pathlib import Path

from metabev_ros.config import ModelConfig
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.training.data import DataSource, RecordSet, gather_records


def rendered_records(
    cache: Path, model: ModelConfig, first_seed: int, worlds: int, frames: int
) -> tuple[RecordSet, ...]:
    """The records of some worlds, rendered where the cache lacks them."""
    drives = SyntheticDrives(first_seed, worlds, frames)
    told: list[object] = []
    return gather_records(
        [DataSource(synthetic=drives)], model, cache, 1, told.append, lambda *done: None
    )
