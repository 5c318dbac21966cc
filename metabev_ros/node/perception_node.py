"""The lifecycle node: sensors in, labelled perception out, a heartbeat always.

Main path: callback -> TopicQueue -> SensingWorker -> Mailbox -> InferenceWorker -> publishers.
The executor thread does nothing that takes longer than a few milliseconds.
"""

from __future__ import annotations

import functools
import gc
import time
from dataclasses import replace

from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from metabev_ros import wire
from metabev_ros.bags import LATCHED_NAMES
from metabev_ros.config import NodeConfig, RigConfig
from metabev_ros.errors import MetaBevError
from metabev_ros.node import ros_support
from metabev_ros.node.graph_watch import GraphFindings, GraphWatch, Input
from metabev_ros.node.inference import ExitCode, InferenceWorker
from metabev_ros.node.parameters import (
    declare_parameters,
    load_rig,
    model_folder,
    read_parameters,
)
from metabev_ros.node.publishers import OutputPublishers
from metabev_ros.node.workers import (
    Mailbox,
    RawMessage,
    SensingWorker,
    ThrottledLog,
    TopicQueue,
)
from metabev_ros.pipeline import Pipeline
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality, PerceptionResult
from metabev_ros.wire import Counters, StatusReport

NODE_NAME = 'perception'
TRANSFORM_DEPTH = 100
GRAPH_PERIOD = 0.5  # seconds between two looks at who publishes the inputs
JOIN_LIMIT = 5.0  # seconds a worker may need to end; one that hangs dies with the process
SNAPSHOT_LIMIT = 2.0  # seconds; an older one means that the sensing thread hangs
NO_CLOCK = 'use_sim_time is set, but nothing comes on /clock'
TF_TYPE = 'tf2_msgs/msg/TFMessage'


