"""Scale of the intensities of a LiDAR, and the field of its points' own times."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import PointTime, TimeUnit
from metabev_ros.lab.rig_check.look import SweepLook

# Fields that hold a point's own time in the drivers of Velodyne, Ouster, Hesai, RoboSense, Livox.
TIME_FIELDS = ('time', 't', 'timestamp', 'time_stamp', 'offset_time', 'time_offset', 'timeoffset')
_LATEST = 1.0  # seconds between a point and its stamp
_LEAST_REACH = 0.005  # seconds from the first point of a sweep to its last
_PER_SECOND = {TimeUnit.SECONDS: 1.0, TimeUnit.MICROSECONDS: 1e6, TimeUnit.NANOSECONDS: 1e9}
_BYTE, _TWO_BYTES = 255.0, 65535.0  # largest intensities


def find_intensity_scale(sweeps: list[SweepLook]) -> float:
    """The factor that brings intensities to 0..255, by the largest seen; 1 where all are zero.

    Intensities of a sensor lie in 0..1, in 8 bits or in 16.
    """
    values = [
        float(np.quantile(sweep.points[:, 3], 0.99)) for sweep in sweeps if len(sweep.points)
    ]
    brightest = max(values, default=0.0)
    if brightest <= 0:
        return 1.0
    if brightest <= 1.0:
        return _BYTE
    return 1.0 if brightest <= 256 else _BYTE / _TWO_BYTES


def find_point_time(sweeps: list[SweepLook]) -> PointTime | None:
    """The field of a point's own time, and how it is to be read; None where none makes sense.

    A reading makes sense where the times of all sweeps lie within a second of the stamp, and
    reach over 5 ms at least: no LiDAR measures a sweep at once.
    """
    names = {name for sweep in sweeps for name in sweep.others if name.lower() in TIME_FIELDS}
    for name in sorted(names):
        for unit in TimeUnit:
            for absolute in (False, True):
                if makes_sense(sweeps, time := PointTime(name, unit, absolute)):
                    return time
    return None


def makes_sense(sweeps: list[SweepLook], time: PointTime) -> bool:
    """Tell whether all sweeps have times of their points that can be read like this."""
    for sweep in sweeps:
        lags = point_lags(sweep, time)
        if lags is None or not len(lags):
            return False
        if not (np.abs(lags).max() <= _LATEST and np.ptp(lags) >= _LEAST_REACH):
            return False
    return bool(sweeps)


def point_lags(sweep: SweepLook, time: PointTime) -> np.ndarray | None:
    """(P',) float64 seconds of the points after the stamp; None without the field."""
    values = sweep.others.get(time.field)
    if values is None:
        return None
    seconds = values.astype(np.float64) / _PER_SECOND[time.unit]
    sent_ns = sweep.stamp_ns - sweep.offset_ns
    return seconds - sent_ns * 1e-9 if time.absolute else seconds
