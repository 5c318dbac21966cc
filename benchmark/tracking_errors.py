"""Identities that live on, what boxes err by, and the error of tracks beside their covariance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tracking_runs import FAILS_AT, LIDAR_IS_DEAD, Found, Frame

from metabev_ros.geometry import wrap_angle
from metabev_ros.structures import DETECTION_CLASSES
from metabev_ros.tracks import Track, TrackedObjects, TrackState

MATCH = 2.0  # metres, as in the nuScenes tracking challenge
NEAR = 30.0  # metres
SETTLED = 0.5  # seconds after the return of the sensor
REACHES = ((0, 15), (15, 30), (30, 50))  # metres
SURE = 0.3  # score of boxes whose error counts
CAR = DETECTION_CLASSES.index('car')


def identities(frames: Sequence[Frame], told: Sequence[TrackedObjects]) -> list[bool]:
    """For every car that was tracked within 30 m before the LiDAR died: has it its identity after?

    Cars that are no longer near half a second after its return, or have no points then, are left
    out.
    """
    times = np.array([f.sample.stamp_ns - frames[0].sample.stamp_ns for f in frames]) * 1e-9
    before = int(np.flatnonzero(times < FAILS_AT)[-1])
    later = np.flatnonzero(times >= FAILS_AT + LIDAR_IS_DEAD + SETTLED)
    if not len(later):
        return []
    after = int(later[0])
    first = _tracked_cars(frames[before], told[before])
    last, present = _tracked_cars(frames[after], told[after]), _near_cars(frames[after])
    return [last.get(car) == track for car, track in first.items() if car in present]


def _near_cars(frame: Frame) -> dict[int, np.ndarray]:
    """Identity -> place of the cars within 30 m that the LiDAR could see."""
    reach = np.hypot(frame.boxes[:, 0], frame.boxes[:, 1])
    rows = np.flatnonzero((frame.labels == CAR) & (reach < NEAR) & (frame.points > 0))
    return {int(frame.ids[row]): frame.boxes[row, :2] for row in rows}


def _tracked_cars(frame: Frame, told: TrackedObjects) -> dict[int, int]:
    """Identity of a near car -> that of the believed track nearest to it."""
    tracks = [t for t in told.tracks if t.state is not TrackState.TENTATIVE]
    tracked: dict[int, int] = {}
    for car, place in _near_cars(frame).items():
        apart = [float(np.hypot(*(track.box[:2] - place))) for track in tracks]
        if apart and min(apart) < MATCH:
            tracked[car] = tracks[int(np.argmin(apart))].id
    return tracked


def box_errors(looks: Iterable[tuple[Frame, Found]]) -> list[tuple[str, float]]:
    """Errors of sure boxes by branch and distance: 'camera.15_30.along.m' and so on."""
    errors: list[tuple[str, float]] = []
    for frame, seen in looks:
        sure = seen.detections.scores >= SURE
        boxes = seen.detections.boxes[sure].astype(np.float64)
        for box, label in zip(boxes, seen.detections.labels[sure], strict=True):
            same = frame.boxes[frame.labels == label]
            apart = np.hypot(*(same[:, :2] - box[:2]).T)
            if len(same) and apart.min() < 2 * MATCH:
                branch = seen.modality.name.lower()
                errors += _errors(box, same[apart.argmin()], branch)
    return errors


def deviation(errors: np.ndarray) -> float:
    """Standard deviation by the median of the absolute errors.

    A few wrong matches between neighbours leave it as it is.
    """
    return float(np.median(np.abs(errors)) / 0.6745)


def _errors(box: np.ndarray, truth: np.ndarray, branch: str) -> list[tuple[str, float]]:
    reach = float(np.hypot(truth[0], truth[1]))
    names = [f'{branch}.{low}_{high}' for low, high in REACHES if low <= reach < high]
    if not names:
        return []
    ray = truth[:2] / max(reach, 1e-6)
    off = box[:2] - truth[:2]
    turned = float(wrap_angle(np.array(box[6] - truth[6])))
    turned = min(abs(turned), np.pi - abs(turned))  # a flip is turned back by the tracker
    speed = float(ray @ (box[7:9] - truth[7:9]))
    said = {
        'along.m': float(off @ ray),
        'across.m': float(ray[0] * off[1] - ray[1] * off[0]),
        'height.m': float(box[2] - truth[2]),
        'yaw.rad': turned,
    }
    if np.isfinite(speed):
        said['velocity.m/s'] = speed
    return [(f'{names[0]}.{what}', value) for what, value in said.items()]


def consistency(frames: Sequence[Frame], told: Sequence[TrackedObjects]) -> list[float]:
    """Normalised squared errors of seen tracks' x, y; the median of consistent ones is 1.39."""
    ratios: list[float] = []
    for frame, objects in zip(frames, told, strict=True):
        for track in objects.tracks:
            if track.state is TrackState.CONFIRMED:
                ratios += _ratio(frame, track)
    return ratios


def _ratio(frame: Frame, track: Track) -> list[float]:
    same = frame.boxes[frame.labels == track.label]
    apart = np.hypot(*(same[:, :2] - track.box[:2]).T)
    if not len(same) or apart.min() >= MATCH:
        return []
    off = same[apart.argmin(), :2] - track.box[:2]
    return [float(off @ np.linalg.inv(track.covariance[:2, :2]) @ off)]
