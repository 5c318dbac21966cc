"""Shapes of porous plants. Leaves are small triangles."""

from __future__ import annotations

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import box, lathe, tube

BARKS = ((92, 76, 62), (110, 98, 86), (74, 60, 50), (205, 200, 192))


def leaves(
    rng: np.random.Generator,
    places: np.ndarray,
    size: float,
    shade: np.ndarray,
    flat: float = 1.0,
) -> Mesh:
    """One leaf triangle at each (N, 3) place.

    Args:
        size: metres of an edge, varied by a half.
        shade: (N,) brightness, about 1.
        flat: below 1 the leaves lie rather than stand.
    """
    count = len(places)
    frame = rng.normal(size=(count, 2, 3))
    frame[..., 2] *= flat
    frame /= np.linalg.norm(frame, axis=2, keepdims=True)
    reach = size * rng.uniform(0.55, 1.1, (count, 1))
    a, b = frame[:, 0] * reach, frame[:, 1] * reach * 0.7
    corners = np.stack([places - a * 0.5 - b * 0.4, places - a * 0.3 + b * 0.6, places + a * 0.6])
    vertices = corners.transpose(1, 0, 2).reshape(-1, 3)
    warm = rng.normal(0, 0.06, (count, 3)) * np.array([1.0, 0.5, 1.0])
    colour = 232 * shade[:, None] * (1 + warm)
    return Mesh.of(
        vertices, np.arange(3 * count).reshape(-1, 3), Material.LEAF, colour, slot=PRIMARY
    )


