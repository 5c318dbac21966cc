"""The drives that models are compared on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metabev_ros.config import to_plain
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.lab.datasets.record_folder import labelled
from metabev_ros.lab.datasets.samples import LabelledSample, SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.evaluation.labelled_drives import Drive
from metabev_ros.lab.simulation.worlds import STREETS_NAME, World
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Sample

if TYPE_CHECKING:
    from metabev_ros.lab.simulation.records import StreetDrive

# Worlds by what they serve for, so that none serves for two. Training takes boxes from 100 000 on
# and streets from 1 000 000 on.
CHOICE_FIRST_SEED = 900_000  # the choice of a checkpoint, quick looks
TEST_FIRST_SEED = 950_000  # the final figures
_WORDS = {World.BOXES: 'synthetic drives', World.STREETS: STREETS_NAME}
RATE_HZ, LOOKBACK_FRAMES = 20.0, 10  # 0.5 s before every sample can be asked for


@dataclass(frozen=True)
class HeldOutDrives:
    """The held-out samples of an evaluation, rendered when it is their turn.

    Attributes:
        drives, per_drive: worlds, and samples of each.
        spacing_s: seconds from one sample of a drive to the next.
        world: kind of the worlds.
    """

    drives: int = 20
    per_drive: int = 20
    first_seed: int = TEST_FIRST_SEED
    spacing_s: float = 1.0
    world: World = World.BOXES

    def __post_init__(self) -> None:
        frames = self.spacing_s * RATE_HZ
        if self.drives < 1 or self.per_drive < 1 or frames < 1 or frames != int(frames):
            raise ConfigError(
                'HeldOutDrives',
                f'positive counts, a spacing in steps of {1 / RATE_HZ} s',
                f'{self.drives}, {self.per_drive}, {self.spacing_s}',
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the drives."""
        return tuple(range(self.first_seed, self.first_seed + self.drives))

    @property
    def words(self) -> str:
        """The test set in words."""
        return (
            f'{_WORDS[self.world]}, seeds {self.seeds[0]}..{self.seeds[-1]}, '
            f'{self.per_drive} samples each, {self.spacing_s:g} s apart'
        )

    @property
    def all_drives(self) -> tuple[Drive, ...]:
        """One drive a seed."""
        identity = {**to_plain(self), 'drives': None}  # more drives use the results of fewer
        if self.world is World.BOXES:
            del identity['world']  # as in results from before there were streets
        return tuple(Drive(str(seed), seed * 1000, identity) for seed in self.seeds)

    def samples(self, drive: Drive, pipeline: Pipeline) -> Iterator[LabelledSample]:
        """Of one drive, rendered for the pipeline's images and number of sweeps."""
        match self.world:
            case World.BOXES:
                return self._through_boxes(int(drive.name), pipeline)
            case World.STREETS:
                return self._through_streets(int(drive.name), pipeline)
            case _:
                assert_never(self.world)

    def _through_boxes(self, seed: int, pipeline: Pipeline) -> Iterator[LabelledSample]:
        stride = int(self.spacing_s * RATE_HZ)
        frames = LOOKBACK_FRAMES + (self.per_drive - 1) * stride + 1
        samples = SyntheticSamples(
            (seed,),
            self.per_drive,
            DriveConfig(frames, RATE_HZ),
            pipeline.prepare_image,
            stride=stride,
            first=LOOKBACK_FRAMES,
            sweeps=pipeline.config.lidar.sweeps,
        )
        return iter(samples)

    def _through_streets(self, seed: int, pipeline: Pipeline) -> Iterator[LabelledSample]:
        # Only here: these imports take as long as all others of the command line together.
        from metabev_ros.lab.simulation.records import drive_of

        first = 2 * LOOKBACK_FRAMES / RATE_HZ  # the earliest has earlier sweeps of its own
        seconds = first + self.per_drive * self.spacing_s
        drive = drive_of(seed, seconds, pipeline.config, str(seed))
        for index in range(self.per_drive):
            time = first + index * self.spacing_s
            whole = labelled(drive.record(index, time, cameras=True))
            yield dataclasses.replace(whole, earlier=_earlier(drive, index, time))


def _earlier(drive: StreetDrive, index: int, time: float) -> Callable[[int], Sample]:
    """The sample of a drive some milliseconds before a time; rendered when asked for."""

    @functools.cache
    def at(milliseconds: int) -> Sample:
        return drive.record(index, time - milliseconds * 1e-3, cameras=True).sample

    return at
