"""One sensor's monitor on its own."""

from __future__ import annotations

import pytest
from support.fake_drive import MS, T0

from metabev_ros.config import SensingConfig
from metabev_ros.errors import SensorDataError, clean_text
from metabev_ros.sensing.checks import GOOD, FrozenDetector, Verdict
from metabev_ros.sensing.health import SensorMonitor
from metabev_ros.structures import SensorKind, SensorState

PERIOD = 100 * MS


def monitor(**changes) -> SensorMonitor:
    return SensorMonitor('cam', SensorKind.CAMERA, 10.0, SensingConfig(**changes))


def feed(m: SensorMonitor, frames, latency: int = 5 * MS) -> list[bool]:
    """Give good frames of these numbers; whether each was usable."""
    used = []
    for k in frames:
        at = T0 + k * PERIOD
        m.tick(at + latency)
        used.append(m.good(at, at + latency, GOOD))
    return used


def test_silence_is_late_after_one_period_and_stale_after_two():
    m = monitor()
    feed(m, [0])
    edge = T0 + 5 * MS + 50 * MS
    for wait, state in (
        (PERIOD - 1, SensorState.OK),
        (PERIOD, SensorState.LATE),
        (2 * PERIOD - 1, SensorState.LATE),
        (2 * PERIOD, SensorState.STALE),
    ):
        m.tick(edge + wait)
        assert m.state is state


@pytest.mark.parametrize('readmit', [1, 2, 5])
def test_a_lost_sensor_is_used_again_at_exactly_the_configured_good_frame(readmit):
    m = monitor(readmit_frames=readmit)
    feed(m, range(5))
    used = feed(m, range(20, 30))
    assert used == [False] * (readmit - 1) + [True] * (11 - readmit)


def test_one_missed_frame_is_no_loss():
    m = monitor()
    assert all(feed(m, [0, 1, 2, 4, 5, 7, 8]))


def test_the_fourth_loss_in_ten_seconds_keeps_a_sensor_out_for_ten():
    m = monitor()
    used = {
        k: usable
        for start in range(0, 200, 10)
        for k, usable in zip(
            range(start, start + 6), feed(m, range(start, start + 6)), strict=True
        )
    }
    first_out = next(
        k for k in range(30, 200) if k in used and not used[k] and used.get(k + 3) is False
    )
    fourth_loss = T0 + 35 * PERIOD + 5 * MS + 250 * MS
    assert first_out == 40
    back = min(k for k, usable in used.items() if usable and k > 40)
    assert T0 + back * PERIOD >= fourth_loss + 10_000 * MS
    assert back <= 142 + 10


def test_a_needed_sensor_is_not_kept_in_quarantine():
    m = monitor(flap_limit=1)
    for start in (0, 10, 20):
        feed(m, range(start, start + 6))
    assert m.state is SensorState.RECOVERING and 'quarantine' in m.reason
    at = T0 + 26 * PERIOD
    assert not m.good(at, at, GOOD, needed=False)
    assert [m.good(at + k * PERIOD, at + k * PERIOD, GOOD, needed=True) for k in (1, 2)] == [
        False,
        True,
    ]


def test_the_rate_is_measured_from_the_stamps_and_falls_to_zero_in_silence():
    m = monitor()
    feed(m, range(10))
    assert m.rate_hz == pytest.approx(10.0)
    m.tick(T0 + 2000 * MS)
    assert m.rate_hz == 0.0


def test_a_refused_stamp_does_not_move_the_watermark():
    m = monitor()
    feed(m, [0, 1])
    for old, reason in ((T0, 'back'), (T0 + PERIOD, 'a new stamp')):
        with pytest.raises(SensorDataError, match=reason):
            m.check_stamp(old)
    m.check_stamp(T0 + 2 * PERIOD)


def test_a_suspect_frame_says_its_flaw_and_what_is_not_known_of_it():
    m = monitor()
    feed(m, range(4))
    repeated = Verdict(SensorState.SUSPECT, '2 identical frames')
    m.good(T0 + 4 * PERIOD, T0 + 4 * PERIOD + 5 * MS, repeated)
    said = m.sample_report(T0 + 4 * PERIOD, T0 + 4 * PERIOD, 'no odometry over -5 ms')
    assert said.state is SensorState.SUSPECT
    assert said.reason == '2 identical frames, no odometry over -5 ms'


def frozen_states(frames: str, limit: int = 3) -> list[SensorState]:
    detector = FrozenDetector(limit)
    return [detector.check(frame.encode()).state for frame in frames]


OK, SUSPECT, FROZEN = SensorState.OK, SensorState.SUSPECT, SensorState.FROZEN


@pytest.mark.parametrize(
    'frames,states',
    [
        ('abcddd', [OK] * 4 + [SUSPECT, FROZEN]),
        ('aaaab', [OK, SUSPECT, FROZEN, FROZEN, OK]),
        ('abababab', [OK, OK, SUSPECT] + [FROZEN] * 5),
        ('abcabca', [OK] * 3 + [SUSPECT] + [FROZEN] * 3),
        ('abcdefghijabc', [OK] * 10 + [SUSPECT, FROZEN, FROZEN]),
        ('abacada', [OK, OK, SUSPECT, OK, SUSPECT, OK, SUSPECT]),
        ('abcdefghijkabc', [OK] * 14),  # what is longer ago is forgotten
    ],
    ids=['a freeze', 'a return', 'ring of 2', 'ring of 3', 'ring of 10', 'every other', '11'],
)
def test_frames_that_came_before_are_counted_in_whatever_order_they_come(frames, states):
    assert frozen_states(frames) == states


def test_a_limit_of_two_freezes_at_the_first_repeat():
    assert frozen_states('abab', 2) == [OK, OK, FROZEN, FROZEN]


def test_the_reason_tells_a_freeze_from_a_cycle():
    detector = FrozenDetector(3)
    assert [detector.check(frame.encode()).reason for frame in 'aaabab'] == [
        '',
        '2 identical frames',
        '3 identical frames',
        '',
        'repeats the frame 2 before',
        'repeats the frame 2 before',
    ]


@pytest.mark.parametrize(
    'text,expected',
    [
        ('plain', 'plain'),
        ('a\nb', 'a\\nb'),
        ('\x1b[2J', '\\x1b[2J'),
        ('x' * 99, 'x' * 61 + '...'),
        ('\n' * 99, '\\n' * 30 + '\\...'),
        (7, '7'),
        ('', ''),
    ],
)
def test_row_114_untrusted_text_is_escaped_and_capped(text, expected):
    assert clean_text(text) == expected and len(clean_text(text)) <= 64
