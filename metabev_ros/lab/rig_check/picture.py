"""The rig in one picture: points of the LiDARs on every camera, and all sensors from above."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from metabev_ros.config import LidarConfig
from metabev_ros.drawing import BevView, put_text
from metabev_ros.drawing.panel_parts import fitted
from metabev_ros.drawing.style import BACKGROUND, DIM_COLOUR, TEXT_COLOUR, fit_text
from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import inverse_rigid, transform_points
from metabev_ros.lab.rig_check.check import sweep_near
from metabev_ros.lab.rig_check.edges import project
from metabev_ros.lab.rig_check.look import BagLook, CameraLook, CloudLook, Placed, Shot
from metabev_ros.lab.rig_check.offsets import on_one_clock
from metabev_ros.lab.rig_check.placing import by_topic, points_at
from metabev_ros.lab.rig_check.report import RigReport, SensorVerdict
from metabev_ros.structures import Colour

TILE_WIDTH, TILE_HEIGHT = 560, 340  # pixels
ABOVE = 680  # pixels, edge of the view from above
NEAR_M, FAR_M = 2.0, 50.0  # metres, of the colours red and blue
_CAPTION = 26  # pixels
_RAYS = 12.0  # metres, of a field of view from above
_GOOD: Colour = (60, 175, 100)
_BAD: Colour = (205, 60, 60)
_LIDAR: Colour = (120, 200, 255)
_VEHICLE = np.array([[3.7, 0.95], [3.7, -0.95], [-1.0, -0.95], [-1.0, 0.95]])  # metres, about


def draw_rig(look: BagLook, report: RigReport) -> np.ndarray:
    """Draw the rig.

    Returns:
        (H, W, 3) uint8 RGB: cameras on the left, the view from above on the right.
    """
    look = look if report.rig is None else on_one_clock(look, report.rig)
    cameras = [verdict for verdict in report.sensors if verdict.kind == 'camera']
    tiles = [_tile(look, report, verdict) for verdict in cameras]
    left = _stacked(tiles)
    right = np.concatenate([draw_above(look, report), _list(report)])
    height = max(len(left), len(right))
    return np.concatenate([_extended(left, height), _extended(right, height)], axis=1)


def _stacked(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Tiles, two abreast, more of them three."""
    abreast = min(2 if len(tiles) <= 6 else 3, max(1, len(tiles)))
    blank = np.full((TILE_HEIGHT, TILE_WIDTH, 3), BACKGROUND, np.uint8)
    rows = []
    for first in range(0, len(tiles), abreast):
        row = [*tiles[first : first + abreast]]
        rows.append(np.concatenate([*row, *[blank] * (abreast - len(row))], axis=1))
    return np.concatenate(rows) if rows else blank


def _extended(picture: np.ndarray, height: int) -> np.ndarray:
    more = np.full((height - len(picture), picture.shape[1], 3), BACKGROUND, np.uint8)
    return np.concatenate([picture, more])


def distance_colours(distance: np.ndarray) -> np.ndarray:
    """(P, 3) uint8 RGB: red near, over yellow and green to blue far."""
    if not len(distance):
        return np.zeros((0, 3), np.uint8)
    share = np.log(np.clip(distance, NEAR_M, FAR_M) / NEAR_M) / np.log(FAR_M / NEAR_M)
    hue = np.rint(share * 120).astype(np.uint8)
    full = np.full_like(hue, 255)
    return cv2.cvtColor(np.stack([hue, full, full], axis=1)[None], cv2.COLOR_HSV2RGB)[0]


# ------------------------------------------------------------------------------------ cameras
def _tile(look: BagLook, report: RigReport, verdict: SensorVerdict) -> np.ndarray:
    """One camera with the points on it, below a line that says how it is."""
    tile = np.full((TILE_HEIGHT, TILE_WIDTH, 3), BACKGROUND, np.uint8)
    data = by_topic({**look.cameras}, verdict.topic)
    shot = _middle_shot(data) if isinstance(data, CameraLook) else None
    if shot is not None:
        picture = _with_points(look, report, verdict.name, shot)
        tile[_CAPTION:] = fitted(picture, TILE_WIDTH, TILE_HEIGHT - _CAPTION)
    colour = _GOOD if verdict.is_usable else _BAD
    cv2.circle(tile, (14, 13), 6, colour, -1, cv2.LINE_AA)
    said = '; '.join(finding.title for finding in verdict.findings)
    text = f'{verdict.name}: {said}' if said else verdict.name
    put_text(tile, fit_text(text, 11, TILE_WIDTH - 40), 28, 18, 11, TEXT_COLOUR)
    return tile


