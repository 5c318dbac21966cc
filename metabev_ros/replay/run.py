"""Runs a bag through the perception that the node runs, and writes the outputs beside the inputs.

Recorded log times take the place of arrival times, so the same bag gives the same bytes again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from metabev_ros import wire
from metabev_ros.bags import BagMessage, BagReader, BagWriter
from metabev_ros.config import (
    OutputsConfig,
    OutputSettings,
    RigConfig,
    SensingConfig,
    TrackingConfig,
    changed_parameters,
)
from metabev_ros.errors import BackendError, ConfigError
from metabev_ros.outputs import (
    apply_settings,
    check_settings,
    diagnostic_messages,
    result_messages,
    track_messages,
)
from metabev_ros.pipeline import Pipeline
from metabev_ros.replay.beats import BEAT_NS
from metabev_ros.replay.feed import BagFeed, Moment
from metabev_ros.replay.summary import ReplaySummary
from metabev_ros.replay.video import VideoWriter
from metabev_ros.structures import Modality, ModelInfo, Sample, SensorReport
from metabev_ros.tracking import Tracker
from metabev_ros.tracks import TrackedObjects
from metabev_ros.wire import Counters, StatusReport

NODE_NAME = 'perception'  # outputs bear the topics of the node under its default name
DIAGNOSTICS_EVERY = 2
DEFAULT_TRACKING = TrackingConfig()

Progress = Callable[[int, int], None]  # messages done, messages in all


def output_topic(topic: str) -> str:
    """The absolute topic of one of `wire`'s outputs."""
    return topic if topic.startswith('/') else f'/{NODE_NAME}/{topic}'


def replay_bag(
    bag_in: Path | str,
    bag_out: Path | str,
    model_dir: Path | str,
    rig: RigConfig,
    sensing: SensingConfig,
    backend: str = 'onnxruntime',
    threads: int = 2,
    video: Path | str | None = None,
    progress: Progress | None = None,
    precision: str = 'fp32',
    provider: str = 'cpu',
    outputs: OutputsConfig | None = None,
    settings: OutputSettings | None = None,
    tracking: TrackingConfig = DEFAULT_TRACKING,
) -> ReplaySummary:
    """Replay `bag_in` (an .mcap or .db3 file or a bag folder) into `bag_out` (.mcap).

    Args:
        outputs: those that it requires are written beside our own; None: none.
        settings: of the outputs, as the live node has them; None: as shipped.

    Raises:
        SensorDataError: the bag is unreadable from its first byte.
        ConfigError, ContractError, BackendError, MissingDependencyError: nothing is started.
        OutputError: the output cannot be written; nothing is left of it.
    """
    _check_names(bag_in, bag_out, video)
    reader = BagReader(bag_in)
    pipeline = Pipeline.load(model_dir, backend, threads, precision, provider)
    say = _Say(outputs or OutputsConfig(), settings or OutputSettings(), pipeline.model)
    pictures = VideoWriter(video, rig, pipeline.config.camera)
    with BagWriter(bag_out, reader.schemas) as writer, pictures:
        run = _Replay(reader, writer, pipeline, rig, sensing, tracking, pictures, say)
        run.run(progress or (lambda done, total: None))
    run.summary.video_lost = pictures.failure
    return run.summary


def _check_names(bag_in: Path | str, bag_out: Path | str, video: Path | str | None) -> None:
    """Refuse to write one file over another.

    Raises:
        ConfigError
    """
    taken = {Path(bag_in).resolve()}
    for path in (bag_out, video):
        if path is None:
            continue
        if Path(path).resolve() in taken:
            raise ConfigError(
                'replay',
                'an output file beside the input',
                str(path),
                'choose another output name',
            )
        taken.add(Path(path).resolve())


class _Say:
    """The choice of what is written of a result, and how.

    Attributes:
        topics: all that this run may write, relative to the node.

    Raises:
        ConfigError: for settings that the model cannot follow.
    """

    def __init__(self, outputs: OutputsConfig, settings: OutputSettings, model: ModelInfo) -> None:
        check_settings(settings, model)
        self.settings, self.changes = settings, changed_parameters(settings)
        self.wanted = wire.chosen_outputs(outputs, model.map_classes, with_auto=False)
        self.topics = (*wire.OUTPUT_TYPES, *wire.standard_outputs(model.map_classes))


