"""Checks of stamps and rates: pure functions of the times of a topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from metabev_ros.config import CameraConfig, LidarConfig
from metabev_ros.lab.rig_check.findings import Finding, Kind
from metabev_ros.lab.rig_check.look import TopicLook

RATE_SHARE = 0.2  # of the nominal rate, that a measured one may differ by
JUMP_S = 0.5  # seconds, in a stamp and not in the log time
OFFSET_S = 0.15  # seconds between the lag of a sensor and that of the others
FROZEN_REPEATS = 3  # frames in a row with the content of the one before
TWICE_SHARE, LOST_SHARE = 0.05, 0.05  # of the frames
_LEAST_EDGE_S = 0.5  # seconds at an end of a bag, that a sensor may be silent
_EDGE_PERIODS = 5


def check_stamps(look: TopicLook, name: str) -> Iterator[Finding]:
    """Zero, falling, repeated and jumping stamps, and frozen content."""
    topic, stamps, logs = (
        look.topic,
        np.array(look.stamps, np.int64),
        np.array(look.logs, np.int64),
    )
    zeros = int((stamps == 0).sum())
    if zeros:
        got = f'0 in {zeros} of {len(stamps)} messages'
        yield Finding(Kind.STAMP_ZERO, name, topic, 'a time in header.stamp', got)
    # Steps where a stamp is there on both sides.
    good = (stamps[1:] != 0) & (stamps[:-1] != 0)
    steps, waits = np.diff(stamps)[good], np.diff(logs)[good]
    twice = int((steps == 0).sum())
    if twice >= max(2, TWICE_SHARE * len(stamps)):
        got = f'{twice} of {len(stamps)} with the stamp of the one before'
        yield Finding(Kind.DUPLICATES, name, topic, 'each frame once', got)
    back = int((steps < 0).sum())
    if back:
        got = f'{back} earlier than the one before, by up to {-steps.min() * 1e-9:.3f} s'
        yield Finding(Kind.STAMP_ORDER, name, topic, 'rising stamps', got)
    off = np.abs(steps - waits) * 1e-9
    if len(off) and off.max() > JUMP_S:
        got = f'{int((off > JUMP_S).sum())} jumps, the largest of {off.max():.2f} s'
        yield Finding(Kind.STAMP_JUMP, name, topic, 'stamps that go on as the messages do', got)
    if look.longest_repeat >= FROZEN_REPEATS:
        got = f'{look.longest_repeat + 1} frames in a row with the same bytes'
        yield Finding(Kind.FROZEN, name, topic, 'content that changes', got)


def check_rate(
    look: TopicLook, sensor: CameraConfig | LidarConfig, span_ns: tuple[int, int]
) -> Iterator[Finding]:
    """The rate, holes, and whether the sensor is there all the time.

    Args:
        look: of its data.
        sensor: of the rig.
        span_ns: log times of the first and the last message of all sensors.
    """
    name, topic, measured = sensor.name, look.topic, look.rate_hz
    if measured and abs(measured - sensor.rate_hz) > RATE_SHARE * sensor.rate_hz:
        expected = f'rate_hz {sensor.rate_hz:g} as in the rig file'
        yield Finding(Kind.RATE, name, topic, expected, f'{measured:.1f} Hz')
    logs = np.array(look.logs, np.int64)
    if not measured or len(logs) < 3:
        return
    period = 1e9 / measured
    missing = int(
        np.maximum(np.rint(np.diff(logs) / period) - 1, 0)[np.diff(logs) > 2 * period].sum()
    )
    if missing >= max(2, LOST_SHARE * len(logs)):
        got = f'about {missing} missing beside {len(logs)}, at {measured:.1f} Hz'
        yield Finding(Kind.GAPS, name, topic, 'a frame each period', got)
    allowed = max(_LEAST_EDGE_S, _EDGE_PERIODS * period * 1e-9)
    late, early = (logs[0] - span_ns[0]) * 1e-9, (span_ns[1] - logs[-1]) * 1e-9
    whole = (span_ns[1] - span_ns[0]) * 1e-9
    if late > allowed or early > allowed:
        got = f'from second {late:.1f} to second {whole - early:.1f} of {whole:.1f}'
        yield Finding(Kind.STOPS, name, topic, 'frames from begin to end', got)


def lag_of(look: TopicLook) -> float | None:
    """Middle of log time minus stamp, seconds; None where there are no stamps."""
    lags = [log - stamp for log, stamp in zip(look.logs, look.stamps, strict=False) if stamp]
    return float(np.median(lags)) * 1e-9 if lags else None


def check_lags(looks: Mapping[str, TopicLook], others: list[TopicLook]) -> Iterator[Finding]:
    """Clocks of sensors against those of most.

    An offset cannot be told from a latency: both are a lag that differs from the others'.

    Args:
        looks: name of a sensor -> its data.
        others: topics that also say how large a lag is usual, as odometry.
    """
    lags = {name: lag for name, look in looks.items() if (lag := lag_of(look)) is not None}
    known = sorted(
        [*lags.values(), *(lag for look in others if (lag := lag_of(look)) is not None)]
    )
    if len(known) < 2:
        return
    middle = known[(len(known) - 1) // 2 : len(known) // 2 + 1]
    usual = min(middle, key=abs)
    for name, lag in lags.items():
        late = lag - usual
        if abs(late) > OFFSET_S:
            yield Finding(
                Kind.CLOCK_OFFSET,
                name,
                looks[name].topic,
                f'a lag within {OFFSET_S:g} s of the usual {usual:.3f} s',
                f'{lag:.3f} s: time_offset {late:.3f}, unless it is latency',
            )
