"""Argoverse 2's sensor data set as records (Wilson et al.: NeurIPS 2021, data sets track).

PATH/<split>/<log>/sensors/lidar/<ns>.feather
PATH/<split>/<log>/sensors/cameras/ring_front_center/<ns>.jpg   and six others
PATH/<split>/<log>/annotations.feather
PATH/<split>/<log>/city_SE3_egovehicle.feather
PATH/<split>/<log>/calibration/{intrinsics,egovehicle_SE3_sensor}.feather
PATH/<split>/<log>/map/log_map_archive_*.json
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.argoverse_files import stamped_files
from metabev_ros.lab.datasets.sources.argoverse_log import LIDAR_FOLDER, ArgoverseLog
from metabev_ros.lab.datasets.sources.argoverse_map import RegionOfInterest
from metabev_ros.lab.datasets.sources.classes import BACKGROUND, IGNORE, ClassMap
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceFrame, SourceInfo
from metabev_ros.structures import DETECTION_CLASSES

# nuScenes' detection classes where it has the thing. Ignored is what nuScenes leaves out of its
# detection task too (wheelchairs, strollers, scooters and who rides them, animals), what it counts
# with another thing (a rider is part of the bicycle's or motorcycle's box there, and a box of its
# own here), and what is either this or that by its annotators' rules (trailers that carry a sign,
# trams, barrels). Things that stand by the road and are not annotated there are background.
AV2_CLASSES: Mapping[str, str] = {
    'REGULAR_VEHICLE': 'car',
    'LARGE_VEHICLE': 'truck',
    'BOX_TRUCK': 'truck',
    'TRUCK': 'truck',
    'TRUCK_CAB': 'truck',
    'BUS': 'bus',
    'SCHOOL_BUS': 'bus',
    'ARTICULATED_BUS': 'bus',
    'VEHICULAR_TRAILER': 'trailer',
    'PEDESTRIAN': 'pedestrian',
    'OFFICIAL_SIGNALER': 'pedestrian',
    'BICYCLE': 'bicycle',
    'MOTORCYCLE': 'motorcycle',
    'CONSTRUCTION_CONE': 'traffic_cone',
    'BICYCLIST': IGNORE,
    'MOTORCYCLIST': IGNORE,
    'WHEELED_RIDER': IGNORE,
    'WHEELED_DEVICE': IGNORE,
    'WHEELCHAIR': IGNORE,
    'STROLLER': IGNORE,
    'DOG': IGNORE,
    'ANIMAL': IGNORE,
    'RAILED_VEHICLE': IGNORE,
    'MESSAGE_BOARD_TRAILER': IGNORE,
    'TRAFFIC_LIGHT_TRAILER': IGNORE,
    'CONSTRUCTION_BARREL': IGNORE,
    'BOLLARD': BACKGROUND,
    'SIGN': BACKGROUND,
    'STOP_SIGN': BACKGROUND,
    'MOBILE_PEDESTRIAN_CROSSING_SIGN': BACKGROUND,
}
_NO_LABELS = 'the test split has no annotations'
_NAME = re.compile(r'[A-Za-z0-9_-]{1,80}')


@dataclass(frozen=True)
class Argoverse2:
    """One split of the sensor data set.

    Attributes:
        path: folder with the splits.
        split: 'train' or 'val'; 'test' has no annotations.
        classes: changes of AV2_CLASSES.
    """

    path: Path
    split: str = 'val'
    classes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def info(self) -> SourceInfo:
        """Name, licence, classes and notes."""
        return SourceInfo(
            f'Argoverse 2 sensor {self.split}',
            'CC BY-NC-SA 4.0',
            False,
            'Wilson et al.: Argoverse 2: Next Generation Datasets for Self-Driving Perception and '
            'Forecasting, NeurIPS Datasets and Benchmarks 2021',
            dict(self.class_map.names),
            (
                'Its maps lack walkways, stop lines and car parks: these layers are unknown.',
                'Every painted boundary of a lane is a divider, edge lines of the road too.',
                'Objects have no attributes.',
            ),
        )

    @property
    def class_map(self) -> ClassMap:
        """Target of each category."""
        return ClassMap(AV2_CLASSES).with_changes(self.classes)

    @property
    def detection_classes(self) -> tuple[str, ...]:
        """Our classes that any category leads to, in the order of DETECTION_CLASSES."""
        reached = set(self.class_map.names.values())
        return tuple(name for name in DETECTION_CLASSES if name in reached)

    def scenes(self) -> dict[str, int]:
        """Drive -> its sweeps, all of which are annotated.

        Raises:
            ConfigError: for a folder that is not laid out as the data set is.
        """
        folder = Path(self.path) / self.split
        if not _NAME.fullmatch(self.split) or self.split == 'test':
            raise ConfigError('split', 'train or val', clean_text(self.split), _NO_LABELS)
        if not folder.is_dir():
            there = sorted(p.name for p in Path(self.path).glob('*'))[:8]
            raise ConfigError(
                str(self.path),
                f'a folder with {self.split}/<log>/annotations.feather',
                f'a folder with {there}' if there else 'no such folder, or an empty one',
                'give the folder that holds the splits',
            )
        logs = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith('.'))
        if not logs:
            raise ConfigError(str(folder), 'drives', 'none', 'load some drives')
        for log in logs:
            if not (log / 'annotations.feather').is_file():
                raise ConfigError(
                    str(log), 'annotations.feather', 'no such file', 'load the whole drive'
                )
        return {log.name: len(stamped_files(log / LIDAR_FOLDER, 'feather')) for log in logs}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a drive in order, but for the tokens that are done.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
            MissingDependencyError: without pyarrow.
        """
        log = self._log(scene)
        for stamp_ns in log.stamps:
            if log.token(stamp_ns) in done:
                continue
            try:
                yield maker.make(log.frame(stamp_ns, maker.model.lidar.sweeps))
            except SensorDataError as error:
                raise ConfigError(
                    log.token(stamp_ns), error.expected, error.got, 'load the pictures anew'
                ) from error

    def frame(self, scene: str, stamp_ns: int, sweeps: int = 1) -> SourceFrame:
        """One frame of a drive with at most so many sweeps.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        return self._log(scene).frame(stamp_ns, sweeps)

    def regions(self, scene: str) -> dict[str, RegionOfInterest]:
        """Token of a frame -> what Argoverse's own metric looks at.

        Raises:
            ConfigError: for files that are missing or damaged.
        """
        log = self._log(scene)
        return {
            log.token(stamp): RegionOfInterest(log.map.drivable_areas, log.pose(stamp))
            for stamp in log.stamps
        }

    def _log(self, scene: str) -> ArgoverseLog:
        if not _NAME.fullmatch(scene):
            raise ConfigError('scene', 'the name of a drive', clean_text(scene))
        return ArgoverseLog(Path(self.path) / self.split / scene, self.class_map)