class PerceptionNode(LifecycleNode):
    """See the module text.

    Raises:
        ConfigError: from the constructor, if a parameter is wrong.
    """

    def __init__(self, node_name: str = NODE_NAME) -> None:
        super().__init__(node_name)
        declare_parameters(self)
        self._log = ThrottledLog(self._warn, self._info)
        self._config: NodeConfig | None = None
        self._rig: RigConfig | None = None
        self._pipeline: Pipeline | None = None
        self._outputs: OutputPublishers | None = None
        self._subscriptions_made: list = []
        self._timers_made: list = []
        self._sensing: SensingWorker | None = None
        self._inference: InferenceWorker | None = None
        self._watch: GraphWatch | None = None
        self._findings = GraphFindings()
        self._published = self._escaped = 0
        self.refusal: MetaBevError | None = None  # why the last transition failed

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _info(self, text: str) -> None:
        self.get_logger().info(text)

    @property
    def autostart(self) -> bool:
        return self.get_parameter('autostart').value

    # --------------------------------------------------------------------------- transitions
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the model and run it once; no data flows yet."""
        try:
            self._config = read_parameters(self)
            self._rig = load_rig(self._config.rig)
            started = time.monotonic()
            self._pipeline = self._load()
            self._outputs = OutputPublishers(self)
        except MetaBevError as error:
            return self._refuse(error)
        model = self._pipeline.model
        self.get_logger().info(
            f'model {model.name} {model.hash[: wire.HASH_DIGITS]} on {model.backend} '
            f'({model.provider} on {model.device}, {model.precision}'
            + (f', {model.gpu_memory / 1e6:.0f} MB of GPU memory' if model.gpu_memory else '')
            + f'), ready in {time.monotonic() - started:.1f} s'
        )
        return TransitionCallbackReturn.SUCCESS

    def _load(self, fallback: str = '') -> Pipeline:
        """The configured model; with a fallback backend that one, plain, in its place."""
        config = self._config
        chosen = (
            {'backend': fallback}
            if fallback
            else {
                'backend': config.backend,
                'provider': config.provider,
                'precision': config.precision,
            }
        )
        pipeline = Pipeline.load(
            model_folder(config.model),
            threads=config.threads,
            table_wait=config.inference.table_wait,
            **chosen,
        )
        pipeline.warm_up(len(self._rig.cameras))
        return pipeline

    def _load_again(self, attempt: int) -> Pipeline:
        """After repeated failures: the fallback, if one is configured, in every second attempt."""
        self._pipeline = self._load(self._config.fallback_backend if attempt % 2 else '')
        return self._pipeline

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, subscribe, start the heartbeat."""
        result = super().on_activate(state)
        try:
            front_end = SensorFrontEnd(
                self._rig, self._config.sensing, self._pipeline.prepare_image
            )
            self._start_workers(front_end)
            self._subscribe(front_end.subscriptions())
        except MetaBevError as error:
            self._stop()
            return self._refuse(error)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_made = [
            self.create_timer(1 / self._config.heartbeat_rate, self._beat, clock=steady),
            self.create_timer(1 / self._config.diagnostics_rate, self._diagnose, clock=steady),
            self.create_timer(GRAPH_PERIOD, self._look_at_graph, clock=steady),
        ]
        self.get_logger().info(
            f'active: {len(self._subscriptions_made)} inputs, waiting for sensors'
        )
        return result

    def _refuse(self, error: MetaBevError) -> TransitionCallbackReturn:
        self.refusal = error
        if not self.autostart:  # otherwise `main` says it, once
            self.get_logger().error(f'{type(error).__name__}: {error}')
        return TransitionCallbackReturn.FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _LifecycleNodeMixin__on_change_state(self, request, response):
        """rclpy lets a request for a transition that the state does not have end the process
        (an RCLError leaves the service callback); here it is answered with `success = false`."""
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except Exception as error:  # the class is private to rclpy
            self._warn(f'transition refused: {wire.clean_text(str(error), 200)}')
            response.success = False
            return response

    def _start_workers(self, front_end) -> None:
        msgtypes = front_end.subscriptions()
        depth = {topic: self._depth(msgtype) for topic, msgtype in msgtypes.items()}
        self._queue, self._mailbox = TopicQueue(depth), Mailbox()
        self._sensing = SensingWorker(
            front_end, self._queue, self._mailbox, msgtypes, self._now_ns, self._log
        )
        self._inference = InferenceWorker(
            self._pipeline,
            self._load_again,
            self._mailbox,
            self._publish,
            self._log,
            self._config.inference,
            self._is_wanted,
        )
        self._sensing.start()
        self._inference.start()

    def _depth(self, msgtype: str) -> int:
        is_sensor = msgtype.startswith('sensor_msgs/') and not msgtype.endswith('CameraInfo')
        return self._config.queue_depth if is_sensor else TRANSFORM_DEPTH

    def _subscribe(self, msgtypes: dict[str, str]) -> None:
        inputs = []
        for topic, msgtype in msgtypes.items():
            if msgtype == TF_TYPE and not ros_support.has_message_type(msgtype):
                self._warn(
                    f'{topic}: not subscribed, tf2_msgs is not installed; the rig file '
                    'must then hold every calibration'
                )
                continue
            depth = self._depth(msgtype)
            latched = topic.rsplit('/', 1)[-1] in LATCHED_NAMES
            qos = ros_support.latched_qos(depth) if latched else ros_support.sensor_qos(depth)
            self._subscriptions_made.append(
                self.create_subscription(
                    ros_support.message_type(msgtype),
                    topic,
                    ros_support.raw_callback(functools.partial(self._receive, topic)),
                    qos,
                    raw=True,
                )
            )
            inputs.append(Input(topic, msgtype, qos))
        self._watch = GraphWatch(self, self._rig, tuple(inputs))

    def _stop(self) -> None:
        """No more data: subscriptions and timers go, the workers are joined."""
        for timer in self._timers_made:
            self.destroy_timer(timer)
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self._timers_made, self._subscriptions_made = [], []
        for worker in (self._sensing, self._inference):
            if worker is not None:
                worker.stop()
        for worker in (self._sensing, self._inference):
            if worker is not None and worker.is_alive():
                worker.join(JOIN_LIMIT)
        self._sensing = self._inference = None

    def _release(self) -> None:
        self._stop()
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._pipeline = None
        gc.collect()  # a cycle must not keep a model's memory and threads until some later day

    # -------------------------------------------------------------------------------- data
    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _receive(self, topic: str, cdr: bytes, info: dict) -> None:
        self._watch.heard(topic, info.get('publication_sequence_number'))
        self._queue.put(RawMessage(topic, cdr, self._now_ns()))

    def _publish(self, result: PerceptionResult) -> None:
        """On the inference thread: the label first (rule R1), then what it labels."""
        frame = self._rig.ego_frame
        outputs = wire.encode_result(result, self._pipeline.model, frame)
        self._published += 1
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
        )
        self._outputs.send([wire.encode_status(status, self._pipeline.model, frame), *outputs])

    def _is_wanted(self) -> bool:
        return not self._config.inference.idle_without_subscribers or self._outputs.is_read

    def _counters(self) -> Counters:
        return Counters(
            self._published,
            self._mailbox.dropped,
            self._sensing.snapshot.rejected,
            self._inference.failed,
        )

    def _report(self) -> StatusReport:
        """What the heartbeat says: NONE as soon as nothing can be looked at (rule R11)."""
        snapshot, fault = self._sensing.snapshot, self._inference.fault
        if self._now_ns() == 0:
            fault = f'STARTING: {NO_CLOCK}'
        if time.monotonic() - snapshot.taken > SNAPSHOT_LIMIT:
            fault = 'the sensing thread does not answer'
        modality = Modality.NONE if fault else snapshot.modality
        if not fault and self._inference.is_idle:
            fault = 'idle: nobody subscribes to an output'
        sensors = tuple(
            replace(report, reason=self._findings.reasons.get(report.name, report.reason))
            if not report.state.is_usable
            else report
            for report in snapshot.sensors
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
        )

    def _look_at_graph(self) -> None:
        self._findings = self._watch.look()
        self._sensing.conflicts = self._findings.conflicts
        for sensor, reason in self._findings.reasons.items():
            self._log.line(sensor, 'graph', f'{sensor}: {reason}')
        if self._findings.namesakes:
            self._log.line(
                'graph',
                'namesake',
                f'{self._findings.namesakes} more node(s) are '
                f'called {self.get_fully_qualified_name()}: their parameters and '
                'services cannot be told from these',
            )

    def _beat(self) -> None:
        if self._now_ns() == 0:
            self._log.line('clock', 'silent', NO_CLOCK)
        self._outputs.send(
            [wire.encode_status(self._report(), self._pipeline.model, self._rig.ego_frame)]
        )

    @property
    def fault(self) -> str:
        return self._inference.fault if self._inference is not None else ''

    @property
    def exit_code(self) -> ExitCode | None:
        """Set when the process must end to be of use again; the heartbeat said why."""
        return self._inference.exit_code if self._inference is not None else None

    def _diagnose(self) -> None:
        self._outputs.send(
            [
                wire.encode_diagnostics(
                    self._report(),
                    self._pipeline.model,
                    self.get_fully_qualified_name().strip('/'),
                )
            ]
        )

    def spin_once_guarded(self, executor, timeout: float) -> None:
        """No timer, service or parameter callback ends the node (rule R6).

        Raises:
            ExternalShutdownException: from the executor.
        """
        try:
            executor.spin_once(timeout_sec=timeout)
        except ExternalShutdownException:
            raise
        except Exception as error:  # rclpy passes on what a callback raised
            self._escaped += 1
            self._log.line(
                'callback',
                type(error).__name__,
                f'a callback failed ({self._escaped} '
                f'so far): {type(error).__name__}: {wire.clean_text(str(error), 200)}',
            )

    def close(self) -> None:
        """Join the workers and leave the graph; never raises."""
        self._release()
        self.destroy_node()
