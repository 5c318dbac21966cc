"""One run looked at: its film is drawn, and what the page shows beside it is kept on the way."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros.drawing import PanelLayout
from metabev_ros.lab.report.film import write_video
from metabev_ros.lab.report.instants import InstantReader, SampleSetting
from metabev_ros.lab.report.moments import (
    Moment,
    still_indices,
    worst_against_truth,
    worst_moments,
)
from metabev_ros.lab.report.panel import Instant, draw_instant
from metabev_ros.lab.report.quality import Count, Quality, QualityScores, count_objects
from metabev_ros.lab.report.recording import Recording
from metabev_ros.lab.report.truth import BagTruth
from metabev_ros.pages.ground import boxes_shown
from metabev_ros.pages.messages import Frame, Output, Status
from metabev_ros.structures import Modality

SURE = 0.5  # probability from which on a map cell counts as of a layer


@dataclass(frozen=True)
class FilmTimes:
    """The pictures of a film: number k shows what was known (k + 1) / rate seconds after zero."""

    rate_hz: float
    count: int

    @classmethod
    def over(cls, seconds: float, rate_hz: float) -> FilmTimes:
        """Pictures for so many seconds."""
        return cls(rate_hz, max(1, math.ceil(seconds * rate_hz - 1e-6)))

    def seconds(self, number: int) -> float:
        """Seconds after zero of a picture."""
        return (number + 1) / self.rate_hz

    def number(self, seconds: float) -> int:
        """The picture that shows an instant first."""
        return min(max(math.ceil(seconds * self.rate_hz - 1e-6) - 1, 0), self.count - 1)


@dataclass(frozen=True)
class Seen:
    """The parts of an output that two runs are compared by: its boxes shown, its map packed."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    cells: bytes
    shape: tuple[int, ...]

    def map_cells(self) -> np.ndarray:
        """(K, Y, X) bool."""
        bits = np.frombuffer(zlib.decompress(self.cells), np.uint8)
        return np.unpackbits(bits, count=math.prod(self.shape)).reshape(self.shape).astype(bool)


@dataclass
class RunFindings:
    """All that the page says of one run.

    Attributes:
        stills: index of an output -> its instant, for large pictures.
        shown: the status beside each picture of the film.
        worst: moments, in the order in which they are listed.
        counts: objects found and missed, of the outputs in the film that have truth.
        seen: of the outputs in the film.
        notes: what is not as one would expect, in sentences.
    """

    recording: Recording
    times: FilmTimes
    film: Path
    stills: dict[int, Instant] = field(default_factory=dict[int, Instant])
    shown: list[Status | None] = field(default_factory=list)
    worst: list[Moment] = field(default_factory=list[Moment])
    counts: dict[int, Count] = field(default_factory=dict[int, Count])
    qualities: list[Quality] = field(default_factory=list[Quality])
    seen: dict[int, Seen] = field(default_factory=dict[int, Seen])
    notes: list[str] = field(default_factory=list[str])
    truth_topic: str = ''

    @property
    def best(self) -> tuple[int, Instant] | None:
        """The still with the most sensors: it shows the run at its best."""
        whole = {i: s for i, s in self.stills.items() if s.frame is not None}
        if not whole:
            return None
        outputs = self.recording.outputs
        index = max(whole, key=lambda i: (len(outputs[i].sensors), -i))
        return index, whole[index]


