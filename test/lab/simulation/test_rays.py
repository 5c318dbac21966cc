"""Rays: the nearest of what stands and what moves, at the time of each ray."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import MissingDependencyError
from metabev_ros.geometry import rotation_z
from metabev_ros.lab.simulation import embree
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.rays import Movers, RayMesh, Rays, cast
from metabev_ros.lab.simulation.visibility import count_alone

CORNERS = np.array([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
QUADS = np.array(
    [[1, 3, 7, 5], [2, 0, 4, 6], [3, 2, 6, 7], [0, 1, 5, 4], [4, 5, 7, 6], [0, 2, 3, 1]]
)


def unit_cube() -> RayMesh:
    triangles = np.concatenate([QUADS[:, :3], QUADS[:, [0, 2, 3]]])
    return RayMesh(Mesh.of(CORNERS, triangles, Material.CAR_PAINT))


def plain(half: float = 200.0) -> RayMesh:
    corners = [[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]]
    return RayMesh(Mesh.of(np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]), Material.ASPHALT))


def movers(
    centres: np.ndarray, yaws: np.ndarray, size: tuple[float, float, float], **motion: np.ndarray
) -> Movers:
    count = len(centres)
    boxes = np.tile(np.eye(4), (count, 1, 1))
    for k in range(count):
        boxes[k, :3, :3] = rotation_z(float(yaws[k])) * np.array(size)
        boxes[k, :3, 3] = centres[k]
    return Movers(
        np.zeros(count, np.int32),
        boxes,
        motion.get('velocity', np.zeros((count, 3))),
        motion.get('yaw_rate', np.zeros(count)),
        np.ones((count, 2, 3), np.float32),
    )


def sweep_rays(lag: np.ndarray | float = 0.0) -> Rays:
    azimuth = np.linspace(-np.pi, np.pi, 400, endpoint=False)[:, None]
    elevation = np.deg2rad(np.linspace(-30, 10, 24))
    direction = np.stack(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.broadcast_to(np.sin(elevation), (400, 24)),
        ],
        axis=-1,
    )
    return Rays.grid(np.array([0.0, 0.0, 1.8]), direction, lag)


def slab_distance(rays: Rays, centre: np.ndarray, yaw: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Metres to an upright box by slabs, in float64; centre and yaw of each ray's own time."""
    c, s = np.cos(yaw), np.sin(yaw)
    delta, ray = rays.origin - centre, rays.direction.astype(np.float64)
    o = np.stack([c * delta[:, 0] + s * delta[:, 1], c * delta[:, 1] - s * delta[:, 0],
                  delta[:, 2]], -1)  # fmt: skip
    d = np.stack([c * ray[:, 0] + s * ray[:, 1], c * ray[:, 1] - s * ray[:, 0], ray[:, 2]], -1)
    with np.errstate(divide='ignore', invalid='ignore'):
        a, b = (-size / 2 - o) / d, (size / 2 - o) / d
    enter, leave = np.minimum(a, b).max(1), np.maximum(a, b).min(1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """All but rays that graze an edge, where a last bit decides."""
    both = np.isfinite(found) & np.isfinite(expected)
    grazing = np.isfinite(found) != np.isfinite(expected)
    return grazing.mean() < 1e-3 and bool(np.abs(found[both] - expected[both]).max() < 2e-3)


def test_boxes_and_ground_are_met_where_slabs_in_float64_say():
    rng = np.random.default_rng(1)
    centres = np.column_stack([rng.uniform(-40, 40, (40, 2)), np.full(40, 0.9)])
    yaws, size = rng.uniform(-3, 3, 40), (4.4, 1.9, 1.6)
    rays = sweep_rays()
    those = movers(centres, yaws, size)
    hits = cast(rays, plain(), [unit_cube()], those)
    ground = np.where(rays.direction[:, 2] < 0, -1.8 / rays.direction[:, 2], np.inf)
    ground[ground > 280] = np.inf
    alone = [
        slab_distance(rays, c, np.full(len(rays), y), np.array(size))
        for c, y in zip(centres, yaws, strict=True)
    ]
    expected = np.minimum(np.min(alone, axis=0), ground)
    near = expected < 150
    assert agree(hits.distance[near], expected[near])
    counted = count_alone(rays, hits, [unit_cube()], those)
    assert [int(np.isfinite(a).sum()) for a in alone] == pytest.approx(counted, abs=3)


def test_a_box_that_drives_and_turns_is_met_where_it_is_at_the_time_of_each_ray():
    lag = np.linspace(-0.1, 0, 400)[:, None]
    rays = sweep_rays(lag)
    centre, velocity, rate = np.array([8.0, 3.0, 1.0]), np.array([12.0, -4.0, 0.0]), 0.9
    size = (5.0, 2.0, 1.9)
    hits = cast(
        rays,
        plain(0.1),
        [unit_cube()],
        movers(
            centre[None], np.array([0.4]), size, velocity=velocity[None], yaw_rate=np.array([rate])
        ),  # fmt: skip
    )
    then = centre + rays.lag[:, None] * velocity
    expected = slab_distance(rays, then, 0.4 + rate * rays.lag, np.array(size))
    assert (hits.mover == 0).sum() > 50
    assert agree(np.where(hits.mover == 0, hits.distance, np.inf), expected)


def test_what_is_nearer_hides_what_is_behind_it():
    pair = movers(np.array([[10.0, 0, 1], [20.0, 0, 1]]), np.zeros(2), (2, 2, 2))
    rays = Rays.grid(np.array([0, 0, 1.0]), np.array([[[1.0, 0, 0]]]))
    hits = cast(rays, plain(), [unit_cube()], pair)
    assert hits.mover.tolist() == [0]
    assert hits.distance[0] == pytest.approx(9.0, abs=1e-5)
    assert count_alone(rays, hits, [unit_cube()], pair).tolist() == [1, 1]


def test_rays_into_nothing_have_no_hit():
    rays = Rays.grid(np.array([0, 0, 1.0]), np.array([[[0.0, 0, 1.0]]]))
    hits = cast(rays, plain(), [unit_cube()], movers(np.zeros((0, 3)), np.zeros(0), (1, 1, 1)))
    assert np.isinf(hits.distance[0])
    assert (hits.mover[0], hits.triangle[0]) == (-1, -1)


def test_a_wall_blocks_only_rays_that_reach_it():
    cube = unit_cube()
    origins = np.array([[5.0, 0, 0], [5.0, 3.0, 0], [5.0, 0, 0]], np.float32)
    towards = np.tile(np.array([-1.0, 0, 0], np.float32), (3, 1))
    assert cube.blocks(origins, towards).tolist() == [True, False, True]
    reach = np.array([10.0, 10.0, 2.0], np.float32)
    assert cube.blocks(origins, towards, reach).tolist() == [True, False, False]


def test_joined_grids_keep_their_rays_and_never_share_a_tile():
    parts = [sweep_rays(), sweep_rays(-0.1)]
    joined = Rays.join(parts)
    half = len(parts[0])
    np.testing.assert_array_equal(joined.lag[:half], 0)
    assert set(joined.tile[:half].tolist()).isdisjoint(joined.tile[half:].tolist())


def test_without_embree_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embree, 'library_path', lambda: None)
    monkeypatch.setattr(embree, 'library', embree.open_library)
    with pytest.raises(MissingDependencyError, match='embreex.*x86-64.*--world boxes') as raised:
        unit_cube()
    assert '\n' not in str(raised.value)
