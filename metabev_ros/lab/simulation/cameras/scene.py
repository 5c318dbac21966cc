"""The world as cameras ask for it, and what they work out once for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from metabev_ros.lab.simulation.cameras.noise import hashed, look_up
from metabev_ros.lab.simulation.cameras.smooth import Roundness, roundness
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.rays import Hits, Movers, RayMesh
from metabev_ros.lab.simulation.surfaces import Surface

_CELL = 3.5  # metres of the map of how much sky is seen
_ABOVE = 0.35  # metres above the ground from where that is looked at
_LAMP_HEIGHT = 3.2  # metres above which a lamp lights the street
_LAMP_GROUP = 1.5  # metres within which its triangles are one lamp
_UP = np.array(
    [[np.cos(a) * s, np.sin(a) * s, np.sqrt(1 - s * s)]
     for a, s in zip(np.arange(8) * 2.4, np.sqrt((np.arange(8) + 0.5) / 8.5), strict=True)],
    np.float32,
)  # fmt: skip


class Look(Protocol):
    """Looks of the ground."""

    def colour_at(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 3) RGB 0..255 at (N, 2) points, for pixels of (N,) metres."""
        ...

    def wetness_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) how deep water stands after rain, 0..1."""
        ...


class Relief(Protocol):
    """Height of the ground."""

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Metres at (..., 2) points."""
        ...


class Floor(Protocol):
    """The ground."""

    @property
    def terrain(self) -> Relief:
        """Its height."""
        ...

    @property
    def surface(self) -> Look:
        """Its looks."""
        ...


class Moment(Protocol):
    """The objects of one time."""

    @property
    def time(self) -> float:
        """Seconds."""
        ...

    @property
    def movers(self) -> Movers:
        """The objects."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """(M,) classes."""
        ...


class Scene(Protocol):
    """A world that cameras look at; `Street` is one."""

    @property
    def still(self) -> RayMesh:
        """Everything that stands."""
        ...

    @property
    def ray_bodies(self) -> Sequence[RayMesh]:
        """Bodies of the objects."""
        ...

    @property
    def floor(self) -> Floor:
        """The ground."""
        ...

    def ego_poses(self, t: np.ndarray) -> np.ndarray:
        """(N, 4, 4) world_from_ego at (N,) seconds."""
        ...

    # The next two take an instant of the world's own kind.
    @property
    def cast(self) -> Callable[..., Hits]:
        """Hits, from rays and an instant."""
        ...

    @property
    def surface(self) -> Callable[..., Surface]:
        """The surfaces that some rays met, from rays, hits, an instant and rows."""
        ...

    def is_ground(self, hits: Hits, rows: np.ndarray) -> np.ndarray:
        """Tell which of some hits are on the ground."""
        ...


@dataclass(frozen=True)
class SkyMap:
    """Share of the sky that the ground sees.

    Attributes:
        low: (2,) world metres of the first cell's middle.
        share: (R, C) float32, 0..1; height: (R, C) float32 metres of the ground.
    """

    low: np.ndarray
    share: np.ndarray
    height: np.ndarray

    def at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) float32 at (N, 2) float32 points."""
        place = (xy - self.low.astype(np.float32)) * np.float32(1 / _CELL)
        return look_up(self.share, place[:, 0], place[:, 1])

    def height_at(self, xy: np.ndarray) -> np.ndarray:
        """(N,) float32 metres of the ground at (N, 2) float32 points, without kerbs."""
        place = (xy - self.low.astype(np.float32)) * np.float32(1 / _CELL)
        return look_up(self.height, place[:, 0], place[:, 1])


@dataclass(frozen=True)
class Backdrop:
    """Facts worked out once for each world.

    Attributes:
        still: normals of the corners of what stands.
        bodies: the same of all bodies, one after the other; body_first: their first rows.
        sky_map: how open the ground is.
        lamps: (L, 3) float32 world places of street lamps.
        panes: (T,) float32 0..1, the same for the two triangles of a window; else 0.
    """

    still: Roundness
    bodies: Roundness
    body_first: np.ndarray
    sky_map: SkyMap
    lamps: np.ndarray
    panes: np.ndarray