class _Replay:
    """The state of one run."""

    def __init__(
        self,
        reader: BagReader,
        writer: BagWriter,
        pipeline: Pipeline,
        rig: RigConfig,
        sensing: SensingConfig,
        tracking: TrackingConfig,
        pictures: VideoWriter,
        say: _Say,
    ) -> None:
        self._writer, self._pipeline = writer, pipeline
        self._frame, self._pictures = rig.ego_frame, pictures
        self._sensing = sensing
        classes = pipeline.model.detection_classes
        self._tracker = Tracker(tracking, classes) if tracking.enabled else None
        self._front_end = pipeline.front_end(rig, sensing)
        self._feed = BagFeed(reader, self._front_end, sensing)
        self._say = say
        self._outputs = {output_topic(topic) for topic in say.topics}
        self.summary = ReplaySummary(integrity=reader.integrity, not_heard=self._feed.not_heard)
        self._seen: Counter[str] = Counter()  # refused messages already in the summary
        self._fault = ''

    def run(self, progress: Progress) -> None:
        done = end_ns = 0
        for moment in self._feed:
            message, end_ns = moment.message, moment.now_ns
            if message is not None:
                self._take(moment, message)
            for sample in moment.samples:
                self._process(sample, end_ns)
            if moment.beat is not None:
                self._beat(end_ns, moment.beat, moment.reports)
            if message is not None:
                self.summary.messages = sum(self._writer.counts.values())
                done += 1
                progress(done, self.summary.integrity.messages)
        last_ns = end_ns + BEAT_NS  # the last word: also a bag shorter than a beat has one
        sensors = self._front_end.reports(last_ns)
        self._beat(last_ns, self._front_end.modality(last_ns), sensors)
        self._sum_up(sensors)

    def _sum_up(self, sensors: tuple[SensorReport, ...]) -> None:
        summary, timeout = self.summary, self._sensing.start_timeout
        beats = self._feed.beats
        if summary.is_blind:
            summary.unused = {
                sensor.name: f'{sensor.state.name}: {sensor.reason}' for sensor in sensors
            }
            summary.unnamed = self._feed.unnamed
        summary.jumped, summary.jumped_s = beats.jumped, beats.jumped_ns * 1e-9
        if summary.is_blind and summary.not_heard and self._feed.recorded_ns < timeout * 1e9:
            summary.hint = (
                f'the bag ends before sensing.start_timeout ({timeout:g} s), until which a sensor '
                'that never spoke is waited for; a smaller one lets the others go ahead'
            )

    def _take(self, moment: Moment, message: BagMessage) -> None:
        """Copy one message, and count what was refused with it."""
        is_copied = self._copy(message)
        if is_copied and not moment.is_possible:
            self.summary.rejected['log time: later than ROS can say'] += 1
        if moment.reports:
            self._count_refused(message, moment.reports)

    def _copy(self, message: BagMessage) -> bool:
        """False for outputs of an earlier run: this one's take their place."""
        if message.topic in self._outputs and message.topic != wire.DIAGNOSTICS:
            return False
        self._writer.write(message.topic, message.msgtype, message.log_time_ns, message.cdr)
        return True

    def _count_refused(self, message: BagMessage, reports: Sequence[SensorReport]) -> None:
        totals = {
            report.name: (report.rejected, f'{report.name}: {report.reason}') for report in reports
        }
        totals['other'] = self._front_end.rejected_other, f'{message.topic}: unusable'
        for source, (total, what) in totals.items():
            if total > self._seen[source]:
                self.summary.rejected[wire.clean_text(what, 120)] += total - self._seen[source]
                self._seen[source] = total

    # ------------------------------------------------------------------------------- outputs
    def _process(self, sample: Sample, now_ns: int) -> None:
        """Publish as the node does: the label first."""
        try:
            result = apply_settings(
                self._pipeline(sample), self._pipeline.model, self._say.settings
            )
            outputs = result_messages(
                result,
                self._pipeline.model,
                self._frame,
                self._say.settings.markers,
                self._say.wanted,
            )
        except BackendError as error:
            self.summary.failed += 1
            self._fault = f'inference failed: {error}'
            return
        self._fault = ''
        self.summary.outputs[sample.modality.name] += 1
        status = StatusReport(
            sample.stamp_ns,
            sample.modality,
            sample.sensors,
            self._counters(),
            epoch=sample.epoch,
            latency_s=result.latency_s,
            latency=(now_ns - sample.stamp_ns) * 1e-9,
            injection=sample.injection,
            settings=self._say.changes,
        )
        model = self._pipeline.model
        self._write([wire.encode_status(status, model, self._frame), *outputs], now_ns)
        if self._tracker is not None:
            self._write(self._track_messages(self._tracker.update(result)), now_ns)
        self._pictures.add(result, self._pipeline.model)

    def _track_messages(self, objects: TrackedObjects) -> list[wire.OutMessage]:
        markers, wanted = self._say.settings.markers, self._say.wanted
        return track_messages(objects, self._pipeline.model, self._frame, markers, wanted)

    def _write(self, messages: Iterable[wire.OutMessage], now_ns: int) -> None:
        for message in messages:
            self._writer.write(output_topic(message.topic), message.msgtype, now_ns, message.cdr)

    def _counters(self) -> Counters:
        return Counters(
            outputs=sum(self.summary.outputs.values()),
            rejected_messages=sum(self.summary.rejected.values()),
            failed_samples=self.summary.failed,
        )

    def _beat(self, now_ns: int, modality: Modality, reports: tuple[SensorReport, ...]) -> None:
        """One heartbeat, at the node's rate in recorded time."""
        front_end, model = self._front_end, self._pipeline.model
        report = StatusReport(
            now_ns,
            Modality.NONE if self._fault else modality,
            reports,
            self._counters(),
            epoch=front_end.epoch,
            is_heartbeat=True,
            fault=self._fault,
            injection=front_end.injection,
            settings=self._say.changes,
        )
        messages = [wire.encode_status(report, model, self._frame)]
        if self.summary.heartbeats % DIAGNOSTICS_EVERY == 0:
            wanted = self._say.wanted
            messages += diagnostic_messages(report, model, self._frame, NODE_NAME, wanted)
        if self._tracker is not None and report.modality is Modality.NONE:
            poses = front_end.ego_poses(now_ns)
            coasting = self._tracker.coast(now_ns, poses, front_end.epoch)
            if coasting is not None:
                messages += self._track_messages(coasting)
        self._write(messages, now_ns)
        self.summary.heartbeats += 1
