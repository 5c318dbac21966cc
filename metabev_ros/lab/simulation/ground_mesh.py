"""The ground as triangles: large where it is smooth, small along kerbs, which stand upright."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.datasets.synthetic.ground import (
    ASPHALT,
    GRASS,
    KERB,
    PAINT,
    PARKING,
    PAVING,
    Ground,
)
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.node_grid import NodeGrid
from metabev_ros.lab.simulation.terrain import COARSE, FAR, Terrain

_COARSE_MATERIALS = {
    GRASS: Material.GRASS,
    ASPHALT: Material.ASPHALT,
    PAVING: Material.PAVING,
    PAINT: Material.ASPHALT,
    KERB: Material.PAVING,
    PARKING: Material.ASPHALT,
}
_COLOURS = {
    Material.GRASS: (78, 98, 52),
    Material.ASPHALT: (86, 86, 90),
    Material.PAVING: (152, 146, 138),
    Material.KERB: (168, 166, 160),
}
_BEYOND = 300.0  # metres of ground around what is painted
_LOWEST_FACE = 0.001  # metres: a lower kerb has no face


def ground_mesh(terrain: Terrain, ground: Ground) -> Mesh:
    """All of a world's ground.

    Only the faces of kerbs have the material KERB; of everything else the material and colour are
    coarse, and a sensor looks up where it hits (`surface.Surface`).
    """
    heights = _node_heights(terrain)
    fine = _fine_blocks(terrain)
    far = _far_blocks(terrain, fine)
    coarse = ~fine & ~np.kron(far, np.ones((FAR, FAR), dtype=bool))
    stride = heights.shape[1]
    corners = [
        _triangles(np.argwhere(far), COARSE * FAR, stride),
        _triangles(np.argwhere(coarse), COARSE, stride),
    ]
    small = _triangles(_cells_of(fine), 1, stride)
    side = terrain.kerb.values[..., 0].ravel() >= 0
    crossed = side[small].any(axis=1) & ~side[small].all(axis=1)
    corners.append(small[~crossed])
    whole = _indexed(terrain.kerb, heights, np.concatenate(corners))
    split, faces = _split(terrain, heights, small[crossed])
    ground_parts = [_coloured(part, ground) for part in (whole, split)]
    face = Mesh.of(
        faces.reshape(-1, 3),
        np.arange(len(faces) * 3).reshape(-1, 3),
        Material.KERB,
        _COLOURS[Material.KERB],
    )
    return Mesh.join([*ground_parts, face, _beyond(terrain)])


def _beyond(terrain: Terrain) -> Mesh:
    """Grass that goes on as high as the border is, so that a view ends at a horizon."""
    points = terrain.base.points()
    sides = (points[0], points[:, -1], points[-1, ::-1], points[::-1, 0])
    outward = _BEYOND * np.array([[0.0, -1], [1, 0], [0, 1], [-1, 0]])
    parts = []
    for side, out, following in zip(sides, outward, np.roll(outward, -1, axis=0), strict=True):
        inner = np.concatenate([side, terrain.height(side)[:, None]], axis=1)
        outer = inner + [*out, 0.0]
        corner, across = inner[-1], [*following, 0.0]
        parts += [
            np.stack([inner[:-1], outer[:-1], outer[1:]], axis=1),
            np.stack([inner[:-1], outer[1:], inner[1:]], axis=1),
            np.stack([corner, outer[-1], outer[-1] + across])[None],
            np.stack([corner, outer[-1] + across, corner + across])[None],
        ]
    vertices = np.concatenate(parts).reshape(-1, 3)
    triangles = np.arange(len(vertices)).reshape(-1, 3)
    return Mesh.of(vertices, triangles, Material.GRASS, _COLOURS[Material.GRASS])


def _node_heights(terrain: Terrain) -> np.ndarray:
    """(R, C, 2) metres at the fine nodes: of the carriageway's plane and of the raised one."""
    low = terrain.base.at(terrain.kerb.points())
    return np.stack([low, low + terrain.kerb.values[..., 1]], axis=-1)


def _fine_blocks(terrain: Terrain) -> np.ndarray:
    """Coarse cells in which there is a kerb or a ramp."""
    raised = terrain.kerb.values[..., 0] >= 0
    added = np.where(raised, terrain.kerb.values[..., 1], 0.0)
    lowest, highest = _blocks(added, np.minimum), _blocks(added, np.maximum)
    sides = _blocks(raised, np.logical_or) & ~_blocks(raised, np.logical_and)
    return sides | (highest - lowest > 1e-9)


