"""Three vehicles of the metadrive-simulator wheel as bodies, besides the parametric ones.

The wheel is optional and never imported. Two more vehicles in it (beetle and lada) have so many
triangles that decimation crumples them, and are left out. What is known about who made these
meshes is written in docs/simulation_assets.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import Body, without_slivers
from metabev_ros.lab.simulation.bodies.gltf import AssetFiles, Part, read_gltf
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, Mesh

_FOLDER = 'metadrive/assets/models/vehicle'
MOST_TRIANGLES = 3000
_CLEAR = 200.0  # of 255: less opaque surfaces are glass


@dataclass(frozen=True)
class _Asset:
    """A vehicle of the wheel.

    Attributes:
        kind: name of the body; `label` its class.
        folder: below the wheel's folder of vehicles.
        size: metres, without mirrors.
        axles: rear and front, as parts of the length from its middle.
        wheel: radius, width and distance of the outer face from the middle, metres.
        paint: materials that take the object's colour.
        glass: materials that are glass.
        lamps: materials that are lamps; red ones and those at the rear are tail lamps.
        dropped: materials that are not part of the vehicle.
    """

    kind: str
    label: str
    folder: str
    size: tuple[float, float, float]
    axles: tuple[float, float]
    wheel: tuple[float, float, float]
    paint: tuple[str, ...]
    glass: tuple[str, ...] = ('glass',)
    lamps: tuple[str, ...] = ('light', 'lens')
    dropped: tuple[str, ...] = ()


_ASSETS = (
    _Asset('sports car (asset)', 'car', 'ferra', (4.4, 1.85, 1.2), (-0.29, 0.26),
           (0.33, 0.25, 0.9), ('carpaint',)),
    _Asset('saloon (asset)', 'car', '130', (4.6, 1.85, 1.42), (-0.27, 0.29),
           (0.33, 0.22, 0.88), ('body.', 'body2'), dropped=('b_',)),
    _Asset('light box truck (asset)', 'truck', 'truck', (5.9, 2.15, 2.8), (-0.29, 0.3),
           (0.38, 0.26, 1.03), ('body',)),
)  # fmt: skip


def asset_bodies(path: Path) -> list[Body]:
    """Bodies of the vehicles in a metadrive-simulator wheel or an unpacked folder of it.

    Raises:
        ConfigError: the path is neither, or a file in it is damaged.
    """
    files = AssetFiles(path)
    return [_body(asset, files) for asset in _ASSETS]


def _body(asset: _Asset, files: AssetFiles) -> Body:
    parts = [
        part
        for part in read_gltf(files, f'{_FOLDER}/{asset.folder}/vehicle.gltf')
        if len(part.corners) and not part.material.startswith(asset.dropped or ('\0',))
    ]
    if not parts:
        raise ConfigError(f'assets: {asset.folder}', 'triangles', 'none')
    everything = np.concatenate([part.corners.reshape(-1, 3) for part in parts])
    low, high = everything.min(0), everything.max(0)
    meshes = [_mesh(asset, part, low, high) for part in parts]
    skin = decimated(Mesh.join(meshes), MOST_TRIANGLES)
    radius, width, outer = asset.wheel
    wheels = [
        solids.wheel(axle * asset.size[0], side * outer, radius, width)
        for axle in asset.axles
        for side in (-1, 1)
    ]
    return Body.of(asset.kind, asset.label, Mesh.join([skin, *wheels]), 0.4, 0.05)


def _mesh(asset: _Asset, part: Part, low: np.ndarray, high: np.ndarray) -> Mesh:
    """One material in metres: x forward, z up, standing clear of z = 0."""
    unit = (part.corners - low) / np.maximum(high - low, 1e-9)
    clearance = 0.16
    # glTF has y up and, in these files, z backward.
    places = np.stack(
        [
            (0.5 - unit[..., 2]) * asset.size[0],
            (0.5 - unit[..., 0]) * asset.size[1],
            clearance + unit[..., 1] * (asset.size[2] - clearance),
        ],
        -1,
    )
    material, slot, colour = _look(asset, part, places)
    index = np.arange(places.size // 3).reshape(-1, 3)
    return Mesh.of(places.reshape(-1, 3), index, material, colour, slot)


def _look(
    asset: _Asset, part: Part, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Material, slot and corner colours of the triangles of a part."""
    count, name = len(part.corners), part.material.lower()
    colour = part.colour[..., :3].copy()
    material = np.full(count, Material.CAR_PAINT, np.uint8)
    slot = np.full(count, FIXED, np.uint8)
    if any(word in name for word in asset.glass):
        material[:] = Material.CAR_GLASS
    elif any(word in name for word in asset.lamps):
        material[:] = np.where(places[..., 0].mean(1) > 0, Material.LAMP, Material.TAIL_LAMP)
    elif 'number' in name:
        material[:] = Material.RETRO
    elif 'chrome' in name:
        material[:] = Material.STEEL
    elif any(word in name for word in ('interior', 'seat')):
        material[:] = Material.CLOTH
    elif any(word in name for word in ('black', 'plastic', 'duct', 'line', 'void')):
        material[:] = Material.PLASTIC
    elif name.startswith(asset.paint or ('\0',)):
        slot[:], colour[:] = PRIMARY, 240
    else:
        material[part.colour[..., 3].mean(1) < _CLEAR] = Material.CAR_GLASS
    return material, slot, colour


def decimated(mesh: Mesh, most: int) -> Mesh:
    """The mesh with at most `most` triangles: vertices of one cell and material become one.

    Each cell keeps the vertex that is nearest to the mean of its vertices.
    """
    low, high = mesh.bounds
    if len(mesh.triangles) <= most:
        return mesh
    fine, coarse = 0.002, 0.5 * float((high - low).max())
    while coarse / fine > 1.02:
        cell = (fine * coarse) ** 0.5
        if len(_clustered(mesh, cell).triangles) > most:
            fine = cell
        else:
            coarse = cell
    return _clustered(mesh, coarse)


def _clustered(mesh: Mesh, cell: float) -> Mesh:
    corners = mesh.vertices[mesh.triangles].reshape(-1, 3)
    key = np.floor((corners - mesh.bounds[0]) / cell).astype(np.int64)
    span = key.max(0) + 1
    packed = (key[:, 0] * span[1] + key[:, 1]) * span[2] + key[:, 2]
    packed = packed * 256 + np.repeat(mesh.material, 3)
    _, group = np.unique(packed, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group)
    mean = np.column_stack([np.bincount(group, corners[:, axis]) / count for axis in range(3)])
    off = ((corners - mean[group]) ** 2).sum(1)
    order = np.lexsort((off, group))
    nearest = order[np.concatenate([[0], np.cumsum(count)[:-1]])]
    triangles = group.reshape(-1, 3).astype(np.int32)
    first = np.sort(triangles, axis=1)
    alive = (first[:, 0] != first[:, 1]) & (first[:, 1] != first[:, 2])
    order = first[alive].astype(np.int64)
    size = int(group.max()) + 1
    _, once = np.unique((order[:, 0] * size + order[:, 1]) * size + order[:, 2], return_index=True)
    keep = np.nonzero(alive)[0][np.sort(once)]
    return without_slivers(
        Mesh(corners[nearest], triangles[keep], mesh.material[keep], mesh.colour[keep],
             mesh.slot[keep])
    )  # fmt: skip
