"""The ledger of reality: what each step of training gave on real frames, as records and a picture.

Ids are `reality.<step>.<data set>.<branch>.<figure>`, with `_low` and `_high` where there is an
interval. Steps stand in the order in which they were recorded first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.files import replacing
from metabev_ros.lab.datasets.record_folder import RecordFolder, labelled
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.lab.evaluation.bootstrap import Interval
from metabev_ros.lab.evaluation.reality import RESAMPLES, RealFrames, intervals
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.run import MODALITIES
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOPIC = 'reality'
SHIPPED_STEP = 'streets_calibrated'  # the row of the weights of the default model
POOLED = 'all'  # the LiDAR branch on the frames of all data sets
UNITS = {'ap': 'AP', 'map': 'mAP', 'recall': 'recall', 'true': 'cars', 'false': 'cars'}


@dataclass(frozen=True)
class Asked:
    """A figure that has an interval, and what is asked of it.

    Attributes:
        id: without topic and step.
        words: for the picture.
        target: None where nothing is asked.
    """

    id: str
    words: str
    target: str | None = None


ASKED = (
    Asked('av2.lidar.car.ap_2', 'Argoverse 2, LiDAR:\ncar AP at 2 m', '>= 0.75'),
    Asked('kitti.lidar.car.ap_2', 'KITTI, LiDAR:\ncar AP at 2 m', '>= 0.6'),
    Asked('nuscenes.lidar.car.ap_2', 'nuScenes, LiDAR:\ncar AP at 2 m'),
    Asked('av2.lidar.pedestrian.ap_2', 'Argoverse 2, LiDAR:\npedestrian AP at 2 m', '>= 0.25'),
    Asked('nuscenes.fused_less_lidar.map', 'nuScenes, fused less LiDAR:\nmAP', '>= -0.02'),
    Asked(
        'nuscenes.fused_less_lidar.car.ap_2',
        'nuScenes, fused less LiDAR:\ncar AP at 2 m',
        '>= -0.02',
    ),
    Asked('all.lidar.car.heading_off', 'all, LiDAR: share of cars\nturned by over 30°', '<= 0.15'),
    Asked(
        'all.lidar.car.false_share_0_3', 'all, LiDAR: share of false\ncars at score 0.3', '<= 0.5'
    ),
)
OWN_CENTRES, OWN_CENTRES_TARGET = 'all.own_centres', '<= 0'
OWN_BOXES = 'all.own_boxes'
# Branches whose figures are listed in full, without intervals.
LISTED = ('av2.lidar', 'kitti.lidar', 'kitti.fused', 'nuscenes.lidar', 'nuscenes.fused')


def seen_on(pipeline: Pipeline, folders: Mapping[str, Path]) -> dict[str, RealFrames]:
    """Run a model on records of real frames, once a branch.

    Args:
        folders: data set -> folder of records.

    Returns:
        '<data set>.<branch>' -> its boxes; 'all.lidar' holds the LiDAR branch on all frames.

    Raises:
        ConfigError: for records of another kind of model.
        BackendError: if inference fails.
    """
    seen: dict[str, RealFrames] = {}
    for name, path in folders.items():
        folder = RecordFolder(path)
        folder.require_fit(pipeline.config)
        for record in map(read_record, folder.paths):
            frame = labelled(record)
            for modality in MODALITIES:
                if modality & frame.sample.modality != modality:
                    continue
                found = pipeline(restrict_to(frame.sample, modality)).detections
                keys = [f'{name}.{modality.name.lower()}']
                if modality is Modality.LIDAR:
                    keys.append(f'{POOLED}.lidar')
                for key in keys:
                    drive = f'{name}.{record.scene}.{_drive_part(name, record.token)}'
                    seen.setdefault(key, RealFrames()).add(drive, found, frame.truth)
    return seen


def _drive_part(data_set: str, token: str) -> str:
    """KITTI's object frames are of different drives, whatever the folder of their records."""
    return token if data_set == 'kitti' else ''


def ledger_records(
    seen: Mapping[str, RealFrames], step: str, command: str, resamples: int = RESAMPLES
) -> list[ResultRecord]:
    """A row of the ledger.

    Args:
        step: names the row; letters, digits and underscores.

    Raises:
        ConfigError: for another name.
    """
    if not step.replace('_', '').isalnum():
        raise ConfigError('--step', 'letters, digits and _', repr(step))
    start = f'{TOPIC}.{step}'
    records: list[ResultRecord] = []
    for asked, interval, count in _asked_figures(seen, resamples):
        unit = _unit(asked.id)
        ends = {'': interval.value, '_low': interval.low, '_high': interval.high}
        for end, value in ends.items():
            if not math.isnan(value):
                target = asked.target if end == '' else None
                name = f'{start}.{asked.id}{end}'
                records.append(make_record(name, round(value, 4), unit, command, count, target))
    own = [frames for key, frames in seen.items() if not key.startswith(f'{POOLED}.')]
    count = sum(frames.frames for frames in own)
    centres, boxes = sum(f.own_centres for f in own), sum(f.own_boxes for f in own)
    records += [
        make_record(
            f'{start}.{OWN_CENTRES}', centres, 'boxes', command, count, OWN_CENTRES_TARGET
        ),
        make_record(f'{start}.{OWN_BOXES}', boxes, 'boxes', command, count),
    ]
    known = {record.id for record in records}
    return records + [r for r in _listed(seen, start, command) if r.id not in known]