_known: WeakKeyDictionary[Scene, Backdrop] = WeakKeyDictionary()
_known_bodies: WeakKeyDictionary[RayMesh, Roundness] = WeakKeyDictionary()


def backdrop(scene: Scene) -> Backdrop:
    """Facts about a world; worked out when they are first asked for."""
    if scene not in _known:
        bodies = [_body_roundness(body) for body in scene.ray_bodies]
        counts = [len(body.mesh.triangles) for body in scene.ray_bodies]
        _known[scene] = Backdrop(
            roundness(scene.still.mesh),
            Roundness.join(bodies),
            np.cumsum([0, *counts])[:-1],
            _sky_map(scene),
            _street_lamps(scene),
            _panes(scene),
        )
    return _known[scene]


def _body_roundness(body: RayMesh) -> Roundness:
    if body not in _known_bodies:
        _known_bodies[body] = roundness(body.mesh)
    return _known_bodies[body]


def _sky_map(scene: Scene) -> SkyMap:
    low, high = scene.still.mesh.bounds
    low, high = low[:2].astype(np.float64), high[:2].astype(np.float64)
    columns, rows = np.maximum(((high - low) / _CELL).astype(int), 2)
    x = low[0] + (np.arange(columns) + 0.5) * _CELL
    y = low[1] + (np.arange(rows) + 0.5) * _CELL
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    height = np.asarray(scene.floor.terrain.height(grid), np.float32) + np.float32(_ABOVE)
    origin = np.concatenate([grid.astype(np.float32), height[..., None]], axis=-1).reshape(-1, 3)
    open_to = np.zeros(len(origin), np.float32)
    for direction in _UP:
        blocked = scene.still.blocks(origin, np.broadcast_to(direction, origin.shape))
        open_to += 1.0 - blocked.astype(np.float32)
    share = (open_to / np.float32(len(_UP))).reshape(rows, columns)
    return SkyMap(np.array([x[0], y[0]]), share, height - np.float32(_ABOVE))


def _street_lamps(scene: Scene) -> np.ndarray:
    """(L, 3) places of lamps that hang high: the middles of groups of their triangles."""
    mesh = scene.still.mesh
    rows = np.flatnonzero(mesh.material == Material.LAMP)
    if not len(rows):
        return np.zeros((0, 3), np.float32)
    middle = mesh.vertices[mesh.triangles[rows]].mean(1)
    above = middle[:, 2] - np.asarray(scene.floor.terrain.height(middle[:, :2].astype(np.float64)))
    middle = middle[above > _LAMP_HEIGHT]
    group = np.floor(middle / _LAMP_GROUP).astype(np.int64)
    _, which, count = np.unique(group, axis=0, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), 3))
    np.add.at(total, which.reshape(-1), middle)
    lamps = (total / count[:, None]).astype(np.float32)
    lamps[:, 2] -= np.float32(0.1)
    return lamps


def _panes(scene: Scene) -> np.ndarray:
    """A draw for each window: the triangles of a rectangle share the middle of its diagonal."""
    mesh = scene.still.mesh
    found = np.zeros(len(mesh.triangles), np.float32)
    rows = np.flatnonzero(mesh.material == Material.WINDOW)
    corners = mesh.vertices[mesh.triangles[rows]]
    ahead = np.roll(corners, -1, axis=1)
    longest = np.square(ahead - corners).sum(2).argmax(1)
    each = np.arange(len(rows))
    middle = (corners[each, longest] + ahead[each, longest]) / 2
    key = np.floor(middle * 20 + np.float32(0.37)).astype(np.int64)
    found[rows] = hashed(key[:, 0], key[:, 1], key[:, 2])
    return found
