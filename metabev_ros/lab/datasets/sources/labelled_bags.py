"""A team's own bags with labels: records of the very samples that a replay of them makes."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig
from metabev_ros.errors import ConfigError, SensorDataError, clean_text
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.bag_records import (
    MAX_REACH,
    ego_points,
    header_ns,
    is_far,
    record_of,
    truth_of,
)
from metabev_ros.lab.datasets.sources.classes import BACKGROUND, IGNORE, ClassMap
from metabev_ros.lab.datasets.sources.frame import RecordMaker, SourceInfo
from metabev_ros.lab.datasets.sources.label_collection import (
    BagLabels,
    LabelTopics,
    collect,
    topics_of_labels,
)
from metabev_ros.lab.datasets.sources.label_track import LabelTrack, PlacedLabels
from metabev_ros.pipeline import front_end_for
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.replay.feed import BagFeed
from metabev_ros.structures import DETECTION_CLASSES, Sample

MAX_TOLERANCE = 0.5  # seconds
_TOLD = 20


@dataclass(frozen=True)
class LabelledBags:
    """Bags of one vehicle; one bag is one drive.

    Attributes:
        paths: .mcap and .db3 files, or folders of rosbag2.
        rig: the sensors; sensing: the limits. They are those of a replay.
        labels: where the labels are.
        classes: the labels' class -> ours, IGNORE or BACKGROUND, beside ours by their own names.
        tolerance_s: a sample has labels at its very stamp, or this near, moved to it.
        spacing_s: seconds between records at least; a sweep later little is new.
        labelled_range_m: distance from the vehicle up to which all objects are labelled; None:
            everywhere.
        licence: its name, or who holds the rights.
        is_commercial: whether what is made of the bags may be used commercially.
        attribution: whom to name.
    """

    paths: tuple[Path, ...]
    rig: RigConfig
    sensing: SensingConfig = field(default_factory=SensingConfig)
    labels: LabelTopics = field(default_factory=LabelTopics)
    classes: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerance_s: float = 0.05
    spacing_s: float = 0.0
    labelled_range_m: float | None = None
    licence: str = "of the bag's owner"
    is_commercial: bool = True
    attribution: str = ''

    def __post_init__(self) -> None:
        if not self.paths:
            raise ConfigError('labelled bags', 'at least one bag', 'none')
        if not 0 <= self.tolerance_s <= MAX_TOLERANCE:
            raise ConfigError('tolerance_s', f'0..{MAX_TOLERANCE:g}', str(self.tolerance_s))
        if not 0 <= self.spacing_s < math.inf:
            raise ConfigError('spacing_s', 'seconds, 0 or more', str(self.spacing_s))
        distance = self.labelled_range_m
        if distance is not None and not 0 < distance < math.inf:
            raise ConfigError('labelled_range_m', 'metres above 0', str(distance))
        _ = self.class_map, self._bags  # both check what they are made of

    @property
    def class_map(self) -> ClassMap:
        """Target of each class of the labels."""
        own = {name: name for name in (*DETECTION_CLASSES, IGNORE, BACKGROUND)}
        return ClassMap(own).with_changes(self.classes)

    @property
    def _bags(self) -> dict[str, Path]:
        """Drive -> bag.

        Raises:
            ConfigError: for two bags of one name.
        """
        names = [
            _legal(path.resolve().name if path.is_dir() else path.stem) for path in self.paths
        ]
        bags: dict[str, Path] = {}
        for name, path in zip(names, self.paths, strict=True):
            if names.count(name) > 1:  # like recordings called rosbag2 in folders of their own
                name = _legal(f'{path.resolve().parent.name}_{name}')
            if name in bags:
                raise ConfigError(
                    'labelled bags', 'names that differ', f'{bags[name]} and {path}', 'rename one'
                )
            bags[name] = path
        return bags

    @property
    def info(self) -> SourceInfo:
        """Name, licence and classes; the name changes with what shapes the records."""
        asked = (self.tolerance_s, self.spacing_s, self.labelled_range_m)
        shape = (self.rig, self.sensing, self.labels, *asked)
        digits = hashlib.sha256(repr(shape).encode()).hexdigest()[:8]
        near = f'{self.tolerance_s * 1e3:g} ms'
        reach = self.labelled_range_m
        notes = [
            f'Samples within {near} of a label have its boxes, moved to their stamp.',
            'Objects are labelled everywhere.'
            if reach is None
            else f'Objects are labelled up to {reach:g} m from the vehicle.',
        ]
        return SourceInfo(
            f'labelled bags, settings {digits}',
            self.licence,
            self.is_commercial,
            self.attribution,
            dict(self.class_map.names),
            tuple(notes),
        )

    def scenes(self) -> dict[str, int]:
        """Drive -> -1: only reading tells how many labelled samples there are.

        Raises:
            ConfigError: for a bag that is not there.
        """
        for path in self.paths:
            if not path.exists():
                raise ConfigError(str(path), 'a bag', 'nothing there', 'check the path')
        return dict.fromkeys(self._bags, -1)

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a bag in the order of their stamps, but for the tokens that are done.

        Raises:
            ConfigError: for a bag that is none, without labels, without a sample that has any,
                or with classes that nobody maps.
        """
        path = self._bags[scene]
        try:
            reader = BagReader(path)
        except SensorDataError as error:
            raise ConfigError(error.where, error.expected, error.got, 'check the path') from error
        found = collect(reader, self.rig, self.labels)
        self.require_classes(path, found)
        yield from _Drive(self, scene, reader, found, maker).records(done)

    def require_classes(self, path: Path, found: BagLabels) -> None:
        """Refuse labels of classes that nobody maps.

        Raises:
            ConfigError: naming them.
        """
        used = Counter(name for one in found.labels for name in one.names)
        unknown = [name for name in used if name not in self.class_map.names]
        if unknown:
            shown = [clean_text(name) for name in sorted(unknown)]
            more = f' and {len(shown) - _TOLD} more' if len(shown) > _TOLD else ''
            raise ConfigError(
                f'{path}: classes of {found.topic}',
                f'classes among {sorted(self.class_map.names)}',
                f'{shown[:_TOLD]}{more}',
                f"say what each is: --class '{shown[0]}=car', or =ignore, or =background",
            )


