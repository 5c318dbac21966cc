"""Triangles with a material and a colour: everything that a ray can meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.materials import Material

# Places of an object's own colours, drawn for each object (`Mesh.slot`).
FIXED, PRIMARY, SECONDARY = 0, 1, 2


@dataclass(frozen=True)
class Mesh:
    """Triangles; counter-clockwise seen from outside where they have an outside.

    Attributes:
        vertices: (V, 3) float32 metres.
        triangles: (T, 3) int32 rows of `vertices`.
        material: (T,) uint8 values of `Material`.
        colour: (T, 3, 3) uint8 RGB of the three corners, without light.
        slot: (T,) uint8: `FIXED` keeps `colour`; `PRIMARY` and `SECONDARY` are multiplied by the
            object's own colours (so that their `colour` is white or a shade of grey).
    """

    vertices: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    colour: np.ndarray
    slot: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.triangles)
        shapes = (
            self.vertices.shape[1:] == (3,)
            and self.triangles.shape == (count, 3)
            and self.material.shape == (count,)
            and self.colour.shape == (count, 3, 3)
            and self.slot.shape == (count,)
        )
        require(shapes, 'mesh', '(V, 3) vertices and (T, ...) columns', self.colour.shape)

    @classmethod
    def of(
        cls,
        vertices: np.ndarray,
        triangles: np.ndarray,
        material: Material | np.ndarray,
        colour: Sequence[float] | np.ndarray = (255, 255, 255),
        slot: int | np.ndarray = FIXED,
    ) -> Mesh:
        """A mesh of one material and colour, or with one for each triangle or corner.

        Args:
            colour: (3,), (T, 3) or (T, 3, 3), 0..255.
        """
        triangles = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
        count = len(triangles)
        shade = np.clip(np.asarray(colour, dtype=np.float32), 0, 255)
        if shade.ndim == 2:
            shade = shade[:, None]
        return cls(
            np.asarray(vertices, dtype=np.float32).reshape(-1, 3),
            triangles,
            np.broadcast_to(np.asarray(material, np.uint8), (count,)).copy(),
            np.broadcast_to(shade, (count, 3, 3)).astype(np.uint8),
            np.broadcast_to(np.asarray(slot, np.uint8), (count,)).copy(),
        )

    @classmethod
    def join(cls, parts: Sequence[Mesh]) -> Mesh:
        """All triangles of some meshes; none of none."""
        if not parts:
            return cls.of(np.zeros((0, 3)), np.zeros((0, 3)), Material.STEEL)
        starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
        return cls(
            np.concatenate([part.vertices for part in parts]),
            np.concatenate(
                [part.triangles + start for part, start in zip(parts, starts, strict=True)]
            ).astype(np.int32),
            np.concatenate([part.material for part in parts]),
            np.concatenate([part.colour for part in parts]),
            np.concatenate([part.slot for part in parts]),
        )

    def moved(self, matrix: np.ndarray) -> Mesh:
        """The mesh under a (4, 4) affine map; one that mirrors turns the triangles round."""
        vertices = self.vertices @ matrix[:3, :3].T.astype(np.float32) + matrix[:3, 3].astype(
            np.float32
        )
        mirrors = np.linalg.det(matrix[:3, :3]) < 0
        if not mirrors:
            return replace(self, vertices=vertices)
        return replace(
            self,
            vertices=vertices,
            triangles=np.ascontiguousarray(self.triangles[:, ::-1]),
            colour=np.ascontiguousarray(self.colour[:, ::-1]),
        )

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner, (3,) metres each."""
        return self.vertices.min(0), self.vertices.max(0)

    def into_unit_box(self) -> Mesh:
        """The mesh moved and stretched so that its bounds are -0.5..0.5 along every axis."""
        low, high = self.bounds
        scale = 1.0 / np.maximum(high - low, 1e-6)
        matrix = np.diag([*scale, 1.0])
        matrix[:3, 3] = -(low + high) / 2 * scale
        return self.moved(matrix)
