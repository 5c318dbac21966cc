"""Things of building sites: huts, machines, heaps, scaffolds."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, Mesh
from metabev_ros.lab.simulation.surroundings.shapes import (
    box,
    heap,
    lathe,
    scaled,
    shifted,
    tube,
    upright,
)

_STEEL, _CONCRETE = (160, 164, 166), (168, 164, 156)


def site_things() -> tuple[Mesh, ...]:
    """Pipes, concrete rings and blocks, bricks, cable drums, a site cabin."""
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    pipe = lathe([(0.3, -1.5), (0.3, 1.5)], 10, Material.CONCRETE, _CONCRETE, cap=False).moved(
        turn
    )
    hollow = scaled(
        lathe([(0.24, -1.5), (0.24, 1.5)], 10, Material.CONCRETE, (100,) * 3, cap=False).moved(
            turn
        ),
        1,
        1,
        1,
    )
    both = Mesh.join([pipe, hollow])
    pipes = Mesh.join(
        [
            shifted(both, 0, y, z)
            for y, z in ((-0.62, 0.3), (0, 0.3), (0.62, 0.3), (-0.31, 0.83), (0.31, 0.83))
        ]
    )
    ring = Mesh.join(
        [
            lathe(
                [(0.75, 0), (0.75, 0.9), (0.62, 0.9), (0.62, 0.05)],
                14,
                Material.CONCRETE,
                _CONCRETE,
                cap=False,
            )
        ]
    )
    blocks = Mesh.join(
        [
            box(
                (x, -0.4, z),
                (x + 1.5, 0.4, z + 0.75),
                Material.CONCRETE,
                np.array(_CONCRETE) * s,
                bottom=True,
            )
            for x, z, s in ((-1.6, 0, 1.0), (0.0, 0, 0.92), (-0.8, 0.76, 1.05))
        ]
    )
    bricks = Mesh.join(
        [
            box((x, y, 0.12), (x + 0.95, y + 0.7, 1.0), Material.BRICK, (170, 96, 74))
            for x, y in ((-1.0, -0.4), (0.05, -0.35))
        ]
    )
    drum = Mesh.join(
        [
            lathe([(0.75, 0), (0.75, 0.08)], 12, Material.WOOD, (150, 120, 86)),
            lathe([(0.45, 0.08), (0.45, 0.7)], 10, Material.RUBBER, (40,) * 3),
            shifted(
                lathe([(0.75, 0), (0.75, 0.08)], 12, Material.WOOD, (150, 120, 86)), 0, 0, 0.7
            ),
        ]
    )
    cabin = Mesh.join(
        [
            box((-3.0, -1.2, 0.1), (3.0, 1.2, 2.7), Material.STEEL, slot=PRIMARY, bottom=True),
            upright(-2.2, -0.9, 1.1, 2.1, 1.21, Material.WINDOW, (64, 74, 80)),
            upright(0.6, 1.5, 0.15, 2.2, 1.21, Material.STEEL, (230,) * 3),
            *[
                box((x, -1.25, 0.1), (x + 0.1, 1.25, 2.7), Material.STEEL, (200,) * 3)
                for x in (-3.0, 2.9)
            ],
        ]
    )
    toilet = Mesh.join(
        [
            box((-0.55, -0.55, 0), (0.55, 0.55, 2.1), Material.PLASTIC, slot=PRIMARY),
            lathe([(0.6, 2.1), (0.4, 2.35)], 8, Material.PLASTIC, (220,) * 3),
        ]
    )
    return (
        pipes,
        shifted(ring, 0, 0, 0),
        blocks,
        bricks,
        drum,
        cabin,
        toilet,
        scaled(pipes, 1.2, 1, 1),
    )


@functools.lru_cache(maxsize=1)
def heaps() -> tuple[Mesh, ...]:
    """Heaps of soil, gravel and sand, from knee-high to a truck's size."""
    rng = np.random.default_rng(603)
    kinds = (
        (Material.SOIL, (112, 88, 64)),
        (Material.GRAVEL, (150, 146, 138)),
        (Material.SOIL, (176, 150, 110)),
        (Material.CONCRETE, (160, 152, 140)),
    )
    return tuple(
        scaled(heap(rng, r, h, *kinds[k % 4]), rng.uniform(0.9, 1.6), 1.0, 1.0)
        for k, (r, h) in enumerate(
            (
                (0.7, 0.5),
                (1.0, 0.8),
                (1.4, 1.1),
                (1.8, 1.5),
                (2.4, 1.7),
                (3.2, 2.6),
                (1.1, 0.45),
                (2.0, 1.3),
            )
        )
    )


@functools.lru_cache(maxsize=1)
def scaffold() -> Mesh:
    """A unit of scaffolding 2.5 x 1 m and 2 m high, with boards, on its front netting in part."""
    parts = [
        tube((x, y, 0), (x, y, 2.0), (0.03, 0.03), 4, Material.STEEL, _STEEL)
        for x in (0.0, 2.5)
        for y in (0.1, 1.0)
    ]
    for z in (1.0, 1.96):
        parts.append(tube((0, 1.0, z), (2.5, 1.0, z), (0.025, 0.025), 4, Material.STEEL, _STEEL))
    parts.append(tube((0, 1.0, 0), (2.5, 1.0, 2.0), (0.025, 0.025), 4, Material.STEEL, _STEEL))
    parts.append(
        box((0, 0.15, 1.9), (2.5, 0.95, 1.95), Material.WOOD, (160, 130, 90), bottom=True)
    )
    return Mesh.join(parts)