def _asked_figures(
    seen: Mapping[str, RealFrames], resamples: int
) -> Iterator[tuple[Asked, Interval, int]]:
    """Every figure of ASKED whose frames are there, with its interval and number of objects."""
    groups: dict[str, list[Asked]] = {}
    for asked in ASKED:
        data_set, branch, _ = asked.id.split('.', 2)
        groups.setdefault(f'{data_set}.{branch}', []).append(asked)
    for key, members in groups.items():
        data_set, branch = key.split('.')
        sides = [seen.get(f'{data_set}.{side}') for side in branch.split('_less_')]
        there = [side for side in sides if side is not None]
        if len(there) != len(sides):
            continue
        names = [asked.id.split('.', 2)[2] for asked in members]
        found = intervals(there, names, resamples)
        for asked, name in zip(members, names, strict=True):
            counts = there[0].counts()
            yield asked, found[name], counts.get(name.split('.')[0], sum(counts.values()))


def _listed(seen: Mapping[str, RealFrames], start: str, command: str) -> Iterator[ResultRecord]:
    for key in LISTED:
        if key not in seen:
            continue
        frames = seen[key]
        counts = frames.counts()
        for name, interval in intervals([frames], LISTED_FIGURES, 1).items():
            if not math.isnan(interval.value):
                yield make_record(
                    f'{start}.{key}.{name}',
                    round(interval.value, 4),
                    _unit(f'{key}.{name}'),
                    command,
                    counts.get(name.split('.')[0], sum(counts.values())),
                )


LISTED_FIGURES = (
    *(f'car.ap_{distance}' for distance in ('0_5', '1', '2', '4')),
    'pedestrian.ap_2',
    'map',
    *(f'car.recall_{reach}' for reach in ('0_20', '20_35', '35_50')),
    'car.heading_off',
    'car.true_0_3',
    'car.false_0_3',
)


def _unit(name: str) -> str:
    last = name.rpartition('.')[2]
    return 'share' if 'share' in last or 'off' in last else UNITS[last.partition('_')[0]]


def steps_of(records: Iterable[ResultRecord]) -> list[str]:
    """The rows of the ledger, in order."""
    return list(dict.fromkeys(record.id.split('.')[1] for record in records))


def draw_ledger(records: Sequence[ResultRecord], path: Path) -> None:
    """Draw one small picture a figure: its value and interval after every step, and what is asked.

    Raises:
        MissingDependencyError: without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'ledger of reality', 'matplotlib', 'not installed', 'pip install matplotlib'
        ) from error
    values = {record.id: record.value for record in records}
    steps = steps_of(records)
    figure = Figure(figsize=(max(9.0, 3.0 + 2.0 * len(steps)), 5.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, (len(ASKED) + 1) // 2, squeeze=False).ravel().tolist()
    for axis, asked in zip(axes, ASKED, strict=True):
        _draw(axis, asked, steps, values)
    with replacing(path) as part:
        figure.savefig(part, format='png', dpi=110, metadata={'Software': None})


def _draw(axis: Axes, asked: Asked, steps: Sequence[str], values: Mapping[str, float]) -> None:
    """One figure over the steps."""
    for place, step in enumerate(steps):
        name = f'{TOPIC}.{step}.{asked.id}'
        if name not in values:
            continue
        ends = [values.get(f'{name}{end}', values[name]) for end in ('_low', '_high')]
        axis.plot([place, place], ends, color='#1b6ca8', linewidth=2.2, alpha=0.55)
        axis.plot(place, values[name], 'o', color='#1b6ca8', markersize=6)
        axis.annotate(
            f'{values[name]:.2f}',
            (place, values[name]),
            xytext=(7, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
        )
    if asked.target is not None:
        sense, limit = asked.target.split()
        axis.axhline(float(limit), color='#d1495b', linestyle='--', linewidth=1.2)
        side = 'at least' if sense == '>=' else 'at most'
        axis.set_xlabel(f'dashed: {side} {float(limit):g}', fontsize=8, color='#d1495b')
    axis.set_title(asked.words, fontsize=9)
    axis.set_xlim(-0.6, len(steps) - 0.2)
    axis.set_xticks(range(len(steps)), [step.replace('_', '\n') for step in steps], fontsize=8)
    axis.tick_params(axis='y', labelsize=8)
    low, high = (-0.25, 0.25) if '_less_' in asked.id else (0.0, 1.0)
    bottom, top = axis.get_ylim()
    axis.set_ylim(min(low, bottom), max(high, top))
    axis.grid(axis='y', alpha=0.3)
