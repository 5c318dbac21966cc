"""Copies of library pieces, collected and then made into one mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.site import Site

WHITE = np.array([255.0, 255.0, 255.0])
LOW = 4.2  # metres: what hangs higher may hang over a road


@dataclass(frozen=True)
class _Batch:
    """Copies of one piece: (N, 3, 4) maps, (N, 3) colours, (N,) materials or None."""

    piece: Mesh
    maps: np.ndarray
    primary: np.ndarray
    secondary: np.ndarray
    material: np.ndarray | None


@dataclass(frozen=True)
class Stage:
    """The place that is filled with copies.

    Attributes:
        height: metres of the ground at (..., 2) world points.
    """

    site: Site
    height: Callable[[np.ndarray], np.ndarray]
    _batches: list[_Batch] = field(default_factory=list)

    def add(
        self,
        piece: Mesh,
        maps: np.ndarray,
        primary: np.ndarray | Sequence[float] = WHITE,
        secondary: np.ndarray | Sequence[float] = WHITE,
        material: np.ndarray | int | None = None,
    ) -> None:
        """Copy a piece under (N, 3, 4) affine maps, wherever that is.

        Args:
            primary, secondary: (N, 3) or (3,) colours of the piece's `PRIMARY` and `SECONDARY`.
            material: of the `PRIMARY` triangles instead of their own.
        """
        count = len(maps)
        if not count:
            return
        self._batches.append(
            _Batch(
                piece,
                maps,
                np.broadcast_to(np.asarray(primary, np.float32), (count, 3)),
                np.broadcast_to(np.asarray(secondary, np.float32), (count, 3)),
                None
                if material is None
                else np.broadcast_to(np.asarray(material, np.uint8), (count,)),
            )
        )

    def stand(
        self,
        pieces: Sequence[Mesh],
        rng: np.random.Generator,
        xy: np.ndarray,
        yaw: np.ndarray | float,
        scale: np.ndarray | float = 1.0,
        primary: np.ndarray | Sequence[float] = WHITE,
        secondary: np.ndarray | Sequence[float] = WHITE,
        walkway: bool = False,
        take: bool = True,
    ) -> np.ndarray:
        """Stand pieces drawn at random on the ground where they fit.

        Args:
            xy: (N, 2) world points; yaw: (N,) radians.
            scale: (N,) or (N, 3).
            walkway: they may stand on a walkway.
            take: nothing else may stand there afterwards.

        Returns:
            (N,) bool: which of them stand.
        """
        xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        count = len(xy)
        stands = np.zeros(count, dtype=bool)
        if not count:
            return stands
        yaw = np.broadcast_to(np.asarray(yaw, dtype=np.float64), (count,))
        size = np.asarray(scale, dtype=np.float64)
        size = np.broadcast_to(size[:, None] if size.ndim == 1 else size, (count, 3))
        first = np.broadcast_to(np.asarray(primary, np.float32), (count, 3))
        second = np.broadcast_to(np.asarray(secondary, np.float32), (count, 3))
        kind = rng.integers(len(pieces), size=count)
        for k in np.unique(kind):
            rows = np.flatnonzero(kind == k)
            piece = pieces[int(k)]
            marks = footprint(piece, xy[rows], yaw[rows], size[rows])
            rows = rows[self.site.accept(marks, walkway, take)]
            stands[rows] = True
            base = self.height(xy[rows]) - 0.04
            maps = upright_maps(xy[rows], base, yaw[rows], size[rows])
            self.add(piece, maps, first[rows], second[rows])
        return stands

    def mesh(self) -> Mesh:
        """All copies as one mesh of fixed colours."""
        groups: dict[tuple[int, bool], list[_Batch]] = {}
        for batch in self._batches:
            groups.setdefault((id(batch.piece), batch.material is None), []).append(batch)
        return Mesh.join([_copies(batches) for batches in groups.values()])


def footprint(piece: Mesh, xy: np.ndarray, yaw: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, K, 2) world points over what of each copy is lower than `LOW`."""
    low = piece.vertices[:, 2] <= LOW / size[:, 2].min()
    part = piece.vertices[low, :2] if low.any() else piece.vertices[:, :2]
    near, far = part.min(0), part.max(0)
    largest = float(((far - near) * size[:, :2].max(0)).max())
    steps = int(np.clip(largest / 0.45, 1, 9)) + 1
    grid = np.linspace(0, 1, steps)
    u, v = (g.ravel() for g in np.meshgrid(grid, grid))
    local = near + np.stack([u, v], axis=1) * (far - near)
    local = local[None] * size[:, None, :2]
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y = local[..., 0], local[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1) + xy[:, None]


def upright_maps(xy: np.ndarray, z: np.ndarray, yaw: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, 3, 4) maps that stretch, turn about z, and move."""
    maps = np.zeros((len(xy), 3, 4))
    c, s = np.cos(yaw), np.sin(yaw)
    maps[:, 0, 0], maps[:, 0, 1] = c * size[:, 0], -s * size[:, 1]
    maps[:, 1, 0], maps[:, 1, 1] = s * size[:, 0], c * size[:, 1]
    maps[:, 2, 2] = size[:, 2]
    maps[:, :2, 3] = xy
    maps[:, 2, 3] = z
    return maps


def _copies(batches: Sequence[_Batch]) -> Mesh:
    piece = batches[0].piece
    maps = np.concatenate([batch.maps for batch in batches]).astype(np.float32)
    count, corners = len(maps), len(piece.vertices)
    flat = maps[:, :, :3].reshape(-1, 3) @ piece.vertices.T
    vertices = flat.reshape(count, 3, corners).transpose(0, 2, 1) + maps[:, None, :, 3]
    starts = (np.arange(count, dtype=np.int32) * corners)[:, None, None]
    material = np.broadcast_to(piece.material, (count, len(piece.material)))
    if batches[0].material is not None:
        own = np.concatenate([b.material for b in batches if b.material is not None])
        material = np.where(piece.slot == PRIMARY, own[:, None], material)
    colour = np.broadcast_to(piece.colour, (count, *piece.colour.shape)).copy()
    for slot, name in ((PRIMARY, 'primary'), (SECONDARY, 'secondary')):
        rows = np.flatnonzero(piece.slot == slot)
        if len(rows):
            tint = np.concatenate([getattr(batch, name) for batch in batches]) / np.float32(255)
            shade = piece.colour[rows].astype(np.float32)[None] * tint[:, None, None]
            colour[:, rows] = np.clip(shade, 0, 255).astype(np.uint8)
    total = count * len(piece.triangles)
    return Mesh(
        np.ascontiguousarray(vertices).reshape(-1, 3),
        (piece.triangles[None] + starts).reshape(-1, 3).astype(np.int32),
        np.ascontiguousarray(material).reshape(-1),
        colour.reshape(-1, 3, 3),
        np.full(total, FIXED, dtype=np.uint8),
    )
