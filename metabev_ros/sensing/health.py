"""The state of one sensor: from its messages, its silence, and the samples it missed.

    NEVER -> OK <-> LATE -> STALE -> RECOVERING -> OK      silence
             OK -> INVALID, FROZEN -> RECOVERING -> OK     corruption

The first frames after the start are trusted at once. One bad or missing frame is no alarm: the
next good one is used. After two in a row (or a frozen picture) the sensor is lost; it is used
again on the `readmit_frames`-th good frame, and not before `quarantine` seconds have passed if
it was lost too often while most other sensors were well (when most of them flap, the transport
loses data, and keeping sensors out would only add to it).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.checks import Verdict
from metabev_ros.structures import SensorKind, SensorReport, SensorState

_SKEWS = 40  # samples whose median skew is compared with that of the first ones


def to_ns(seconds: float) -> int:
    return round(seconds * 1e9)


class SensorMonitor:
    """Health of one sensor. All times are integer nanoseconds of the caller's clock.

    Attributes:
        period_ns: nominal period, or the measured one where a sensor steadily sends slower.
    """

    def __init__(self, name: str, kind: SensorKind, rate_hz: float, config: SensingConfig) -> None:
        self.name, self.kind = name, kind
        self.nominal_ns = self.period_ns = to_ns(1 / rate_hz)
        self._config = config
        self.received = self.rejected = 0
        self.newest_ns: int | None = None  # stamp of the newest accepted message
        self.ever = False  # something was accepted since the start
        self.given_up = False  # never spoke within the start timeout
        self._reason = ''
        self._heard_ns: int | None = None  # arrival of the newest message that counts
        self._missed = self._silent = 0  # samples missed, periods of silence
        self._bad = 0  # bad messages in a row
        self._bad_ns: int | None = None
        self._bad_state = SensorState.INVALID
        self._suspect = ''
        self._problem: SensorState | None = None
        self._lost = False
        self._good = 0  # good frames since it was lost
        self._losses: deque[int] = deque(maxlen=config.flap_limit + 1)
        self._quarantine_ns: int | None = None
        self._stamps: deque[int] = deque(maxlen=20)
        self._skews: deque[int] = deque(maxlen=_SKEWS)
        self._usual_skew_ns: int | None = None
        self._skew = ''  # how far the stamps have drifted, once it counts

    # ------------------------------------------------------------------------------- messages
    def check_stamp(self, stamp_ns: int, arrival_ns: int) -> None:
        """Refuse a stamp from the future, an old one, or the same one again.

        Raises:
            SensorDataError: 'future', 'duplicate' or 'backwards'.
        """
        ahead = stamp_ns - arrival_ns
        if ahead > to_ns(self._config.future_tolerance):
            raise SensorDataError(
                'future',
                'header.stamp',
                'a stamp that is not in the future',
                f'{ahead / 1e9:.3f} s ahead',
            )
        if self.newest_ns is None:
            return
        if stamp_ns == self.newest_ns:
            raise SensorDataError('duplicate', 'header.stamp', 'a new stamp', str(stamp_ns))
        if stamp_ns < self.newest_ns:
            raise SensorDataError(
                'backwards',
                'header.stamp',
                'a stamp that increases',
                f'{(self.newest_ns - stamp_ns) / 1e9:.3f} s back',
            )

    def good(self, stamp_ns: int, arrival_ns: int, verdict: Verdict, needed: bool = False) -> bool:
        """Take a frame that came in time and is sound (OK or SUSPECT).

        Args:
            stamp_ns, arrival_ns: of the message.
            verdict: on its content.
            needed: too few other sensors are well; a quarantine is not kept.

        Returns:
            Whether it may be used; False while the sensor is not yet trusted again.
        """
        gap = 0 if self._heard_ns is None else arrival_ns - self._heard_ns
        self._heard_ns = arrival_ns
        self.ever, self.given_up, self._problem = True, False, None
        self._remember_stamp(stamp_ns)
        self._bad = self._missed = self._silent = 0
        self._suspect = verdict.reason
        self._reason = verdict.reason
        if not self._lost:
            return True
        if not needed and self._in_quarantine(arrival_ns):
            self._good = 0
            self._reason = f'quarantine: {len(self._losses)} losses'
            return False
        self._good = 1 if gap > 5 * self.nominal_ns else self._good + 1
        if self._good < self._config.readmit_frames:
            self._reason = f'good frame {self._good} of {self._config.readmit_frames}'
            return False
        self._lost = False
        return True

    def bad(
        self, state: SensorState, reason: str, arrival_ns: int, stamp_ns: int | None = None
    ) -> None:
        """Count a frame that cannot be used and says something of its sensor."""
        self.rejected += 1
        self._heard_ns = self._bad_ns = arrival_ns
        if stamp_ns is not None:
            self._remember_stamp(stamp_ns)
        self._bad += 1
        self._good = 0
        self._silent = 0
        self._bad_state, self._reason = state, clean_text(reason)
        if state is SensorState.FROZEN or self._bad >= 2:
            self._lose(arrival_ns)

    def ignored(self, reason: str) -> None:
        """Count a message that is dropped as if it had not come (duplicate, old, late)."""
        self.rejected += 1
        self._reason = clean_text(reason)

    def note_skew(self, skew_ns: int) -> None:
        """Note how far the frame used lies from the sweep; a drift is said before it ends badly.

        The median of the last samples is compared with that of the first ones. What counts is
        half of the way from there to the edge of the tolerance.
        """
        self._skews.append(skew_ns)
        if len(self._skews) < _SKEWS:
            return
        median = sorted(self._skews)[_SKEWS // 2]
        if self._usual_skew_ns is None:
            self._usual_skew_ns = median
        drift = median - self._usual_skew_ns
        edge = to_ns(self._config.tolerance) * (1 if drift > 0 else -1)
        left = abs(edge - self._usual_skew_ns)
        self._skew = (
            f'skew: {drift / 1e6:+.0f} ms since the start'
            if (abs(drift) > min(left, abs(edge)) // 2)
            else ''
        )

    def held(self, problem: SensorState, reason: str, arrival_ns: int) -> None:
        """Count a sound frame that cannot be placed: UNCALIBRATED or NO_TF."""
        self._heard_ns = arrival_ns
        self._silent = 0
        self._problem, self._reason = problem, clean_text(reason)

    def _remember_stamp(self, stamp_ns: int) -> None:
        self.newest_ns = stamp_ns
        self._stamps.append(stamp_ns)
        steps = (
            [
                b - a
                for a, b in zip(list(self._stamps)[-4:-1], list(self._stamps)[-3:], strict=True)
            ]
            if len(self._stamps) >= 4
            else []
        )
        # Only a steady slow sensor changes what is expected; drops at random and jitter do not.
        steady = (
            steps
            and 1.1 * self.nominal_ns < min(steps)
            and max(steps) < 1.3 * min(steps)
            and max(steps) < 5 * self.nominal_ns
        )
        self.period_ns = sum(steps) // len(steps) if steady else self.nominal_ns

    # -------------------------------------------------------------------------------- silence
    def tick(self, now_ns: int) -> None:
        """Let time pass: two silent periods beyond the deadline make the sensor STALE."""
        if self._heard_ns is None or not self.ever:
            return
        since = self._heard_ns + to_ns(self._config.deadline)
        if now_ns > since:
            self._silent = max(self._silent, min(2, (now_ns - since) // self.period_ns))
        if self._silent >= 2:  # lost when it became so, whenever somebody looked
            self._lose(since + 2 * self.period_ns)

    def missed(self, now_ns: int) -> None:
        """A sample that expected this sensor closed without it."""
        if self.ever and self._problem is None and not self._bad:
            self._missed = min(2, self._missed + 1)
            if self._missed >= 2:
                self._lose(now_ns)

    def _in_quarantine(self, now_ns: int) -> bool:
        return self._quarantine_ns is not None and now_ns < self._quarantine_ns

    def _lose(self, now_ns: int) -> None:
        if self._lost or not self.ever:
            return
        self._lost, self._good = True, 0
        self._losses.append(now_ns)
        recent = [t for t in self._losses if now_ns - t <= to_ns(self._config.flap_window)]
        if len(recent) > self._config.flap_limit:
            self._quarantine_ns = now_ns + to_ns(self._config.quarantine)

    def new_epoch(self, now_ns: int) -> None:
        """Forget stamps, which belong to the old clock; keep what is known of the sensor."""
        self.newest_ns = None
        self._stamps.clear()
        self._losses.clear()
        self._skews.clear()
        self._usual_skew_ns, self._skew = None, ''
        self._quarantine_ns = None
        if self._heard_ns is not None:
            self._heard_ns = now_ns
        if self._bad_ns is not None:
            self._bad_ns = now_ns - self.nominal_ns

    # ---------------------------------------------------------------------------------- state
    @property
    def misses(self) -> int:
        return max(self._missed, self._silent)

    @property
    def lost(self) -> bool:
        return self._lost

    @property
    def state(self) -> SensorState:
        if self._problem is not None and self.misses < 2:
            return self._problem
        if not self.ever:
            if self._bad:
                return self._bad_state
            return SensorState.STALE if self._reason else SensorState.NEVER
        if self.misses >= 2:
            return SensorState.STALE
        if self._bad:
            return self._bad_state
        if self._lost:
            return SensorState.RECOVERING
        if self.misses:
            return SensorState.LATE
        return SensorState.SUSPECT if self._suspect else SensorState.OK

    def is_awaited(self, now_ns: int, starting: bool) -> bool:
        """Whether a sample waits for this sensor.

        Args:
            now_ns: now.
            starting: the start timeout has not passed yet.
        """
        just_bad = self._bad and now_ns - self._bad_ns < self.nominal_ns // 2
        if just_bad or (self._lost and self._in_quarantine(now_ns)):
            return False
        if not self.ever:
            return starting and not self.given_up
        if self._problem is not None:
            return False
        if self._lost:  # wait only for the frame that brings it back
            return (
                self._good >= self._config.readmit_frames - 1
                and self.misses == 0
                and not self._bad
            )
        return True  # a sensor that missed twice is lost

    def expects(self, reference_ns: int, slack_ns: int) -> bool:
        """Whether this sensor's next frame is due for a sample at `reference_ns`."""
        if self.newest_ns is None:
            return True
        return self.newest_ns + self.period_ns <= reference_ns + slack_ns

    @property
    def rate_hz(self) -> float:
        """From the newest stamps; 0 when the sensor is silent."""
        if len(self._stamps) < 2 or self._silent >= 2:
            return 0.0
        span = self._stamps[-1] - self._stamps[0]
        return (len(self._stamps) - 1) * 1e9 / span if span > 0 else 0.0

    @property
    def reason(self) -> str:
        """Why the state is not OK; '' when all is well."""
        state = self.state
        if state is SensorState.OK:
            slow = self.period_ns > 1.25 * self.nominal_ns
            return f'rate: {self.rate_hz:.1f} Hz' if slow else ''
        if state is SensorState.NEVER:
            return 'nothing received'
        if state in (SensorState.LATE, SensorState.STALE) and self._reason == self._suspect:
            return 'no frame in time' if state is SensorState.LATE else 'silent'
        return self._reason

    def report(self, now_ns: int) -> SensorReport:
        """What is known now."""
        age = None if self.newest_ns is None else now_ns - self.newest_ns
        return SensorReport(
            self.name,
            self.kind,
            self.state,
            False,
            self.newest_ns,
            age,
            self.rate_hz,
            self.reason,
            self.received,
            self.rejected,
        )

    def sample_report(self, reference_ns: int, used_ns: int | None, note: str) -> SensorReport:
        """What is known when a sample closes.

        Args:
            reference_ns: reference stamp of the sample.
            used_ns: stamp of the frame in it, None when there is none.
            note: said where nothing worse is to be said.
        """
        report = self.report(reference_ns)
        if used_ns is not None:
            flaw = self._suspect or self._skew
            state = SensorState.SUSPECT if flaw else SensorState.OK
            return replace(
                report,
                state=state,
                used=True,
                age_ns=reference_ns - used_ns,
                reason=flaw or note or (report.reason if state is report.state else ''),
            )
        if report.state in (SensorState.OK, SensorState.SUSPECT):
            return replace(
                report,
                state=SensorState.MISSING,
                reason=note or report.reason or 'no frame for this sample',
            )
        return report
