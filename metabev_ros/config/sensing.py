"""Limits of sensing: when a sensor counts as late, dead, frozen or back, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.config.parameter import check_ranges, parameter


@dataclass(frozen=True)
class SensingConfig:
    """Limits by which a sensor counts as late, dead, frozen or back."""

    deadline: float = parameter(
        0.05, 'a sample waits this long for expected sensors after its anchor', 's', (0.001, 5)
    )
    tolerance: float = parameter(
        0.055,
        'a frame this close to the reference stamp belongs to the sample; an older one serves '
        'only while its successor is not due',
        's',
        (0.001, 5),
    )
    max_age_periods: float = parameter(
        1.5, 'data older than this many nominal periods is never current', within=(0.5, 50)
    )
    start_timeout: float = parameter(
        2.0, 'a sensor that never spoke is not waited for after this', 's', (0.01, 60)
    )
    future_tolerance: float = parameter(
        0.05, 'a stamp further ahead of the clock is invalid', 's', (0.001, 60)
    )
    max_latency: float = parameter(
        1.0,
        'a message whose lag differs by more than this from that of the other sensors is refused',
        's',
        (0.001, 60),
    )
    readmit_frames: int = parameter(
        2, 'good frames in a row before a lost sensor is used again', within=(1, 100)
    )
    frozen_frames: int = parameter(3, 'identical frames until FROZEN', within=(2, 100))
    flap_limit: int = parameter(
        3, 'losses within flap_window; one more leads to quarantine', within=(1, 100)
    )
    flap_window: float = parameter(10.0, 'the time in which losses count', 's', (0.1, 60))
    quarantine: float = parameter(10.0, 'a flapping sensor is kept out this long', 's', (0.1, 60))
    clock_jump: float = parameter(
        0.5, 'the clock going back by more than this starts a new epoch', 's', (0.01, 60)
    )
    min_cameras: int = parameter(
        1, 'fewer usable cameras do not make a camera branch', within=(1, 100)
    )
    decode_threads: int = parameter(
        2, 'threads that decode the images of a sample', within=(1, 16)
    )

    def __post_init__(self) -> None:
        check_ranges(self, 'sensing.')
