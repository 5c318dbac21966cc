"""Pieces of the library: what rays do with plants, fences and windows."""

from __future__ import annotations

import numpy as np
import pytest
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surroundings import facades, fences, vegetation, yards
from metabev_ros.lab.simulation.surroundings.buildings import Frame, build_volume
from metabev_ros.lab.simulation.surroundings.looks import draw_look
from metabev_ros.lab.simulation.surroundings.poles import signs
from metabev_ros.lab.simulation.surroundings.site import Site
from metabev_ros.lab.simulation.surroundings.stage import Stage
from metabev_ros.lab.simulation.surroundings.street_furniture import furniture


def first_hits(mesh, origins, directions):
    """Rows of the triangles that rays meet first, -1 for none, and the distances."""
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, mesh.vertices, mesh.triangles)
    origins = np.asarray(origins, np.float32)
    directions = np.broadcast_to(np.asarray(directions, np.float32), origins.shape).copy()
    found = scene.run(origins, directions, output=1)
    return found['primID'], found['tfar']


def through(mesh, low, high, axis=0, count=3000):
    """Share of level rays along an axis that pass through an ellipse of a box."""
    draw = np.random.default_rng(1).uniform(size=(count, 2))
    radius, angle = 0.9 * np.sqrt(draw[:, 0]), 2 * np.pi * draw[:, 1]
    middle, half = (low + high) / 2, (high - low) / 2
    origins = np.zeros((count, 3))
    origins[:, axis] = -50
    origins[:, 1 - axis] = middle[1 - axis] + half[1 - axis] * radius * np.cos(angle)
    origins[:, 2] = middle[2] + half[2] * radius * np.sin(angle)
    rows, _ = first_hits(mesh, origins, np.eye(3)[axis])
    return (rows < 0).mean()


def crown(mesh):
    leaves = mesh.vertices[mesh.triangles[mesh.material == Material.LEAF]].reshape(-1, 3)
    return np.percentile(leaves, 4, axis=0), np.percentile(leaves, 96, axis=0)


@pytest.mark.parametrize('kind', ('street_trees', 'park_trees', 'young_trees', 'bushes'))
def test_a_share_of_the_rays_passes_through_crowns(kind):
    shares = [through(tree, *crown(tree)) for tree in getattr(vegetation, kind)()]
    assert (0.3 if 'tree' in kind else 0.15) < np.mean(shares) < 0.9
    assert min(shares) > (0.2 if 'tree' in kind else 0.01)
    assert max(shares) < 0.9


def test_chain_link_lets_most_rays_pass_and_a_hedge_few():
    low, high = np.array([0.05, -1, 0.2]), np.array([0.95, 1, 1.2])
    pieces = fences.panels()
    assert through(pieces['chain_link'][0][0], low, high, axis=1) > 0.75
    assert through(pieces['hedge'][0][0], low, high, axis=1) < 0.1


def test_rays_go_through_windows_and_hit_a_room():
    ground = np.zeros((200, 200), np.uint8)
    stage = Stage(Site.of(_blank(ground), ()), lambda xy: np.zeros(xy.shape[:-1]), 32.0)
    rng = np.random.default_rng(2)
    look = draw_look(rng, (Material.BRICK,), False)
    build_volume(rng, stage, Frame.at(np.zeros(2), 0.0, 0.0), (18.0, 12.0), 3, look, 2)
    mesh = stage.mesh()
    x, z = np.meshgrid(np.linspace(-8, 8, 60), np.linspace(3, 8, 40))
    origins = np.column_stack([x.ravel(), np.full(x.size, 40.0), z.ravel()])
    rows, way = first_hits(mesh, origins, (0, -1, 0))
    glass = (rows >= 0) & (mesh.material[rows] == Material.WINDOW)
    assert glass.mean() > 0.1
    inside = origins[glass] - np.array([0, 1, 0]) * (way[glass, None] + 0.01)
    behind, depth = first_hits(mesh, inside, (0, -1, 0))
    assert (behind >= 0).all()
    assert (depth > 1.0).mean() > 0.3, 'rooms are deep'
    assert (mesh.material[behind] != Material.WINDOW).mean() > 0.8


def _blank(labels):
    from metabev_ros.lab.datasets.synthetic.ground import Ground

    texture = np.zeros((*labels.shape, 3), np.uint8)
    return Ground(np.array([-50.0, -50.0]), 0.5, texture, labels, labels)


def test_signs_return_light_and_face_the_traffic():
    for sign in signs():
        plate = sign.material == Material.SIGN
        a, b, c = sign.vertices[sign.triangles[plate]].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        assert plate.any() and (normal[:, 0] < 0).any()


def test_many_pieces_have_the_size_of_a_person_or_a_car():
    pieces = [piece for kind in (furniture(), yards.yard()) for v in kind.values() for piece in v]
    pieces += [*vegetation.bushes(), *vegetation.young_trees()]
    sizes = np.array([piece.bounds[1] - piece.bounds[0] for piece in pieces])
    wide, high = sizes[:, :2].max(1), sizes[:, 2]
    assert ((wide < 1.2) & (high > 1.2) & (high < 2.4)).sum() >= 10
    assert ((wide > 2.4) & (wide < 7) & (high > 1.0) & (high < 3.2)).sum() >= 12


@pytest.mark.parametrize('piece', (*facades.windows(), *facades.shops()))
def test_panels_face_the_street(piece):
    a, b, c = piece.vertices[piece.triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    glass = piece.material == Material.WINDOW
    assert glass.any() or len(piece.triangles) > 40
    assert (normal[glass][:, 1] > 0).all()
