"""A made-up recording of traffic, as the files of real ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FRAMES, ORIGIN = 41, np.array([1000.0, 2000.0])
NAMES = ('vehicle.car', 'human.pedestrian.adult', 'animal', 'movable_object.barrier')


def made_up() -> dict[str, np.ndarray]:
    """The ego drives east at 10 m/s on a road 12 m wide with an island; three others."""
    t = np.arange(FRAMES) * 0.1
    east = np.stack([ORIGIN[0] + 10 * t, np.full(FRAMES, ORIGIN[1]), 0 * t], axis=-1)
    position = np.zeros((4, FRAMES, 3))
    position[:, :, :2] = ORIGIN
    position[0, :, 0] += 20 + 5 * t  # a car ahead
    position[1, :, :2] += np.stack([0 * t + 10, 8 - 1.5 * t], axis=-1)  # somebody walks south
    position[2, :, 0] += 5
    position[3, :, :2] += (30, -7)
    yaw = np.zeros((4, FRAMES))
    yaw[1] = -np.pi / 2
    valid = np.ones((4, FRAMES), dtype=bool)
    valid[1, :10] = False
    position[1, :10] = 0
    size = np.broadcast_to(np.array([4.0, 1.8, 1.5]), (4, FRAMES, 3)) * valid[..., None]
    outline = ORIGIN + np.array([[-90, -6], [140, -6], [140, 6], [-90, 6], [-90, -6]])
    island = ORIGIN + np.array([[60, 2], [70, 2], [70, 4], [60, 4], [60, 2]])
    broken = ORIGIN + np.array([[-90, 3.0], [140, 3.0]])
    lane = ORIGIN + np.array([[-90.0, -6], [140, -6], [140, 0], [-90, 0]])
    lines = [outline, island, broken, np.zeros((0, 2))]
    return {
        'location': np.array('boston-seaport'),
        'stamps': t,
        'ego_position': east,
        'ego_yaw': np.zeros(FRAMES),
        'track_category': np.array(NAMES),
        'track_position': position,
        'track_yaw': yaw.astype(np.float32),
        'track_valid': valid,
        'track_size': size.astype(np.float32),
        'map_type': np.array(
            ['ROAD_LINE_SOLID_SINGLE_WHITE'] * 2
            + ['ROAD_LINE_BROKEN_SINGLE_WHITE', 'LANE_SURFACE_STREET']
        ),
        'map_polyline': np.concatenate(lines),
        'map_polyline_count': np.array([len(line) for line in lines]),
        'map_polygon': lane,
        'map_polygon_count': np.array([0, 0, 0, len(lane)]),
    }


def stored(folder: Path, **changes: np.ndarray | None) -> Path:
    arrays = {k: v for k, v in {**made_up(), **changes}.items() if v is not None}
    np.savez(folder / 'scene.npz', **arrays)
    return folder / 'scene.npz'
