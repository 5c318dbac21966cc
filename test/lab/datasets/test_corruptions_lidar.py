"""LiDAR failures on arrays, against the rings that the synthetic LiDAR shoots."""

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.datasets.corruptions import lidar
from metabev_ros.lab.datasets.corruptions.lidar import BeamChoice
from metabev_ros.lab.datasets.synthetic.rig import LIDAR_ELEVATIONS, ego_from_lidar


def cloud(azimuth_deg, elevation, distance=20.0, intensity=40.0):
    """Points at these angles, LiDAR frame: 0 forward (+y), positive to the right (+x)."""
    azimuth, elevation = np.broadcast_arrays(np.deg2rad(azimuth_deg), elevation)
    flat = distance * np.cos(elevation)
    points = np.zeros((len(azimuth), 5), np.float32)
    points[:, :3] = np.stack(
        [flat * np.sin(azimuth), flat * np.cos(azimuth), distance * np.sin(elevation)], axis=1
    )
    points[:, 3] = intensity
    return points


def rings_left(points) -> list[int]:
    """Ring ids from the bottom, by an oracle of its own: the nearest elevation of the rig."""
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    return sorted(set(np.abs(elevation[:, None] - LIDAR_ELEVATIONS).argmin(axis=1).tolist()))


@pytest.fixture
def one_per_ring():
    return cloud(np.zeros(32), LIDAR_ELEVATIONS)


@pytest.fixture
def random_cloud():
    rng = np.random.default_rng(5)
    return cloud(
        rng.uniform(-180, 180, 4000), rng.choice(LIDAR_ELEVATIONS, 4000), rng.uniform(2, 70, 4000)
    )


def test_the_field_keeps_what_lies_in_front_and_counts_to_the_right():
    points = np.zeros((4, 5), np.float32)
    points[:, :2] = [(0, 5), (5, 0), (-5, 0), (0, -5)]  # forward, right, left, behind
    assert lidar.azimuths(points).tolist() == [0, 90, -90, 180]
    assert lidar.limit_field(points, 60).tolist() == points[:1].tolist()
    assert len(lidar.limit_field(points, 90)) == 3  # the border belongs to it
    assert len(lidar.limit_field(points, 89.99)) == 1
    assert lidar.limit_field(points, 180).tolist() == points.tolist()
    assert lidar.limit_field(points, 30, centre_deg=90).tolist() == points[1:2].tolist()
    assert lidar.limit_field(points, 30, centre_deg=-170).tolist() == points[3:].tolist()


@pytest.mark.parametrize(('half', 'share'), [(120, 2 / 3), (90, 1 / 2), (60, 1 / 3)])
def test_the_field_keeps_its_share_of_an_even_cloud(half, share):
    points = cloud(np.linspace(-180, 180, 3600, endpoint=False), 0.0)
    assert len(lidar.limit_field(points, half)) / 3600 == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    ('beams', 'ids_from_top'),
    [(16, range(1, 32, 2)), (8, range(3, 18, 2)), (4, (7, 9, 11, 13)), (1, (9,))],
)
def test_bevfusions_beams_are_the_clustered_ones(one_per_ring, beams, ids_from_top):
    kept = lidar.reduce_beams(one_per_ring, beams, BeamChoice.BEVFUSION)
    assert rings_left(kept) == sorted(31 - i for i in ids_from_top)


def test_bevfusions_four_beams_lie_at_the_elevations_of_its_code(one_per_ring):
    kept = lidar.reduce_beams(one_per_ring, 4, BeamChoice.BEVFUSION)
    np.testing.assert_allclose(
        np.rad2deg(np.sort(lidar.elevations(kept))), [-6.7, -4.0, -1.3, 1.3], atol=0.05
    )


@pytest.mark.parametrize(
    ('beams', 'rings'),
    [(16, range(1, 32, 2)), (8, range(1, 30, 4)), (4, (1, 9, 17, 25)), (1, (17,))],
)
def test_evenly_spaced_beams_are_multicorrupts(one_per_ring, beams, rings):
    kept = lidar.reduce_beams(one_per_ring, beams, BeamChoice.EVENLY_SPACED)
    assert rings_left(kept) == list(rings)


@pytest.mark.parametrize('choice', BeamChoice)
def test_fewer_beams_are_a_subset_and_thirty_two_are_all(random_cloud, choice):
    before = random_cloud
    for beams in (32, 16, 8, 4, 1):
        kept = lidar.reduce_beams(random_cloud, beams, choice)
        rows = {row.tobytes() for row in kept}
        assert rows <= {row.tobytes() for row in before}
        assert len(kept) / len(random_cloud) == pytest.approx(beams / 32, abs=0.02)
        before = kept
    with pytest.raises(ConfigError, match='32 or one of'):
        lidar.reduce_beams(random_cloud, 2, choice)


def boxed_cloud():
    """Two boxes in the ego frame with points of known owners, in the LiDAR frame."""
    rng = np.random.default_rng(1)
    boxes = np.array([[10, 4, 1, 4, 2, 1.6, 0.5, 0, 0], [-8, -6, 1, 2, 1, 1.6, 2.0, 0, 0]])
    parts = []
    for box in boxes:
        local = rng.uniform(-0.5, 0.5, (50, 3)) * box[3:6]
        c, s = np.cos(box[6]), np.sin(box[6])
        turned = np.stack(
            [c * local[:, 0] - s * local[:, 1], s * local[:, 0] + c * local[:, 1], local[:, 2]],
            axis=1,
        )
        parts.append(turned + box[:3])
    ground = np.stack([rng.uniform(20, 40, 100), rng.uniform(-20, 20, 100), np.zeros(100)], 1)
    ego = np.concatenate([*parts, ground])
    points = np.zeros((200, 5), np.float32)
    points[:, :3] = transform_points(inverse_rigid(ego_from_lidar()), ego)
    points[:, 3] = np.repeat([0, 1, 2], [50, 50, 100])
    return points, boxes


