"""One training run as a file: model, training, data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros.config import ModelConfig
from metabev_ros.lab.training.cache import CacheConfig, build_cache, record_paths
from metabev_ros.lab.training.config import Device, TrainingConfig
from metabev_ros.lab.training.distributed import joined
from metabev_ros.lab.training.train import Trainer


@dataclass(frozen=True)
class RunConfig:
    """The content of `config/training/*.yaml`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: CacheConfig = field(default_factory=CacheConfig)


def train_model(
    config: RunConfig,
    folder: Path,
    cache: Path,
    workers: int,
    rendered: Callable[[int], None] | None = None,
    stepped: Callable[[int, dict[str, float], float], None] | None = None,
) -> Trainer:
    """Render what the cache lacks, then train to the end; goes on where it was interrupted.

    Under torchrun the first process of every machine renders, the others wait.

    Args:
        folder: of the run: checkpoint, weights.safetensors, config.yaml, log.jsonl.
        cache: of rendered records.
        workers: rendering processes.
        rendered: called with the number of finished worlds.
        stepped: called with (step, loss terms, samples a second).
    """
    with joined(config.training.device is Device.CUDA) as processes:
        if processes.local == 0:
            build_cache(Path(cache), config.model, config.data, workers, rendered)
        processes.wait()
        trainer = Trainer(Path(folder), config.model, config.training, processes)
        trainer.run(record_paths(Path(cache), config.data), stepped)
        return trainer
