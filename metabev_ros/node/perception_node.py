"""The lifecycle node: sensors in, labelled perception out, a heartbeat always.

The data takes its way through `data_path`. The executor thread does nothing that takes longer than
a few milliseconds.
"""

from __future__ import annotations

import gc
import logging
import time
from itertools import count
from typing import Any, cast

# Where it is since Humble; the module that defines it has moved since then.
from rclpy.clock import Clock, ClockType  # pyright: ignore[reportPrivateImportUsage]
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.timer import Timer

from metabev_ros import wire
from metabev_ros.config import NodeConfig, RigConfig
from metabev_ros.config.node import REMEDY
from metabev_ros.errors import ConfigError, MetaBevError
from metabev_ros.node.data_path import DataPath, load_pipeline
from metabev_ros.node.inference import ExitCode
from metabev_ros.node.parameters import (
    declare_parameters,
    load_rig,
    read_parameters,
    refuse_changes,
)
from metabev_ros.node.publishers import OutputPublishers
from metabev_ros.node.workers import ThrottledLog
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
        self.add_on_set_parameters_callback(refuse_changes)
        self._log = ThrottledLog(self._warn, self._info)
        self._config: NodeConfig | None = None
        self._rig: RigConfig | None = None
        self._pipeline: Pipeline | None = None
        self._outputs: OutputPublishers | None = None
        self._timers_made: list[Timer] = []
        self._path: DataPath | None = None  # while the node is active
        self._published = self._escaped = 0
        self._track_ids = count(1)  # never used again, whatever the lifecycle does
        self.refusal: MetaBevError | None = None  # why the last transition failed
        self.is_finalized = False  # by the transition `shutdown`: the process has to end

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)

    def _info(self, text: str) -> None:
        self.get_logger().info(text)

    @property
    def autostart(self) -> bool:
        """Tell whether the process configures and activates the node itself."""
        return bool(cast(Any, self.get_parameter('autostart').value))

    # --------------------------------------------------------------------------- transitions
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the model and run it once; no data flows yet."""
        try:
            self._config = read_parameters(self)
            self._rig = load_rig(self._config.rig)
            started = time.monotonic()
            self._pipeline = load_pipeline(self._config, self._rig)
            self._outputs = OutputPublishers(self)
        except Exception as error:  # rclpy would swallow it without a word
            self._release()
            return self._refuse(_as_refusal('configure', error))
        model = self._pipeline.model
        self.get_logger().info(
            f'model {model.name} {model.hash[: wire.HASH_DIGITS]} on {model.backend} '
            f'({model.provider} on {model.device}, {model.precision}'
            + (f', {model.gpu_memory / 1e6:.0f} MB of GPU memory' if model.gpu_memory else '')
            + f'), scores {"" if model.calibrated_on else "not "}calibrated'
            + f', ready in {time.monotonic() - started:.1f} s'
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the workers, subscribe, start the heartbeat."""
        result = super().on_activate(state)
        config, rig, pipeline, outputs = self._config, self._rig, self._pipeline, self._outputs
        if config is None or rig is None or pipeline is None or outputs is None:
            return TransitionCallbackReturn.FAILURE  # the lifecycle configures first
        try:
            path = DataPath(
                self,
                config,
                rig,
                pipeline,
                outputs,
                self._log,
                self._published,
                self._track_ids,
            )
            self._path = path
            inputs = path.start()
        except Exception as error:  # rclpy would swallow it without a word
            self._stop()
            return self._refuse(_as_refusal('activate', error))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers_made = [
            self.create_timer(1 / config.diagnostics_rate, path.diagnose, clock=steady),
            self.create_timer(GRAPH_PERIOD, path.look_at_graph, clock=steady),
        ]
        self.get_logger().info(f'active: {inputs} inputs, waiting for sensors')
        return result

    def _refuse(self, error: MetaBevError) -> TransitionCallbackReturn:
        self.refusal = error
        if not self.autostart:  # otherwise `main` says it, once
            self.get_logger().error(f'{type(error).__name__}: {error}')
        return TransitionCallbackReturn.FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the data; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the model and the publishers go."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop everything and let it go; the process ends with exit code 0."""
        self._release()
        self.is_finalized = True
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let everything go; the node is unconfigured then."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

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
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self._timers_made = []
        if self._path is not None:
            self._path.stop()
            self._pipeline, self._published = self._path.pipeline, self._path.published
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
        return '' if self._path is None else self._path.fault

    @property
    def exit_code(self) -> ExitCode | None:
        """Set when the process must end to be of use again; the heartbeat said why."""
        return None if self._path is None else self._path.exit_code

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


def _as_refusal(step: str, error: Exception) -> MetaBevError:
    """The error that `main` tells of a failed transition; one of our own speaks for itself."""
    if isinstance(error, MetaBevError):
        return error
    logging.getLogger(__name__).debug('%s failed', step, exc_info=error)
    return ConfigError(
        f'the transition {step}',
        'a rig, a model and parameters that the node can work with',
        f'{type(error).__name__}: {wire.clean_text(str(error), 200)}',
        REMEDY,
    )
