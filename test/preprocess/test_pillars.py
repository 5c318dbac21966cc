import numpy as np

from metabev_ros.config import LidarBranchConfig
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.preprocess.pillars import build_pillars
from metabev_ros.structures import Sweep

GRID = BevGrid(-8.0, 8.0, -8.0, 8.0, 0.4)
CONFIG = LidarBranchConfig(points_per_pillar=3, max_pillars=50)


def sweep(count=400, seed=0):
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [
            rng.uniform(-9, 9, (count, 2)),
            rng.uniform(-4, 6, (count, 1)),
            rng.uniform(0, 255, (count, 1)),
            rng.uniform(0, 0.1, (count, 1)),
        ],
        1,
    )
    return Sweep(0, points.astype(np.float32), rigid_transform(rotation_z(0.7), [0.5, 0.2, 1.0]))


def test_pillars_equal_a_plain_loop_over_points():
    cloud, config = sweep(), LidarBranchConfig(points_per_pillar=3, max_pillars=5000)
    result = build_pillars(cloud, config, GRID)
    slots: dict[int, list] = {}
    for point in cloud.points.astype(float):
        xyz = cloud.ego_from_lidar[:3, :3] @ point[:3] + cloud.ego_from_lidar[:3, 3]
        column, row = np.floor((xyz[0] + 8) / 0.4), np.floor((xyz[1] + 8) / 0.4)
        if 0 <= column < 40 and 0 <= row < 40 and config.z_min < xyz[2] < config.z_max:
            slots.setdefault(int(row * 40 + column), []).append((xyz, point))
    table, pillars = result['pillar_table'], result['pillars']
    assert {int(c) for c in np.flatnonzero(table < len(pillars))} == set(slots)
    for cell, content in slots.items():
        got, content = pillars[table[cell]], content[:3]
        centre = np.array([-8 + (cell % 40 + 0.5) * 0.4, -8 + (cell // 40 + 0.5) * 0.4])
        mean = np.mean([xyz[2] for xyz, _ in content])
        for slot in range(3):
            xyz, point = content[slot] if slot < len(content) else content[0]
            expected = [
                xyz[0] / 10,
                xyz[1] / 10,
                xyz[2],
                point[3] / 255,
                point[4],
                *((xyz[:2] - centre) / 0.4),
                xyz[2] - mean,
                np.log1p(len(content)),
            ]
            np.testing.assert_allclose(got[slot], expected, atol=2e-5)


def test_too_many_pillars_keep_the_nearest():
    result = build_pillars(sweep(3000), CONFIG, GRID)
    assert result['pillars'].shape == (50, 3, 9)
    distance = np.linalg.norm(GRID.centres().reshape(-1, 2), axis=1)
    everything = build_pillars(sweep(3000), LidarBranchConfig(max_pillars=10**6), GRID)
    occupied = everything['pillar_table'] < len(everything['pillars'])
    kept = result['pillar_table'] < 50
    assert distance[kept].max() <= np.sort(distance[occupied])[49] + 1e-9


def test_the_pillars_that_are_kept_hold_what_they_held_among_all():
    limited = build_pillars(sweep(3000), CONFIG, GRID)
    config = LidarBranchConfig(points_per_pillar=3, max_pillars=10**6)
    everything = build_pillars(sweep(3000), config, GRID)
    kept = np.flatnonzero(limited['pillar_table'] < 50)
    assert len(kept) == 50 < len(everything['pillars'])
    np.testing.assert_array_equal(
        limited['pillars'][limited['pillar_table'][kept]],
        everything['pillars'][everything['pillar_table'][kept]],
    )


def test_an_empty_sweep_fills_no_cell():
    for points in (np.zeros((0, 5)), np.array([[500.0, 0, 0, 0, 0]])):
        result = build_pillars(Sweep(0, points.astype(np.float32), np.eye(4)), CONFIG, GRID)
        assert len(result['pillars']) == 1 and (result['pillar_table'] == 1).all()


def test_the_input_cloud_is_not_modified():
    cloud = sweep()
    before = cloud.points.copy()
    build_pillars(cloud, CONFIG, GRID)
    np.testing.assert_array_equal(cloud.points, before)
