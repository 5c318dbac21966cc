"""The node as a process: start, spin, signals, exit codes."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

import rclpy
import rclpy.utilities
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from metabev_ros.config.node import REMEDY
from metabev_ros.errors import ConfigError, MetaBevError, clean_text
from metabev_ros.node.inference import ExitCode, InferenceWorker
from metabev_ros.node.perception_node import NODE_NAME, PerceptionNode
from metabev_ros.node.raw_take import input_executor

STOP_CHECK = 0.1  # seconds between two looks at the stop event
GOODBYE = 0.5  # seconds in which who asked for the shutdown gets the answer
LARGE_BLOCK = 8 * 2**20  # bytes; a frame of 1920 x 1080 in colour has 6 MB
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
STOP_LIMIT = 8.0  # seconds from a signal to the end, whatever hangs; systemd's unit waits for 10


def _initialise(arguments: list[str] | None) -> None:
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy's own class is private; its text names the file
        if any(words in str(error) for words in ('log directory', 'logging', 'for writing')):
            raise ConfigError(
                'the folder of the log files',
                'one that can be written',
                clean_text(error, 200),
                'name another one: ROS_LOG_DIR',
            ) from error
        raise ConfigError(
            'command line or parameter file', 'arguments ROS can parse', str(error), REMEDY
        ) from error


def _create() -> PerceptionNode:
    """The node; one that cannot enter its enclave never runs outside of it."""
    try:
        return PerceptionNode()
    except MetaBevError:
        raise
    except ParameterException as error:  # of a parameter that rclpy declares, as use_sim_time
        raise ConfigError(
            'parameters', 'values of the right type', clean_text(error, 200), REMEDY
        ) from error
    except Exception as error:
        if os.environ.get('ROS_SECURITY_ENABLE') != 'true':
            raise
        raise ConfigError(
            'ROS_SECURITY_KEYSTORE and --enclave',
            'a node inside of its enclave',
            str(error),
            'see docs/security.md',
        ) from error


def _run(node: PerceptionNode, stop: threading.Event) -> ExitCode:
    if node.autostart:
        node.start()
    executor = input_executor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            node.spin_once_guarded(executor, STOP_CHECK)
            if node.exit_code is not None:
                return node.exit_code
            if node.is_finalized:
                _say_goodbye(node, executor)
                break
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
    return ExitCode.STOPPED


def _return_large_memory() -> None:
    """Let glibc give back what large messages took, as soon as they are freed.

    Its threshold for that rises to the largest block that was freed, so that after one message of
    30 MB those of every thread's heap stay.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, 4 * LARGE_BLOCK)


def _say_goodbye(node: PerceptionNode, executor: SingleThreadedExecutor) -> None:
    """A finalized node has no way back: the process ends when the answers are sent."""
    node.get_logger().info('finalized by a shutdown transition: the process ends')
    end = time.monotonic() + GOODBYE
    while time.monotonic() < end:
        node.spin_once_guarded(executor, STOP_CHECK)


def _end_after_a_signal() -> None:
    """A driver call that never returns, in the warm-up for one, keeps handlers from being run.

    The interpreter's wake-up pipe is written by the signal itself; who reads it needs no handler.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)

    def end() -> None:
        os.read(reader, 1)
        time.sleep(STOP_LIMIT)
        os._exit(ExitCode.HUNG)

    threading.Thread(target=end, name='end', daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT, SIGTERM or the transition `shutdown`; returns an `ExitCode`.

    The signal handlers are our own and only set an event: rclpy's, which shut the context down at
    once and let a KeyboardInterrupt appear anywhere, left an exit code other than 0 in one of
    some thirty stops.
    """
    stop, node = threading.Event(), None
    _return_large_memory()
    _end_after_a_signal()

    def ask_to_stop(number: int, frame: object) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    try:
        _initialise(arguments)
        node = _create()
        code = _run(node, stop)
        if code is not ExitCode.STOPPED:
            get_logger(NODE_NAME).fatal(
                f'{node.fault}: exit code {code} ({code.name}), to be started again'
            )
            os._exit(code)  # joining a thread that hangs in a driver would never end
    except MetaBevError as error:
        get_logger(NODE_NAME).fatal(f'start-up refused: {type(error).__name__}: {error}')
        return ExitCode.REFUSED
    finally:
        if node is not None:
            node.close()
        rclpy.utilities.try_shutdown()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # an impatient second one changes nothing
    if any(isinstance(thread, InferenceWorker) for thread in threading.enumerate()):
        os._exit(ExitCode.STOPPED)  # it hangs in a call that the interpreter cannot end
    return ExitCode.STOPPED


if __name__ == '__main__':
    raise SystemExit(main())
