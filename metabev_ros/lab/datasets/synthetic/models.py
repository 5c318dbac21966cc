"""Shapes of the objects: every class is a handful of cuboids inside its box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.structures import DETECTION_CLASSES

# Mean length, width, height in metres of the nuScenes annotations, in DETECTION_CLASSES order.
MEAN_SIZES = np.array(
    [
        [4.63, 1.97, 1.74],
        [6.93, 2.51, 2.84],
        [6.37, 2.85, 3.19],
        [10.5, 2.94, 3.47],
        [12.29, 2.90, 3.87],
        [0.50, 2.53, 0.98],
        [2.11, 0.77, 1.47],
        [1.70, 0.60, 1.28],
        [0.73, 0.67, 1.77],
        [0.41, 0.41, 1.07],
    ]
)
SIZE_SPREAD = np.array(
    [
        [0.08, 0.05, 0.08],
        [0.15, 0.06, 0.12],
        [0.12, 0.06, 0.10],
        [0.08, 0.02, 0.06],
        [0.08, 0.02, 0.06],
        [0.08, 0.08, 0.06],
        [0.08, 0.08, 0.06],
        [0.06, 0.08, 0.08],
        [0.10, 0.10, 0.07],
        [0.08, 0.08, 0.12],
    ]
)
CLASS_INDEX = {name: index for index, name in enumerate(DETECTION_CLASSES)}

_DARK, _GLASS, _STEEL = (28, 28, 30), (38, 48, 60), (120, 122, 126)
_RED, _WHITE, _ORANGE = (190, 35, 30), (225, 225, 220), (235, 95, 20)
_LAMP, _SKIN = (240, 238, 215), (196, 150, 120)
BODY, LEGS = None, 'legs'  # colour drawn for each instance

# Reflectivity for the LiDAR, 0..255.
_METAL, _RUBBER, _CLOTH, _RETRO, _WINDOW = 60, 8, 30, 210, 12

# class: rows of (x0, x1, y0, y1, z0, z1 as shares of the box; colour; reflectivity); x and y
# from -0.5 to 0.5, z from 0 to 1.
_PARTS = {
    'car': [
        (-0.48, 0.48, -0.46, 0.46, 0.00, 0.20, _DARK, _RUBBER),
        (-0.49, 0.49, -0.5, 0.5, 0.16, 0.58, BODY, _METAL),
        (-0.34, 0.22, -0.44, 0.44, 0.58, 0.90, _GLASS, _WINDOW),
        (-0.30, 0.12, -0.43, 0.43, 0.90, 1.0, BODY, _METAL),
        (0.49, 0.5, -0.46, -0.26, 0.40, 0.50, _LAMP, _RETRO),
        (0.49, 0.5, 0.26, 0.46, 0.40, 0.50, _LAMP, _RETRO),
        (-0.5, -0.49, -0.46, -0.28, 0.42, 0.54, _RED, _RETRO),
        (-0.5, -0.49, 0.28, 0.46, 0.42, 0.54, _RED, _RETRO),
    ],
    'truck': [
        (-0.48, 0.48, -0.42, 0.42, 0.02, 0.22, _DARK, _RUBBER),
        (-0.5, 0.20, -0.5, 0.5, 0.20, 1.0, _WHITE, _METAL),
        (0.22, 0.5, -0.46, 0.46, 0.12, 0.48, BODY, _METAL),
        (0.24, 0.49, -0.45, 0.45, 0.48, 0.68, _GLASS, _WINDOW),
        (0.22, 0.48, -0.46, 0.46, 0.68, 0.78, BODY, _METAL),
        (-0.40, -0.22, -0.47, 0.47, 0.0, 0.22, _DARK, _RUBBER),
        (0.26, 0.40, -0.47, 0.47, 0.0, 0.2, _DARK, _RUBBER),
    ],
    'construction_vehicle': [
        (-0.36, 0.30, -0.5, -0.28, 0.0, 0.26, _DARK, _RUBBER),
        (-0.36, 0.30, 0.28, 0.5, 0.0, 0.26, _DARK, _RUBBER),
        (-0.5, 0.14, -0.42, 0.42, 0.24, 0.56, BODY, _METAL),
        (-0.30, 0.02, -0.40, 0.10, 0.56, 0.92, _GLASS, _WINDOW),
        (-0.32, 0.04, -0.42, 0.12, 0.92, 1.0, BODY, _METAL),
        (0.06, 0.40, 0.16, 0.30, 0.56, 0.80, BODY, _METAL),
        (0.32, 0.42, 0.16, 0.30, 0.20, 0.72, BODY, _METAL),
        (0.34, 0.5, -0.02, 0.42, 0.0, 0.24, _STEEL, _METAL),
    ],
    'bus': [
        (-0.48, 0.48, -0.46, 0.46, 0.0, 0.14, _DARK, _RUBBER),
        (-0.5, 0.5, -0.5, 0.5, 0.10, 0.42, BODY, _METAL),
        (-0.495, 0.495, -0.49, 0.49, 0.42, 0.74, _GLASS, _WINDOW),
        (-0.5, 0.5, -0.5, 0.5, 0.74, 1.0, BODY, _METAL),
        (-0.34, -0.22, -0.5, 0.5, 0.0, 0.16, _DARK, _RUBBER),
        (0.22, 0.34, -0.5, 0.5, 0.0, 0.16, _DARK, _RUBBER),
    ],
    'trailer': [
        (-0.46, -0.14, -0.44, 0.44, 0.0, 0.24, _DARK, _RUBBER),
        (0.22, 0.26, -0.30, 0.30, 0.0, 0.24, _STEEL, _METAL),
        (-0.5, 0.5, -0.5, 0.5, 0.22, 1.0, BODY, _METAL),
        (-0.5, -0.495, -0.48, 0.48, 0.14, 0.20, _RED, _RETRO),
    ],
    'barrier': [
        (-0.5, 0.5, -0.5, 0.5, 0.0, 0.16, _STEEL, _METAL),
        (-0.30, 0.30, -0.5, -0.25, 0.16, 1.0, _RED, _RETRO),
        (-0.30, 0.30, -0.25, 0.0, 0.16, 1.0, _WHITE, _RETRO),
        (-0.30, 0.30, 0.0, 0.25, 0.16, 1.0, _RED, _RETRO),
        (-0.30, 0.30, 0.25, 0.5, 0.16, 1.0, _WHITE, _RETRO),
    ],
    'motorcycle': [
        (-0.5, -0.22, -0.12, 0.12, 0.0, 0.42, _DARK, _RUBBER),
        (0.22, 0.5, -0.12, 0.12, 0.0, 0.42, _DARK, _RUBBER),
        (-0.36, 0.34, -0.24, 0.24, 0.26, 0.56, BODY, _METAL),
        (0.18, 0.28, -0.5, 0.5, 0.60, 0.70, _STEEL, _METAL),
        (-0.20, 0.08, -0.32, 0.32, 0.50, 0.86, LEGS, _CLOTH),
        (-0.10, 0.06, -0.17, 0.17, 0.85, 1.0, _DARK, _CLOTH),
    ],
    'bicycle': [
        (-0.5, -0.10, -0.07, 0.07, 0.0, 0.46, _DARK, _RUBBER),
        (0.12, 0.5, -0.07, 0.07, 0.0, 0.46, _DARK, _RUBBER),
        (-0.28, 0.30, -0.09, 0.09, 0.28, 0.52, BODY, _METAL),
        (0.20, 0.28, -0.5, 0.5, 0.56, 0.64, _STEEL, _METAL),
        (-0.20, 0.10, -0.36, 0.36, 0.50, 0.85, LEGS, _CLOTH),
        (-0.10, 0.08, -0.19, 0.19, 0.84, 1.0, _SKIN, _CLOTH),
    ],
    'pedestrian': [
        (-0.40, 0.28, 0.04, 0.34, 0.0, 0.47, LEGS, _CLOTH),
        (-0.28, 0.40, -0.34, -0.04, 0.0, 0.47, LEGS, _CLOTH),
        (-0.30, 0.30, -0.36, 0.36, 0.45, 0.84, BODY, _CLOTH),
        (-0.5, 0.5, -0.5, -0.36, 0.46, 0.80, BODY, _CLOTH),
        (-0.5, 0.5, 0.36, 0.5, 0.46, 0.80, BODY, _CLOTH),
        (-0.16, 0.16, -0.18, 0.18, 0.84, 1.0, _SKIN, _CLOTH),
    ],
    'traffic_cone': [
        (-0.5, 0.5, -0.5, 0.5, 0.0, 0.06, _DARK, _RUBBER),
        (-0.36, 0.36, -0.36, 0.36, 0.06, 0.34, _ORANGE, _RETRO),
        (-0.28, 0.28, -0.28, 0.28, 0.34, 0.56, _WHITE, _RETRO),
        (-0.20, 0.20, -0.20, 0.20, 0.56, 1.0, _ORANGE, _RETRO),
    ],
}

_BODY_COLOURS = {
    'car': [
        (200, 200, 205),
        (235, 235, 235),
        (30, 30, 34),
        (90, 94, 100),
        (150, 25, 28),
        (30, 60, 130),
        (120, 110, 90),
        (40, 80, 60),
        (205, 170, 40),
    ],
    'truck': [(170, 40, 35), (40, 70, 140), (230, 230, 228), (60, 110, 70), (90, 90, 95)],
    'construction_vehicle': [(232, 172, 20), (240, 190, 40), (225, 130, 20)],
    'bus': [(190, 40, 40), (30, 100, 60), (235, 225, 205), (40, 90, 160), (210, 150, 40)],
    'trailer': [(210, 212, 215), (120, 60, 45), (60, 80, 120), (150, 155, 150)],
    'pedestrian': [
        (170, 50, 50),
        (50, 70, 140),
        (220, 215, 205),
        (40, 40, 45),
        (90, 130, 80),
        (200, 160, 60),
        (120, 80, 130),
    ],
}
_LEG_COLOURS = [(40, 45, 70), (35, 35, 38), (95, 85, 70), (110, 40, 45), (60, 90, 60)]


@dataclass(frozen=True)
class Cuboids:
    """Solids of one frame or world.

    Attributes:
        centre: (N, 3) metres.
        size: (N, 3) length, width, height in metres.
        yaw: (N,) radians.
        colour: (N, 3) float32 RGB 0..255.
        reflectivity: (N,) float32 0..255.
        owner: (N,) int64 index of the actor, -1 for scenery.
        facade: (N,) bool, whether faces carry rows of windows.
    """

    centre: np.ndarray
    size: np.ndarray
    yaw: np.ndarray
    colour: np.ndarray
    reflectivity: np.ndarray
    owner: np.ndarray
    facade: np.ndarray

    def take(self, index: np.ndarray) -> Cuboids:
        """The chosen ones."""
        return Cuboids(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @staticmethod
    def join(first: Cuboids, second: Cuboids) -> Cuboids:
        """Both."""
        return Cuboids(
            *(
                np.concatenate([getattr(first, name), getattr(second, name)])
                for name in first.__dataclass_fields__
            )
        )


def draw_size(rng: np.random.Generator, label: int) -> np.ndarray:
    """(3,) length, width, height of a new instance; spread cut at two deviations."""
    deviation = np.clip(rng.standard_normal(3), -2, 2)
    return MEAN_SIZES[label] * (1 + SIZE_SPREAD[label] * deviation)


_COUNTS = np.array([len(_PARTS[name]) for name in DETECTION_CLASSES])
_FIRST = np.concatenate([[0], np.cumsum(_COUNTS)[:-1]])
_ROWS = [row for name in DETECTION_CLASSES for row in _PARTS[name]]
_EXTENT = np.array([row[:6] for row in _ROWS])
_REFLECTIVITY = np.array([row[7] for row in _ROWS], dtype=np.float32)
_PAINT = np.array([1 if row[6] is BODY else 2 if row[6] == LEGS else 0 for row in _ROWS])
_FIXED = np.array(
    [row[6] if isinstance(row[6], tuple) else (0, 0, 0) for row in _ROWS], dtype=np.float32
)


def draw_colours(rng: np.random.Generator, label: int) -> np.ndarray:
    """(2, 3) float32: colour of the body and of the legs of a new instance."""
    choices = _BODY_COLOURS.get(DETECTION_CLASSES[label], _BODY_COLOURS['car'])
    body = np.array(choices[rng.integers(len(choices))]) + rng.uniform(-14, 14, 3)
    legs = np.array(_LEG_COLOURS[rng.integers(len(_LEG_COLOURS))])
    return np.clip(np.stack([body, legs]), 0, 255).astype(np.float32)


def build_parts(boxes: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> Cuboids:
    """The cuboids of (M, >=7) boxes; `colours` is (M, 2, 3). Owner = row of the box."""
    counts = _COUNTS[labels]
    owner = np.repeat(np.arange(len(boxes)), counts)
    inside = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = _FIRST[labels[owner]] + inside
    low, high = _EXTENT[row, 0::2], _EXTENT[row, 1::2]
    dims = boxes[owner, 3:6]
    middle = (low + high) / 2 * dims
    c, s = np.cos(boxes[owner, 6]), np.sin(boxes[owner, 6])
    centre = np.stack(
        [
            boxes[owner, 0] + c * middle[:, 0] - s * middle[:, 1],
            boxes[owner, 1] + s * middle[:, 0] + c * middle[:, 1],
            boxes[owner, 2] - dims[:, 2] / 2 + middle[:, 2],
        ],
        axis=-1,
    )
    paint = _PAINT[row]
    colour = np.where(
        (paint == 0)[:, None], _FIXED[row], colours[owner, np.maximum(paint - 1, 0)]
    ).astype(np.float32)
    return Cuboids(
        centre,
        (high - low) * dims,
        boxes[owner, 6],
        colour,
        _REFLECTIVITY[row],
        owner,
        np.zeros(len(owner), dtype=bool),
    )
