"""Roads by the kind of place: cross-sections, bends, and streets that meet them at any angle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.datasets.synthetic.roads import (
    MARGIN,
    STEP,
    Path,
    RoadNetwork,
    Section,
    SideStreet,
    integrate,
)
from metabev_ros.lab.simulation.style import Style


@dataclass(frozen=True)
class RoadHabits:
    """Roads of a kind of place.

    Attributes:
        lanes: (right, left, share) of the cross-sections.
        lane_width: metres, lowest and highest; so are the next three.
        parking: strip beside the lanes where vehicles park.
        shoulder: strip where they do not.
        walkway: metres.
        parks: share of the roads with a parking strip.
        radius: of bends, metres.
        bends: share of the roads that bend.
        spacing: metres between side streets; None for none.
        speed: m/s of the traffic.
        turns: share of the drives that turn at a crossing.
    """

    lanes: tuple[tuple[int, int, float], ...]
    lane_width: tuple[float, float]
    parking: tuple[float, float]
    shoulder: tuple[float, float]
    walkway: tuple[float, float]
    parks: float
    radius: tuple[float, float]
    bends: float
    spacing: tuple[float, float] | None
    speed: tuple[float, float]
    turns: float


HABITS = {
    Style.DOWNTOWN: RoadHabits(
        ((1, 1, 0.25), (2, 2, 0.25), (2, 1, 0.1),
         (3, 2, 0.1), (2, 0, 0.12), (3, 0, 0.1), (1, 0, 0.08)),
        (3.0, 3.5), (2.2, 2.8), (0.2, 0.6), (2.2, 5.5),
        0.65, (40, 120), 0.3, (50, 105), (4, 12), 0.4,
    ),
    Style.RESIDENTIAL: RoadHabits(
        ((1, 1, 0.9), (1, 0, 0.1)),
        (2.7, 3.2), (2.0, 2.4), (0.2, 0.5), (1.3, 2.4),
        0.65, (28, 110), 0.75, (40, 95), (3, 10), 0.4,
    ),
    Style.ARTERIAL: RoadHabits(
        ((2, 2, 0.4), (3, 3, 0.4), (4, 4, 0.08), (3, 2, 0.12)),
        (3.2, 3.7), (2.3, 2.7), (0.3, 1.5), (1.8, 3.5),
        0.2, (150, 500), 0.3, (80, 200), (8, 17), 0.25,
    ),
    Style.INDUSTRIAL: RoadHabits(
        ((1, 1, 0.7), (2, 2, 0.3)),
        (3.4, 4.0), (3.0, 3.6), (0.4, 1.0), (0.0, 2.0),
        0.5, (40, 150), 0.35, (60, 150), (4, 13), 0.35,
    ),
    Style.RURAL: RoadHabits(
        ((1, 1, 1.0),),
        (2.8, 3.5), (2.2, 2.4), (0.3, 1.2), (0.0, 0.0),
        0.0, (60, 300), 0.8, (110, 380), (10, 22), 0.12,
    ),
    Style.MOTORWAY: RoadHabits(
        ((2, 0, 0.4), (3, 0, 0.45), (4, 0, 0.15)),
        (3.5, 3.75), (2.5, 3.0), (1.2, 3.0), (0.0, 0.0),
        0.0, (500, 1500), 0.5, None, (20, 32), 0.0,
    ),
    Style.CAR_PARK: RoadHabits(
        ((1, 1, 0.6), (2, 2, 0.4)),
        (3.0, 3.5), (2.2, 2.6), (0.2, 0.6), (1.5, 3.0),
        0.2, (200, 500), 0.0, (90, 160), (5, 13), 0.0,
    ),
}  # fmt: skip


def draw_section(rng: np.random.Generator, style: Style) -> tuple[Section, bool]:
    """A cross-section of this kind of place, and whether vehicles park in its strips."""
    habits = HABITS[style]
    shares = np.array([share for *_, share in habits.lanes])
    right, left, _ = habits.lanes[int(rng.choice(len(shares), p=shares / shares.sum()))]
    parks = bool(rng.uniform() < habits.parks)
    strip = rng.uniform(*(habits.parking if parks else habits.shoulder))
    walkway = rng.uniform(*habits.walkway)
    return Section(rng.uniform(*habits.lane_width), right, left, strip, walkway), parks


def draw_path(
    rng: np.random.Generator,
    style: Style,
    point: np.ndarray,
    heading: float,
    length: float,
    straight: Sequence[float] = (),
) -> Path:
    """A road through `point` at arc length 0, MARGIN longer than `length` at both ends.

    Args:
        straight: arc lengths around which it must not bend.
    """
    habits = HABITS[style]
    count = int(np.ceil((length + 2 * MARGIN) / STEP)) + 1
    s = np.arange(count) * STEP - MARGIN
    curvature = np.zeros(count)
    if rng.uniform() < habits.bends:
        curvature = _bends(rng, s, habits.radius)
    for at in straight:
        curvature *= np.clip((np.abs(s - at) - 28.0) / 10.0, 0, 1)
    turned = np.cumsum(curvature) * STEP
    limit = np.deg2rad(80)
    curvature *= min(1.0, 2 * limit / max(np.ptp(turned), 1e-6))
    before = float((curvature * (s < 0)).sum() * STEP)
    path = integrate(-MARGIN, np.zeros(2), heading - before, curvature)
    x, y = path.pose(0.0, 0.0)[:2]
    return Path(-MARGIN, path.xy - np.array([float(x), float(y)]) + point, path.heading)


def _bends(rng: np.random.Generator, s: np.ndarray, radius: tuple[float, float]) -> np.ndarray:
    """Curvature of bends that mostly alternate."""
    curvature = np.zeros(len(s))
    cursor, sign = s[0] + rng.uniform(0, 60), rng.choice([-1, 1])
    while cursor < s[-1]:
        bend = float(np.exp(rng.uniform(*np.log(radius))))
        span = min(np.deg2rad(rng.uniform(12, 75)) * bend / 0.75, 150.0)
        at = s - cursor
        curvature += sign * np.clip(np.minimum(at, span - at) / (0.25 * span), 0, 1) / bend
        cursor += span + rng.uniform(10, 90)
        sign = -sign if rng.uniform() < 0.75 else sign
    return curvature


def draw_network(
    rng: np.random.Generator,
    style: Style,
    main: Path,
    length: float,
    section: Section,
    crossings: Sequence[tuple[float, float]] = (),
    others: Sequence[np.ndarray] = (),
    sides: Sequence[int] = (1, -1),
) -> RoadNetwork:
    """A main road with side streets.

    Args:
        crossings: (s, half width) where other main roads cross it; no side street is near.
        others: (N, 2) lines of roads that its side streets must end before.
        sides: where side streets may leave it.
    """
    spacing = HABITS[style].spacing
    junctions, streets = list(crossings), []
    s = main.start + rng.uniform(10, 80)
    while spacing is not None and s < main.end - 15:
        half = rng.uniform(2.9, 4.6)
        bend = np.abs(main.pose(np.linspace(s - 14, s + 14, 11), 0.0)[3]).max()
        if bend > 0.012 or any(abs(s - at) < 40 for at, _ in crossings):
            s += 8.0
            continue
        angle = float(np.clip(rng.normal(0, 0.22), -0.45, 0.45)) if rng.uniform() < 0.5 else 0.0
        both = len(sides) == 2 and rng.uniform() < 0.4
        for side in sides if both else (int(rng.choice(sides)),):
            lines = [*others, *(street.path.xy for street in streets)]
            streets.append(_side_street(rng, style, main, s, side, half, section, angle, lines))
        junctions.append((s, half))
        s += rng.uniform(*spacing)
    return RoadNetwork(
        main,
        length,
        section.lanes_right,
        section.lanes_left,
        section.lane_width,
        section.strip,
        section.walkway,
        tuple(sorted(junctions)),
        tuple(streets),
    )


def _side_street(
    rng: np.random.Generator,
    style: Style,
    main: Path,
    at: float,
    side: int,
    half: float,
    section: Section,
    angle: float,
    others: Sequence[np.ndarray],
) -> SideStreet:
    x, y, heading, _ = main.pose(at, 0.0)
    length = rng.uniform(45, 90) if style is Style.RESIDENTIAL else 85.0
    edge = section.edges[side] / np.cos(angle) + half * abs(np.tan(angle))
    count = int(length / STEP) + 1
    bend = np.zeros(count)
    tightest = 40.0 if style is Style.RESIDENTIAL else 120.0
    bend[min(int((edge + 10) / STEP), count) :] = rng.uniform(-1, 1) / tightest
    path = integrate(0.0, np.array([x, y]), float(heading + side * np.pi / 2 + angle), bend)
    far = main.xy[np.abs(main.start + np.arange(len(main.xy)) * STEP - at) > 50]
    far = np.concatenate([far, *others])
    usable = len(path.xy)
    if len(far):
        clear = np.linalg.norm(path.xy[::4, None] - far[None, ::8], axis=-1).min(axis=1) > 26
        clear[: int(edge / STEP / 4) + 2] = True
        usable = usable if clear.all() else 4 * int(np.argmin(clear))
    return SideStreet(path, at, side, half, edge, max(min(length, usable * STEP), edge + 6))
