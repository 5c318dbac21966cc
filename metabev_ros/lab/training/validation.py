"""Validation losses during a training: whole drives held out, always the same samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.distributed import Processes, leaders_numbers
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.lab.training.step import TrainingStep, to_device
from metabev_ros.structures import Modality

AS_RECORDED = AugmentationConfig(turn=0.0, brightness=0.0, view_drop=0.0)
MODALITIES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)


def hold_out(paths: list[Path], scenes: int) -> tuple[list[Path], list[Path]]:
    """Records to train on, and those of the last `scenes` drives.

    Raises:
        ConfigError: if nothing is left to train on.
    """
    drives = sorted({_drive(path) for path in paths})
    if scenes >= len(drives):
        raise ConfigError(
            'training.expert_selection.scenes',
            f'fewer than the {len(drives)} drives of the data',
            str(scenes),
        )
    kept = set(drives[-scenes:])
    return (
        [path for path in paths if _drive(path) not in kept],
        [path for path in paths if _drive(path) in kept],
    )


def _drive(path: Path) -> str:
    """The world that a record shows (`cache.record_path`)."""
    return path.stem.rpartition('_')[0]


class Validation:
    """Mean loss of every task over held-out records, one modality after another.

    Nothing varies from check to check: evaluation mode, no augmentation, no auxiliary terms.
    """

    def __init__(self, paths: list[Path], model: ModelConfig) -> None:
        self._samples = TrainingSamples(paths, model, AS_RECORDED, CurriculumConfig())

    def losses(
        self, step: TrainingStep, device: torch.device, processes: Processes
    ) -> dict[str, float]:
        """Losses of the tasks that are learned; the leader's numbers in every process.

        Each process takes a part of the records; a loss is that of the records that all processes
        look at together, so all must call this. The network is left in evaluation mode.
        """
        step.network.eval()
        count = len(self._samples)
        rounds = [
            self._losses(step, device, (first + processes.rank) % count)
            for first in range(0, count, processes.world)
        ]
        tasks = list(rounds[0])
        means = np.mean([[losses[task] for task in tasks] for losses in rounds], 0)
        return dict(zip(tasks, leaders_numbers(means.tolist(), device), strict=True))

    def _losses(self, step: TrainingStep, device: torch.device, record: int) -> dict[str, float]:
        modality = MODALITIES[record % len(MODALITIES)]
        sample = self._samples[SampleKey(record, modality.value, 0, 0, record)]
        return step.task_losses([to_device(sample, device)])
