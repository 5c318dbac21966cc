"""Hand-made map expansions of nuScenes: polygons, holes and lines around a place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

POLYGON_LAYERS = ('drivable_area', 'ped_crossing', 'walkway', 'stop_line', 'carpark_area')
LINE_LAYERS = ('road_divider', 'lane_divider')
UNUSED_LAYERS = ('road_segment', 'road_block', 'lane', 'traffic_light', 'lane_connector')


class MadeMap:
    """Collects the records of a map."""

    def __init__(self) -> None:
        self.plain: dict = {'version': '1.3', 'canvas_edge': [1585.6, 2025.0]}
        for layer in (*POLYGON_LAYERS, *LINE_LAYERS, *UNUSED_LAYERS, 'polygon', 'line', 'node'):
            self.plain[layer] = []
        self.plain['arcline_path_3'], self.plain['connectivity'] = {}, {}

    def _token(self) -> str:
        count = sum(len(rows) for rows in self.plain.values())
        return hashlib.md5(str(count).encode()).hexdigest()

    def _nodes(self, corners) -> list[str]:
        tokens = []
        for x, y in np.asarray(corners, float).tolist():
            tokens.append(self._token())
            self.plain['node'].append({'token': tokens[-1], 'x': x, 'y': y})
        return tokens

    def polygon(self, layer: str, corners, holes=()) -> None:
        """Add a polygon with its holes to a layer."""
        exterior = self._nodes(corners)
        inner = [{'node_tokens': self._nodes(hole)} for hole in holes]
        token = self._token()
        row = {'token': token, 'exterior_node_tokens': exterior, 'holes': inner}
        self.plain['polygon'].append(row)
        record = {'token': self._token()}
        if layer == 'drivable_area':
            record['polygon_tokens'] = [token]
        else:
            record['polygon_token'] = token
        if layer == 'stop_line':
            record |= {'stop_line_type': 'YIELD'}
        self.plain[layer].append(record)

    def line(self, layer: str, corners) -> None:
        """Add a line to a layer."""
        nodes, token = self._nodes(corners), self._token()
        self.plain['line'].append({'token': token, 'node_tokens': nodes})
        self.plain[layer].append({'token': self._token(), 'line_token': token})

    def write(self, folder: Path, location: str) -> Path:
        """Write it into the folder of a data set."""
        path = folder / 'maps' / 'expansion' / f'{location}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.plain), encoding='utf-8')
        return path


def invented_map(seed: int, centre, reach: float = 80.0, shapes: int = 6) -> MadeMap:
    """Stars with holes and wandering lines, many of them across the border of the map grid."""
    rng, made = np.random.RandomState(seed), MadeMap()
    for layer in POLYGON_LAYERS:
        for _ in range(shapes):
            middle = np.asarray(centre) + rng.uniform(-reach, reach, 2)
            made.polygon(layer, star := _star(rng, middle), [middle + (star - middle) * 0.4])
    for layer in LINE_LAYERS:
        for _ in range(shapes):
            made.line(layer, np.asarray(centre) + rng.uniform(-60, 60, 2) + _walk(rng))
    return made


def _walk(rng) -> np.ndarray:
    """A line that never crosses itself, which no divider does."""
    along = np.cumsum(rng.uniform(3, 20, 8)) - 40
    aside = rng.uniform(-12, 12, 8)
    angle = rng.uniform(-np.pi, np.pi)
    forward = np.array([np.cos(angle), np.sin(angle)])
    return along[:, None] * forward + aside[:, None] * [-forward[1], forward[0]]


def _star(rng, middle: np.ndarray) -> np.ndarray:
    count = rng.randint(5, 14)
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    angles = (angles + np.arange(count) * 2 * np.pi / count) / 2  # no gap of more than half a turn
    radii = rng.uniform(6, 40, count)
    return middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
