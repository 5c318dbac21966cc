"""Normals of corners: round where a mesh is round, sharp where it has edges."""

from __future__ import annotations

import numpy as np
from support.camera_scene import box

from metabev_ros.lab.simulation.cameras.smooth import Roundness, roundness
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh


def pole(sides: int = 16, material: Material = Material.STEEL) -> Mesh:
    """An upright cylinder without caps."""
    turn = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    low, high = (np.c_[ring, np.full(sides, z)] for z in (0.0, 1.0))
    k = np.arange(sides)
    following = (k + 1) % sides
    one = np.stack([k, following, following + sides], axis=-1)
    two = np.stack([k, following + sides, k + sides], axis=-1)
    return Mesh.of(np.concatenate([low, high]), np.concatenate([one, two]), material)


def test_normals_of_a_pole_point_away_from_its_axis() -> None:
    mesh = pole()
    found = roundness(mesh)
    assert (found.row >= 0).all()
    corners = mesh.vertices[mesh.triangles] * (1, 1, 0)
    np.testing.assert_allclose(found.normals[found.row], corners, atol=0.12)


def test_a_box_keeps_its_edges() -> None:
    assert (roundness(box(Material.STEEL)).row == -1).all()


def test_leaves_are_never_round() -> None:
    assert (roundness(pole(material=Material.LEAF)).row == -1).all()


def test_several_meshes_are_found_one_after_the_other() -> None:
    both = Roundness.join([roundness(box(Material.STEEL)), roundness(pole())])
    triangle = np.array([0, 12, 13])
    bent, normal = both.at(triangle, np.full((3, 2), 1 / 3, np.float32))
    assert bent.tolist() == [1, 2]
    flat = pole()
    middle = flat.vertices[flat.triangles[:2]].mean(1) * (1, 1, 0)
    cosine = (normal * middle).sum(1) / np.linalg.norm(normal, axis=1)
    np.testing.assert_allclose(cosine, np.linalg.norm(middle, axis=1), atol=1e-3)
