"""One training run as a file: model, training, data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros.config import DetectionHead, ModelConfig
from metabev_ros.config.yaml import require
from metabev_ros.lab.training.config import Device, TrainingConfig
from metabev_ros.lab.training.data import (
    DataSource,
    RecordSet,
    Rendered,
    Tell,
    gather_records,
    opened_records,
    require_sources,
)
from metabev_ros.lab.training.distributed import joined
from metabev_ros.lab.training.object_cutting import build_objects, has_objects
from metabev_ros.lab.training.provenance import write_card
from metabev_ros.lab.training.train import Trainer


@dataclass(frozen=True)
class RunConfig:
    """The content of `config/training/*.yaml`.

    Attributes:
        data: records to learn from; several sources are a mixture.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: tuple[DataSource, ...] = ()

    def __post_init__(self) -> None:
        require_sources(self.data)
        head = self.model.head.detection
        for name in ('either_way', 'direction_weight'):
            value = getattr(self.training, name)
            require(
                value == 0 or head is DetectionHead.CENTER,
                f'training.{name}',
                f'0 with detection: {head.value}',
                value,
            )


def say_nothing(*_: object) -> None:
    """Report nothing."""


def cut_objects(sets: Sequence[RecordSet], tell: Tell, progress: Rendered) -> None:
    """Make the objects for GT-paste of every source that lacks them."""
    for records in sets:
        if not has_objects(records.folder):
            tell(f'objects for GT-paste are cut out of {records.folder}, once')
            build_objects(records.folder, progress)


def train_model(
    config: RunConfig,
    folder: Path,
    cache: Path,
    workers: int,
    stepped: Callable[[int, dict[str, float], float], None] | None = None,
    tell: Tell = say_nothing,
    rendered: Rendered = say_nothing,
) -> Trainer:
    """Train to the end; goes on where it was interrupted.

    What `synthetic:` asks for and the cache lacks is rendered first. Under torchrun the first
    process of every machine renders, the others wait.

    Args:
        folder: of the run: checkpoint, weights.safetensors, config.yaml, log.jsonl; for imported
            records MODEL_CARD.md.
        cache: of rendered records.
        workers: rendering processes.
        stepped: called with (step, loss terms, samples a second).
        tell: called with lines about what is going to be rendered.
        rendered: called with (finished worlds or records, all of them) before the training.
    """
    with joined(config.training.device is Device.CUDA) as processes:
        if processes.local == 0:
            sets = gather_records(config.data, config.model, Path(cache), workers, tell, rendered)
            if config.training.paste is not None:
                cut_objects(sets, tell, rendered)
        processes.wait()
        trainer = Trainer(Path(folder), config.model, config.training, processes)
        trainer.run(opened_records(config.data, config.model, Path(cache)), stepped)
        if processes.is_leader and any(source.records is not None for source in config.data):
            write_card(Path(folder), config.model.name, trainer.description())
        return trainer
