"""Copies of library pieces, collected and then made into one mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metabev_ros.lab.simulation.meshes import FIXED, PRIMARY, SECONDARY, Mesh
from metabev_ros.lab.simulation.surroundings.site import Site

WHITE = np.array([255.0, 255.0, 255.0])
LOW = 4.2  # metres: what hangs higher may hang over a road
_CLEAR = 4.05  # metres over a road
_COARSE = 300  # triangles of a piece below which it may have long edges


@dataclass(frozen=True)
class _Batch:
    """Copies of one piece: (N, 3, 4) maps, (N, 3) or (3,) colours, a material or None."""

    piece: Mesh
    maps: np.ndarray
    primary: np.ndarray
    secondary: np.ndarray
    material: int | None


@dataclass(frozen=True)
class Wish:
    """Pieces that are to stand where they fit (`Stage.stand`).

    Attributes:
        pieces: library variants; each copy is one of them, drawn at random.
        far: those used away from the main roads, with few triangles.
        xy: (N, 2) world points.
        yaw: (N,) radians.
        scale: (N,).
        primary, secondary: (N, 3) colours.
        walkway: they may stand on a walkway.
        take: nothing else may stand there afterwards.
    """

    pieces: Sequence[Mesh]
    xy: np.ndarray
    yaw: np.ndarray
    scale: np.ndarray
    primary: np.ndarray
    secondary: np.ndarray
    walkway: bool = False
    take: bool = True
    far: Sequence[Mesh] | None = None


@dataclass(frozen=True)
class Stage:
    """The place that is filled with copies.

    Attributes:
        height: metres of the ground at (..., 2) world points.
        sharp: metres from a main road's centre line beyond which triangles are saved.
    """

    site: Site
    height: Callable[[np.ndarray], np.ndarray]
    sharp: float
    _batches: list[_Batch] = field(default_factory=list)
    _wishes: list[Wish] = field(default_factory=list)

    def add(
        self,
        piece: Mesh,
        maps: np.ndarray,
        primary: np.ndarray = WHITE,
        secondary: np.ndarray = WHITE,
        material: int | None = None,
    ) -> None:
        """Copy a piece under (N, 3, 4) affine maps, wherever that is.

        Args:
            primary, secondary: (N, 3) or (3,) colours of the piece's `PRIMARY` and `SECONDARY`.
            material: of the `PRIMARY` triangles instead of their own.
        """
        if len(maps):
            self._batches.append(_Batch(piece, maps, primary, secondary, material))

    def wish(self, wish: Wish) -> None:
        """Note what is to stand when `settle` is called: many at once are quicker."""
        if len(wish.xy):
            self._wishes.append(wish)

    def settle(self, rng: np.random.Generator) -> None:
        """Stand what was wished for, kind after kind in the order of their first wishes."""
        groups: dict[tuple[int, bool, bool], list[Wish]] = {}
        for wish in self._wishes:
            groups.setdefault((id(wish.pieces), wish.walkway, wish.take), []).append(wish)
        self._wishes.clear()
        for wishes in groups.values():
            self.stand(rng, _merged(wishes))

    def stand(self, rng: np.random.Generator, wish: Wish) -> np.ndarray:
        """Stand pieces where they fit, at once.

        Returns:
            (N,) bool: which of them stand.
        """
        stands = np.zeros(len(wish.xy), dtype=bool)
        near = np.ones(len(wish.xy), dtype=bool)
        if wish.far is not None:
            near = self.site.way(wish.xy) < self.sharp
        for pieces, chosen in ((wish.pieces, near), (wish.far or (), ~near)):
            if not pieces or not chosen.any():
                continue
            kind = np.where(chosen, rng.integers(len(pieces), size=len(near)), -1)
            for k, piece in enumerate(pieces):
                rows = np.flatnonzero(kind == k)
                if len(rows):
                    rows = rows[self._fits(piece, wish, rows)]
                    stands[rows] = True
        return stands

    def _fits(self, piece: Mesh, wish: Wish, rows: np.ndarray) -> np.ndarray:
        """Stand one piece at these rows; (N,) bool: where it fits."""
        xy, yaw, scale = wish.xy[rows], wish.yaw[rows], wish.scale[rows]
        fits = self.site.accept(footprint(piece, xy, yaw, scale), wish.walkway, wish.take)
        xy, yaw, scale = xy[fits], yaw[fits], scale[fits]
        maps = upright_maps(xy, self.height(xy) - 0.04, yaw, scale)
        self.add(piece, maps, wish.primary[rows[fits]], wish.secondary[rows[fits]])
        return fits

    def mesh(self) -> Mesh:
        """All copies as one mesh of fixed colours."""
        groups: dict[tuple[int, int | None], list[_Batch]] = {}
        for batch in self._batches:
            groups.setdefault((id(batch.piece), batch.material), []).append(batch)
        return Mesh.join([self._copies(batches) for batches in groups.values()])

    def _copies(self, batches: Sequence[_Batch]) -> Mesh:
        """The copies of one piece, without those of which a low corner is over a road."""
        piece = batches[0].piece
        maps = np.concatenate([batch.maps for batch in batches]).astype(np.float32)
        flat = maps[:, :, :3].reshape(-1, 3) @ piece.vertices.T
        moved = flat.reshape(len(maps), 3, -1) + maps[:, :, 3:]
        vertices = np.ascontiguousarray(moved.transpose(0, 2, 1))
        kept = self._off_road(vertices)
        if len(piece.triangles) < _COARSE:
            corners = vertices[:, piece.triangles]
            middles = [(corners + np.roll(corners, 1, axis=2)) / 2, corners.mean(2, keepdims=True)]
            between = np.concatenate(middles, axis=2).reshape(len(maps), -1, 3)
            kept &= self._off_road(between)
        colours = {name: _column(batches, name)[kept] for name in ('primary', 'secondary')}
        return _joined(piece, vertices[kept], colours, batches[0].material)

    def _off_road(self, vertices: np.ndarray) -> np.ndarray:
        """(N,) bool: which of the (N, V, 3) copies leave 4 m over all roads."""
        copy, corner = np.nonzero(self.site.on_drivable(vertices[..., :2]))
        xyz = vertices[copy, corner].astype(np.float64)
        kept = np.ones(len(vertices), dtype=bool)
        kept[copy[xyz[:, 2] - self.height(xyz[:, :2]) < _CLEAR]] = False
        return kept


def _merged(wishes: Sequence[Wish]) -> Wish:
    names = ('xy', 'yaw', 'scale', 'primary', 'secondary')
    columns = {name: np.concatenate([getattr(wish, name) for wish in wishes]) for name in names}
    return replace(wishes[0], **columns)


def footprint(piece: Mesh, xy: np.ndarray, yaw: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(N, K, 2) world points over what of each copy is lower than `LOW`."""
    smallest, largest = float(scale.min()), float(scale.max())
    low = piece.vertices[:, 2] <= LOW / smallest
    part = piece.vertices[low, :2] if low.any() else piece.vertices[:, :2]
    near, far = part.min(0), part.max(0)
    steps = np.clip((far - near) * largest / 0.3, 1, 24).astype(int) + 1
    u, v = np.meshgrid(
        np.linspace(near[0], far[0], steps[0]), np.linspace(near[1], far[1], steps[1])
    )
    return turned(np.stack([u.ravel(), v.ravel()], axis=1), yaw, scale) + xy[:, None]