def _middle_shot(data: CameraLook) -> Shot | None:
    return data.shots[len(data.shots) // 2] if data.shots else None


def _with_points(look: BagLook, report: RigReport, name: str, shot: Shot) -> np.ndarray:
    """A copy of a picture with the points that the camera sees, coloured by their distance."""
    picture, placed = np.ascontiguousarray(shot.pixels).copy(), report.placed.get(name)
    if placed is None or placed.intrinsics is None or placed.ego_from_sensor is None:
        return picture
    pixels, distance = seen_points(look, report, placed, shot.stamp_ns)
    places = np.rint((pixels + 0.5) * shot.scale - 0.5).astype(int)
    height, width = picture.shape[:2]
    inside = (places >= 0).all(axis=1) & (places[:, 0] < width) & (places[:, 1] < height)
    order = np.argsort(-distance[inside])  # near ones are drawn over far ones
    colours = distance_colours(distance[inside])[order]
    radius = max(1, width // 400)
    for (u, v), colour in zip(places[inside][order].tolist(), colours.tolist(), strict=True):
        cv2.circle(picture, (u, v), radius, colour, -1)
    return picture


def seen_points(
    look: BagLook, report: RigReport, placed: Placed, stamp_ns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points before a camera: (P, 2) pixels of the full picture and (P,) metres along its axis."""
    found = [np.zeros((0, 3))]
    assert placed.ego_from_sensor is not None and placed.intrinsics is not None
    for lidar in report.rig.lidars if report.rig is not None else ():
        near = sweep_near(look, (lidar,), report.placed, stamp_ns)
        if near is not None:
            _, sweep, pose = near
            points = points_at(sweep, lidar, pose, report.motion, stamp_ns)
            found.append(transform_points(inverse_rigid(placed.ego_from_sensor), points))
    points = np.concatenate(found)
    pixels = project(points, placed.intrinsics)
    seen = np.isfinite(pixels).all(axis=1)
    return pixels[seen], points[seen, 2]


# ---------------------------------------------------------------------------------- from above
def draw_above(look: BagLook, report: RigReport) -> np.ndarray:
    """The vehicle from above: one sweep of each LiDAR, and the fields of view of the cameras.

    Returns:
        (`ABOVE`, `ABOVE`, 3) uint8 RGB; ahead is up.
    """
    view = BevView(ABOVE, ABOVE, 25.0)
    picture = np.full((ABOVE, ABOVE, 3), BACKGROUND, np.uint8)
    for sensor in report.rig.lidars if report.rig is not None else ():
        _draw_sweep(picture, view, look, report, sensor)
    for radius in (10, 20):
        pixels = round(radius / view.metres_per_pixel)
        cv2.circle(picture, (ABOVE // 2, ABOVE // 2), pixels, (60, 64, 72), 1, cv2.LINE_AA)
        put_text(picture, f'{radius} m', ABOVE // 2 + 4, ABOVE // 2 - pixels - 3, 9, DIM_COLOUR)
    outline = np.rint(view.pixels(_VEHICLE)).astype(np.int32)
    cv2.polylines(picture, [outline], True, TEXT_COLOUR, 1, cv2.LINE_AA)
    for verdict in report.sensors:
        placed = report.placed.get(verdict.name)
        if placed is not None and placed.ego_from_sensor is not None:
            _draw_sensor(picture, view, verdict, placed)
    put_text(picture, 'from above, ahead is up', 10, 18, 11, DIM_COLOUR)
    colours = f'on the pictures: red {NEAR_M:g} m, green, blue {FAR_M:g} m'
    put_text(picture, colours, 10, ABOVE - 10, 10, DIM_COLOUR)
    return picture


def _draw_sweep(
    picture: np.ndarray, view: BevView, look: BagLook, report: RigReport, lidar: LidarConfig
) -> None:
    data, placed = by_topic({**look.clouds}, lidar.topic), report.placed[lidar.name]
    if not isinstance(data, CloudLook) or not data.sweeps or placed.ego_from_sensor is None:
        return
    sweep = data.sweeps[len(data.sweeps) // 2]
    points = points_at(sweep, lidar, placed.ego_from_sensor, report.motion, sweep.stamp_ns)
    places = np.rint(view.pixels(points[:, :2])).astype(int)
    inside = ((places >= 0) & (places < ABOVE)).all(axis=1)
    order = np.argsort(points[inside, 2])  # what is high lies over what is low
    u, v = places[inside][order].T
    low, high = -0.3, 3.0
    level = np.clip((points[inside, 2][order] - low) / (high - low), 0, 1)
    picture[v, u] = np.rint(70 + 150 * level)[:, None].astype(np.uint8)


def _draw_sensor(
    picture: np.ndarray, view: BevView, verdict: SensorVerdict, placed: Placed
) -> None:
    """A LiDAR as a ring with its x axis, a camera as a wedge of what it sees."""
    assert placed.ego_from_sensor is not None
    pose, colour = placed.ego_from_sensor, _GOOD if verdict.is_usable else _BAD
    place = np.rint(view.pixels(pose[:2, 3])).astype(int)
    if verdict.kind == 'lidar':
        ahead = np.rint(view.pixels(pose[:2, 3] + 2.0 * pose[:2, 0])).astype(int)
        cv2.circle(picture, place.tolist(), 7, _LIDAR if verdict.is_usable else _BAD, 2)
        cv2.line(picture, place.tolist(), ahead.tolist(), _LIDAR, 1, cv2.LINE_AA)
        put_text(picture, verdict.name, place[0] + 10, place[1] + 4, 10, _LIDAR)
        return
    rays = field_of_view(placed)
    corners = np.concatenate([pose[None, :2, 3], pose[:2, 3] + _RAYS * rays])
    outline = np.rint(view.pixels(corners)).astype(np.int32)
    shaded = picture.copy()
    cv2.fillPoly(shaded, [outline], colour, cv2.LINE_AA)
    cv2.addWeighted(shaded, 0.22, picture, 0.78, 0.0, dst=picture)
    cv2.polylines(picture, [outline], True, colour, 1, cv2.LINE_AA)
    far = np.rint(view.pixels(pose[:2, 3] + 1.04 * _RAYS * rays[len(rays) // 2])).astype(int)
    put_text(picture, verdict.name, max(2, far[0] - 30), far[1], 10, TEXT_COLOUR)


def field_of_view(placed: Placed) -> np.ndarray:
    """(R, 2) unit directions in the ego frame, from the left border of a picture to the right.

    A lens with distortion is drawn as far as its pin-hole view goes.
    """
    assert placed.ego_from_sensor is not None
    lens = placed.intrinsics
    reach = np.deg2rad([30.0, 30.0])  # of a camera whose lens is not known
    if lens is not None:
        fx, cx = lens.matrix[0, 0], lens.matrix[0, 2]
        reach = np.arctan([(cx + 0.5) / fx, (lens.width - 0.5 - cx) / fx])
    angles = np.linspace(-reach[0], reach[1], 13)
    rays = np.stack([np.sin(angles), np.zeros(13), np.cos(angles)], axis=1)
    level = (rays @ placed.ego_from_sensor[:3, :3].T)[:, :2]
    return level / np.maximum(np.linalg.norm(level, axis=1, keepdims=True), 1e-6)


def _list(report: RigReport) -> np.ndarray:
    """Names and titles of what was found, below the view from above."""
    lines = [
        (f'{finding.sensor}: {finding.title}: {finding.got}', finding.severity.value != 'note')
        for finding in report.findings
    ] or [('nothing found', False)]
    shown = lines[:24]
    picture = np.full((20 * len(shown) + 12, ABOVE, 3), BACKGROUND, np.uint8)
    for row, (text, is_bad) in enumerate(shown):
        colour = (240, 140, 130) if is_bad else DIM_COLOUR
        put_text(picture, fit_text(text, 10, ABOVE - 20), 10, 20 * row + 18, 10, colour)
    return picture


def png_of(picture: np.ndarray) -> bytes:
    """The file of (H, W, 3) uint8 RGB.

    Raises:
        SensorDataError: OpenCV cannot encode it.
    """
    done, data = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        got = f'shape {picture.shape}'
        raise SensorDataError('png', 'picture of the rig', 'one that can be encoded', got)
    return data.tobytes()