class Gathering:
    """Draws the film of one run and gathers its findings.

    Args:
        recording: the first look at the bag.
        setting: of the samples.
        truth: None where the bag has none.
        times: of the film's pictures.
    """

    def __init__(
        self,
        recording: Recording,
        setting: SampleSetting,
        truth: BagTruth | None,
        times: FilmTimes,
        film: Path,
    ) -> None:
        self._recording, self._setting, self._truth = recording, setting, truth
        self._reader = InstantReader(recording, setting, truth)
        self._findings = RunFindings(recording, times, film)
        self._worst = worst_moments(recording)
        self._stills = set(still_indices(recording, self._worst))
        self._scores: dict[tuple[Modality, bool], QualityScores] = {}
        self._extremes: dict[str, tuple[int, int, Instant]] = {}

    def run(self, workers: int, progress: Callable[[], None]) -> RunFindings:
        """Draw; returns what was found.

        Args:
            progress: called for every picture.
        """
        found = self._findings
        layout = film_layout(self._setting)
        draw = functools.partial(draw_instant, layout=layout)
        rate = found.times.rate_hz
        write_video(found.film, self._scenes(), draw, rate, workers, progress, layout)
        found.qualities = [
            scores.result(_title(*key), key[0])
            for key, scores in sorted(self._scores.items(), reverse=True)
            if scores.samples
        ]
        against = worst_against_truth(self._recording, found.counts)
        found.worst = [*against, *self._worst]
        found.stills |= {index: instant for _, index, instant in self._extremes.values()}
        found.stills = dict(sorted(found.stills.items()))
        found.truth_topic = self._truth.topic if self._truth else ''
        found.notes = self._notes()
        return found

    def _scenes(self) -> Iterator[Instant]:
        recording, times = self._recording, self._findings.times
        nows = [recording.zero_ns + round(times.seconds(k) * 1e9) for k in range(times.count)]
        indices = [recording.output_at(now) for now in nows]
        wanted = sorted(self._stills | {index for index in indices if index is not None})
        source = self._reader.read(wanted)
        current: tuple[int, Instant] | None = None
        for now, index in zip(nows, indices, strict=True):
            while index is not None and (current is None or current[0] < index):
                current = next(source, None)
                if current is None:
                    break
                self._take(*current)
            if index is not None and current is not None and current[0] == index:
                instant = current[1]
            else:
                beat = recording.last_beat(now)
                instant = self._reader.silent(beat, recording.seconds(now))
            self._findings.shown.append(instant.status)
            yield instant
        for index, instant in source:
            self._take(index, instant)

    def _take(self, index: int, instant: Instant) -> None:
        found, frame, truth = self._findings, instant.frame, instant.truth
        if index in self._stills:
            found.stills[index] = instant
        if frame is None:
            return
        found.seen[index] = _seen(frame)
        if truth is None:
            return
        count = count_objects(frame, truth)
        found.counts[index] = count
        for name, value in (('missed', count.missed), ('wrong', count.wrong)):
            if name not in self._extremes or value > self._extremes[name][0]:
                self._extremes[name] = value, index, instant
        key = self._kind(self._recording.outputs[index])
        self._scores.setdefault(key, QualityScores()).add(frame, truth)

    def _kind(self, output: Output) -> tuple[Modality, bool]:
        """The modality, and whether all sensors of it are in the output."""
        kinds = self._setting.rig.kinds
        cameras = {name for name, kind in kinds.items() if kind.value == 'camera'}
        is_whole = not output.modality.has_camera or cameras <= output.sensors
        return output.modality, is_whole

    def _notes(self) -> list[str]:
        recording, reader = self._recording, self._reader
        notes = [f'not heard: {topic} ({why})' for topic, why in reader.not_heard.items()]
        if reader.without_sample:
            notes.append(
                f'{reader.without_sample} outputs are shown without images and points: their '
                'inputs are not in the bag, or the rig is another one (name it with --rig)'
            )
        notes += [f'not used: {count} x {why}' for why, count in recording.refused.most_common(8)]
        if self._truth is not None and self._truth.foreign:
            foreign = ', '.join(self._truth.foreign[:8])
            notes.append(f'labels of classes that the network does not know: {foreign}')
        return notes


def film_layout(setting: SampleSetting) -> PanelLayout:
    """The layout of the film for the images of a network."""
    aspect = max(setting.model.camera.width / setting.model.camera.height, 1.0)
    return PanelLayout(width=1280, height=560, bev_width=512, banner_height=48, tile_aspect=aspect)


def _seen(frame: Frame) -> Seen:
    boxes, labels, scores = boxes_shown(frame)
    layers = frame.map_probabilities
    cells = np.zeros((0, 0, 0), bool) if layers is None else layers > SURE
    packed = zlib.compress(np.packbits(cells).tobytes(), 1)
    return Seen(boxes, labels, scores, packed, cells.shape)


def _title(modality: Modality, is_whole: bool) -> str:
    titles = {
        Modality.FUSED: 'LiDAR and all cameras',
        Modality.LIDAR: 'LiDAR only',
        Modality.CAMERA: 'cameras only',
        Modality.NONE: 'nothing',
    }
    return (
        titles[modality] if is_whole else titles[modality].replace('all ', '') + ', part of them'
    )


def mean_iou(one: Seen, other: Seen) -> float | None:
    """Mean over the layers of the cells that two maps share, of those that either has."""
    if one.shape != other.shape or not math.prod(one.shape):
        return None
    a, b = one.map_cells(), other.map_cells()
    either = (a | b).sum(axis=(1, 2))
    shares = (a & b).sum(axis=(1, 2))[either > 0] / either[either > 0]
    return float(shares.mean()) if len(shares) else 1.0


def paired_outputs(one: Sequence[Output], other: Sequence[Output]) -> list[tuple[int, int]]:
    """(index, index) of the outputs that two runs have for the same stamp."""
    theirs = {output.stamp_ns: index for index, output in enumerate(other)}
    return [
        (index, theirs[output.stamp_ns])
        for index, output in enumerate(one)
        if output.stamp_ns in theirs
    ]
