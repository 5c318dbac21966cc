"""Things near a kerb: trees, lamps, signs and street furniture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.lab.simulation.surroundings import poles, street_furniture, vegetation, yards
from metabev_ros.lab.simulation.surroundings.fences import run
from metabev_ros.lab.simulation.surroundings.overhead import hang_cables
from metabev_ros.lab.simulation.surroundings.recipe import Recipe, Season
from metabev_ros.lab.simulation.surroundings.site import Front
from metabev_ros.lab.simulation.surroundings.stage import Stage, Wish

_BACK = {
    'shelter',
    'bench',
    'cafe',
    'box',
    'poster',
    'stall',
    'statue',
    'planter',
    'skip',
    'billboard',
}
_BEYOND = {'bush', 'grass', 'rock', 'heap', 'billboard', 'young', 'pallet', 'log', 'board', 'skip'}
_LINES = {'low_iron', 'guard_rail'}


def pieces_of(kind: str) -> tuple[tuple[Mesh, ...], np.ndarray]:
    """Variants of a kind and the colours that they are painted in."""
    white = np.array([[255.0, 255, 255]])
    plants = {
        'bush': vegetation.bushes,
        'young': vegetation.young_trees,
        'grass': vegetation.grass_tufts,
        'log': vegetation.stumps,
    }
    posts = {
        'lamp': poles.lamps, 'tall_lamp': poles.tall_lamps, 'lantern': poles.lanterns,
        'sign': poles.signs, 'board': poles.boards, 'utility': poles.utility_poles,
        'mast': poles.masts,
    }  # fmt: skip
    if kind in plants:
        return plants[kind](), white
    if kind in posts:
        return posts[kind](), np.array([[200.0, 40, 40], [40, 80, 160], [240, 240, 236]])
    if kind == 'post':
        return (street_furniture.furniture()['bollard'][2],), white
    if kind in yards.PAINTS:
        return yards.yard()[kind], np.array(yards.PAINTS[kind], dtype=float)
    return street_furniture.furniture()[kind], np.array(street_furniture.PAINTS[kind], dtype=float)


def line_kerbs(
    rng: np.random.Generator, stage: Stage, front: Front, recipe: Recipe, season: Season
) -> None:
    """Stand things along one side of a road."""
    if front.is_main:
        _signals(rng, stage, front)
        if rng.uniform() < recipe.rail:
            _rail(rng, stage, front)
    _poles(rng, stage, front, recipe)
    if recipe.trees:
        _trees(rng, stage, front, recipe, season)
    for kind, spacing in recipe.along.items():
        if kind in _LINES:
            _stretches(rng, stage, front, kind, spacing)
        elif kind not in ('lamp', 'tall_lamp', 'lantern', 'utility'):
            _scatter(rng, stage, front, kind, spacing, season)


def _plain(pieces: Sequence[Mesh], xy: np.ndarray, yaw: np.ndarray) -> Wish:
    """Pieces of one size and their own colours near a kerb."""
    white = np.full((len(xy), 3), 255.0)
    return Wish(pieces, xy, yaw, np.ones(len(xy)), white, white, True)


def _far(kind: str) -> tuple[Mesh, ...] | None:
    return vegetation.far_bushes() if kind == 'bush' else None


def _places(rng: np.random.Generator, front: Front, spacing: float) -> np.ndarray:
    """Arc lengths with gaps of about `spacing`, drawn at random."""
    gaps = rng.exponential(spacing, int(2 * (front.s1 - front.s0) / spacing) + 4)
    s = front.s0 + np.cumsum(gaps)
    return s[s < front.s1]


def _scatter(
    rng: np.random.Generator, stage: Stage, front: Front, kind: str, spacing: float, season: Season
) -> None:
    s = _places(rng, front, spacing * (1.0 if front.is_main else 1.4))
    if kind in ('bollard', 'meter', 'post'):  # they come in rows
        s = (s[:, None] + np.arange(int(rng.integers(2, 7))) * rng.uniform(1.4, 3.0)).ravel()
    count = len(s)
    verge = front.walkway < 1.0
    near = np.full(count, 0.55) if not verge else rng.uniform(0.9, 2.5, count)
    back = front.walkway - rng.uniform(0.3, 0.9, count)
    d = np.where(rng.uniform(size=count) < 0.6, near, np.maximum(back, near))
    if kind in _BACK:
        d = np.maximum(front.walkway - 0.6, near)
    if kind in _BEYOND:
        d = front.walkway + rng.uniform(0.6, 4.0, count) + (verge * 1.5)
    xy, yaw = front.at(s, d)
    pieces, paints = pieces_of(kind)
    scale = rng.uniform(0.88, 1.14, count)
    plant = kind in ('bush', 'young', 'grass', 'planter')
    colour = paints[rng.integers(len(paints), size=count)]
    colour = np.clip(colour * rng.normal(1, 0.06, (count, 1)), 5, 255)
    trim = np.clip(colour * rng.uniform(0.5, 1.3, (count, 1)), 5, 255)
    if plant:
        colour = season.tints(rng, count)
        scale = rng.uniform(0.7, 1.3, count)
    if kind in ('bush', 'rock', 'heap', 'log', 'young', 'grass'):
        yaw = rng.uniform(0, 2 * np.pi, count)
    else:
        yaw = yaw + rng.normal(0, 0.04, count)
    stage.wish(Wish(pieces, xy, yaw, scale, colour, trim, True, far=_far(kind)))


def _stretches(
    rng: np.random.Generator, stage: Stage, front: Front, kind: str, spacing: float
) -> None:
    """Rails along the kerb here and there."""
    for start in _places(rng, front, spacing):
        s = np.arange(start, min(start + rng.uniform(6, 26), front.s1), 1.0)
        if len(s) > 3:
            run(rng, stage, kind, front.at(s, np.full(len(s), 0.4))[0])


def _rail(rng: np.random.Generator, stage: Stage, front: Front) -> None:
    s = np.arange(front.s0, front.s1, 1.0)
    order = s if front.side < 0 else s[::-1]
    run(
        rng,
        stage,
        'guard_rail',
        front.at(order, np.full(len(s), max(0.5, front.walkway - 0.3)))[0],
    )


def _trees(
    rng: np.random.Generator, stage: Stage, front: Front, recipe: Recipe, season: Season
) -> None:
    """Street trees at even distances, with gaps."""
    spacing = recipe.trees * rng.uniform(0.8, 1.25) * (1.0 if front.is_main else 1.3)
    s = np.arange(front.s0 + rng.uniform(0, spacing), front.s1, spacing)
    s = s + rng.normal(0, 0.05 * spacing, len(s))
    s = s[rng.uniform(size=len(s)) > 0.2]
    offset = 1.0 if rng.uniform() < 0.6 else front.walkway + 1.6
    pieces = vegetation.street_trees()
    if rng.uniform() < season.palms:
        pieces = vegetation.palms()
    elif rng.uniform() < season.bare:
        pieces = vegetation.bare_trees()
    else:  # few kinds for a street, as is planted
        pieces = vegetation.street_tree_sets()[int(rng.integers(4))]
    xy, _ = front.at(s, np.full(len(s), offset))
    yaw = rng.uniform(0, 2 * np.pi, len(s))
    scale = rng.uniform(0.8, 1.2, len(s))
    tints = season.tints(rng, len(s))
    stage.wish(Wish(pieces, xy, yaw, scale, tints, tints, True, False, vegetation.far_trees()))
    if season.litter:
        places = xy + rng.normal(0, 0.8, xy.shape)
        stage.wish(Wish(vegetation.litters(), places, yaw, scale, tints, tints, True, False))


def _poles(rng: np.random.Generator, stage: Stage, front: Front, recipe: Recipe) -> None:
    """Lamps at even distances; utility poles with cables from one to the next."""
    offset = 0.5 if front.walkway >= 1 else 1.6
    for kind in ('lamp', 'tall_lamp', 'lantern'):
        if kind not in recipe.along:
            continue
        spacing = recipe.along[kind] * rng.uniform(0.85, 1.2)
        s = np.arange(front.s0 + rng.uniform(0, spacing), front.s1, spacing)
        xy, yaw = front.at(s, np.full(len(s), offset))
        pieces, _ = pieces_of(kind)
        one = pieces[int(rng.integers(len(pieces)))]
        stage.stand(rng, _plain((one,), xy, yaw))
    if 'utility' in recipe.along and rng.uniform() < 0.6:
        _utility(rng, stage, front, recipe.along['utility'])


def _utility(rng: np.random.Generator, stage: Stage, front: Front, spacing: float) -> None:
    s = np.arange(front.s0 + rng.uniform(0, spacing), front.s1, spacing)
    xy, yaw = front.at(s, np.full(len(s), front.walkway + 0.5))
    stood = stage.stand(rng, _plain(poles.utility_poles(), xy, yaw))
    both = np.flatnonzero(stood[:-1] & stood[1:])
    if not len(both):
        return
    starts, ends = [], []
    for z in (8.75, 7.85):
        for y in (-0.9, -0.45, 0.45, 0.9):
            across = y * np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
            tip = np.column_stack([xy + across, stage.height(xy) + z])
            starts.append(tip[both])
            ends.append(tip[both + 1])
    sag = rng.uniform(0.4, 1.0)
    hang_cables(stage, np.concatenate(starts), np.concatenate(ends), sag)


def _signals(rng: np.random.Generator, stage: Stage, front: Front) -> None:
    """Traffic lights before the junctions of some roads; they face what comes."""
    if rng.uniform() < 0.4:
        return
    for at in front.junctions:
        if rng.uniform() < 0.35:
            continue
        lit = int(rng.integers(2)) * 2
        pieces = poles.signals()[lit : lit + 2]
        before = at + front.side * rng.uniform(6.4, 7.4)
        xy, yaw = front.at(np.array([before]), np.array([0.5]))
        stage.stand(rng, _plain((pieces[int(rng.integers(2))],), xy, yaw))
