"""Houses with gardens, garages and porches, and halls of industry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.surroundings import facades
from metabev_ros.lab.simulation.surroundings.buildings import (
    Frame,
    build_volume,
    flat_roof,
    pitched_roof,
    put,
)
from metabev_ros.lab.simulation.surroundings.looks import Look
from metabev_ros.lab.simulation.surroundings.stage import Stage


def build_house(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    look: Look,
    detail: int,
) -> None:
    """A house of one or two floors under a pitched roof, with a porch, a wing and a garage."""
    look = replace(
        look, ground=('window', 'window', 'wall', 'bay'), storey=rng.uniform(2.6, 3.0), balcony=''
    )
    wing = rng.uniform(2.8, 3.6) if rng.uniform() < 0.55 else 0.0
    w, d = size[0] - wing, size[1]
    middle = (-wing / 2, 0.0)
    floors = 1 if rng.uniform() < 0.4 else 2
    top = build_volume(rng, stage, frame, (w, d), floors, look, detail, 0.0, middle)
    pitched_roof(rng, stage, frame, (w, d), top, look, middle)
    if wing:
        deep = d * rng.uniform(0.5, 0.8)
        place = (size[0] / 2 - wing / 2, (d - deep) / 2 - rng.uniform(0, 1.5))
        garage = replace(look, ground=('gate',), bay=wing, storey=2.6)
        high = build_volume(rng, stage, frame, (wing, deep), 1, garage, min(detail, 1), 0.0, place)
        finish = flat_roof if rng.uniform() < 0.5 else pitched_roof
        finish(rng, stage, frame, (wing, deep), high, look, place)
    if rng.uniform() < 0.6:
        _porch(rng, stage, frame, middle[0] + rng.uniform(-0.2, 0.2) * w, d / 2, look)


def _porch(
    rng: np.random.Generator, stage: Stage, frame: Frame, x: float, y: float, look: Look
) -> None:
    wide, deep, high = rng.uniform(1.8, 4.5), rng.uniform(1.2, 2.2), rng.uniform(2.3, 2.7)
    put(stage, frame, 'slab', (x, y + deep / 2, 0.22), (wide, deep, 1), look)
    put(stage, frame, 'step', (x, y + deep / 2, -0.4), (wide, deep, 0.62), look)
    put(stage, frame, 'step', (x, y + deep + 0.3, -0.4), (0.5 * wide, 0.6, 0.5), look)
    for side in (-1, 1):
        place = (x + side * (wide / 2 - 0.1), y + deep - 0.12, 0.2)
        put(stage, frame, 'post', place, (0.14, 0.14, high - 0.2), look, look.trim)
    put(stage, frame, 'gable', (x, y + deep / 2, high), (wide, deep, 0.5), look)


def build_hall(
    rng: np.random.Generator,
    stage: Stage,
    frame: Frame,
    size: tuple[float, float],
    look: Look,
    detail: int,
) -> None:
    """A hall of sheet metal or brick with gates, a loading dock and an office at its front."""
    metal = rng.uniform() < 0.65
    high = rng.uniform(5.5, 9.5)
    names = (
        ('corrugated', 'corrugated', 'gate', 'high')
        if metal
        else ('wall', 'high', 'gate', 'graffiti')
    )
    if metal:
        tone = np.array(
            ((176, 182, 188), (120, 140, 160), (206, 204, 196), (110, 124, 110), (150, 90, 76))
        )
        look = replace(
            look, wall=tone[int(rng.integers(5))] * rng.uniform(0.85, 1.1), material=Material.STEEL
        )
    single = facades.single_panels()
    pieces = {
        'corrugated': single['corrugated'], 'gate': single['gate'], 'wall': single['wall'],
        'high': single['high_window'], 'graffiti': single['graffiti'],
    }  # fmt: skip
    normals = ((0, 1), (1, 0), (0, -1), (-1, 0))
    starts = ((-1, 1), (1, 1), (1, -1), (-1, -1))
    for side in range(4):
        length = size[side % 2]
        number = max(1, round(length / 4.5))
        pool = names if side == 0 or rng.uniform() < 0.4 else (names[0], names[0], names[3])
        drawn = rng.integers(len(pool), size=number)
        normal = np.array(normals[side], dtype=float)
        along = np.array([normal[1], -normal[0]])
        corner = np.array(starts[side]) * np.array(size) / 2
        maps = np.zeros((number, 3, 4))
        maps[:, :2, 0] = along * length / number
        maps[:, :2, 1] = normal
        maps[:, 2, 2] = high + 0.8
        maps[:, :2, 3] = corner + along * (np.arange(number) * length / number)[:, None]
        maps[:, 2, 3] = -0.8
        world = frame.world(maps)
        for k, name in enumerate(pool):
            stage.add(pieces[name], world[drawn == k], look.wall, look.trim, int(look.material))
    if rng.uniform() < 0.5:
        flat_roof(rng, stage, frame, size, high, look)
    else:
        put(stage, frame, 'gable', (0, 0, high), (size[0], size[1], 0.14 * size[1]), look)
        put(stage, frame, 'ends', (0, 0, high), (size[0], size[1], 0.14 * size[1]), look)
    if rng.uniform() < 0.6 and detail:
        office = (min(8.0, 0.4 * size[0]), 4.0)
        place = (rng.uniform(-0.25, 0.25) * size[0], size[1] / 2 + 2.0)
        cabin = replace(look, ground=('window', 'door'), storey=3.0, material=Material.PLASTER)
        top = build_volume(rng, stage, frame, office, 1, cabin, detail, 0.0, place)
        flat_roof(rng, stage, frame, office, top, cabin, place)
