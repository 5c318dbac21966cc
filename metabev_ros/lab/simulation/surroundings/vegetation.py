"""Variants of porous plants: trees, conifers, palms, bushes, hedges, grass."""

from __future__ import annotations

import functools

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.surroundings.plants import (
    BARKS,
    bare,
    broadleaf,
    bush,
    clump_tree,
    conifer,
    grass_tuft,
    hedge_panel,
    ivy_panel,
    litter,
    palm,
)
from metabev_ros.lab.simulation.surroundings.shapes import lathe, shifted, tube


@functools.lru_cache(maxsize=1)
def street_trees() -> tuple[Mesh, ...]:
    """Trees of cities: a clear stem of 2.2 to 4.5 m."""
    rng = np.random.default_rng(101)
    found = []
    for k in range(12):
        height = rng.uniform(5.5, 11.5)
        stem = rng.uniform(2.2, 2.8) if k % 2 else rng.uniform(3.0, 4.4)
        wide = rng.uniform(0.42, 0.7) * height
        bark = BARKS[int(rng.integers(4))]
        found.append(
            broadleaf(rng, height, min(stem, 0.5 * height), wide, 680, 0.22 + 0.018 * height, bark)
        )
    return tuple(found)


@functools.lru_cache(maxsize=1)
def street_tree_sets() -> tuple[tuple[Mesh, ...], ...]:
    """Three of `street_trees` each, as they are planted along one street."""
    every = street_trees()
    return tuple(every[3 * k : 3 * k + 3] for k in range(4))


@functools.lru_cache(maxsize=1)
def young_trees() -> tuple[Mesh, ...]:
    """Person-sized to 4 m: a thin stem and a small crown."""
    rng = np.random.default_rng(102)
    return tuple(broadleaf(rng, h, 0.45 * h, 0.4 * h, 170, 0.2) for h in rng.uniform(1.7, 4.2, 6))


@functools.lru_cache(maxsize=1)
def park_trees() -> tuple[Mesh, ...]:
    """Free-standing trees, crowns low and wide or slender."""
    rng = np.random.default_rng(103)
    found = []
    for k in range(8):
        height = rng.uniform(6, 15)
        slender = k % 4 == 3
        wide = height * (rng.uniform(0.18, 0.25) if slender else rng.uniform(0.55, 0.9))
        stem = height * (0.08 if slender else rng.uniform(0.15, 0.3))
        found.append(broadleaf(rng, height, stem, wide, 760, 0.24 + 0.022 * height, BARKS[k % 4]))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def far_trees() -> tuple[Mesh, ...]:
    """Broad-leaved trees and conifers with few large leaves, for what is far away."""
    rng = np.random.default_rng(104)
    broad = [clump_tree(rng, h, 200, 0.13) for h in rng.uniform(6, 14, 7)]
    cones = [conifer(rng, h, 0.38 * h, 110, 1.0) for h in rng.uniform(8, 16, 2)]
    return (*broad, *cones)


@functools.lru_cache(maxsize=1)
def far_bushes() -> tuple[Mesh, ...]:
    """Bushes with few large leaves."""
    rng = np.random.default_rng(113)
    return tuple(bush(rng, h, 46, 1.7) for h in (0.6, 0.9, 1.3, 1.8, 2.4, 3.0))


@functools.lru_cache(maxsize=1)
def conifers() -> tuple[Mesh, ...]:
    """Spruces, cypresses and small ones."""
    rng = np.random.default_rng(105)
    return tuple(
        conifer(rng, h, w * h, 620, 0.36 + 0.03 * h)
        for h, w in ((14, 0.36), (10, 0.4), (7, 0.45), (4.5, 0.5), (7, 0.2), (2.4, 0.3))
    )


@functools.lru_cache(maxsize=1)
def palms() -> tuple[Mesh, ...]:
    """Palms of 4 to 10 m."""
    rng = np.random.default_rng(106)
    return tuple(palm(rng, h) for h in (4.6, 6.5, 8.0, 10.0))


@functools.lru_cache(maxsize=1)
def bare_trees() -> tuple[Mesh, ...]:
    """Trees in winter, and dead ones."""
    rng = np.random.default_rng(107)
    return tuple(bare(rng, h) for h in (4.0, 6.5, 9.0, 11.0))


@functools.lru_cache(maxsize=1)
def bushes() -> tuple[Mesh, ...]:
    """Bushes of 0.5 to 3 m: from a cat's to a van's size."""
    rng = np.random.default_rng(108)
    heights = (0.5, 0.7, 0.9, 1.1, 1.4, 1.7, 2.0, 2.4, 2.8, 3.2)
    return tuple(bush(rng, h, int(90 + 60 * h)) for h in heights)


@functools.lru_cache(maxsize=1)
def hedge_panels() -> tuple[Mesh, ...]:
    """Three cuts of a hedge."""
    rng = np.random.default_rng(109)
    return tuple(hedge_panel(rng) for _ in range(3))


@functools.lru_cache(maxsize=1)
def grass_tufts() -> tuple[Mesh, ...]:
    """Tufts of tall grass."""
    rng = np.random.default_rng(110)
    return tuple(grass_tuft(rng, n) for n in (14, 18, 24))


@functools.lru_cache(maxsize=1)
def litters() -> tuple[Mesh, ...]:
    """Patches of fallen leaves."""
    rng = np.random.default_rng(111)
    return tuple(litter(rng, 26) for _ in range(3))


@functools.lru_cache(maxsize=1)
def ivy_panels() -> tuple[Mesh, ...]:
    """Patches of ivy."""
    rng = np.random.default_rng(112)
    return tuple(ivy_panel(rng) for _ in range(2))


@functools.lru_cache(maxsize=1)
def stumps() -> tuple[Mesh, ...]:
    """Stumps and felled trunks."""
    stump = lathe([(0.35, -0.1), (0.27, 0.15), (0.25, 0.5)], 8, Material.BARK, BARKS[0])
    log = tube((-1.6, 0, 0.22), (1.6, 0, 0.22), (0.22, 0.18), 8, Material.BARK, BARKS[2])
    return stump, log, Mesh.join([log, shifted(log, 0.1, 0.42, 0.0)])
