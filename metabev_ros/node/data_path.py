"""The way of the data through an active node, and what the node says of it.

Subscription -> TopicQueue -> SensingWorker -> Mailbox -> InferenceWorker -> publishers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

# Where it is since Humble; the module that defines it has moved since then.
from rclpy.clock import ROSClock  # pyright: ignore[reportPrivateImportUsage]
from rclpy.lifecycle import LifecycleNode

from metabev_ros import wire
from metabev_ros.config import NodeConfig, RigConfig, changed_parameters
from metabev_ros.node.graph_watch import GraphFindings
from metabev_ros.node.heartbeat import ClockWatch, Heartbeat
from metabev_ros.node.inference import ExitCode, InferenceWorker
from metabev_ros.node.inputs import InputSubscriptions, waiting_depth
from metabev_ros.node.log_summary import LogSummary
from metabev_ros.node.parameters import model_folder
from metabev_ros.node.publishers import OutputPublishers
from metabev_ros.node.queues import TopicQueue, topic_bytes
from metabev_ros.node.workers import Mailbox, SensingWorker, ThrottledLog
from metabev_ros.outputs import (
    apply_settings,
    diagnostic_messages,
    result_messages,
    track_messages,
)
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, PerceptionResult, SensorReport
from metabev_ros.tracking import Tracker
from metabev_ros.tracks import TrackedObjects
from metabev_ros.wire import Counters, StatusReport

JOIN_LIMIT = 1.0  # seconds that the workers together may need to end: the executor waits for them
SNAPSHOT_LIMIT = 2.0  # seconds; an older one means that the sensing thread hangs
NO_CLOCK = 'use_sim_time is set, but nothing comes on /clock'


def load_pipeline(config: NodeConfig, rig: RigConfig, fallback: str = '') -> Pipeline:
    """The configured model, run once; with a fallback backend that one, plain, in its place.

    Raises:
        MetaBevError: what `Pipeline.load` raises.
    """
    folder, wait = model_folder(config.model), config.inference.table_wait
    if fallback:
        pipeline = Pipeline.load(folder, fallback, config.threads, table_wait=wait)
    else:
        pipeline = Pipeline.load(
            folder,
            config.backend,
            config.threads,
            config.precision,
            config.provider,
            table_wait=wait,
        )
    pipeline.warm_up(rig)
    return pipeline


class DataPath:
    """Inputs, queues and the two workers of an active node.

    Args:
        node: gives clock, graph and subscriptions.
        outputs: take what is published.
        summary: counts what is published.
        published: samples that were published before.
        track_ids: gives numbers of tracks that no earlier one bears.

    Attributes:
        pipeline: the one in use; another one after repeated failures.
        published: samples since the node was made.

    Raises:
        ConfigError: for a rig that cannot be.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: NodeConfig,
        rig: RigConfig,
        pipeline: Pipeline,
        outputs: OutputPublishers,
        log: ThrottledLog,
        summary: LogSummary,
        published: int,
        track_ids: Iterator[int],
    ) -> None:
        self._node, self._config, self._log, self._summary = node, config, log, summary
        self._rig, self._outputs = rig, outputs
        self.pipeline, self.published = pipeline, published
        self._tracker = (
            Tracker(config.tracking, pipeline.model.detection_classes, track_ids)
            if config.tracking.enabled
            else None
        )
        self._findings = GraphFindings()
        front_end = pipeline.front_end(self._rig, config.sensing)
        self._front_end = front_end
        msgtypes = front_end.subscriptions()
        depths = {
            topic: waiting_depth(msgtype, config.queue_depth)
            for topic, msgtype in msgtypes.items()
        }
        budgets = {topic: topic_bytes(msgtype) for topic, msgtype in msgtypes.items()}
        self._queue, self._mailbox = TopicQueue(depths, budgets), Mailbox()
        self._inputs = InputSubscriptions(
            node, self._rig, config.queue_depth, msgtypes, self._queue, log
        )
        self._sensing = SensingWorker(
            front_end, self._queue, self._mailbox, msgtypes, self._now_ns, log
        )
        self._heartbeat = Heartbeat(self.beat, config.heartbeat_rate, log)
        self._clock_watch = ClockWatch()
        self._inference = InferenceWorker(
            pipeline,
            self._load_again,
            self._mailbox,
            self._publish,
            log,
            config.inference,
            self._is_wanted,
        )
        front_end.is_wanted = self._inference.takes_soon

    def start(self) -> int:
        """Start the workers, then subscribe; how many inputs there are.

        Raises:
            ConfigError: for a topic that cannot be subscribed.
            MissingDependencyError: for a message type that is not installed.
        """
        self._sensing.start()
        self._inference.start()
        inputs = self._inputs.subscribe()
        self._heartbeat.start()
        return inputs

    def change(self, config: NodeConfig) -> None:
        """Go on with these parameters, which differ in those that may change at run time.

        An output is made by the old ones or by the new ones as a whole.
        """
        self._config = config
        self._heartbeat.set_rate(config.heartbeat_rate)

    def stop(self) -> bool:
        """No more data: subscriptions go, the workers are told to end; may be called again.

        Returns:
            True when the workers have ended; one that hangs dies with the process.
        """
        self._inputs.destroy()
        workers = (self._heartbeat, self._sensing, self._inference)
        for worker in workers:
            worker.stop()
        end = time.monotonic() + JOIN_LIMIT
        for worker in workers:
            if worker.is_alive():
                worker.join(max(0.0, end - time.monotonic()))
        return not any(worker.is_alive() for worker in workers)

    @property
    def fault(self) -> str:
        """Reason why inference gives nothing; '' when it does."""
        return self._inference.fault

    @property
    def exit_code(self) -> ExitCode | None:
        """Set when the process must end to be of use again; the heartbeat said why."""
        return self._inference.exit_code

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    # ------------------------------------------------------------------- the inference thread
    def _is_wanted(self) -> bool:
        return not self._config.inference.idle_without_subscribers or self._outputs.is_read

    def _load_again(self, attempt: int) -> Pipeline:
        """After repeated failures: the fallback, if one is configured, in every second attempt."""
        fallback = self._config.fallback_backend if attempt % 2 else ''
        self.pipeline = load_pipeline(self._config, self._rig, fallback)
        return self.pipeline

    def _publish(self, result: PerceptionResult) -> None:
        """The label first (invariant "Label first"), then what it labels."""
        model, frame, config = self.pipeline.model, self._rig.ego_frame, self._config
        result = apply_settings(result, model, config.settings)
        outputs = result_messages(result, model, frame, config.markers, self._outputs.wanted)
        self.published += 1
        sample = result.sample
        status = StatusReport(
            sample.stamp_ns,
            sample.modality,
            sample.sensors,
            self._counters(),
            epoch=sample.epoch,
            latency_s=result.latency_s,
            latency=(self._now_ns() - sample.stamp_ns) * 1e-9,
            injection=sample.injection,
            settings=changed_parameters(config),
        )
        self._outputs.send([wire.encode_status(status, model, frame), *outputs])
        self._summary.count(sample.modality, status.latency)
        if self._tracker is not None:
            self._send_tracks(self._tracker.update(result))

    # ---------------------------------------------------------------------------- the timers
    def beat(self) -> None:
        """Send the heartbeat and, with NONE, the tracks that coast; on a thread of its own."""
        model, frame, report = self.pipeline.model, self._rig.ego_frame, self._report()
        self._outputs.send([wire.encode_status(report, model, frame)])
        if self._tracker is None or report.modality is not Modality.NONE:
            return
        snapshot = self._sensing.snapshot
        coasting = self._tracker.coast(snapshot.now_ns, snapshot.ego_poses, snapshot.epoch)
        if coasting is not None:
            self._send_tracks(coasting)

    def _send_tracks(self, objects: TrackedObjects) -> None:
        model, frame, markers = self.pipeline.model, self._rig.ego_frame, self._config.markers
        self._outputs.send(track_messages(objects, model, frame, markers, self._outputs.wanted))

    def diagnose(self) -> None:
        """Send the diagnostics."""
        name = self._node.get_fully_qualified_name().strip('/')
        model, frame, wanted = self.pipeline.model, self._rig.ego_frame, self._outputs.wanted
        self._outputs.send(diagnostic_messages(self._report(), model, frame, name, wanted))

    def tell(self) -> None:
        """Write the log's line of what comes out."""
        report = self._report()
        self._summary.tell(report.sensors, report.fault)

    def look_at_graph(self) -> None:
        """Find out who publishes the inputs."""
        self._findings = self._inputs.watch.look()
        self._sensing.conflicts = self._findings.conflicts
        for found in (self._findings.reasons, self._findings.seconds):
            for sensor, reason in found.items():
                self._log.line(sensor, 'graph', f'{sensor}: {reason}')
        for topic, count in self._queue.recent_overflows().items():
            self._log.line(topic, 'overflow', f'{topic}: {_overflow(count)}')
        if self._findings.namesakes:
            self._log.line(
                'graph',
                'namesake',
                f'{self._findings.namesakes} more node(s) are called '
                f'{self._node.get_fully_qualified_name()}: their parameters and '
                'services cannot be told from these',
            )

    def _report(self) -> StatusReport:
        """Heartbeat: NONE while nothing can be looked at (invariant "Empty means looked")."""
        snapshot = self._sensing.snapshot
        fault = self._clock_fault() or self._inference.fault
        if time.monotonic() - snapshot.taken > SNAPSHOT_LIMIT:
            fault = 'the sensing thread does not answer'
        modality = Modality.NONE if fault else snapshot.modality
        if not fault and self._inference.is_idle:
            fault = 'idle: nobody subscribes to an output'
        notes = self._notes()
        if not fault:
            fault = notes.pop('', '')
        sensors = tuple(
            self._with_findings(report, notes.get(report.name, '')) for report in snapshot.sensors
        )
        return StatusReport(
            self._now_ns(),
            modality,
            sensors,
            self._counters(),
            epoch=snapshot.epoch,
            is_heartbeat=True,
            fault=fault,
            injection=snapshot.injection,
            settings=changed_parameters(self._config),
        )

    def _clock_fault(self) -> str:
        """Reason why the node's clock says nothing of now; '' when it does."""
        now_ns = self._now_ns()
        is_simulated = cast(ROSClock, self._node.get_clock()).ros_time_is_active
        fault = self._clock_watch.look(now_ns) if is_simulated else ''
        if now_ns == 0:
            self._log.line('clock', 'silent', NO_CLOCK)
            return f'STARTING: {NO_CLOCK}'
        if fault:
            self._log.line('clock', 'stands still', fault)
        return fault

    def _notes(self) -> dict[str, str]:
        """Sensor -> what the node lost of its messages; '' -> of topics of no sensor."""
        notes: dict[str, str] = {}
        for topic, count in self._queue.recent_overflows().items():
            sensor = self._inputs.watch.sensor_of.get(topic, '')
            notes[sensor] = _overflow(count) + ('' if sensor else f' of {topic}')
        return notes

    def _with_findings(self, report: SensorReport, note: str) -> SensorReport:
        """A sensor's report with what the graph and the queue say of it."""
        reason = report.reason
        if not report.state.is_usable:
            reason = self._findings.reasons.get(report.name, reason)
        parts = (self._findings.seconds.get(report.name, ''), reason, note)
        dropped = sum(
            count
            for topic, count in self._inputs.watch.dropped.items()
            if self._inputs.watch.sensor_of[topic] == report.name
        )
        return replace(
            report,
            reason='; '.join(part for part in parts if part),
            received=report.received + dropped,
            rejected=report.rejected + dropped,
        )

    def _counters(self) -> Counters:
        return Counters(
            self.published,
            self._mailbox.dropped + self._front_end.passed_over,
            self._sensing.snapshot.rejected + self._inputs.watch.dropped.total(),
            self._inference.failed,
        )


def _overflow(count: int) -> str:
    return f'overflow: {count} messages dropped'