def test_an_object_that_is_hit_loses_all_its_points_and_nothing_else_is_lost():
    points, boxes = boxed_cloud()
    gone = lidar.remove_objects(points, ego_from_lidar(), boxes, 1.0, np.random.default_rng(0))
    assert set(gone[:, 3]) == {2} and len(gone) == 100
    same = lidar.remove_objects(points, ego_from_lidar(), boxes, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(same, points)
    for seed in range(20):  # each object is all there or all gone
        kept = lidar.remove_objects(
            points, ego_from_lidar(), boxes, 0.5, np.random.default_rng(seed)
        )
        assert set(np.bincount(kept[:, 3].astype(int), minlength=3)[:2].tolist()) <= {0, 50}


def test_objects_are_hit_at_the_rate_and_a_higher_rate_hits_a_superset():
    points, boxes = boxed_cloud()
    hits = 0
    for seed in range(300):
        left = [
            set(
                lidar.remove_objects(
                    points, ego_from_lidar(), boxes, rate, np.random.default_rng(seed)
                )[:, 3].tolist()
            )
            for rate in (0.3, 0.7)
        ]
        assert left[1] <= left[0]
        hits += 3 - len(left[0])
    assert hits / 600 == pytest.approx(0.3, abs=0.06)


def test_points_are_dropped_to_the_exact_share_and_keep_their_order(random_cloud):
    random_cloud[:, 4] = np.arange(len(random_cloud))
    kept = lidar.drop_points(random_cloud, 0.9, np.random.default_rng(0))
    assert len(kept) == 400
    assert (np.diff(kept[:, 4]) > 0).all()
    assert len(np.histogram(kept[:, 4], 4, (0, 4000))[0]) == 4
    assert np.histogram(kept[:, 4], 4, (0, 4000))[0].min() > 70


def test_fog_takes_far_returns_first_and_gives_weak_clutter_near_by(random_cloud):
    clear = lidar.fog(random_cloud, 1e9, np.random.default_rng(0))
    np.testing.assert_allclose(clear, random_cloud, rtol=1e-5)
    distance = np.linalg.norm(random_cloud[:, :3], axis=1)
    reach = []
    for visibility in (100, 50, 25):
        foggy = lidar.fog(random_cloud, visibility, np.random.default_rng(0), backscatter=0.0)
        rows = {row.tobytes() for row in foggy[:, :3]}
        kept = np.array([row.tobytes() in rows for row in random_cloud[:, :3]])
        reach.append(distance[kept].max())
        assert distance[~kept].min() >= reach[-1] - 1e-3  # equal intensities: a sharp limit
    # (I + 1) exp(-2 a r) / r^2 = 1 / 80^2 at I = 40, solved with another method than the code's
    for visibility, limit in zip((100, 50, 25), reach, strict=True):
        a = np.log(50) / visibility
        grid = np.linspace(1, 80, 200_000)
        expected = grid[np.argmax(np.log(41) - 2 * a * grid - 2 * np.log(grid / 80) < 0)]
        assert limit == pytest.approx(min(expected, 70), abs=0.3)
    foggy = lidar.fog(random_cloud, 50, np.random.default_rng(0), backscatter=0.5)
    clutter = np.array(
        [row.tobytes() not in {r.tobytes() for r in random_cloud[:, :3]} for row in foggy[:, :3]]
    )
    assert clutter.sum() > 300
    near = np.linalg.norm(foggy[clutter, :3], axis=1)
    assert near.min() >= 1.49 and np.median(near) < 10 and foggy[clutter, 3].max() <= 10


def test_nothing_modifies_its_input_and_an_empty_cloud_stays_empty(random_cloud):
    points, boxes = boxed_cloud()
    empty = np.zeros((0, 5), np.float32)
    rng = np.random.default_rng(0)
    changes = [
        lambda p: lidar.limit_field(p, 60),
        lambda p: lidar.fog(p, 50, rng),
        lambda p: lidar.remove_objects(p, ego_from_lidar(), boxes, 1.0, rng),
        lambda p: lidar.drop_points(p, 0.5, rng),
        lambda p: lidar.reduce_beams(p, 32, BeamChoice.BEVFUSION),
        lambda p: lidar.reduce_beams(p, 4, BeamChoice.EVENLY_SPACED),
    ]
    for change in changes:
        before = points.copy()
        result = change(points)
        result[:] = -1
        np.testing.assert_array_equal(points, before)
        assert change(empty).shape == (0, 5) and result.dtype == np.float32


@pytest.mark.parametrize(
    'call',
    [
        lambda p, rng: lidar.limit_field(p, 181),
        lambda p, rng: lidar.drop_points(p, 1.1, rng),
        lambda p, rng: lidar.remove_objects(p, np.eye(4), np.zeros((1, 9)), -0.1, rng),
        lambda p, rng: lidar.fog(p, 0, rng),
    ],
)
def test_degrees_out_of_range_are_refused(random_cloud, call):
    with pytest.raises(ConfigError):
        call(random_cloud, np.random.default_rng(0))
