"""What the displays of RViz and Foxglove show, drawn from the messages of a replay.

The picture holds `~/overlay` and `~/sensor_panel` as they are, and between them what the 3D panel
of `rviz/foxglove_layout.json` names, in its colours and from where it looks.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import LidarConfig, OutputsConfig, RigConfig, SensingConfig, load_config
from metabev_ros.drawing import put_text
from metabev_ros.drawing.boxes import clip_near
from metabev_ros.drawing.style import SUBPIXEL_BITS
from metabev_ros.faults.inject import inject_bag
from metabev_ros.faults.plan import find_plan
from metabev_ros.geometry import (
    inverse_rigid,
    quaternion_to_rotation,
    rigid_transform,
    transform_points,
)
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.datasets.synthetic.bag import write_bag
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import DEFAULT_RIG, resource_path
from metabev_ros.sensing.point_clouds import decode_point_cloud

FRAMES = 40  # of the drive, ten a second; the picture shows its end
FAULTS = """name: views
title: a camera dies
faults:
  - {name: one, title: a camera dies, type: dead, sensors: [CAM_BACK_LEFT], begin: 2.0, end: 9.0}
"""
SHOWN = OutputsConfig(
    layers='require', overlay='require', track_markers='require', sensor_panel='require'
)
VIEW = (1440, 560)  # pixels of the 3D panel
NEAR = 0.5  # metres
NOTE = 'Drawn from the topics of a replay. Not a screenshot: neither RViz nor Foxglove was run.'


def draw_views(seed: int, out: Path) -> None:
    """Make a drive, let a camera die, replay it, draw what the displays would show at its end."""
    rig = load_config(RigConfig, resource_path(DEFAULT_RIG))
    with tempfile.TemporaryDirectory() as folder:
        drive, faulty, told = (Path(folder, f'{name}.mcap') for name in ('in', 'faulty', 'out'))
        write_bag(SyntheticDrive(seed, DriveConfig(frames=FRAMES)), drive)
        plan = Path(folder, 'plan.yaml')
        plan.write_text(FAULTS, encoding='utf-8')
        truth = Path(folder, 'truth.jsonl')
        inject_bag(drive, faulty, find_plan(str(plan)), rig, 0, True, truth)
        model = resource_path('models/metabev_nano/contract.json').parent
        replay_bag(faulty, told, model, rig, SensingConfig(), outputs=SHOWN)
        draw_bag(told, rig, out)


def draw_bag(bag: Path, rig: RigConfig, out: Path) -> None:
    """Draw the newest message of each topic of a replay.

    Args:
        bag: written with the outputs of `SHOWN`.
    """
    newest = {message.topic: message for message in BagReader(bag)}
    said = {t: wire.deserialize(m.cdr, m.msgtype) for t, m in newest.items()}
    overlay, panel = (pixels(said[output_topic(t)]) for t in ('overlay', 'sensor_panel'))
    parts = [overlay, scene(said, rig), beside(panel)]
    whole = np.concatenate(parts)[..., ::-1]
    cv2.imwrite(str(out), whole, (cv2.IMWRITE_JPEG_QUALITY, 82))


def pixels(image: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image message."""
    return np.asarray(image.data).reshape(image.height, image.width, 3)


def beside(panel: np.ndarray) -> np.ndarray:
    """The panel with what the picture is at its right."""
    whole = np.zeros((len(panel), VIEW[0], 3), np.uint8)
    whole[:, : panel.shape[1]] = panel
    for row, words in enumerate(NOTE.split('. ')):
        put_text(whole, words.rstrip('.') + '.', panel.shape[1] + 16, 30 + 24 * row, 10)
    return whole


# ------------------------------------------------------------------------------------ the 3D panel
def scene(said: dict[str, Any], rig: RigConfig) -> np.ndarray:
    """The 3D panel of Foxglove's layout: maps below, then points, then lines."""
    layout = json.loads(resource_path('rviz/foxglove_layout.json').read_text())
    panel = layout['configById']['3D!bev']
    view = View(panel['cameraState'])
    picture = np.full((VIEW[1], VIEW[0], 3), hex_colour(panel['scene']['backgroundColor'])[:3])
    shown = {t: s for t, s in panel['topics'].items() if s['visible']}
    for topic, settings in shown.items():
        if hasattr(said[topic], 'info'):
            draw_grid(picture, view, said[topic], settings)
    for lidar in rig.lidars:
        if f'/{lidar.topic}' in shown:
            draw_points(picture, view, said[f'/{lidar.topic}'], mount(said['/tf_static'], lidar))
    for topic in shown:
        for marker in getattr(said[topic], 'markers', ()):
            draw_lines(picture, view, marker)
    return np.clip(picture, 0, 255).astype(np.uint8)


