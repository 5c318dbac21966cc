"""Choice of record and modality for every place of every batch.

All of it is a function of seed, step and slot: a run that goes on, and another number of
processes, draw the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.lab.datasets.sample_record import read_arrays
from metabev_ros.lab.training.config import Device, ModalityDraw, Sampling, TrainingConfig
from metabev_ros.lab.training.distributed import Processes
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.structures import DETECTION_CLASSES, Modality

# Streams of random numbers; a batch's slots use the small numbers (samples.py).
_ORDER, _MODALITY, _CBGS = 0, 2**31 + 1, 2**31 + 2


def balanced_order(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One class-balanced epoch (CBGS, Zhu et al. 2019), shuffled.

    Of the n_c records that show class c, int(n_c * ratio_c) are drawn with replacement, where
    ratio_c = (1 / K) / share_c and share_c is n_c over the sum of all n; K counts the classes
    that occur. mmdetection3d draws once for all epochs; here every epoch draws anew.

    Args:
        classes: (records, K) bool.

    Returns:
        record indices.
    """
    counts = classes.sum(0)
    present = np.flatnonzero(counts)
    if not len(present):
        raise ConfigError('training.sampling', 'records with objects for cbgs', 'none')
    share = counts[present] / counts[present].sum()
    chosen = [
        rng.choice(np.flatnonzero(classes[:, c]), max(1, int(counts[c] / len(present) / s + 1e-9)))
        for c, s in zip(present, share, strict=True)
    ]
    return rng.permutation(np.concatenate(chosen))


def record_classes(paths: list[Path]) -> np.ndarray:
    """(records, K) bool: which classes a record shows with at least one LiDAR point."""
    shown = np.zeros((len(paths), len(DETECTION_CLASSES)), bool)
    for row, path in zip(shown, paths, strict=True):
        arrays = read_arrays(path, ('labels', 'num_lidar_pts'))
        row[arrays['labels'][arrays['num_lidar_pts'] > 0]] = True
    return shown


def draw_modalities(config: TrainingConfig, step: int, world: int = 1) -> list[Modality]:
    """Modality of every slot of the global batch; every process gets the same multiset.

    Synchronised batch norms need that: a process that skips an encoder would leave the others
    waiting.
    """
    size = len(config.batch)
    match config.draw:
        case ModalityDraw.OFF:
            return [Modality.FUSED] * size
        case ModalityDraw.MIXED:
            return [Modality[name.upper()] for name in config.batch]
        case ModalityDraw.PER_ITERATION:
            count = 1
        case ModalityDraw.PER_SAMPLE:
            count = size // world
        case _:
            assert_never(config.draw)
    rng = np.random.default_rng([config.seed, step, _MODALITY])
    names = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
    drawn = [names[i] for i in rng.choice(3, count, p=config.modality_shares)]
    return drawn * (size // count)


class BatchKeys(torch.utils.data.Sampler):
    """Keys of one process's part of every batch from step `start` on.

    Args:
        records: how many there are.
        rank, world: this process and the number of processes; each takes an equal, contiguous
            part of the slots.
        classes: see `record_classes`; needed for CBGS.

    Raises:
        ConfigError: if the batch cannot be divided so that all processes get equal modalities.
    """

    def __init__(
        self,
        records: int,
        config: TrainingConfig,
        start: int,
        rank: int = 0,
        world: int = 1,
        classes: np.ndarray | None = None,
    ) -> None:
        self._records, self._config, self._start = records, config, start
        self._rank, self._world, self._classes = rank, world, classes
        size = len(config.batch)
        if records < 1:
            raise ConfigError('training data', 'at least one record', '0')
        part = max(size // world, 1)
        parts = [sorted(config.batch[i : i + part]) for i in range(0, size, part)]
        mixed = config.draw is ModalityDraw.MIXED
        if size % world or (mixed and any(part != parts[0] for part in parts)):
            raise ConfigError(
                'training.batch',
                f'{world} equal parts with the same modalities, one per process',
                str(list(config.batch)),
            )

    def __len__(self) -> int:
        return self._config.steps - self._start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        size = len(self._config.batch)
        part = size // self._world
        mine = range(self._rank * part, (self._rank + 1) * part)
        epoch, order = -1, self._order(0)
        length = len(order)  # the same in every epoch
        for step in range(self._start, self._config.steps):
            modalities = draw_modalities(self._config, step, self._world)
            keys: list[SampleKey] = []
            for slot in mine:
                position = step * size + slot
                if position // length != epoch:
                    epoch = position // length
                    order = self._order(epoch)
                keys.append(
                    SampleKey(
                        int(order[position % length]),
                        modalities[slot].value,
                        self._config.seed,
                        step,
                        slot,
                    )
                )
            yield keys

    def _order(self, epoch: int) -> np.ndarray:
        seed = self._config.seed
        match self._config.sampling:
            case Sampling.UNIFORM:
                return np.random.default_rng([seed, epoch, _ORDER]).permutation(self._records)
            case Sampling.CBGS:
                return balanced_order(self._classes, np.random.default_rng([seed, epoch, _CBGS]))
            case _:
                assert_never(self._config.sampling)


def training_loader(
    paths: list[Path],
    model: ModelConfig,
    config: TrainingConfig,
    step: int,
    processes: Processes,
) -> torch.utils.data.DataLoader:
    """Load the batches of this process from `step` on, each a list of samples."""
    classes = record_classes(paths) if config.sampling is Sampling.CBGS else None
    return torch.utils.data.DataLoader(
        TrainingSamples(paths, model, config.augmentation, config.curriculum),
        batch_sampler=BatchKeys(
            len(paths), config, step, processes.rank, processes.world, classes
        ),
        collate_fn=list,
        num_workers=config.loaders,
        prefetch_factor=3,
        pin_memory=config.device is Device.CUDA,
        multiprocessing_context='spawn',
    )  # forking beside OpenCV's threads can hang
