"""What it costs to take the vehicle's motion out of a sweep, and to merge ten of them.

    .venv/bin/metabev-env python benchmark/many_sweeps.py [--record docs/results/ego_motion.json]

Processor time of one core. The peer is the same geometry as it is usually written in NumPy:
one float64 pose per point by a batched matrix product, and a matrix product per sweep. Both take
turns, so the ratio holds where the machine drifts; how far their points lie apart is told as well.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

# One core means one: threads that wait for each other would count as work of the peer.
os.environ['OPENBLAS_NUM_THREADS'] = '1'
import numpy as np
from ego_motion import take_turns
from rich.progress import track

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.sensing.sweeps import SweepHistory, points_in_ego

POINTS, SWEEPS, RUNS = 130_000, 10, 40
SPEED, TURN = 15.0, 0.3  # m/s, rad/s
PERIOD_NS = 50_000_000
EGO_FROM_LIDAR = rigid_transform(rotation_z(-np.pi / 2), (0.9, 0.0, 1.8))


def pose(seconds: np.ndarray) -> np.ndarray:
    """(..., 4, 4) world_from_ego of a vehicle in a bend."""
    seconds = np.asarray(seconds, np.float64)
    yaw, radius = TURN * seconds, SPEED / TURN
    result = np.zeros((*seconds.shape, 4, 4))
    result[..., 0, 0] = result[..., 1, 1] = np.cos(yaw)
    result[..., 1, 0], result[..., 0, 1] = np.sin(yaw), -np.sin(yaw)
    result[..., 0, 3], result[..., 1, 3] = radius * np.sin(yaw), radius * (1 - np.cos(yaw))
    result[..., 2, 2] = result[..., 3, 3] = 1.0
    return result


def motion(target_ns: int, source_ns: int) -> np.ndarray:
    """ego(target)_from_ego(source)."""
    return np.linalg.inv(pose(np.array(target_ns / 1e9))) @ pose(np.array(source_ns / 1e9))


def sweep(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(P, 5) points of a spinning LiDAR and the (P,) seconds of each before the sweep's stamp."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.uniform(-0.05, 0, POINTS)).astype(np.float32)
    angle = seconds / 0.05 * 2 * np.pi
    distance = rng.uniform(3, 60, POINTS)
    points = np.zeros((POINTS, 5), np.float32)
    points[:, 0], points[:, 1] = distance * np.cos(angle), distance * np.sin(angle)
    points[:, 2] = rng.uniform(-1.8, 2, POINTS)
    return points, seconds


def deskew_plainly(points: np.ndarray, seconds: np.ndarray, stamp_ns: int) -> np.ndarray:
    """(P, 3) float64: one matrix per point."""
    stamp_from_world = np.linalg.inv(pose(np.array(stamp_ns / 1e9)))
    poses = stamp_from_world @ pose(stamp_ns / 1e9 + seconds.astype(np.float64)) @ EGO_FROM_LIDAR
    return np.einsum('pij,pj->pi', poses[:, :3, :3], points[:, :3]) + poses[:, :3, 3]


def merge_plainly(clouds: list[np.ndarray], stamps: list[int]) -> np.ndarray:
    """(P, 5) float64 of sweeps, the newest first."""
    merged: list[np.ndarray] = []
    for cloud, stamp_ns in zip(clouds, stamps, strict=True):
        moved = motion(stamps[0], stamp_ns)
        part = cloud.astype(np.float64)
        part[:, :3] = part[:, :3] @ moved[:3, :3].T + moved[:3, 3]
        part[:, 4] = (stamps[0] - stamp_ns) / 1e9
        merged.append(part)
    return np.concatenate(merged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--record', type=Path)
    options = parser.parse_args()
    points, seconds = sweep(0)
    stamps = [10**9 - k * PERIOD_NS for k in range(SWEEPS)]
    history = SweepHistory(SWEEPS)
    for stamp_ns in reversed(stamps):
        history.add(stamp_ns, points_in_ego(points, seconds, stamp_ns, EGO_FROM_LIDAR, motion)[0])
    clouds = [points_in_ego(points, seconds, s, EGO_FROM_LIDAR, motion)[0] for s in stamps]

    def deskew(turn: int) -> np.ndarray:
        return points_in_ego(points, seconds, stamps[0], EGO_FROM_LIDAR, motion)[0]

    def merge(turn: int) -> np.ndarray:
        return history.merged(stamps[0], motion)[0]

    figures: list[tuple[str, float, str, int]] = []
    for name, ours, peer in track(
        (
            ('deskew', deskew, lambda turn: deskew_plainly(points, seconds, stamps[0])),
            ('ten_sweeps', merge, lambda turn: merge_plainly(clouds, stamps)),
        ),
        'sweeps',
        transient=True,
    ):
        new, plain = take_turns(ours, peer, RUNS)
        apart = float(np.abs(ours(0)[:, :3] - peer(0)[:, :3]).max())
        figures += [
            (f'sweeps.{name}.ms', float(np.median(new)), 'ms', RUNS),
            (f'sweeps.{name}.numpy_ms', float(np.median(plain)), 'ms', RUNS),
            (f'sweeps.{name}.ratio', float(np.median(plain / new)), 'times', RUNS),
            (f'sweeps.{name}.apart', 1e3 * apart, 'mm, largest', POINTS),
        ]
    for name, value, unit, _ in figures:
        sys.stdout.write(f'{name:30} {value:9.3f} {unit}\n')
    if options.record is not None:
        command = shlex.join(['python', *sys.argv])
        merge_records(
            options.record,
            [make_record(name, v, unit, command, n) for name, v, unit, n in figures],
        )


if __name__ == '__main__':
    main()
