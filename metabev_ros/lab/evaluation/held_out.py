"""The drives that models are compared on."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.config import to_plain
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.samples import SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.evaluation.labelled_drives import Drive
from metabev_ros.pipeline import Pipeline

# Worlds for the final figures: neither training (from 100 000 on) nor the choice of a checkpoint
# (from 900 000 on) sees them.
TEST_FIRST_SEED = 950_000
RATE_HZ, LOOKBACK_FRAMES = 20.0, 10  # 0.5 s before every sample can be asked for


@dataclass(frozen=True)
class HeldOutDrives:
    """The held-out samples of an evaluation.

    Attributes:
        drives, per_drive: worlds, and samples of each.
        spacing_s: seconds from one sample of a drive to the next.
    """

    drives: int = 20
    per_drive: int = 20
    first_seed: int = TEST_FIRST_SEED
    spacing_s: float = 1.0

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
            f'synthetic drives, seeds {self.seeds[0]}..{self.seeds[-1]}, {self.per_drive} '
            f'samples each, {self.spacing_s:g} s apart'
        )

    @property
    def all_drives(self) -> tuple[Drive, ...]:
        """One drive a seed."""
        identity = {**to_plain(self), 'drives': None}  # more drives use the results of fewer
        return tuple(Drive(str(seed), seed * 1000, identity) for seed in self.seeds)

    def samples(self, drive: Drive, pipeline: Pipeline) -> SyntheticSamples:
        """Of one drive, rendered for the pipeline's images and number of sweeps."""
        stride = int(self.spacing_s * RATE_HZ)
        frames = LOOKBACK_FRAMES + (self.per_drive - 1) * stride + 1
        return SyntheticSamples(
            (int(drive.name),),
            self.per_drive,
            DriveConfig(frames, RATE_HZ),
            pipeline.prepare_image,
            stride=stride,
            first=LOOKBACK_FRAMES,
            sweeps=pipeline.config.lidar.sweeps,
        )
