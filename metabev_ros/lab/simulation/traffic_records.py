"""Samples of recorded traffic as records: a `Source` for evaluation, never for training.

Places, traffic and the way of the ego are real; sensors, surroundings and weather are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceInfo
from metabev_ros.lab.simulation.building import build_recorded_street
from metabev_ros.lab.simulation.records import FIRST, StreetDrive, missing_frames
from metabev_ros.lab.simulation.traffic_file import (
    ATTRIBUTION,
    EVALUATION_ONLY,
    LICENCE,
    read_traffic,
)
from metabev_ros.structures import DETECTION_CLASSES


@dataclass(frozen=True)
class TrafficDrives:
    """Recorded scenes to drive again; a `Source`.

    Attributes:
        files: one scene each; their names without the ending are those of the drives.
        first_seed: of the first drive; the others follow.
        variants: drives of each scene, with other rigs, surroundings and weather each.
        spacing: seconds between the samples of a drive.
        cameras: whether there are pictures.
    """

    files: tuple[Path, ...]
    first_seed: int = 0
    variants: int = 1
    spacing: float = 1.5
    cameras: bool = True

    def __post_init__(self) -> None:
        names = [path.stem for path in self.files]
        require(len(names) > 0, 'traffic.files', 'at least one recorded scene', names)
        require(len(set(names)) == len(names), 'traffic.files', 'names that differ', names)
        require(self.first_seed >= 0, 'traffic.first_seed', 'at least 0', self.first_seed)
        require(1 <= self.variants <= 1000, 'traffic.variants', '1..1000', self.variants)
        require(0.1 <= self.spacing <= 60, 'traffic.spacing', '0.1..60 s', self.spacing)

    @property
    def info(self) -> SourceInfo:
        """Name, licence and classes: those of the recordings."""
        names = ', '.join(sorted(path.stem for path in self.files))
        return SourceInfo(
            f'recorded traffic with simulated sensors: {names}, {self.variants} times from seed '
            f'{self.first_seed}, {self.spacing:g} s apart'
            + ('' if self.cameras else ', LiDAR only'),
            LICENCE,
            False,
            ATTRIBUTION,
            {name: name for name in DETECTION_CLASSES},
            (EVALUATION_ONLY,),
        )

    def scenes(self) -> dict[str, int]:
        """Drive -> number of samples.

        Raises:
            ConfigError: for a file that is no recording.
        """
        return {scene: len(self._times(path)) for scene, (path, _) in self._drives().items()}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of one drive, but for the tokens that are done.

        Raises:
            ConfigError: for a file that is no recording.
        """
        path, seed = self._drives()[scene]
        missing = missing_frames(scene, self._times(path), done)
        if not missing:
            return
        street, _ = build_recorded_street(seed, path)
        drive = StreetDrive(seed, street, maker.model, scene)
        for index, t in missing.items():
            yield drive.record(index, t, self.cameras)

    def _drives(self) -> dict[str, tuple[Path, int]]:
        """Name of a drive -> its recording and its seed."""
        every = [(path, k) for k in range(self.variants) for path in self.files]
        return {
            f'{path.stem}_{k:02d}': (path, self.first_seed + place)
            for place, (path, k) in enumerate(every)
        }

    def _times(self, path: Path) -> np.ndarray:
        """Seconds of the samples of a recording."""
        return np.arange(FIRST, read_traffic(path).seconds, self.spacing)
