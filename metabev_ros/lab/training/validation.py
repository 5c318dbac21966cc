"""Validation losses during a training: whole drives held out, always the same samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.data import RecordSet, all_paths
from metabev_ros.lab.training.distributed import Processes, leaders_numbers
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.lab.training.sampling import available
from metabev_ros.lab.training.step import TrainingStep, to_device
from metabev_ros.structures import Modality

AS_RECORDED = AugmentationConfig(turn=0.0, brightness=0.0, view_drop=0.0)
MODALITIES = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)


def hold_out(
    sets: Sequence[RecordSet], scenes: int
) -> tuple[tuple[RecordSet, ...], tuple[RecordSet, ...]]:
    """Records to train on, and those of the last `scenes` drives of every source.

    Raises:
        ConfigError: if nothing of a source is left to train on.
    """
    kept, held_out = [], []
    for records in sets:
        drives = records.scenes
        if scenes >= len(drives):
            raise ConfigError(
                'training.expert_selection.scenes',
                f'fewer than the {len(drives)} drives of {records.folder}',
                str(scenes),
            )
        kept.append(records.of_scenes(drives[:-scenes]))
        held_out.append(records.of_scenes(drives[-scenes:]))
    return tuple(kept), tuple(held_out)


class Validation:
    """Mean loss of every task over held-out records, one modality after another.

    Nothing varies from check to check: evaluation mode, no augmentation, no auxiliary terms.
    """

    def __init__(
        self,
        sets: Sequence[RecordSet],
        model: ModelConfig,
        execution: SparseExecution = SparseExecution.TABLES,
    ) -> None:
        self._samples = TrainingSamples(
            all_paths(sets), model, AS_RECORDED, CurriculumConfig(), execution=execution
        )
        self._modalities = [m for records in sets for m in records.modalities]

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
        modality = available(MODALITIES[record % len(MODALITIES)], self._modalities[record])
        sample = self._samples[SampleKey(record, modality.value, 0, 0, record)]
        return step.task_losses([to_device(sample, device)])