def _blocks(values: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    """One value for each coarse cell from all nodes in it and on its edges."""
    rows = reduce.reduce([values[k : len(values) - COARSE + k : COARSE] for k in range(COARSE)])
    rows = reduce(rows, values[COARSE::COARSE])
    width = values.shape[1]
    parts = [rows[:, k : width - COARSE + k : COARSE] for k in range(COARSE)]
    return reduce(reduce.reduce(parts), rows[:, COARSE::COARSE])


def _far_blocks(terrain: Terrain, fine: np.ndarray) -> np.ndarray:
    """Blocks of coarse cells that are two flat triangles."""
    base = terrain.base.values
    rows, columns = (np.array(base.shape) - 1) // FAR
    corner = NodeGrid(np.zeros(2), float(FAR), base[::FAR, ::FAR])
    points = NodeGrid(np.zeros(2), 1.0, base).points()
    bent = np.abs(corner.at(points) - base) > 1e-9
    flat = np.zeros((rows, columns), dtype=bool)
    inner = np.zeros_like(fine)
    for down in (0, 1):
        for right in (0, 1):
            inner |= bent[down : down + len(fine), right : right + fine.shape[1]]
    blocked = (inner | fine).reshape(rows, FAR, columns, FAR).any(axis=(1, 3))
    return flat | ~blocked


def _cells_of(blocks: np.ndarray) -> np.ndarray:
    """(N, 2) rows and columns of the fine cells in coarse ones."""
    inner = np.argwhere(np.ones((COARSE, COARSE), dtype=bool))
    return (np.argwhere(blocks)[:, None] * COARSE + inner).reshape(-1, 2)


def _triangles(cells: np.ndarray, step: int, stride: int) -> np.ndarray:
    """(2 N, 3) node numbers of the two triangles of each cell, counter-clockwise from above.

    Args:
        cells: (N, 2) rows and columns in cells of `step` fine ones.
        stride: fine nodes in a row.
    """
    first = (cells[:, 0] * stride + cells[:, 1]) * step
    last = first + step * stride + step
    below = np.stack([first, first + step, last], axis=-1)
    above = np.stack([first, last, first + step * stride], axis=-1)
    return np.concatenate([below, above])


def _vertices(grid: NodeGrid, heights: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """(..., 3) world metres of fine nodes, on the side where they are."""
    row, column = np.divmod(nodes, heights.shape[1])
    raised = grid.values[row, column, 0] >= 0
    x = grid.origin[0] + grid.cell * column
    y = grid.origin[1] + grid.cell * row
    return np.stack([x, y, heights[row, column, raised.astype(np.intp)]], axis=-1)


def _indexed(grid: NodeGrid, heights: np.ndarray, nodes: np.ndarray) -> Mesh:
    """A mesh of triangles of nodes that are on one side; nodes that are not used are left out."""
    used = np.zeros(heights.shape[0] * heights.shape[1], dtype=bool)
    used[nodes.ravel()] = True
    number = np.cumsum(used) - 1
    vertices = _vertices(grid, heights, np.flatnonzero(used))
    return Mesh.of(vertices, number[nodes], Material.ASPHALT)


def _split(terrain: Terrain, heights: np.ndarray, nodes: np.ndarray) -> tuple[Mesh, np.ndarray]:
    """Triangles that a kerb crosses, cut along it, and the (F, 3, 3) faces between both sides."""
    grid = terrain.kerb
    distance = grid.values[..., 0].ravel()[nodes]
    raised = distance >= 0
    # Turn each triangle so that its first corner is alone on its side.
    lone = np.where(raised.sum(axis=1) == 1, raised.argmax(axis=1), (~raised).argmax(axis=1))
    order = (lone[:, None] + np.arange(3)) % 3
    nodes = np.take_along_axis(nodes, order, axis=1)
    distance = np.take_along_axis(distance, order, axis=1)
    raised = np.take_along_axis(raised, order, axis=1)
    row, column = np.divmod(nodes, heights.shape[1])
    xy = grid.origin + grid.cell * np.stack([column, row], axis=-1)
    both = np.concatenate([xy, heights[row, column]], axis=-1)  # x, y, low z, high z
    part = distance[:, :1] / (distance[:, :1] - distance[:, 1:])
    cut = both[:, :1] + part[..., None] * (both[:, 1:] - both[:, :1])
    mine = _on(both, raised[:, :1])
    own, other = _on(cut, raised[:, :1]), _on(cut, ~raised[:, :1])
    theirs = _on(both, ~raised[:, :1])
    a, b, c = mine[:, 0], theirs[:, 1], theirs[:, 2]
    pieces = (
        np.stack([a, own[:, 0], own[:, 1]], axis=1),
        np.stack([other[:, 0], b, c], axis=1),
        np.stack([other[:, 0], c, other[:, 1]], axis=1),
    )
    flat = np.concatenate(pieces)
    mesh = Mesh.of(flat.reshape(-1, 3), np.arange(3 * len(flat)).reshape(-1, 3), Material.ASPHALT)
    return mesh, _faces(cut, raised[:, 0])


def _on(both: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """(..., 3) points of (..., 4) x, y, low z, high z, on one of the sides."""
    z = np.where(raised, both[..., 3], both[..., 2])
    return np.concatenate([both[..., :2], z[..., None]], axis=-1)


def _faces(cut: np.ndarray, lone_raised: np.ndarray) -> np.ndarray:
    """(F, 3, 3) upright triangles over (N, 2, 4) cuts, seen from the lower side."""
    keep = (cut[..., 3] - cut[..., 2]).max(axis=1) > _LOWEST_FACE
    cut, lone_raised = cut[keep], lone_raised[keep]
    # With the raised side on the left of the way from start to end, the low side sees outside.
    start = np.where(lone_raised[:, None], cut[:, 1], cut[:, 0])
    end = np.where(lone_raised[:, None], cut[:, 0], cut[:, 1])
    low, high = [0, 1, 2], [0, 1, 3]
    first = np.stack([start[:, low], start[:, high], end[:, high]], axis=1)
    second = np.stack([start[:, low], end[:, high], end[:, low]], axis=1)
    return np.concatenate([first, second])


def _coloured(mesh: Mesh, ground: Ground) -> Mesh:
    """The mesh with the coarse material of its triangles' middles."""
    middle = mesh.vertices[mesh.triangles].mean(axis=1)[:, :2]
    table = np.array([_COARSE_MATERIALS[code] for code in sorted(_COARSE_MATERIALS)], np.uint8)
    material = table[ground.sample(ground.material, middle, outside=GRASS)]
    colours = np.zeros((len(Material), 3), dtype=np.uint8)
    for kind, colour in _COLOURS.items():
        colours[kind] = colour
    return Mesh.of(mesh.vertices, mesh.triangles, material, colours[material])
