"""Colours and styles of one world's ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SurfaceLook:
    """Look of the ground.

    Attributes:
        colours: (5, 3) float32 RGB of road, kerb, pavement, grass and car park.
        dry_grass, soil, white, yellow: (3,) float32 RGB; the last two of paint.
        kerb_paint: (3,) float32 RGB of every other pair of a kerb's stones.
        kerb_width: metres of a kerb's stone.
        strip: metres of grass between a kerb and its walkway, 0 for none.
        dirt: darkness of the gutters, 0..1.
        dryness: share of the grass that is dry, 0..1.
        bare: deviations of the noise above which there is soil instead of grass.
        grain: strength of the asphalt's grain.
        cracked: how much of the road is cracked, about -1..0.5.
        ruts: strength of the wheels' tracks; rut_tone: whether they are lighter or darker.
        paint_wear: 0 new to 1 worn.
        paved_parks: car parks have slabs.
        slab: (2,) metres of a slab along and across; 0 for asphalt.
        joint: darkness of the joints; unlike: deviation of the slabs' brightness.
        bond: shift of every other row of slabs, as a share of their length.
    """

    colours: np.ndarray
    dry_grass: np.ndarray
    soil: np.ndarray
    white: np.ndarray
    yellow: np.ndarray
    kerb_paint: np.ndarray
    kerb_width: float
    strip: float
    dirt: float
    dryness: float
    bare: float
    grain: float
    cracked: float
    ruts: float
    rut_tone: float
    paint_wear: float
    paved_parks: bool
    slab: np.ndarray
    joint: float
    unlike: float
    bond: float

    def stones(self, along: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N, 3) float32 colours of a kerb: stones of a metre with joints between, maybe painted.

        Every other stone, or pair of them, has the colour `kerb_paint`.
        """
        number = np.floor(along)
        near = 0.5 - np.abs(along - number - 0.5)
        wide = np.maximum(footprint, np.float32(0.012))
        shown = np.clip(1.2 - near / wide, 0, 1) * np.clip(0.012 / wide, 0.1, 1)
        factor = (1 - 0.5 * shown) * (1 + self.unlike * _random(number * 78.233))
        turn = np.floor(along * np.float32(0.5)) % 2
        fade = np.clip(0.5 / np.maximum(wide, 0.25) - 0.25, 0, 1)  # from afar both mix
        share = (0.5 + (turn - 0.5) * fade)[:, None]
        stone = self.colours[1] + share * (self.kerb_paint - self.colours[1])
        return (stone * factor[:, None]).astype(np.float32)

    def slabs(self, along: np.ndarray, across: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """(N,) float32 factors of paved ground: joints, and slabs that are not alike."""
        if not self.slab[0]:
            return np.ones(len(along), dtype=np.float32)
        row = np.floor(across / np.float32(self.slab[1]))
        x = along / np.float32(self.slab[0]) + (row % 2) * np.float32(self.bond)
        column = np.floor(x)
        # Metres to the nearest joint along and across.
        u = np.abs(x - column - 0.5)
        v = np.abs(across / np.float32(self.slab[1]) - row - 0.5)
        near = np.minimum((0.5 - u) * self.slab[0], (0.5 - v) * self.slab[1])
        wide = np.maximum(footprint, 0.008)
        shown = np.clip(1.2 - near / wide, 0, 1) * np.clip(0.008 / wide, 0.08, 1)
        random = _random(row * 12.9898 + column * 78.233)
        fade = np.clip(self.slab.min() / (4 * wide), 0, 1)
        return ((1 - self.joint * shown) * (1 + self.unlike * random * fade)).astype(np.float32)


def _random(number: np.ndarray) -> np.ndarray:
    """Values -0.5..0.5 that look random, the same for equal numbers."""
    value = np.sin(number) * 43758.5453
    return value - np.floor(value) - 0.5


def draw_look(rng: np.random.Generator) -> SurfaceLook:
    """The look of one world."""
    asphalt = rng.uniform(66, 128) * (1 + rng.normal(0.008, 0.015) * np.array([1.0, 0.1, -1.0]))
    kind = int(rng.choice(4, p=[0.4, 0.2, 0.25, 0.15]))  # gray, red-brown, concrete, asphalt
    pavement = (
        rng.uniform(118, 168) * np.array([1.03, 1.0, 0.96]),
        rng.uniform(0.8, 1.1) * np.array([158, 118, 100]),
        rng.uniform(140, 182) * np.array([1.01, 1.0, 0.96]),
        rng.uniform(80, 120) * np.array([1.0, 1.0, 1.0]),
    )[kind]
    slab = (
        rng.uniform(0.3, 0.6, 2),
        np.array([0.2, 0.1]) * rng.uniform(1, 1.5),
        rng.uniform(1.2, 2.4, 2),
        np.zeros(2),
    )[kind]
    kerb = rng.uniform(126, 186) * np.array([1.01, 1.0, 0.97])
    # Bare stone, black and white, yellow, red and white.
    paints = (kerb, np.array([38, 38, 40]), np.array([206, 166, 58]), np.array([170, 52, 44]))
    painted = int(rng.choice(4, p=[0.73, 0.15, 0.1, 0.02]))
    if painted in (1, 3):
        kerb = np.array([196, 195, 190])
    grass = np.array([84, 96, 54]) * rng.uniform(0.7, 1.05) * (1 + rng.normal(0, 0.05, 3))
    return SurfaceLook(
        np.stack(
            [
                asphalt,
                kerb,
                pavement,
                grass,
                asphalt * rng.uniform(0.85, 1.2),
            ]
        ).astype(np.float32),
        (np.array([158, 142, 92]) * rng.uniform(0.85, 1.1)).astype(np.float32),
        (np.array([118, 96, 72]) * rng.uniform(0.75, 1.15)).astype(np.float32),
        (np.array([224, 223, 216]) * rng.uniform(0.88, 1.05)).astype(np.float32),
        (np.array([216, 168, 52]) * rng.uniform(0.88, 1.08)).astype(np.float32),
        paints[painted].astype(np.float32),
        rng.uniform(0.12, 0.24),
        rng.uniform(0.6, 1.4) if rng.uniform() < 0.35 else 0.0,
        rng.uniform(0.05, 0.35),
        rng.uniform(0.0, 0.75) ** 1.5,
        rng.uniform(0.9, 2.6),
        rng.uniform(0.4, 0.9),
        rng.uniform(-1.5, 0.2),
        rng.uniform(0.01, 0.07),
        rng.choice([-1.0, 1.0]),
        rng.uniform(0.05, 0.75),
        bool(kind == 1 and rng.uniform() < 0.5),
        slab.astype(np.float32),
        rng.uniform(0.25, 0.6),
        rng.uniform(0.04, 0.16),
        float(rng.choice([0.0, 0.5])),
    )
