"""`metabev finetune`: a model goes on learning from a team's own records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.config import ModelConfig, load_config, save_config
from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.simulation.records import StreetDrives
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.lab.training.config import Device, Precision, TrainingConfig
from metabev_ros.lab.training.data import DataSource, open_records
from metabev_ros.lab.training.provenance import recipe_of, world_behind
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.warm_start import InitConfig

RUN_FILE = 'run.yaml'
EPOCHS = 10  # of the team's records
FEWEST_STEPS, MOST_STEPS = 100, 20_000
RATE_SHARE = 0.1  # of the learning rate that made the model
DRIVES = {  # that the package's models learnt from
    World.BOXES: SyntheticDrives(100_000),
    World.STREETS: StreetDrives(1_010_000, frames_per_world=4, spacing=2.0),
}
MOST_WORLDS = 300
# What is taken from the recipe that made the model: its mixture and its weighing of the terms.
KEPT = (
    'learning_rate',
    'weight_decay',
    'decay_norms',
    'clip_norm',
    'batch',
    'draw',
    'modality_shares',
    'detection_weight',
    'map_weight',
    'depth_weight',
    'box_weight',
    'focal_weight',
    'dice_weight',
    'balance_weight',
    'importance_weight',
    'load_weight',
    'interaction_offset_rate',
    'either_way',
    'direction_weight',
    'fixed_norms',
    'recompute',
    'threads',
    'loaders',
    'augmentation',
    'curriculum',
)


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of a fine-tune.

    Attributes:
        keep: share of the samples that are synthetic drives, against forgetting; 0: none.
        steps: None: ten epochs of the records, 100 at least and 20 000 at most.
        learning_rate: None: a tenth of the one that made the model.
        device: to train on; a GPU takes the arithmetic of fp16.
    """

    keep: float = 0.0
    steps: int | None = None
    learning_rate: float | None = None
    device: Device = Device.CPU
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.keep < 1, 'finetune --keep', '0 or more, below 1', self.keep)
        require(self.steps is None or self.steps > 0, 'finetune --steps', 'above 0', self.steps)
        rate = self.learning_rate
        require(rate is None or rate > 0, 'finetune --learning-rate', 'above 0', rate)


def finetune_run(
    folder: Path, data: Sequence[Path], options: FinetuneOptions | None = None
) -> RunConfig:
    """The run that fine-tunes a model.

    Args:
        folder: of the model or of a training run: config.yaml, weights.safetensors, and
            training.json for its recipe.
        data: folders of records; each gives as many samples as it has records.

    Raises:
        ConfigError: where the model is not whole, or records are missing or do not fit it.
    """
    options = options or FinetuneOptions()
    weights = folder / 'weights.safetensors'
    if not weights.is_file():
        raise ConfigError(
            str(folder), 'a model folder with weights.safetensors', 'none', 'check the path'
        )
    require(len(data) > 0, 'finetune --data', 'at least one folder of records', 'none')
    model = load_config(ModelConfig, folder / 'config.yaml')
    counts = [len(open_records(path, model)) for path in data]
    recipe = recipe_of(folder, KEPT)
    steps = options.steps or _steps(sum(counts), len(recipe.batch), options.keep)
    training = _training(recipe, weights, steps, options)
    sources = _sources(data, counts, options, steps * len(recipe.batch), world_behind(weights))
    return RunConfig(model, training, sources)


def _steps(records: int, batch: int, keep: float) -> int:
    wanted = math.ceil(EPOCHS * records / (batch * (1 - keep)))
    return min(max(wanted, FEWEST_STEPS), MOST_STEPS)


def _training(
    recipe: TrainingConfig, weights: Path, steps: int, options: FinetuneOptions
) -> TrainingConfig:
    gpu = options.device is Device.CUDA
    return dataclasses.replace(
        recipe,
        steps=steps,
        warmup_steps=min(50, steps // 10),
        decay_steps=steps // 2,
        learning_rate=options.learning_rate or recipe.learning_rate * RATE_SHARE,
        # The average reaches over a fifth of the run at most, else it stays at the start.
        ema_decay=round(min(0.998, max(0.0, 1 - 5 / steps)), 4),
        seed=options.seed,
        device=options.device,
        precision=Precision.FP16 if gpu else Precision.BF16,
        checkpoint_every=min(50, steps),
        curriculum=dataclasses.replace(recipe.curriculum, ramp_start=0, ramp_steps=0),
        init=InitConfig(str(weights.resolve())),
    )


def _sources(
    data: Sequence[Path],
    counts: Sequence[int],
    options: FinetuneOptions,
    samples: int,
    world: World,
) -> tuple[DataSource, ...]:
    if not options.keep:
        return tuple(DataSource(records=str(path.resolve())) for path in data)
    share = (1 - options.keep) / sum(counts)
    sources = [
        DataSource(records=str(path.resolve()), weight=round(count * share, 6))
        for path, count in zip(data, counts, strict=True)
    ]
    return (*sources, _kept_drives(world, options.keep, samples))


def _kept_drives(world: World, share: float, samples: int) -> DataSource:
    drives = DRIVES[world]
    seen = share * samples / drives.frames_per_world
    kept = dataclasses.replace(drives, worlds=min(max(math.ceil(seen / 2), 4), MOST_WORLDS))
    if isinstance(kept, StreetDrives):
        return DataSource(streets=kept, weight=share)
    return DataSource(synthetic=kept, weight=share)


def keep_run(run: RunConfig, folder: Path) -> Path:
    """Write a run into its folder, so that `metabev train` can repeat it.

    Raises:
        ConfigError: where another run is there.
    """
    path = folder / RUN_FILE
    if path.is_file() and load_config(RunConfig, path) != run:
        raise ConfigError(
            str(folder), 'an empty folder, or the same fine-tune', 'another one', 'name another'
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_config(run, path)
    return path
