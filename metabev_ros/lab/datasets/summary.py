"""Figures of a folder of records, and warnings of what looks wrong about it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.files import write_text
from metabev_ros.geometry import box_corners, inverse_rigid, transform_points
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_arrays, read_record
from metabev_ros.lab.datasets.synthetic.world import count_points
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES

LOOKED_AT = 100  # records whose points and images are looked at, spread over the folder
NEAR = 30.0  # metres; nearer than that a LiDAR should see most objects
_SMALL = ('boxes', 'labels', 'num_lidar_pts', 'ignored', 'camera_ages_ns')
_FEWEST = 10  # boxes from which a share says something


@dataclass(frozen=True)
class ClassSummary:
    """Objects of one class.

    Attributes:
        boxes: all of them.
        with_points: those with a LiDAR point, as the source counts.
        with_velocity: those whose velocity is known.
        median_range_m, farthest_m: distance from the ego frame's origin; NaN without any.
        median_points: of those with points; NaN without any.
    """

    name: str
    boxes: int
    with_points: int
    with_velocity: int
    median_range_m: float
    farthest_m: float
    median_points: float


@dataclass(frozen=True)
class Summary:
    """A folder of records in figures.

    Attributes:
        records, scenes: how many.
        modalities: name -> records with these sensors.
        cameras: name -> records that have it.
        classes: one for each of DETECTION_CLASSES.
        ignored: boxes that are neither asked for nor wrong.
        oldest_image_ms, newest_image_ms: age of an image at its sample; NaN without cameras.
        looked_at: records behind the figures below.
        points: median number of points of a record; NaN without LiDAR.
        intensity: its 1st, 50th and 99th percentile, 0..255.
        map_known: layer -> share of cells whose truth is known.
        objects_known: share of the area in which objects are labelled.
        warnings: what looks wrong, one sentence each.
    """

    records: int
    scenes: int
    modalities: dict[str, int]
    cameras: dict[str, int]
    classes: tuple[ClassSummary, ...]
    ignored: int
    oldest_image_ms: float
    newest_image_ms: float
    looked_at: int
    points: float
    intensity: tuple[float, float, float]
    map_known: dict[str, float]
    objects_known: float
    warnings: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write it as JSON; replaces the file as a whole."""
        write_text(path, json.dumps(_plain(asdict(self)), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """The same for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spread_over(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, at equal distances."""
    if len(paths) <= count:
        return list(paths)
    return [paths[int(i)] for i in np.linspace(0, len(paths) - 1, count)]


def summarise(folder: RecordFolder) -> Summary:
    """Look at small things of every record, and at points and images of some."""
    entries, paths = folder.manifest.records, folder.paths
    small = [read_arrays(path, (*_SMALL, 'cameras')) for path in paths]
    looked = [_Look.at(read_record(path)) for path in spread_over(paths, LOOKED_AT)]
    modalities = [entry.modality for entry in entries]
    names = [name for arrays in small for name in arrays['cameras'].tolist()]
    ages = np.concatenate([arrays['camera_ages_ns'] for arrays in small]) / 1e6
    classes = _classes(small)
    intensity = np.concatenate([look.intensity for look in looked])
    sizes = [look.points for look in looked if look.points]
    known = np.mean([look.map_known for look in looked], 0)
    return Summary(
        len(entries),
        len({entry.scene for entry in entries}),
        {name: modalities.count(name) for name in sorted(set(modalities))},
        {name: names.count(name) for name in dict.fromkeys(names)},
        classes,
        sum(len(arrays['ignored']) for arrays in small),
        float(ages.max()) if len(ages) else float('nan'),
        float(ages.min()) if len(ages) else float('nan'),
        len(looked),
        float(np.median(sizes)) if sizes else float('nan'),
        _percentiles(intensity),
        dict(zip(MAP_CLASSES, known.tolist(), strict=True)),
        float(np.mean([look.objects_known for look in looked])),
        (*_geometry_warnings(looked), *_intensity_warnings(intensity), *_class_warnings(classes)),
    )


def _classes(small: list[dict[str, np.ndarray]]) -> tuple[ClassSummary, ...]:
    boxes = np.concatenate([arrays['boxes'] for arrays in small])
    labels = np.concatenate([arrays['labels'] for arrays in small])
    points = np.concatenate([arrays['num_lidar_pts'] for arrays in small])
    summaries: list[ClassSummary] = []
    for label, name in enumerate(DETECTION_CLASSES):
        mine = labels == label
        ranges, seen = np.hypot(*boxes[mine, :2].T), points[mine]
        summaries.append(
            ClassSummary(
                name,
                int(mine.sum()),
                int((seen > 0).sum()),
                int(np.isfinite(boxes[mine, 7:9]).all(1).sum()),
                float(np.median(ranges)) if len(ranges) else float('nan'),
                float(ranges.max()) if len(ranges) else float('nan'),
                float(np.median(seen[seen > 0])) if (seen > 0).any() else float('nan'),
            )
        )
    return tuple(summaries)


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    if not len(values):
        return float('nan'), float('nan'), float('nan')
    low, middle, high = np.percentile(values, (1, 50, 99)).tolist()
    return low, middle, high


@dataclass(frozen=True)
class _Look:
    """Evidence of one record's points and images about its boxes."""

    points: int
    intensity: np.ndarray
    map_known: list[float]
    objects_known: float
    near: int  # boxes near the vehicle
    seen: int  # of these, with points, as the source counts
    empty: int  # of these, that hold less than a third of them
    bottoms: np.ndarray  # heights of the undersides of near cars
    floor: float  # height of the ground near the vehicle; NaN without points
    shown: dict[str, int]  # camera -> boxes whose centre it shows

    @classmethod
    def at(cls, record: SampleRecord) -> _Look:
        """Look at a record."""
        newest = record.points[record.points[:, 4] == 0]
        cloud = transform_points(record.ego_from_lidar, newest[:, :3].astype(np.float64))
        distance = np.hypot(record.boxes[:, 0], record.boxes[:, 1])
        near = (distance < NEAR) & (len(cloud) > 0)
        seen = near & (record.num_lidar_pts > 0)
        claimed = record.num_lidar_pts[seen]
        counts = count_points(cloud, record.boxes[seen])
        cars = seen & (record.labels == 0)
        around = cloud[np.hypot(cloud[:, 0], cloud[:, 1]) < NEAR, 2]
        layers = record.map_known
        return cls(
            len(record.points),
            newest[:: max(1, len(newest) // 2000), 3],
            [1.0] * len(MAP_CLASSES) if layers is None else layers.mean((1, 2)).tolist(),
            1.0 if record.objects_known is None else float(record.objects_known.mean()),
            int(near.sum()),
            int(seen.sum()),
            int((counts < np.maximum(1, claimed / 3)).sum()),
            record.boxes[cars, 2] - record.boxes[cars, 5] / 2,
            float(np.percentile(around, 10)) if len(around) else float('nan'),
            {name: _shown(record, i) for i, name in enumerate(record.cameras)},
        )


def _shown(record: SampleRecord, index: int) -> int:
    """Boxes whose centre lies in the picture of a camera."""
    height, width = record.pixels.shape[1:3]
    centres = transform_points(
        inverse_rigid(record.ego_from_camera[index]), box_corners(record.boxes).mean(1)
    )
    centres = centres[centres[:, 2] > 0.5] @ record.intrinsics[index].T
    u, v = centres[:, 0] / centres[:, 2], centres[:, 1] / centres[:, 2]
    return int(((u >= 0) & (u < width) & (v >= 0) & (v < height)).sum())


def _geometry_warnings(looked: list[_Look]) -> list[str]:
    """Signs of a wrong calibration, frame or box convention."""
    warnings: list[str] = []
    near, seen = sum(look.near for look in looked), sum(look.seen for look in looked)
    empty = sum(look.empty for look in looked)
    remedy = 'look for a wrong calibration, ego frame, turn or order of sizes'
    if seen >= _FEWEST and empty > 0.2 * seen:
        warnings.append(
            f'{empty} of {seen} boxes nearer than {NEAR:g} m hold less than a third of the points '
            f'that they should: {remedy}'
        )
    if near >= _FEWEST and seen < 0.4 * near:
        warnings.append(
            f'{near - seen} of {near} boxes nearer than {NEAR:g} m hold no points: {remedy}'
        )
    bottoms = np.concatenate([look.bottoms - look.floor for look in looked])
    bottoms = bottoms[np.isfinite(bottoms)]
    if len(bottoms) >= _FEWEST and abs(np.median(bottoms)) > 0.7:
        warnings.append(
            f'cars stand {np.median(bottoms):+.1f} m above the ground of the points: look at the '
            "boxes' origin (centre or underside) and at the LiDAR's height"
        )
    floors = np.array([look.floor for look in looked])
    floors = floors[np.isfinite(floors)]
    if len(floors) and abs(np.median(floors)) > 0.7:
        warnings.append(
            f'the ground lies at z = {np.median(floors):+.1f} m: the ego frame should be on it, '
            'below the rear axle'
        )
    for name in dict.fromkeys(name for look in looked for name in look.shown):
        shown = [look.shown[name] for look in looked if name in look.shown]
        if len(shown) >= _FEWEST and not sum(shown):
            warnings.append(f'no box lies in the picture of {name}: look at its calibration')
    return warnings


def _intensity_warnings(intensity: np.ndarray) -> list[str]:
    if not len(intensity):
        return []
    low, high = float(intensity.min()), float(intensity.max())
    if high > 255:
        return [f'intensities reach {high:g}: 0..255 is expected, set the scale of the LiDAR']
    if high <= 1.0:
        return [f'intensities lie in {low:g}..{high:g}: 0..255 is expected, set the scale']
    return [] if high > low else [f'all intensities are {low:g}']


def _class_warnings(classes: Sequence[ClassSummary]) -> list[str]:
    empty = [c.name for c in classes if not c.boxes]
    unseen = [c.name for c in classes if c.boxes and not c.with_points]
    warnings = [f'no object of {", ".join(empty)}'] if empty else []
    if unseen:
        warnings.append(f'no LiDAR point on any {", ".join(unseen)}: not learnt from')
    return warnings
