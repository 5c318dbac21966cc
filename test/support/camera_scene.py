"""A small world for tests of cameras: a plane, walls and boxes that move."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, Mesh
from metabev_ros.lab.simulation.rays import Hits, Movers, RayMesh, Rays, cast
from metabev_ros.lab.simulation.surfaces import Surface, Triangles, surface_at
from metabev_ros.structures import CameraCalibration

BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_QUADS = np.array(
    [[1, 3, 7, 5], [2, 0, 4, 6], [3, 2, 6, 7], [0, 1, 5, 4], [4, 5, 7, 6], [0, 2, 3, 1]]
)


def box(material: Material, colour: tuple[int, int, int] = (255, 255, 255), slot: int = 0) -> Mesh:
    """The unit box around the origin."""
    corners = [[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)]
    triangles = np.concatenate([_QUADS[:, :3], _QUADS[:, [0, 2, 3]]])
    return Mesh.of(np.array(corners), triangles, material, colour, slot)


def placed(
    mesh: Mesh, centre: tuple[float, ...], size: tuple[float, ...], yaw: float = 0.0
) -> Mesh:
    """A copy that is stretched, turned and moved."""
    matrix = rigid_transform(rotation_z(yaw), np.array(centre))
    matrix[:3, :3] = matrix[:3, :3] * np.array(size)
    return mesh.moved(matrix)


def plane() -> Mesh:
    """A level square of asphalt, 400 m wide."""
    corners = [[-200, -200, 0], [200, -200, 0], [200, 200, 0], [-200, 200, 0]]
    return Mesh.of(
        np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]), Material.ASPHALT, (90, 90, 92)
    )


class _Look:
    def colour_at(self, xy: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Grey everywhere."""
        return np.full((len(xy), 3), 90, np.float32)

    def wetness_at(self, xy: np.ndarray) -> np.ndarray:
        """Under water everywhere."""
        return np.ones(len(xy), np.float32)


class _Level:
    def height(self, xy: np.ndarray) -> np.ndarray:
        """Zero everywhere."""
        return np.zeros(np.shape(xy)[:-1])


class _Floor:
    terrain = _Level()
    surface = _Look()


@dataclass(frozen=True)
class Now:
    """An instant."""

    movers: Movers
    labels: np.ndarray
    time: float = 0.0


@dataclass(eq=False)
class StandIn:
    """The world: `solids` stand on the plane; the ego drives along x."""

    solids: list[Mesh] = field(default_factory=list)
    speed: float = 0.0

    def __post_init__(self) -> None:
        self.floor = _Floor()
        self.still = RayMesh(Mesh.join([plane(), *self.solids]))
        self.ray_bodies = [RayMesh(box(Material.CAR_PAINT, slot=PRIMARY))]
        self._still = Triangles([self.still.mesh])
        self._bodies = Triangles([body.mesh for body in self.ray_bodies])

    def ego_poses(self, t: np.ndarray) -> np.ndarray:
        """Along x at `speed`."""
        poses = np.tile(np.eye(4), (len(t), 1, 1))
        poses[:, 0, 3] = self.speed * np.asarray(t)
        return poses

    def cast(self, rays: Rays, instant: Now) -> Hits:
        """What rays meet."""
        return cast(rays, self.still, self.ray_bodies, instant.movers)

    def surface(self, rays: Rays, hits: Hits, instant: Now, rows: np.ndarray) -> Surface:
        """The surfaces that some rays met."""
        return surface_at(rays, hits, self._still, self._bodies, instant.movers, rows)

    def is_ground(self, hits: Hits, rows: np.ndarray) -> np.ndarray:
        """The first two triangles are the plane."""
        return (hits.mover[rows] < 0) & (hits.triangle[rows] < 2)


def now(
    *boxes: tuple[tuple[float, float, float], tuple[float, float, float]],
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    colour: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> Now:
    """An instant with boxes (centre, size), all at one velocity."""
    count = len(boxes)
    matrices = np.zeros((count, 4, 4))
    for k, (centre, size) in enumerate(boxes):
        matrices[k] = np.diag([*size, 1.0])
        matrices[k, :3, 3] = centre
    movers = Movers(
        np.zeros(count, np.int32),
        matrices,
        np.tile(np.array(velocity), (count, 1)),
        np.zeros(count),
        np.tile(np.array(colour, np.float32), (count, 2, 1)),
    )
    return Now(movers, np.zeros(count, np.int64))


def camera(
    width: int = 160, height: int = 90, yaw: float = 0.0, focal: float = 120.0
) -> CameraCalibration:
    """A level camera 1.5 m above the ground."""
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    pose = rigid_transform(rotation_z(yaw) @ BODY_FROM_OPTICAL, np.array([0.0, 0.0, 1.5]))
    return CameraCalibration(width, height, matrix, pose)
