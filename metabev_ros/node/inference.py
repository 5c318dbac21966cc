"""The inference thread and what watches over it. No rclpy in this module.

One failed sample costs that sample. Two in a row: the model is loaded again, after 1, 2, 4 ... 30
seconds, from the fallback backend if one is configured. A sample that takes longer than
`time_limit` is reported by the heartbeat while it still runs, and its late result is dropped. What
cannot be cured inside the process (a call that never returns, a lost accelerator) ends it with an
exit code of its own; launch or systemd starts it again.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable

from metabev_ros import wire
from metabev_ros.config import InferenceConfig
from metabev_ros.errors import DeviceLostError, MetaBevError
from metabev_ros.node.workers import LONGEST_WAIT, Mailbox, ThrottledLog
from metabev_ros.structures import Modality, PerceptionResult, Sample

FAILURES_BEFORE_RELOAD = 2
FIRST_RELOAD, LONGEST_RELOAD = 1.0, 30.0  # seconds until the model is loaded again
SOON = 0.1  # seconds before a result is expected: two sweeps of 20 Hz
RELOAD_LIMIT = 300.0  # seconds that loading may take: engines of a large model on a slow disk


class ExitCode(enum.IntEnum):
    """Exit codes of the process, for its supervisor (docs/operations.md)."""

    STOPPED = 0  # SIGINT, SIGTERM, the transition `shutdown`
    REFUSED = 2  # wrong parameters, rig or model: starting again is no cure
    HUNG = 3  # inference did not return within hang_limit
    DEVICE_LOST = 4  # the accelerator needs a new process
    FAILED = 5  # a transition failed, and cleaning up after it failed too


class InferenceWorker(threading.Thread):
    """Samples in, published results out; the newest sample wins.

    Args:
        pipeline: a callable Sample -> PerceptionResult.
        reload: gives a new pipeline after repeated failures, or raises; called on this thread
            with the number of attempts so far.
        publish: takes a PerceptionResult; runs on this thread.
        is_wanted: asked before each sample; False leaves it.

    Attributes:
        is_idle: the newest sample was left because nobody wanted its result.
    """

    def __init__(
        self,
        pipeline: Callable[[Sample], PerceptionResult],
        reload: Callable[[int], Callable[[Sample], PerceptionResult]],
        mailbox: Mailbox,
        publish: Callable[[PerceptionResult], None],
        log: ThrottledLog,
        config: InferenceConfig,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        # Daemon: a call that hangs must not keep the process from ending.
        super().__init__(name='inference', daemon=True)
        self._pipeline, self._reload = pipeline, reload
        self._mailbox, self._publish, self._log = mailbox, publish, log
        self._config, self._is_wanted = config, is_wanted
        self.is_idle = False
        self._stop_event = threading.Event()
        self._last: tuple[int, int] | None = None  # (epoch, stamp) of the newest output
        self._since: float | None = None  # monotonic, of the sample that is worked on
        self._spent: deque[float] = deque(maxlen=5)  # seconds of the newest results
        self._reload_since: float | None = None
        self._failures = 0  # in a row
        self._reloads, self._next_reload = 0, 0.0
        self._fault = ''
        self._device_lost = False
        self.failed = 0

    def stop(self) -> None:
        """End the thread after the sample that it works on."""
        self._stop_event.set()

    @property
    def fault(self) -> str:
        """Reason why there is no output now; '' after a good one."""
        running = self._running_for()
        if running > self._config.time_limit:
            return f'inference has been running for {running:.1f} s'
        return self._fault

    @property
    def exit_code(self) -> ExitCode | None:
        """Set when only a new process can help."""
        if self._device_lost:
            return ExitCode.DEVICE_LOST
        hangs = (
            self._running_for() > self._config.hang_limit
            or _seconds_since(self._reload_since) > RELOAD_LIMIT
        )
        return ExitCode.HUNG if hangs else None

    def _running_for(self) -> float:
        return _seconds_since(self._since)

    def takes_soon(self) -> bool:
        """Tell whether a sample that is made now has a chance to be taken.

        Not while a result is far off: newer samples will have replaced it by then.
        """
        since = self._since
        if since is None or not self._spent:
            return True
        return time.monotonic() - since >= min(self._spent) - SOON

    def run(self) -> None:
        """Serve samples until stopped."""
        while not self._stop_event.is_set() and not self._device_lost:
            if self._failures >= FAILURES_BEFORE_RELOAD and time.monotonic() > self._next_reload:
                self._load_again()
            sample = self._mailbox.get(LONGEST_WAIT)
            if sample is not None and self._is_new(sample):
                self.is_idle = not self._is_wanted()
                if not self.is_idle:
                    self._process(sample)

    def _is_new(self, sample: Sample) -> bool:
        """Output stamps strictly increase inside an epoch (invariant "Rising stamps")."""
        key = (sample.epoch, sample.stamp_ns)
        if self._last is not None and key <= self._last:
            return False
        self._last = key
        return sample.modality is not Modality.NONE

    def _process(self, sample: Sample) -> None:
        self._since = time.monotonic()
        try:
            result = self._pipeline(sample)
            self._spent.append(self._running_for())
            self._failures = self._reloads = 0
            if self._stop_event.is_set():
                return  # a result that outlived its node's activation is nobody's
            if self._running_for() > self._config.time_limit:
                self._drop_late(sample)
            else:
                self._publish(result)
                self._fault = ''
        except Exception as error:  # one bad sample must not end the outputs
            if not self._stop_event.is_set():  # else the publishers are going away
                self._note(error, sample)
        finally:
            self._since = None

    def _drop_late(self, sample: Sample) -> None:
        self.failed += 1
        self._fault = (
            f'inference took {self._running_for():.1f} s, more than inference.'
            f'time_limit ({self._config.time_limit:g} s)'
        )
        self._log.line(
            'inference',
            'late',
            f'result of the sample at {sample.stamp_ns} ns dropped: {self._fault}',
        )

    def _note(self, error: Exception, sample: Sample) -> None:
        self.failed += 1
        self._failures += 1
        self._device_lost = isinstance(error, DeviceLostError)
        self._fault = f'inference failed: {wire.clean_text(str(error), 120)}'
        kind = '' if isinstance(error, MetaBevError) else f'{type(error).__name__}: '
        self._log.line(
            'inference',
            type(error).__name__,
            f'inference failed on the sample '
            f'at {sample.stamp_ns} ns: {kind}{wire.clean_text(str(error), 400)}',
        )
        if self._failures == FAILURES_BEFORE_RELOAD:
            self._next_reload = time.monotonic() + FIRST_RELOAD

    def _load_again(self) -> None:
        """A new pipeline, or a later attempt; samples are tried with the old one meanwhile."""
        self._reloads += 1
        wait = min(FIRST_RELOAD * 2**self._reloads, LONGEST_RELOAD)
        self._reload_since = time.monotonic()
        try:
            self._pipeline = self._reload(self._reloads)
            self._log.line('inference', 'loaded', 'the model was loaded again')
        except Exception as error:  # the old one goes on, the next attempt comes
            self._log.line(
                'inference',
                'reload',
                'the model cannot be loaded again, next attempt '
                f'in {wait:g} s: {wire.clean_text(str(error), 400)}',
            )
        self._reload_since = None
        self._next_reload = time.monotonic() + wait


def _seconds_since(start: float | None) -> float:
    return 0.0 if start is None else time.monotonic() - start
