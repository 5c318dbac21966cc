"""The monitor of one sensor: messages, silence and missed samples in, its state out."""

from __future__ import annotations

from dataclasses import replace

from metabev_ros.config import SensingConfig
from metabev_ros.errors import clean_text
from metabev_ros.sensing.checks import Verdict
from metabev_ros.sensing.health.admission import Admission
from metabev_ros.sensing.health.corruption import Corruption
from metabev_ros.sensing.health.drift import Drift
from metabev_ros.sensing.health.silence import Silence
from metabev_ros.sensing.health.stamps import Stamps, to_ns
from metabev_ros.sensing.health.state import Facts, state
from metabev_ros.structures import SensorKind, SensorReport, SensorState


class SensorMonitor:
    """Health of one sensor. All times are integer nanoseconds of the caller's clock.

        NEVER -> OK <-> LATE -> STALE -> RECOVERING -> OK                    silence
                 OK <-> INVALID; INVALID again, FROZEN -> RECOVERING -> OK   bad frames
                 OK <-> UNCALIBRATED, NO_TF                                  no place

    One bad or missing frame is no alarm: the next good one is used. After two in a row, or a
    frozen picture, the sensor is lost and earns its return. SUSPECT is OK with a flaw. The
    machines hold the facts; `state` decides.

    Attributes:
        received, rejected: messages so far.
        given_up: it said nothing within the start timeout.
        note: what is to be known of it while all is well; '' for nothing.
    """

    def __init__(self, name: str, kind: SensorKind, rate_hz: float, config: SensingConfig) -> None:
        self.name, self.kind = name, kind
        self.received = self.rejected = 0
        self.given_up = False
        self.note = ''
        self._stamps = Stamps(rate_hz)
        self._silence = Silence(to_ns(config.deadline))
        self._corruption = Corruption()
        self._admission = Admission(self._stamps.nominal_ns, config)
        self._drift = Drift(to_ns(config.tolerance))
        self._flaw = ''  # of the newest sound frame
        self._said = ''  # the newest reason that was given for anything

    def set_rate(self, rate_hz: float) -> None:
        """Take another nominal rate: of a topic whose rate nobody has said and was measured."""
        self._stamps.set_rate(rate_hz)
        self._admission.set_period(self.nominal_ns)

    # ------------------------------------------------------------------------------- messages
    def check_stamp(self, stamp_ns: int) -> None:
        """Refuse an old stamp, or the same one again.

        Raises:
            SensorDataError: 'duplicate' or 'backwards'.
        """
        self._stamps.check(stamp_ns)

    def good(self, stamp_ns: int, arrival_ns: int, verdict: Verdict, needed: bool = False) -> bool:
        """Take a frame that came in time and is sound (OK or SUSPECT).

        Args:
            stamp_ns: of the message.
            arrival_ns: of the message.
            verdict: on its content.
            needed: too few other sensors are well; a quarantine is not kept.

        Returns:
            Whether it may be used; False while the sensor is not yet trusted again.
        """
        gap_ns = self._hear(stamp_ns, arrival_ns)
        self._corruption.end()
        refusal = self._admission.admit(arrival_ns, gap_ns, needed)
        self._flaw = verdict.reason
        self._said = refusal or verdict.reason
        return not refusal

    def trusted(self, stamp_ns: int, arrival_ns: int) -> None:
        """Take a frame of a sensor that is well, before anybody has looked at its content."""
        self._hear(stamp_ns, arrival_ns)

    def _hear(self, stamp_ns: int, arrival_ns: int) -> int:
        gap_ns = self._silence.hear(arrival_ns)
        self._silence.end()
        self._stamps.add(stamp_ns, arrival_ns)
        self.given_up = False
        return gap_ns

    def looked(self, verdict: Verdict) -> None:
        """Take what the content of a trusted frame shows: OK or SUSPECT."""
        self._flaw = self._said = verdict.reason

    def spoilt(self, verdict: Verdict, arrival_ns: int) -> None:
        """Count a trusted frame whose content cannot be used, now that somebody looked."""
        self.rejected += 1
        self._said = clean_text(verdict.reason)
        self._mar(verdict.state, arrival_ns)

    def _mar(self, state: SensorState, arrival_ns: int) -> None:
        self._admission.refuse()
        if self._corruption.add(state, arrival_ns):
            self._admission.lose(arrival_ns)

    def bad(
        self, state: SensorState, reason: str, arrival_ns: int, stamp_ns: int | None = None
    ) -> None:
        """Count a frame that cannot be used and says something of its sensor.

        Args:
            state: INVALID or FROZEN.
            reason: what is wrong with it.
            arrival_ns: of the message.
            stamp_ns: of the message, None where it cannot be trusted.
        """
        self.rejected += 1
        self._said = clean_text(reason)
        self._silence.hear(arrival_ns)
        if stamp_ns is not None:
            self._stamps.add(stamp_ns, arrival_ns)
        self._mar(state, arrival_ns)

    def ignored(self, reason: str) -> None:
        """Count a message that is dropped as if it had not come (duplicate, old, late)."""
        self.rejected += 1
        self._said = clean_text(reason)

    def late(self, stamp_ns: int, arrival_ns: int) -> None:
        """Note a frame that came too late for its sample: no silence, and the next one follows."""
        self._silence.hear(arrival_ns)
        self._stamps.add(stamp_ns, arrival_ns)

    def held(self, problem: SensorState, reason: str, arrival_ns: int) -> None:
        """Take a sound frame that cannot be placed: UNCALIBRATED or NO_TF."""
        self._silence.hear(arrival_ns)
        self._corruption.held, self._said = problem, clean_text(reason)

    def note_skew(self, skew_ns: int) -> None:
        """Note how far a stamp is ahead of what is usual among the sensors, signed."""
        self._drift.add(skew_ns)

    # ----------------------------------------------------------------------------------- time
    def tick(self, now_ns: int) -> None:
        """Let time pass: two silent periods beyond the deadline make the sensor STALE."""
        if not self.ever:
            return
        silent_ns = self._silence.tick(now_ns, self._stamps.pace_ns)
        if silent_ns is not None:
            self._admission.lose(silent_ns)

    def missed(self, now_ns: int) -> None:
        """Note that a sample closed without this sensor, which it had expected."""
        if self.ever and self.is_sound and self._silence.miss_sample():
            self._admission.lose(now_ns)

    def new_epoch(self, now_ns: int) -> None:
        """Forget times, which belong to the old clock; keep what is known of the sensor."""
        self._stamps.forget()
        self._admission.forget()
        self._drift.forget()
        self._silence.new_epoch(now_ns)
        self._corruption.new_epoch(now_ns, self.nominal_ns)

    # ---------------------------------------------------------------------------------- facts
    @property
    def ever(self) -> bool:
        """Tell whether something was accepted since the start."""
        return self._admission.ever

    @property
    def lost(self) -> bool:
        """Tell whether its frames are kept out until it has earned its return."""
        return self._admission.lost

    @property
    def misses(self) -> int:
        """Misses in a row, 0 to 2."""
        return self._silence.misses

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest accepted message."""
        return self._stamps.newest_ns

    @property
    def nominal_ns(self) -> int:
        """Period by the configured rate."""
        return self._stamps.nominal_ns

    @property
    def slowness_ns(self) -> int:
        """Time by which its messages come steadily slower than their stamps; 0 in a vehicle."""
        return max(0, self._stamps.pace_ns - self._stamps.period_ns)

    @property
    def is_sound(self) -> bool:
        """Tell whether its newest frame is neither bad nor held for its calibration."""
        return self._corruption.bad is None and self._corruption.held is None

    @property
    def is_well(self) -> bool:
        """Tell whether its next frame can be trusted before somebody looks at its content."""
        return self.ever and not self.lost and self.is_sound and not self._flaw

    @property
    def rate_hz(self) -> float:
        """Rate by the newest stamps; 0 when the sensor is silent."""
        return 0.0 if self._silence.is_silent else self._stamps.rate_hz

    @property
    def state(self) -> SensorState:
        """State at the newest event."""
        return self._decide()[0]

    @property
    def reason(self) -> str:
        """Reason for a state that is not OK; '' when all is well."""
        return self._decide()[1]

    def _decide(self) -> tuple[SensorState, str]:
        slow = self._stamps.period_ns > 1.25 * self.nominal_ns
        return state(
            Facts(
                ever=self.ever,
                misses=self.misses,
                held=self._corruption.held,
                bad=self._corruption.bad,
                lost=self.lost,
                flaw=self._flaw,
                said=self._said,
                note=f'rate: {self.rate_hz:.1f} Hz' if slow else self.note,
            )
        )

    # -------------------------------------------------------------------------------- samples
    def is_awaited(self, now_ns: int, starting: bool) -> bool:
        """Tell whether a sample waits for this sensor (invariant "No waiting for the lost").

        Args:
            now_ns: now.
            starting: the start timeout has not passed yet.
        """
        if self._corruption.is_recent(now_ns, self.nominal_ns // 2):
            return False
        if self._admission.in_quarantine(now_ns):
            return False
        if not self.ever:
            return starting and not self.given_up
        if self._corruption.held is not None:
            return False
        if not self.lost:
            return True
        is_well = self.misses == 0 and self._corruption.bad is None
        return (
            is_well and self._admission.is_next_trusted
        )  # only for the frame that brings it back

    @property
    def next_due(self) -> tuple[int, int] | None:
        """See `Stamps.next_due`."""
        return self._stamps.next_due

    def due_from(self, stamp_ns: int) -> tuple[int, int] | None:
        """See `Stamps.due_from`."""
        return self._stamps.due_from(stamp_ns)

    def report(self, now_ns: int) -> SensorReport:
        """All that is known now."""
        decided, reason = self._decide()
        return SensorReport(
            name=self.name,
            kind=self.kind,
            state=decided,
            used=False,
            stamp_ns=self.newest_ns,
            age_ns=None if self.newest_ns is None else now_ns - self.newest_ns,
            rate_hz=self.rate_hz,
            reason=reason,
            received=self.received,
            rejected=self.rejected,
        )

    def sample_report(self, reference_ns: int, used_ns: int | None, note: str) -> SensorReport:
        """All that is known when a sample closes.

        Args:
            reference_ns: reference stamp of the sample.
            used_ns: stamp of the frame in it, None when there is none.
            note: said beside what is wrong with the frame.
        """
        report = self.report(reference_ns)
        if used_ns is not None:
            flaw = self._flaw or self._drift.flaw
            used_as = SensorState.SUSPECT if flaw else SensorState.OK
            said = ', '.join(filter(None, (flaw, note)))
            return replace(
                report,
                state=used_as,
                used=True,
                stamp_ns=used_ns,
                age_ns=reference_ns - used_ns,
                reason=said or (report.reason if used_as is report.state else ''),
            )
        if report.state in (SensorState.OK, SensorState.SUSPECT):
            reason = note or report.reason or 'no frame for this sample'
            return replace(report, state=SensorState.MISSING, reason=reason)
        return report
