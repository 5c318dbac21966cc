"""Shapes of the bodies: boxes, outsides, cabins behind glass."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from embreex import rtcore_scene  # pyright: ignore
from embreex.mesh_construction import TriangleMesh  # pyright: ignore

from metabev_ros.lab.simulation.bodies.body import STILL, Body
from metabev_ros.lab.simulation.bodies.own_vehicle import own_vehicle
from metabev_ros.lab.simulation.bodies.shelf import shelf
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import FIXED, Mesh
from metabev_ros.structures import DETECTION_CLASSES

BODIES = shelf().bodies
LEAST_KINDS = {
    'car': 15,
    'truck': 14,
    'construction_vehicle': 8,
    'bus': 7,
    'trailer': 9,
    'barrier': 9,
    'motorcycle': 8,
    'bicycle': 7,
    'pedestrian': 18,
    'traffic_cone': 8,
}


def in_metres(body: Body) -> Mesh:
    return body.mesh.moved(np.diag([*body.size, 1.0]))


def first_hits(mesh: Mesh, origins: np.ndarray, rays: np.ndarray) -> np.ndarray:
    scene = cast(Any, rtcore_scene.EmbreeScene())
    TriangleMesh(scene, np.ascontiguousarray(mesh.vertices[mesh.triangles]))
    return np.asarray(scene.run(origins.astype(np.float32), rays.astype(np.float32)))


def named(name: str) -> Body:
    return next(body for body in BODIES if body.name == name)


@pytest.mark.parametrize('label', DETECTION_CLASSES)
def test_every_class_has_many_kinds(label: str) -> None:
    kinds = {body.kind for body in BODIES if body.label == label}
    assert len(kinds) >= LEAST_KINDS[label]


def test_every_body_lies_in_the_unit_box_and_stands_on_its_floor() -> None:
    for body in BODIES:
        low, high = body.mesh.bounds
        assert (low >= -0.5).all() and (high <= 0.5).all(), body.name
        assert low[2] < -0.497, body.name


def test_a_rigid_body_fills_its_box() -> None:
    for body in (body for body in BODIES if body.kind == body.name):
        low, high = body.mesh.bounds
        assert np.allclose(low, -0.5, atol=1e-5) and np.allclose(high, 0.5, atol=1e-5), body.name


def test_steps_of_one_walker_fill_one_box_together() -> None:
    for kind in {body.kind for body in BODIES if body.phase != STILL}:
        bounds = [body.mesh.bounds for body in BODIES if body.kind == kind]
        assert np.allclose(np.min([low for low, _ in bounds], 0), -0.5, atol=1e-5), kind
        assert np.allclose(np.max([high for _, high in bounds], 0), 0.5, atol=1e-5), kind


def test_no_body_has_more_triangles_than_embree_builds_quickly() -> None:
    assert max(len(body.mesh.triangles) for body in BODIES) < 8000
    assert sum(len(body.mesh.triangles) for body in BODIES) < 700_000


@pytest.mark.parametrize('label', DETECTION_CLASSES)
def test_rays_from_outside_meet_front_faces(label: str) -> None:
    rng = np.random.default_rng(5)
    kinds = {body.kind: body for body in BODIES if body.label == label}
    for body in kinds.values():
        mesh = in_metres(body)
        reach = float(np.linalg.norm(body.size))
        way = rng.normal(size=(600, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        aim = rng.uniform(-0.5, 0.5, (600, 3)) * body.size
        hit = first_hits(mesh, aim - way * 2 * reach, way)
        seen = hit >= 0
        corners = mesh.vertices[mesh.triangles[hit[seen]]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        front = (normal * way[seen]).sum(1) < 0
        assert seen.mean() > 0.02, body.name
        assert front.mean() > 0.97, (body.name, front.mean())


CABINS = [
    body.name
    for body in BODIES
    if body.label in ('car', 'bus') and body.kind != 'convertible'
]  # fmt: skip


@pytest.mark.parametrize('name', CABINS)
def test_a_ray_through_a_side_window_meets_glass_and_then_the_cabin(name: str) -> None:
    mesh = in_metres(named(name))
    rng = np.random.default_rng(2)
    size = named(name).size
    aim = np.column_stack(
        [
            rng.uniform(-0.3, 0.35, 2000) * size[0],
            np.full(2000, size[1]),
            (rng.uniform(0.05, 0.45, 2000) * size[2]) + 0.15 * size[1],
        ]
    )
    ray = np.tile([0.0, -1.0, -0.3], (2000, 1))
    hit = first_hits(mesh, aim, ray)
    glass = mesh.material == Material.CAR_GLASS
    through = (hit >= 0) & glass[hit]
    assert through.sum() > 20
    clear = Mesh(
        mesh.vertices,
        mesh.triangles[~glass],
        mesh.material[~glass],
        mesh.colour[~glass],
        mesh.slot[~glass],
    )
    behind = first_hits(clear, aim[through], ray[through])
    inside = behind[behind >= 0]
    soft = np.isin(clear.material[inside], [Material.CLOTH, Material.PLASTIC, Material.SKIN])
    assert soft.mean() > 0.1


def test_rays_pass_under_a_car_between_its_wheels() -> None:
    body = named('sedan')
    mesh = in_metres(body)
    z = -body.size[2] / 2 + 0.08
    origins = np.array([(x, 3.0, z) for x in np.linspace(-0.5, 0.5, 9)])
    assert (first_hits(mesh, origins, np.tile([0.0, -1.0, 0.0], (9, 1))) < 0).all()


@pytest.mark.parametrize('label', ['car', 'truck', 'bus', 'trailer', 'motorcycle'])
def test_vehicles_have_tyres_plates_and_tail_lamps(label: str) -> None:
    for body in (body for body in BODIES if body.label == label):
        found = set(body.mesh.material.tolist())
        assert Material.RUBBER in found, body.name
        if 'section' not in body.name and body.name != 'caravan':
            assert {Material.TAIL_LAMP, Material.RETRO} <= found, body.name


def test_colours_of_an_object_multiply_shades_of_grey() -> None:
    for body in BODIES:
        drawn = body.mesh.colour[body.mesh.slot != FIXED].astype(int)
        if len(drawn):
            assert np.ptp(drawn, axis=-1).max() <= 12, body.name


def test_two_builds_give_equal_bytes() -> None:
    again = shelf.__wrapped__().bodies
    for first, second in zip(BODIES, again, strict=True):
        assert first.name == second.name
        assert first.mesh.vertices.tobytes() == second.mesh.vertices.tobytes()
        assert first.mesh.colour.tobytes() == second.mesh.colour.tobytes()


@pytest.mark.parametrize('seed', range(6))
def test_the_own_vehicle_fills_its_box_with_colours_of_its_own(seed: int) -> None:
    box = (-1.1, 3.4, -0.95, 0.93, 1.7)
    mesh = own_vehicle(box, np.random.default_rng(seed))
    low, high = mesh.bounds
    assert np.allclose(low, [-1.1, -0.95, 0.0], atol=1e-4)
    assert np.allclose(high, [3.4, 0.93, 1.7], atol=1e-4)
    assert (mesh.slot == FIXED).all()


def test_a_lidar_on_the_roof_sees_roof_and_bonnet_of_the_own_vehicle() -> None:
    mesh = own_vehicle((-1.1, 3.4, -0.95, 0.95, 1.6), np.random.default_rng(0))
    down = np.array([[0.3, 0.0, -1.0], [-0.3, 0.0, -1.0], [1.0, 0.05, -0.55]])
    hit = first_hits(mesh, np.tile([0.9, 0.0, 1.9], (3, 1)), down)
    assert (hit >= 0).all()