class View:
    """A camera that looks at a target: `pixels_of` is where ego points stand in the picture."""

    def __init__(self, state: dict[str, Any]) -> None:
        phi, theta = math.radians(state['phi']), -math.radians(state['thetaOffset'])
        back = [math.sin(phi) * math.sin(theta), -math.sin(phi) * math.cos(theta), math.cos(phi)]
        target, ahead = np.array(state['targetOffset'], float), -np.array(back)
        right = np.cross(ahead, [0, 0, 1])
        right /= np.linalg.norm(right)
        ego_from_camera = np.eye(4)
        ego_from_camera[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
        ego_from_camera[:3, 3] = target - state['distance'] * ahead
        self._camera_from_ego = inverse_rigid(ego_from_camera)
        self._focal = VIEW[1] / 2 / math.tan(math.radians(state['fovy']) / 2)

    def seen(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) in the camera's frame, z ahead."""
        return transform_points(self._camera_from_ego, points)

    def pixels_of(self, seen: np.ndarray) -> np.ndarray:
        """(..., 2) of points in front of the camera."""
        return self._focal * seen[..., :2] / seen[..., 2:] + np.array(VIEW) / 2


def hex_colour(text: str) -> np.ndarray:
    """(3 or 4,) float of '#rrggbb' or '#rrggbbaa', 0..255."""
    return np.array([int(text[k : k + 2], 16) for k in range(1, len(text), 2)], float)


def draw_grid(picture: np.ndarray, view: View, grid: Any, settings: dict[str, str]) -> None:
    """An OccupancyGrid, between the colours of 0 and 100; unknown cells are clear."""
    values = np.asarray(grid.data, float).reshape(grid.info.height, grid.info.width)
    low, high = hex_colour(settings['minColor']), hex_colour(settings['maxColor'])
    colours = low + (values / 100)[..., None] * (high - low)
    colours[values < 0] = 0
    colours[..., :3] *= colours[..., 3:] / 255  # so that clear cells do not darken their edges
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [grid.info.width, grid.info.height]
    origin, cell = grid.info.origin.position, grid.info.resolution
    places = np.c_[corners * cell + [origin.x, origin.y], np.zeros(4)]
    # Behind the camera nothing can be warped: what is in front of it, cut along x.
    ahead = np.linspace(0, 1, 400)
    sides = places[[0, 3], None] * (1 - ahead[:, None]) + places[[1, 2], None] * ahead[:, None]
    first = int(np.argmax((view.seen(sides)[..., 2] > NEAR).all(axis=0)))
    quad = view.pixels_of(
        view.seen(np.stack([sides[0, first], places[1], places[2], sides[1, first]]))
    )
    texture = corners.astype(np.float32)
    texture[[0, 3], 0] = ahead[first] * grid.info.width
    turn = cv2.getPerspectiveTransform(texture - 0.5, quad.astype(np.float32))
    warped = cv2.warpPerspective(colours, turn, VIEW, flags=cv2.INTER_LINEAR)
    picture *= 1 - warped[..., 3:] / 255
    picture += warped[..., :3]


def draw_points(picture: np.ndarray, view: View, cloud: Any, ego_from_lidar: np.ndarray) -> None:
    """A PointCloud2, by height."""
    points = transform_points(ego_from_lidar, decode_point_cloud(cloud)[0][:, :3].astype(float))
    seen = view.seen(points)
    is_ahead = seen[:, 2] > NEAR
    places = np.round(view.pixels_of(seen[is_ahead])).astype(int)
    inside = ((places >= 0) & (places < VIEW)).all(axis=1)
    height = np.clip((points[is_ahead][inside, 2] + 0.5) / 3.5, 0, 1)
    levels = np.round(height * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    picture[places[inside, 1], places[inside, 0]] = colours


def draw_lines(picture: np.ndarray, view: View, marker: Any) -> None:
    """A LINE_LIST; its points' own colours where it has them."""
    ends = view.seen(np.array([(p.x, p.y, p.z) for p in marker.points]).reshape(-1, 2, 3))
    colours = marker.colors[::2] or [marker.color] * len(ends)
    for pair, colour in zip(ends, colours, strict=True):
        line = clip_near(pair, NEAR)[:2]
        if len(line) < 2:
            continue
        start, end = np.round(view.pixels_of(line) * (1 << SUBPIXEL_BITS)).astype(int).tolist()
        shade = np.zeros(picture.shape[:2], np.uint8)
        cv2.line(shade, start, end, 255, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        share = colour.a * shade[..., None] / 255
        full = 255 * np.array([colour.r, colour.g, colour.b])
        rows = np.flatnonzero(shade.any(axis=1))
        picture[rows] += share[rows] * (full - picture[rows])


def mount(static: Any, lidar: LidarConfig) -> np.ndarray:
    """(4, 4) ego_from_lidar of /tf_static."""
    (link,) = (link for link in static.transforms if link.child_frame_id == lidar.frame)
    turn, place = link.transform.rotation, link.transform.translation
    return rigid_transform(
        quaternion_to_rotation(turn.x, turn.y, turn.z, turn.w), [place.x, place.y, place.z]
    )
