import numpy as np
import pytest

from metabev_ros.config import LidarBranchConfig, LidarEncoder
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.preprocess.voxels import Voxels, build_voxels, hard_voxelise
from metabev_ros.structures import Sweep

GRID = BevGrid(-2.4, 2.4, -1.2, 1.2, 0.075)
CONFIG = LidarBranchConfig(
    encoder=LidarEncoder.SPARSE, points_per_voxel=3, max_voxels=10_000, z_min=-3.2, z_max=4.8
)


def plain_voxelise(xyz, origin, size, shape, max_points, max_voxels):
    """The definition, point by point; float32 as in mmcv."""
    voxels: dict[tuple, list] = {}
    for i, point in enumerate(xyz.astype(np.float32)):
        cell = np.floor((point - np.float32(origin)) / np.float32(size)).astype(int)
        if (cell < 0).any() or (cell >= shape[::-1]).any():
            continue
        key = tuple(cell[::-1])
        if key not in voxels and len(voxels) < max_voxels:
            voxels[key] = []
        if key in voxels and len(voxels[key]) < max_points:
            voxels[key].append(i)
    return voxels


def contents(voxels: Voxels) -> list[list[int]]:
    return [group.tolist() for group in np.split(voxels.points, voxels.starts[1:])]


def sweep(count=4000, seed=0, spread=3.0) -> Sweep:
    rng = np.random.default_rng(seed)
    points = np.concatenate(
        [
            rng.uniform(-spread, spread, (count, 2)),
            rng.uniform(-4, 6, (count, 1)),
            rng.uniform(0, 255, (count, 1)),
            rng.uniform(0, 0.1, (count, 1)),
        ],
        1,
    )
    return Sweep(0, points.astype(np.float32), rigid_transform(rotation_z(0.7), [0.5, 0.2, 1.8]))


def test_voxels_equal_those_of_mmcv(shared_data):
    case = np.load(shared_data / 'hard_voxelization' / 'test_voxel.npy', allow_pickle=True).item()
    points = case['points']
    voxels = hard_voxelise(
        points[:, :3], (0, -40, -3), (0.5, 0.5, 0.5), (8, 160, 141), 1000, 20_000
    )
    # The file's keys are swapped: `voxels` holds coordinates, `coors` the points.
    np.testing.assert_array_equal(voxels.coords, case['voxels'])
    np.testing.assert_array_equal(voxels.counts, case['num_points_per_voxel'])
    filled = np.zeros_like(case['coors'])
    for voxel, rows in enumerate(contents(voxels)):
        filled[voxel, : len(rows)] = points[rows]
    np.testing.assert_array_equal(filled, case['coors'])


@pytest.mark.parametrize(
    ('size', 'half', 'height', 'inside', 'count'),
    [
        (0.075, 54.0, 0.2, 32330, 17509),
        (0.1, 51.2, 0.2, 32264, 15307),
        (0.2, 51.2, 8.0, 32264, 7896),
    ],
)
def test_a_real_sweep_has_the_published_number_of_voxels(
    shared_data, size, half, height, inside, count
):
    path = next((shared_data / 'nuscenes_keyframe').glob('*LIDAR_TOP*'))
    points = np.fromfile(path, np.float32).reshape(-1, 5)
    cells = round(2 * half / size)
    voxels = hard_voxelise(
        points[:, :3],
        (-half, -half, -5),
        (size, size, height),
        (round(8 / height), cells, cells),
        10**6,
        10**6,
    )
    assert (len(voxels.points), len(voxels.coords)) == (inside, count)


@pytest.mark.parametrize(('max_points', 'max_voxels'), [(1, 10**6), (3, 200), (4, 7), (10**6, 1)])
def test_voxels_equal_a_plain_loop_over_points(max_points, max_voxels):
    xyz = np.random.default_rng(1).normal(0, 1.5, (3000, 3))
    arguments = ((-2, -3, -1), (0.5, 0.3, 0.4), (7, 20, 9), max_points, max_voxels)
    voxels, expected = hard_voxelise(xyz, *arguments), plain_voxelise(xyz, *arguments)
    assert [tuple(c) for c in voxels.coords.tolist()] == list(expected)
    assert contents(voxels) == list(expected.values())
    assert voxels.counts.tolist() == [len(rows) for rows in expected.values()]


def test_features_are_the_mean_of_the_first_points_in_the_ego_frame():
    cloud = sweep()
    result = build_voxels(cloud, CONFIG, GRID)
    rotation, shift = cloud.ego_from_lidar[:3, :3], cloud.ego_from_lidar[:3, 3]
    ego = np.array([rotation @ p + shift for p in cloud.points[:, :3].astype(float)])
    expected = plain_voxelise(ego, (-2.4, -1.2, -3.2), (0.075, 0.075, 0.2), (40, 32, 64), 3, 10**6)
    rows = {
        tuple(c): f
        for c, f in zip(result['voxel_coords'].tolist(), result['voxel_features'], strict=True)
    }
    assert len(rows) == len(expected) == len(result['voxel_coords'])
    for (z, y, x), members in expected.items():
        mean = np.concatenate([ego[members], cloud.points[members, 3:5]], 1).mean(0)
        mean[2] -= 1.8  # -3.2 m reads -5 m
        np.testing.assert_allclose(rows[0, z, 31 - y, x], mean, rtol=1e-5, atol=1e-5)


def test_coordinates_rise_and_the_y_axis_counts_from_the_left():
    cloud = Sweep(
        0,
        np.array([[1, 1.19, 0, 5, 0], [1, -1.19, 0, 7, 0], [1, 0, -3, 9, 0]], np.float32),
        np.eye(4),
    )
    result = build_voxels(cloud, CONFIG, GRID)
    assert result['voxel_coords'].tolist() == [[0, 1, 15, 45], [0, 16, 0, 45], [0, 16, 31, 45]]
    assert result['voxel_features'][:, 3].tolist() == [9, 5, 7]
    assert result['voxel_coords'].dtype == np.int32
    assert result['voxel_features'].dtype == np.float32


def test_too_many_voxels_keep_the_first_that_arrive():
    cloud = sweep()
    few = LidarBranchConfig(encoder=LidarEncoder.SPARSE, max_voxels=20, z_min=-3.2, z_max=4.8)
    coords = build_voxels(cloud, few, GRID)['voxel_coords']
    first = build_voxels(Sweep(0, cloud.points[:100], cloud.ego_from_lidar), CONFIG, GRID)
    kept = {tuple(c) for c in coords.tolist()}
    assert len(coords) == 20 and kept <= {tuple(c) for c in first['voxel_coords'].tolist()}


def test_a_sweep_without_a_point_in_the_grid_gives_one_voxel_that_is_nowhere():
    for points in (np.zeros((0, 5)), np.array([[500.0, 0, 0, 0, 0]])):
        result = build_voxels(Sweep(0, points.astype(np.float32), np.eye(4)), CONFIG, GRID)
        assert result['voxel_coords'].tolist() == [[0, -1, 0, 0]]
        assert (result['voxel_features'] == 0).all() and len(result['voxel_features']) == 1


def test_the_input_cloud_is_not_modified():
    cloud = sweep()
    before = cloud.points.copy()
    build_voxels(cloud, CONFIG, GRID)
    np.testing.assert_array_equal(cloud.points, before)