class _Drive:
    """One bag on its way into records."""

    def __init__(
        self,
        source: LabelledBags,
        scene: str,
        reader: BagReader,
        found: BagLabels,
        maker: RecordMaker,
    ) -> None:
        self._source, self._scene, self._reader = source, scene, reader
        self._found, self._maker = found, maker
        self._track = LabelTrack(found.labels, found.frames, round(source.tolerance_s * 1e9))
        self._end = front_end_for(
            maker.model, Preprocessor(maker.model), source.rig, source.sensing
        )
        self._feed = BagFeed(reader, self._end, source.sensing)
        self._first_ns: int | None = None
        self._newest_ns = -1
        self._kept_ns: int | None = None
        self._without: Counter[str] = Counter()
        self._seen = self._labelled = self._lost = self._far = 0

    def records(self, done: frozenset[str]) -> Iterator[SampleRecord]:
        for moment in self._feed:
            for sample in moment.samples:
                self._seen += 1
                self._first_ns = sample.stamp_ns if self._first_ns is None else self._first_ns
                if sample.stamp_ns <= self._newest_ns:  # a recording in a loop
                    self._without['the clock began anew, and has been there'] += 1
                    continue
                self._newest_ns = sample.stamp_ns
                placed = self._track.at(sample.stamp_ns, header_ns(sample, self._end.time_offsets))
                if isinstance(placed, str):
                    self._without[placed] += 1
                    continue
                self._labelled += 1
                if not self._is_due(sample.stamp_ns):
                    self._without[f'less than {self._source.spacing_s:g} s after another'] += 1
                    continue
                token = f'{self._scene}_{sample.stamp_ns}'
                if token not in done:
                    yield self._record(token, sample, placed)
        if not self._labelled:
            raise self._no_records()
        self._maker.notes.extend(f'{self._scene}: {note}' for note in self._notes())

    def _is_due(self, stamp_ns: int) -> bool:
        """Tell whether enough time has gone by since the last record."""
        spacing_ns = round(self._source.spacing_s * 1e9)
        if self._kept_ns is not None and stamp_ns - self._kept_ns < spacing_ns:
            return False
        self._kept_ns = stamp_ns
        return True

    def _record(self, token: str, sample: Sample, placed: PlacedLabels) -> SampleRecord:
        source, layers = (
            self._source,
            self._found.maps.at(header_ns(sample, self._end.time_offsets)),
        )
        reach = source.labelled_range_m
        truth = truth_of(placed, source.class_map, ego_points(sample), layers, reach)
        self._far += int(is_far(placed).sum())
        self._lost += int((truth.ignored_labels != ANY_LABEL).sum())
        world = self._found.frames.world_from_ego(sample.stamp_ns)
        world = np.full((4, 4), np.nan) if world is None else world
        return record_of(token, self._scene, sample, truth, world, self._maker.model)

    # ------------------------------------------------------------------------------ what is said
    def _notes(self) -> Iterator[str]:
        samples = self._seen
        for why, count in self._without.most_common(_TOLD):
            yield f'{count} of {samples} samples left out: {why}'
        yield f'labels of {self._found.topic} ({self._found.msgtype})'
        yield from self._found.notes()
        if self._lost:
            yield (
                f'{self._lost} boxes are ignored: nobody knows how they moved from their label '
                'to the sample'
            )
        if self._far:
            yield f'{self._far} boxes more than {MAX_REACH:g} m away left out: look at their frame'
        integrity = self._reader.integrity
        if integrity.is_lossy or not integrity.is_finalised:
            yield f'the bag is cut or damaged, the rest of it is used: {integrity.describe()}'
        for topic, why in self._feed.not_heard.items():
            yield f'not heard: {clean_text(topic)} ({why})'

    def _no_records(self) -> ConfigError:
        """Say what there is in a bag of which no sample has labels."""
        silent = [f'{clean_text(t)} ({why})' for t, why in self._feed.not_heard.items()]
        where, heard = f'{self._reader.path}', '; '.join(silent[:_TOLD]) or 'all topics heard'
        labels, topics = self._found.labels, topics_of_labels(self._reader)
        if self._first_ns is None:
            return ConfigError(
                where,
                'samples of the rig',
                f'none; not heard: {heard}',
                'name the rig of this bag with --rig, or shorten sensing.start_timeout',
            )
        begin = f'the first label at {labels[0].stamp_ns} ns' if labels else 'no label at all'
        reasons = ', '.join(f'{count} x {why}' for why, count in self._without.items())
        notes = '; '.join([reasons, *self._found.notes()])
        return ConfigError(
            where,
            'samples with labels',
            f'none: {topics}; {begin}, the first sample at {self._first_ns} ns; {notes}',
            'compare the stamps, and the frames of the labels with TF; raise the tolerance',
        )


def _legal(name: str) -> str:
    """A name as a folder of records may have it."""
    return re.sub(r'[^A-Za-z0-9_.+-]', '_', name).lstrip('.')[:100] or 'bag'