def turned(points: np.ndarray, yaw: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(N, K, 2): (K, 2) points turned by (N,) yaws and stretched."""
    c, s = (np.cos(yaw) * scale)[:, None], (np.sin(yaw) * scale)[:, None]
    x, y = points[:, 0], points[:, 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def upright_maps(xy: np.ndarray, z: np.ndarray, yaw: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(N, 3, 4) maps that stretch, turn about z, and move."""
    maps = np.zeros((len(xy), 3, 4))
    c, s = np.cos(yaw) * scale, np.sin(yaw) * scale
    maps[:, 0, 0], maps[:, 0, 1] = c, -s
    maps[:, 1, 0], maps[:, 1, 1] = s, c
    maps[:, 2, 2] = scale
    maps[:, :2, 3] = xy
    maps[:, 2, 3] = z
    return maps


def _column(batches: Sequence[_Batch], name: str) -> np.ndarray:
    """(copies, 3) colours of some batches."""
    column = np.empty((sum(len(batch.maps) for batch in batches), 3), dtype=np.float32)
    start = 0
    for batch in batches:
        column[start : start + len(batch.maps)] = getattr(batch, name)
        start += len(batch.maps)
    return column


def _joined(
    piece: Mesh, vertices: np.ndarray, colours: dict[str, np.ndarray], cladding: int | None
) -> Mesh:
    """One mesh of (N, V, 3) copies with (N, 3) colours."""
    count, corners = vertices.shape[:2]
    starts = (np.arange(count, dtype=np.int32) * corners)[:, None, None]
    material = piece.material
    if cladding is not None:
        material = np.where(piece.slot == PRIMARY, cladding, material).astype(np.uint8)
    colour = np.broadcast_to(piece.colour, (count, *piece.colour.shape)).copy()
    for slot, name in ((PRIMARY, 'primary'), (SECONDARY, 'secondary')):
        rows = np.flatnonzero(piece.slot == slot)
        if len(rows):
            tint = colours[name] / np.float32(255)
            shade = piece.colour[rows].astype(np.float32)[None] * tint[:, None, None]
            colour[:, rows] = np.clip(shade, 0, 255).astype(np.uint8)
    return Mesh(
        vertices.reshape(-1, 3),
        (piece.triangles[None] + starts).reshape(-1, 3).astype(np.int32),
        np.tile(material, count),
        colour.reshape(-1, 3, 3),
        np.full(count * len(piece.triangles), FIXED, dtype=np.uint8),
    )
