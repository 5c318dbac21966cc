"""The heartbeat's thread and the clock that it watches, without ROS."""

from __future__ import annotations

import time

import numpy as np
from support.made_samples import wait_for

from metabev_ros.node import heartbeat
from metabev_ros.node.heartbeat import STANDSTILL, ClockWatch, Heartbeat
from metabev_ros.node.workers import ThrottledLog


def test_the_heartbeat_goes_on_after_whatever_a_beat_raises():
    beats, lines = [], []

    def beat() -> None:
        beats.append(time.monotonic())
        raise ZeroDivisionError('in the beat')

    thread = Heartbeat(beat, 50.0, ThrottledLog(lines.append, lines.append))
    thread.start()
    wait_for(lambda: len(beats) >= 10)
    thread.stop()
    thread.join(5.0)
    assert not thread.is_alive()
    assert len(lines) == 1 and 'ZeroDivisionError' in lines[0]
    assert np.median(np.diff(beats)) > 0.01, 'no faster than its rate'


def test_beats_that_were_missed_are_not_made_up_for():
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 1:
            time.sleep(0.5)

    thread = Heartbeat(beat, 50.0, ThrottledLog(print, print))
    thread.start()
    wait_for(lambda: len(beats) >= 5)
    thread.stop()
    thread.join(5.0)
    assert np.diff(beats[1:5]).max() > 0.01


def test_a_clock_that_stands_still_is_told_after_a_second_and_forgotten_with_its_next_tick(
    monkeypatch,
):
    now = [100.0]
    monkeypatch.setattr(heartbeat.time, 'monotonic', lambda: now[0])
    watch = ClockWatch()
    for tick in range(1, 50):
        assert watch.look(tick) == ''
        now[0] += 0.5
    now[0] += STANDSTILL
    assert 'stands still' in watch.look(49) and '/clock for 1.5 s' in watch.look(49)
    assert watch.look(50) == ''
    assert watch.look(20) == '', 'a clock that goes back goes'
