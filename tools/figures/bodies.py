"""A contact sheet of the simulation's bodies, ray-cast with a plain sun."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from metabev_ros.lab.simulation.bodies.body import Body
from metabev_ros.lab.simulation.materials import Material, column
from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, Mesh

_SUN = np.array([0.45, 0.55, 0.7]) / np.linalg.norm([0.45, 0.55, 0.7])
_SKY, _GROUND = np.array([178, 200, 226.0]), np.array([122, 122, 120.0])


def _hits(scene: rtcore_scene.EmbreeScene, origins: np.ndarray, rays: np.ndarray) -> np.ndarray:
    return scene.run(origins.astype(np.float32), rays.astype(np.float32), query='INTERSECT')


def _colours(mesh: Mesh, own: np.ndarray) -> np.ndarray:
    """(T, 3) with the object's own two colours."""
    base = mesh.colour.astype(np.float64).mean(1)
    tint = np.where((mesh.slot == PRIMARY)[:, None], own[0], own[1]) / 255
    return np.where((mesh.slot == FIXED)[:, None], base, base * tint)


def picture(mesh: Mesh, pixels: int, yaw: float, pitch: float, own: np.ndarray) -> np.ndarray:
    """A mesh in metres, standing on z = 0, as a (pixels, pixels, 3) RGB picture."""
    low, high = mesh.bounds
    centre, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    ground = 30 * reach
    plane = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * ground
    world = Mesh.join([mesh, Mesh.of(plane, [[0, 1, 2], [0, 2, 3]], Material.ASPHALT, _GROUND)])
    scene = rtcore_scene.EmbreeScene()
    corners = world.vertices[world.triangles].astype(np.float32)
    TriangleMesh(scene, corners)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    ahead = -np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    span = np.linspace(-1, 1, 2 * pixels) * 0.27
    u, v = np.meshgrid(span, -span)
    rays = (ahead + u[..., None] * right + v[..., None] * up).reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    origin = centre - ahead * reach * 4
    tints = _colours(world, own)
    shade = _shade(scene, np.tile(origin, (len(rays), 1)), rays, normals, tints, world.material)
    large = shade.reshape(2 * pixels, 2 * pixels, 3).clip(0, 255).astype(np.uint8)
    return cv2.resize(large, (pixels, pixels), interpolation=cv2.INTER_AREA)


def _shade(scene, origins, rays, normals, tints, materials, depth: int = 3):  # noqa: ANN001, ANN202
    """Colour of rays: sun, shadow, sky light, glass that shows what is behind it."""
    hit = _hits(scene, origins, rays)
    out = np.where(rays[:, 2:] > 0, _SKY, _SKY * 1.05) * np.ones((len(rays), 1))
    on = hit >= 0
    if not on.any() or depth == 0:
        return out
    first = np.nonzero(on)[0]
    distance = scene.run(
        origins[first].astype(np.float32), rays[first].astype(np.float32), query='DISTANCE'
    )
    where = origins[first] + rays[first] * distance[:, None]
    normal = normals[hit[first]]
    normal = np.where((normal * rays[first]).sum(1, keepdims=True) > 0, -normal, normal)
    lit = _hits(scene, where + normal * 2e-3, np.tile(_SUN, (len(where), 1))) < 0
    sun = np.clip(normal @ _SUN, 0, 1) * lit
    light = 0.42 + 0.16 * normal[:, 2] + 0.7 * sun
    colour = tints[hit[first]] * light[:, None]
    gloss = column('gloss')[materials[hit[first]]][:, None]
    mirror = rays[first] - 2 * (rays[first] * normal).sum(1, keepdims=True) * normal
    facing = np.abs((rays[first] * normal).sum(1, keepdims=True))
    fresnel = gloss * (0.05 + 0.6 * (1 - facing) ** 3)
    sky = np.where(mirror[:, 2:] > 0, _SKY * 1.05, _GROUND * 0.8)
    glint = np.clip(mirror @ _SUN, 0, 1)[:, None] ** 60 * 200 * gloss * lit[:, None]
    colour = colour * (1 - fresnel) + sky * fresnel + glint
    clear = np.nonzero(materials[hit[first]] == Material.CAR_GLASS)[0]
    if len(clear):
        behind = _shade(scene, where[clear] + rays[first][clear] * 2e-3, rays[first][clear],
                        normals, tints, materials, depth - 1)  # fmt: skip
        f = 0.1 + fresnel[clear]
        colour[clear] = behind * 0.72 * (1 - f) + sky[clear] * f + glint[clear]
    out[first] = colour
    return out


def draw_bodies(bodies: list[Body], out: Path, pixels: int = 300, columns: int = 5) -> None:
    """Each body from the front left and, beside it, from the rear right."""
    rng = np.random.default_rng(3)
    tiles = []
    for body in bodies:
        mesh = body.mesh.moved(np.diag([*body.size, 1.0]))
        mesh = mesh.moved(_up(body.size[2] / 2))
        own = rng.integers(30, 235, (2, 3)).astype(np.float64)
        views = [picture(mesh, pixels, yaw, 0.22, own) for yaw in (0.65, 0.65 + np.pi)]
        tile = np.hstack(views)
        text = f'{body.name} {np.round(body.size, 2)} {len(body.mesh.triangles)}'
        cv2.putText(tile, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 20), 1)
        tiles.append(tile)
    while len(tiles) % columns:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), np.vstack(rows)[..., ::-1])


def _up(height: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = height
    return matrix