def clumps(
    rng: np.random.Generator, centres: np.ndarray, radius: np.ndarray, total: int, size: float
) -> Mesh:
    """Leaves around (C, 3) centres, more of them at the rim, brighter above."""
    share = radius**2 / (radius**2).sum()
    which = rng.choice(len(centres), size=total, p=share)
    direction = rng.normal(size=(total, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = rng.uniform(0.25, 1.0, total) ** 0.5
    offset = direction * (reach * radius[which])[:, None]
    offset[:, 2] *= 0.75
    places = centres[which] + offset
    z = places[:, 2]
    rise = (z - z.min()) / max(float(np.ptp(z)), 1e-6)
    shade = (0.55 + 0.3 * rise + 0.25 * reach * (0.5 + 0.5 * direction[:, 2])) * rng.uniform(
        0.85, 1.15, total
    )
    return Mesh.join(
        [leaves(rng, places, size, shade), _core(rng, centres, radius, total // 8, 1.5 * size)]
    )


def _core(
    rng: np.random.Generator, centres: np.ndarray, radius: np.ndarray, total: int, size: float
) -> Mesh:
    """Larger dark leaves inside: what is seen through the outer ones is shade."""
    which = rng.integers(len(centres), size=total)
    places = centres[which] + rng.normal(0, 0.3, (total, 3)) * radius[which, None]
    return leaves(rng, places, size, rng.uniform(0.42, 0.6, total))


def broadleaf(
    rng: np.random.Generator,
    height: float,
    stem: float,
    width: float,
    total: int,
    size: float,
    bark: tuple[int, int, int] = BARKS[0],
) -> Mesh:
    """A tree with a trunk, branches and clumps of leaves.

    Args:
        height, stem, width: metres of the whole, of the trunk below the crown, of the crown.
        total: leaf triangles at most; size: metres of one.
    """
    thick = 0.019 * height * rng.uniform(0.8, 1.3)
    lean = rng.normal(0, 0.03 * height, 2)
    fork = np.array([*lean * 0.5, stem])
    top = np.array([*lean, stem + 0.75 * (height - stem)])
    parts = [
        lathe([(1.5 * thick, -0.3), (1.05 * thick, 0.35)], 7, Material.BARK, bark, cap=False),
        tube((0, 0, 0.35), fork, (1.05 * thick, 0.8 * thick), 7, Material.BARK, bark),
        tube(fork, top, (0.8 * thick, 0.15 * thick), 5, Material.BARK, bark),
    ]
    slender = width < 0.35 * (height - stem)
    number = int(rng.integers(7, 13)) + 9 * slender
    middle, half = stem + 0.52 * (height - stem), 0.5 * (height - stem)
    direction = rng.normal(size=(number, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = rng.uniform(0.45, 0.8, (number, 1))
    centres = direction * reach * np.array([width / 2, width / 2, half])
    centres[:, :2] += lean
    centres[:, 2] += middle
    for centre in centres[:6]:
        root = fork + (top - fork) * rng.uniform(0, 0.6)
        parts.append(tube(root, centre, (0.35 * thick, 0.08 * thick), 4, Material.BARK, bark))
    radius = rng.uniform(0.3, 0.55, number) * min(width / 2, half) * (1.6 if slender else 1.0)
    if total:
        enough = int(2.6 * np.pi * width / 2 * half / size**2)
        parts.append(clumps(rng, centres, radius * 1.25, min(total, enough), size))
    return Mesh.join(parts)


def bare(rng: np.random.Generator, height: float) -> Mesh:
    """A tree without leaves: branches and twigs."""
    parts = [broadleaf(rng, height, 0.3 * height, 0.6 * height, 0, 0.1, BARKS[1])]
    for _ in range(26):
        z = rng.uniform(0.3, 0.9) * height
        root = np.array([*rng.normal(0, 0.04 * height, 2), z])
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.12, 0.3) * height
        tip = root + reach * np.array([np.cos(angle), np.sin(angle), rng.uniform(0.3, 1.0)])
        parts.append(
            tube(root, tip, (0.004 * height, 0.0015 * height), 3, Material.BARK, BARKS[1])
        )
    return Mesh.join(parts)


def conifer(
    rng: np.random.Generator, height: float, width: float, total: int, size: float
) -> Mesh:
    """A spruce: leaves hang along a cone."""
    low = rng.uniform(0.06, 0.18) * height
    part = 1 - np.sqrt(rng.uniform(0, 1, total))
    layer = np.round(part * 14) / 14 * 0.6 + part * 0.4
    angle = rng.uniform(0, 2 * np.pi, total)
    wide = np.where(rng.uniform(size=total) < 0.75, rng.uniform(0.65, 1.05, total), 0.4)
    radius = width / 2 * (1 - part) * wide * (1 + 0.15 * np.sin(5 * angle + 9 * part))
    z = low + layer * (height - low) - 0.12 * radius
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    shade = (0.5 + 0.35 * wide + 0.2 * part) * rng.uniform(0.85, 1.15, total)
    trunk = tube((0, 0, -0.3), (0, 0, 0.95 * height), (0.02 * height, 0.01), 6, Material.BARK)
    trunk = Mesh.of(trunk.vertices, trunk.triangles, Material.BARK, BARKS[2])
    return Mesh.join([trunk, leaves(rng, places, size, shade, flat=0.45)])


def palm(rng: np.random.Generator, height: float) -> Mesh:
    """A palm: a bent trunk and fronds of two rows of leaves."""
    bend = rng.normal(0, 0.06 * height, 2)
    half, top = np.array([*bend * 0.3, height / 2]), np.array([*bend, height])
    thick = rng.uniform(0.13, 0.2)
    parts = [
        tube((0, 0, -0.3), half, (1.3 * thick, thick), 7, Material.BARK, (128, 108, 84)),
        tube(half, top, (thick, 0.9 * thick), 7, Material.BARK, (120, 102, 80)),
    ]
    for angle in np.linspace(0, 2 * np.pi, 15)[:-1] + rng.normal(0, 0.15, 14):
        length, rise = rng.uniform(1.8, 2.6), rng.uniform(-0.1, 0.9)
        t = np.linspace(0.1, 1, 9)
        out = np.array([np.cos(angle), np.sin(angle)])
        spine = np.stack(
            [*(top[:2, None] + out[:, None] * length * t), top[2] + rise * t - 1.6 * t**2.2], 1
        )
        across = np.array([-out[1], out[0], -0.25])
        for sign in (1, -1):
            side = across * np.array([sign, sign, 1]) * 0.42
            tips = spine[1:] + side * np.sin(np.pi * t[1:, None] * 0.92)
            vertices = np.stack([spine[:-1], spine[1:], tips], axis=1).reshape(-1, 3)
            shade = rng.uniform(150, 230, (8, 1)) * np.ones((1, 3))
            order = np.arange(24).reshape(-1, 3)
            parts.append(Mesh.of(vertices, order, Material.LEAF, shade, PRIMARY))
    return Mesh.join(parts)


def bush(rng: np.random.Generator, height: float, total: int, coarse: float = 1.0) -> Mesh:
    """A bush of several heads that touches the ground."""
    number = int(rng.integers(3, 8))
    spread = height * rng.uniform(0.35, 0.9)
    centres = np.stack(
        [
            rng.normal(0, spread * 0.6, number),
            rng.normal(0, spread * 0.45, number),
            height * np.linspace(0.12, 0.66, number),
        ],
        axis=1,
    )
    radius = height * rng.uniform(0.3, 0.44, number)
    body = clumps(rng, centres, radius, total, coarse * (0.12 + 0.16 * height**0.7))
    stems = [
        tube((0, 0, -0.1), centre, (0.03 * height, 0.01), 3, Material.BARK, BARKS[0])
        for centre in centres[:3]
    ]
    vertices = body.vertices.copy()
    vertices[:, 2] = np.abs(vertices[:, 2])
    low = Mesh(vertices, body.triangles, body.material, body.colour, body.slot)
    return Mesh.join([*stems, low])


def hedge_panel(rng: np.random.Generator, total: int = 130) -> Mesh:
    """A metre of hedge along x, 0.8 m wide and 1 m high; cut, not quite even."""
    face = rng.uniform(size=total)
    x = rng.uniform(-0.03, 1.03, total)
    z = np.where(face < 0.7, rng.uniform(0, 1, total), rng.normal(0.97, 0.04, total))
    side = np.where(rng.uniform(size=total) < 0.5, -0.4, 0.4) + rng.normal(0, 0.05, total)
    y = np.where(face < 0.7, side, rng.uniform(-0.4, 0.4, total))
    shade = (0.6 + 0.4 * z) * rng.uniform(0.8, 1.15, total)
    core = box((0, -0.26, 0.1), (1, 0.26, 0.86), Material.LEAF, (150, 150, 150), PRIMARY)
    return Mesh.join([core, leaves(rng, np.stack([x, y, z], axis=1), 0.24, shade)])


def grass_tuft(rng: np.random.Generator, blades: int) -> Mesh:
    """Blades of 1 m height, leaning outwards, over a circle of 1 m."""
    root = rng.normal(0, 0.35, (blades, 2))
    angle = rng.uniform(0, 2 * np.pi, blades)
    across = 0.03 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tip = root + root * rng.uniform(0, 0.7, (blades, 1)) + rng.normal(0, 0.12, (blades, 2))
    top = rng.uniform(0.4, 1.0, blades)
    zero = np.zeros(blades)
    vertices = np.stack(
        [
            np.column_stack([root - across, zero]),
            np.column_stack([root + across, zero]),
            np.column_stack([tip, top]),
        ],
        axis=1,
    )
    low = rng.uniform(90, 140, (blades, 1, 1)) * np.ones((1, 2, 3))
    high = rng.uniform(170, 250, (blades, 1, 1)) * np.ones((1, 1, 3))
    colour = np.concatenate([low, high], axis=1)
    order = np.arange(3 * blades).reshape(-1, 3)
    return Mesh.of(vertices.reshape(-1, 3), order, Material.LEAF, colour, PRIMARY)


def litter(rng: np.random.Generator, count: int) -> Mesh:
    """Fallen leaves on the ground within a few metres."""
    places = np.column_stack(
        [rng.normal(0, 1.4, count), rng.normal(0, 1.4, count), rng.uniform(0.05, 0.09, count)]
    )
    return leaves(rng, places, 0.13, rng.uniform(0.7, 1.1, count), flat=0.08)


def ivy_panel(rng: np.random.Generator, total: int = 90) -> Mesh:
    """Ivy over a square metre of wall that faces +y."""
    places = np.column_stack(
        [rng.uniform(0, 1, total), rng.uniform(0.02, 0.16, total), rng.uniform(0, 1, total)]
    )
    return leaves(rng, places, 0.2, rng.uniform(0.55, 1.1, total))


def clump_tree(rng: np.random.Generator, height: float, total: int, share: float = 0.2) -> Mesh:
    """A tree of few large leaves without branches; `share` of its height is a leaf's size."""
    number = 6
    centres = rng.normal(0, 0.16 * height, (number, 3))
    centres[:, 2] = height * rng.uniform(0.35, 0.8, number)
    body = clumps(rng, centres, np.full(number, 0.26 * height), total, share * height)
    trunk = tube((0, 0, -0.3), (0, 0, 0.6 * height), (0.25, 0.1), 3, Material.BARK, BARKS[0])
    return Mesh.join([trunk, body])
