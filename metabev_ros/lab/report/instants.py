"""The second look at a bag: the very samples that its outputs were made of, beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader
from metabev_ros.config import ModelConfig, RigConfig, SensingConfig
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.geometry import transform_points
from metabev_ros.lab.report.panel import Instant
from metabev_ros.lab.report.recording import Recording
from metabev_ros.lab.report.truth import BagTruth
from metabev_ros.pages.messages import Frame, Status, read_frame
from metabev_ros.pipeline import front_end_for
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.replay.feed import BagFeed
from metabev_ros.structures import Sample

GRACE_NS = 500_000_000  # until then an output's map and its sample have come, or never will
MOST_SAMPLES = 48  # that wait for their outputs


@dataclass(frozen=True)
class SampleSetting:
    """Settings with which samples are made: those of the node that is judged.

    Attributes:
        rig: the sensors.
        sensing: the limits.
        model: the network whose input size the images have.
    """

    rig: RigConfig
    sensing: SensingConfig
    model: ModelConfig


@dataclass
class _Waiting:
    """An output whose map, or whose sample, may not have come yet."""

    index: int
    stamp_ns: int
    since_ns: int
    boxes: bytes
    layers: bytes | None = None


class InstantReader:
    """Reads a bag once more, and gives the instants of some of its outputs.

    Args:
        recording: of the same bag.
        setting: of the samples.
        truth: None where the bag has none.

    Attributes:
        not_heard: topics of the rig that the bag lacks, and why.
        without_sample: outputs for which the bag gave no sample: they are shown without images.
    """

    def __init__(
        self, recording: Recording, setting: SampleSetting, truth: BagTruth | None
    ) -> None:
        self._recording, self._setting, self._truth = recording, setting, truth
        self._reader = BagReader(recording.path)
        front_end = front_end_for(
            setting.model, Preprocessor(setting.model), setting.rig, setting.sensing
        )
        self._feed = BagFeed(self._reader, front_end, setting.sensing)
        self.not_heard = self._feed.not_heard
        self.without_sample = 0
        self._waiting: deque[_Waiting] = deque()
        self._samples: dict[int, Sample] = {}

    def read(self, wanted: Sequence[int]) -> Iterator[tuple[int, Instant]]:
        """Yield (index of the output, its instant) in order.

        Args:
            wanted: indices of `Recording.outputs`, rising.
        """
        recording = self._recording
        by_number = {recording.numbers[index]: index for index in wanted}
        stamps = {recording.outputs[index].stamp_ns for index in wanted}
        count, now_ns = -1, 0
        for moment in self._feed:
            now_ns = max(now_ns, moment.now_ns)
            for sample in moment.samples:
                if sample.stamp_ns in stamps:
                    self._keep(sample)
            message = moment.message
            if message is not None and message.topic == recording.prefix + wire.DETECTIONS:
                count += 1
                if count in by_number:
                    self._await(by_number[count], message)
            elif message is not None and message.topic == recording.prefix + wire.BEV_MAP:
                self._take_map(message)
            while self._waiting and self._is_ready(self._waiting[0], now_ns):
                yield self._made(self._waiting.popleft())
        while self._waiting:
            yield self._made(self._waiting.popleft())

    def _keep(self, sample: Sample) -> None:
        self._samples[sample.stamp_ns] = sample
        while len(self._samples) > MOST_SAMPLES:
            del self._samples[next(iter(self._samples))]

    def _await(self, index: int, message: BagMessage) -> None:
        stamp = self._recording.outputs[index].stamp_ns
        self._waiting.append(_Waiting(index, stamp, message.log_time_ns, bytes(message.cdr)))

    def _take_map(self, message: BagMessage) -> None:
        if message.msgtype != wire.OUTPUT_TYPES[wire.BEV_MAP] or len(message.cdr) < 12:
            return
        stamp = wire.read_stamp(message.cdr)
        for waiting in self._waiting:
            if waiting.stamp_ns == stamp:
                waiting.layers = bytes(message.cdr)

    def _is_ready(self, waiting: _Waiting, now_ns: int) -> bool:
        is_whole = waiting.layers is not None and waiting.stamp_ns in self._samples
        return is_whole or now_ns - waiting.since_ns > GRACE_NS

    def _made(self, waiting: _Waiting) -> tuple[int, Instant]:
        recording = self._recording
        sample = self._samples.pop(waiting.stamp_ns, None)
        self.without_sample += sample is None
        status = recording.label(waiting.index) or recording.last_beat(waiting.since_ns)
        seconds = recording.seconds(recording.outputs[waiting.index].wall_ns)
        truth = None if sample is None or self._truth is None else self._truth.at(sample)
        return waiting.index, Instant(
            self._images(sample),
            None if sample is None else points_of(sample),
            self._frame(waiting),
            status,
            truth,
            f'{seconds:.1f} s',
        )

    def _images(self, sample: Sample | None) -> dict:
        if sample is None:
            return {camera.name: None for camera in self._setting.rig.cameras}
        return dict(sample.cameras)

    def _frame(self, waiting: _Waiting) -> Frame | None:
        for layers in (waiting.layers, None):
            try:
                return read_frame(waiting.boxes, layers)
            except SensorDataError as error:
                self._recording.refused[f'{clean_text(error.where)}: {error.reason}'] += 1
        return None

    def silent(self, status: Status | None, seconds: float) -> Instant:
        """An instant at which nothing was published."""
        caption = f'no output   {seconds:.1f} s'
        return Instant(self._images(None), None, None, status, None, caption)


def points_of(sample: Sample) -> np.ndarray | None:
    """(P, 3) points of a sample in the ego frame; None without a sweep."""
    if sample.sweep is None:
        return None
    return transform_points(sample.sweep.ego_from_lidar, sample.sweep.points[:, :3])
