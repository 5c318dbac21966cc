"""The lifecycle node: sensors in, labelled perception out, a heartbeat always.

The data takes its way through `data_path`. The executor thread does nothing that takes longer than
a few milliseconds.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

from rcl_interfaces.msg import SetParametersResult

# Where it is since Humble; the module that defines it has moved since then.
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage]
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from metabev_ros import wire
from metabev_ros.config import NodeConfig, RigConfig
from metabev_ros.config.node import REMEDY
from metabev_ros.errors import BackendError, ConfigError, MetaBevError
from metabev_ros.node.bond import Bond, can_bond
from metabev_ros.node.data_path import DataPath, load_pipeline
from metabev_ros.node.inference import ExitCode
from metabev_ros.node.log_summary import PERIOD as LOG_SUMMARY_PERIOD
from metabev_ros.node.log_summary import LogSummary
from metabev_ros.node.parameters import (
    changed_config,
    check_qos_overrides,
    declare_parameters,
    load_rig,
    read_parameters,
)
from metabev_ros.node.publishers import OutputPublishers, available_outputs
from metabev_ros.node.workers import ThrottledLog
from metabev_ros.outputs import check_settings, warm_up
from metabev_ros.pipeline import Pipeline

NODE_NAME = 'perception'
GRAPH_PERIOD = 0.5  # seconds between two looks at who publishes the inputs


class PerceptionNode(LifecycleNode):
    """Lifecycle of the perception: configure loads the model, activate lets data flow.

    Raises:
        ConfigError: from the constructor, if a parameter is wrong.
    """

    def __init__(self, node_name: str = NODE_NAME) -> None:
        super().__init__(node_name)
        declare_parameters(self)
        # After the declarations, which go through the same callback.
        self.add_on_set_parameters_callback(self._change_parameters)
        self._log = ThrottledLog(self._warn, self._info)
        self._config: NodeConfig | None = None
        self._rig: RigConfig | None = None
        self._pipeline: Pipeline | None = None
        self._outputs: OutputPublishers | None = None
        self._timers_made: list[Timer] = []
        self._path: DataPath | None = None  # while the node is active
        self._ending: DataPath | None = None  # of an activation whose last sample is worked on
        self._bond: Bond | None = None  # while the node is active
        self._published = self._escaped = 0
        self._track_ids = count(1)  # never used again, whatever the lifecycle does
        self._is_starting = False
        self._refusal: MetaBevError | None = None  # why the last transition failed
        self._is_beyond_repair = False  # letting everything go after an error failed too
        self.is_finalized = False  # by the transition `shutdown`: the process has to end

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _info(self, text: str) -> None:
        self.get_logger().info(text)

    @property
    def autostart(self) -> bool:
        """Tell whether the process configures and activates the node itself."""
        return bool(cast(Any, self.get_parameter('autostart').value))

    def start(self) -> None:
        """Configure and activate.

        Raises:
            MetaBevError: why a transition failed.
        """
        self._is_starting = True
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() is not TransitionCallbackReturn.SUCCESS:
                raise self._refusal or ConfigError(
                    'start-up',
                    'a node that can be activated',
                    'a failed transition',
                    'start it again with --log-level debug, which says more',
                )
        self._is_starting = False

    # --------------------------------------------------------------------------- transitions
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the model and run it once; no data flows yet."""
        return self._do('configure', self._configure, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, subscribe, start the heartbeat."""
        return self._do(
            'activate', partial(self._activate, state), undo=partial(self._deactivate, state)
        )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the data; the model stays loaded."""
        return self._do('deactivate', partial(self._deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the model and the publishers go."""
        return self._do('cleanup', self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop everything and let it go; the process ends with exit code 0."""
        result = self._do('shutdown', self._release)
        self.is_finalized = result is TransitionCallbackReturn.SUCCESS
        return result

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let everything go; the node is unconfigured then. Where that fails the process ends."""
        result = self._do('error processing', self._release)
        self._is_beyond_repair = result is not TransitionCallbackReturn.SUCCESS
        return result

    def _do(
        self, transition: str, work: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Do the work of a transition and tell what it raises, which rclpy swallows.

        Returns:
            FAILURE, the state before, for a refusal that can be undone. ERROR for anything else:
            the state machine calls `on_error` next.
        """
        try:
            work()
            return TransitionCallbackReturn.SUCCESS
        except MetaBevError as error:
            self._tell(error)
        except Exception as error:
            self._tell(_unforeseen(transition, error))
            return TransitionCallbackReturn.ERROR
        undone = undo is not None and self._do(f'back from {transition}', undo)
        if undone is TransitionCallbackReturn.SUCCESS:
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.ERROR

    def _tell(self, error: MetaBevError) -> None:
        self._refusal = error
        if not self._is_starting:  # otherwise `main` says it, once
            self.get_logger().error(f'{type(error).__name__}: {error}')

    def _configure(self) -> None:
        self._config = read_parameters(self)
        self._rig = load_rig(self._config.rig)
        started = time.monotonic()
        self._pipeline = load_pipeline(self._config, self._rig)
        model = self._pipeline.model
        check_settings(self._config.settings, model)
        standard = available_outputs(self._config.outputs, model.map_classes, self._info)
        warm_up(model, self._rig.ego_frame, standard)
        self._outputs = OutputPublishers(self, standard)
        self.get_logger().info(
            f'model {model.name} {model.hash[: wire.HASH_DIGITS]} on {model.backend} '
            f'({model.provider} on {model.device}, {model.precision}'
            + (f', {model.gpu_memory / 1e6:.0f} MB of GPU memory' if model.gpu_memory else '')
            + f'), scores {"" if model.calibrated_on else "not "}calibrated'
            + f', ready in {time.monotonic() - started:.1f} s'
        )

    def _activate(self, state: LifecycleState) -> None:
        super().on_activate(state)
        config, rig, pipeline, outputs = self._config, self._rig, self._pipeline, self._outputs
        assert config and rig and pipeline and outputs  # the lifecycle configures first
        if self._ending is not None and not self._ending.stop():
            raise BackendError(
                'inference',
                'the end of the activation before',
                'a sample that is still worked on',
                f'activate later; after inference.hang_limit the node ends with {ExitCode.HUNG}',
            )
        self._ending = None
        path = DataPath(
            self,
            config,
            rig,
            pipeline,
            outputs,
            self._log,
            LogSummary(self._warn, self._info),
            self._published,
            self._track_ids,
        )
        self._path = path
        inputs = path.start()
        check_qos_overrides(self)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_made = [
            self.create_timer(1 / config.diagnostics_rate, path.diagnose, clock=steady),
            self.create_timer(GRAPH_PERIOD, path.look_at_graph, clock=steady),
            self.create_timer(LOG_SUMMARY_PERIOD, path.tell, clock=steady),
        ]
        if can_bond():
            self._bond = Bond(self, self._log)
        self.get_logger().info(f'active: {inputs} inputs, waiting for sensors')

    def _change_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Take a change as a whole, or refuse it as a whole and say why."""
        try:
            config = changed_config(self, parameters)
            if self._pipeline is not None:
                check_settings(config.settings, self._pipeline.model)
        except MetaBevError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._config is not None:
            self._config = config
        if self._path is not None:
            self._path.change(config)
        return SetParametersResult(successful=True)

    def _deactivate(self, state: LifecycleState) -> None:
        self._stop()
        super().on_deactivate(state)

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        """Answer a request for a transition that the state does not have with `success = false`.

        rclpy lets an RCLError leave the service callback, which would end the process.
        """
        try:
            overridden: Any = super()
            return overridden._LifecycleNodeMixin__on_change_state(request, response)
        except Exception as error:  # the class is private to rclpy
            self._warn(f'transition refused: {wire.clean_text(str(error), 200)}')
            response.success = False
            return response

    def _stop(self) -> None:
        """No more data and no more heartbeat."""
        if self._bond is not None:
            self._bond.close()
        self._bond = None
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self._timers_made = []
        path = self._path
        if path is not None:
            self._ending = None if path.stop() else path
            self._pipeline, self._published = path.pipeline, path.published
        self._path = None

    def _release(self) -> None:
        self._stop()
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._pipeline = None
        gc.collect()  # a cycle must not keep a model's memory and threads until some later day

    # ------------------------------------------------------------------------------- process
    @property
    def fault(self) -> str:
        """Reason why there is no output; '' when there is one."""
        path = self._path or self._ending
        if self._is_beyond_repair:
            return 'what an error left behind cannot be let go'
        return '' if path is None else path.fault

    @property
    def exit_code(self) -> ExitCode | None:
        """Set when the process must end to be of use again; the heartbeat said why."""
        path = self._path or self._ending
        if self._is_beyond_repair:
            return ExitCode.FAILED
        return None if path is None else path.exit_code

    def spin_once_guarded(self, executor: Executor, timeout: float) -> None:
        """No timer, service or parameter callback ends the node (invariant "Nothing escapes").

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


def _unforeseen(transition: str, error: Exception) -> MetaBevError:
    """The error to tell of an exception that nobody expected, with the line that raised it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return ConfigError(
        f'the transition {transition}',
        'a rig, a model and parameters that the node can work with',
        f'{type(error).__name__}: {wire.clean_text(str(error), 200)} '
        f'({Path(place.filename).name}:{place.lineno} in {place.name})',
        REMEDY,
    )
