"""Choice of source, record and modality for every place of every batch.

All of it is a function of seed, step and slot: a run that goes on, and another number of
processes, draw the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.lab.training.config import Device, ModalityDraw, Sampling, TrainingConfig
from metabev_ros.lab.training.data import RecordSet, all_paths
from metabev_ros.lab.training.distributed import Processes
from metabev_ros.lab.training.object_database import ObjectDatabase
from metabev_ros.lab.training.pasting import Pasting
from metabev_ros.lab.training.samples import SampleKey, TrainingSamples
from metabev_ros.structures import Modality

# Streams of random numbers; a batch's slots use the small numbers (samples.py).
_ORDER, _MODALITY, _CBGS, _SOURCE = 0, 2**31 + 1, 2**31 + 2, 2**31 + 3
_LATER_SOURCES = 2**31 + 16  # the first source of a mixture is ordered as if it were alone


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


def draw_sources(
    shares: Mapping[Modality, np.ndarray], modalities: Sequence[Modality], seed: int, step: int
) -> np.ndarray:
    """(slots,) index of the source of every slot of a step.

    Args:
        shares: of `source_shares`.
        modalities: that the slots ask for.
    """
    limits = np.stack([shares[asked].cumsum() for asked in modalities])
    drawn = np.random.default_rng([seed, step, _SOURCE]).random(len(limits))
    return (limits <= drawn[:, None] * limits[:, -1:]).sum(1)


def source_shares(sets: Sequence[RecordSet]) -> dict[Modality, np.ndarray]:
    """(sources,) probabilities for every modality that can be asked for.

    By weight, or by the number of records. A source with a record that lacks a sensor asked for
    is left out, unless they all have one.
    """
    weights = np.array([len(s) if s.weight is None else s.weight for s in sets], np.float64)
    shares = {}
    for asked in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR):
        whole = np.array([all(asked & record == asked for record in s.modalities) for s in sets])
        shares[asked] = weights * whole if whole.any() else weights
        shares[asked] = shares[asked] / shares[asked].sum()
    return shares


def sample_shares(sets: Sequence[RecordSet], config: TrainingConfig) -> np.ndarray:
    """(sources,) expected share of the samples of a run."""
    shares = source_shares(sets)
    return sum((part * shares[m] for m, part in _asked(config).items()), np.zeros(len(sets)))


def available(asked: Modality, record: Modality) -> Modality:
    """Sensors that a record gives of those asked for; all it has where it has none of them."""
    return Modality(asked & record) or record


class _Walk:
    """Shuffled epochs of one source, one record after the other."""

    def __init__(self, records: RecordSet, source: int, config: TrainingConfig) -> None:
        self._count, self._config, self._source = len(records), config, source
        self._classes = records.classes if config.sampling is Sampling.CBGS else None
        self._epoch, self._order = 0, self._ordered(0)

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, len(self._order))  # the same length in every epoch
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._ordered(epoch)
        return int(self._order[place])

    def _ordered(self, epoch: int) -> np.ndarray:
        match self._config.sampling:
            case Sampling.UNIFORM:
                return self._rng(epoch, _ORDER).permutation(self._count)
            case Sampling.CBGS:
                assert self._classes is not None
                return balanced_order(self._classes, self._rng(epoch, _CBGS))
            case _:
                assert_never(self._config.sampling)

    def _rng(self, epoch: int, stream: int) -> np.random.Generator:
        if self._source:
            stream = _LATER_SOURCES + 2 * self._source + int(stream == _CBGS)
        return np.random.default_rng([self._config.seed, epoch, stream])


class BatchKeys(torch.utils.data.Sampler):
    """Keys of one process's part of every batch from step `start` on.

    Every slot draws its source by weight, among those with the sensors that it asks for, and takes
    the next record of that source's own epochs.

    Args:
        sets: the sources.
        rank, world: this process and the number of processes; each takes an equal, contiguous
            part of the slots.

    Raises:
        ConfigError: without records, or if the batch cannot be divided so that all processes get
            equal modalities.
    """

    def __init__(
        self,
        sets: Sequence[RecordSet],
        config: TrainingConfig,
        start: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._config, self._start, self._rank, self._world = config, start, rank, world
        size = len(config.batch)
        if not sets or min(len(records) for records in sets) < 1:
            raise ConfigError('training data', 'at least one record in every source', '0')
        part = max(size // world, 1)
        parts = [sorted(config.batch[i : i + part]) for i in range(0, size, part)]
        mixed = config.draw is ModalityDraw.MIXED
        if size % world or (mixed and any(part != parts[0] for part in parts)):
            raise ConfigError(
                'training.batch',
                f'{world} equal parts with the same modalities, one per process',
                str(list(config.batch)),
            )
        self._modalities = [m for records in sets for m in records.modalities]
        self._shares = source_shares(sets)
        if world > 1:
            _require_alike(sets, self._shares, config, world)
        self._walks = [_Walk(records, i, config) for i, records in enumerate(sets)]
        self._first = np.cumsum([0, *(len(records) for records in sets)]).tolist()

    def __len__(self) -> int:
        return self._config.steps - self._start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        config, size = self._config, len(self._config.batch)
        part = size // self._world
        mine = range(self._rank * part, (self._rank + 1) * part)
        taken = self._taken_before(self._start)
        for step in range(self._start, config.steps):
            modalities = draw_modalities(config, step, self._world)
            keys: list[SampleKey] = []
            sources = draw_sources(self._shares, modalities, config.seed, step)
            for slot, source in enumerate(sources):
                if slot in mine:
                    record = self._first[source] + self._walks[source][taken[source]]
                    modality = available(modalities[slot], self._modalities[record])
                    keys.append(SampleKey(record, modality.value, config.seed, step, slot))
                taken[source] += 1
            yield keys

    def _taken_before(self, step: int) -> list[int]:
        """Number of records that the steps before have taken of every source."""
        config, taken = self._config, np.zeros(len(self._walks), np.int64)
        for earlier in range(step):
            modalities = draw_modalities(config, earlier, self._world)
            drawn = draw_sources(self._shares, modalities, config.seed, earlier)
            taken += np.bincount(drawn, minlength=len(taken))
        return taken.tolist()


def _require_alike(
    sets: Sequence[RecordSet],
    shares: Mapping[Modality, np.ndarray],
    config: TrainingConfig,
    world: int,
) -> None:
    """Stop where records lack sensors and so would make the processes differ.

    Synchronised batch norms wait for every process: all must run the same encoders.

    Raises:
        ConfigError
    """
    for asked in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR):
        records = {
            record
            for source, share in zip(sets, shares[asked], strict=True)
            if share
            for record in source.modalities
        }
        given = sorted({available(asked, record).name for record in records})
        if len(given) > 1 and asked in _asked(config):
            raise ConfigError(
                'data',
                f'records that all give the same where {asked.name} is asked for: '
                f'{world} processes wait for each other',
                f'some give {", some ".join(given)}',
                'train in one process, or import data with the same sensors',
            )


def _asked(config: TrainingConfig) -> dict[Modality, float]:
    """Share of the slots that ask for each modality; those that none asks for are not there."""
    names = (Modality.FUSED, Modality.CAMERA, Modality.LIDAR)
    match config.draw:
        case ModalityDraw.OFF:
            return {Modality.FUSED: 1.0}
        case ModalityDraw.MIXED:
            counts = [config.batch.count(m.name.lower()) for m in names]
            shares = [count / len(config.batch) for count in counts]
        case ModalityDraw.PER_ITERATION | ModalityDraw.PER_SAMPLE:
            shares = config.modality_shares
        case _:
            assert_never(config.draw)
    return {m: share for m, share in zip(names, shares, strict=True) if share > 0}


def pasting_of(sets: Sequence[RecordSet], config: TrainingConfig) -> Pasting | None:
    """GT-paste with objects of the records that are trained on; None: there is none."""
    if config.paste is None:
        return None
    databases = tuple(ObjectDatabase(records.folder, records.scenes) for records in sets)
    first = np.cumsum([0, *(len(records) for records in sets)])[:-1]
    return Pasting(config.paste, databases, tuple(first.tolist()), config.steps)


def training_loader(
    sets: Sequence[RecordSet],
    model: ModelConfig,
    config: TrainingConfig,
    step: int,
    processes: Processes,
) -> torch.utils.data.DataLoader:
    """Load the batches of this process from `step` on, each a list of samples."""
    return torch.utils.data.DataLoader(
        TrainingSamples(
            all_paths(sets),
            model,
            config.augmentation,
            config.curriculum,
            pasting_of(sets, config),
            config.execution,
        ),
        batch_sampler=BatchKeys(sets, config, step, processes.rank, processes.world),
        collate_fn=list,
        num_workers=config.loaders,
        prefetch_factor=3,
        pin_memory=config.device is Device.CUDA,
        multiprocessing_context='spawn',
    )  # forking beside OpenCV's threads can hang
