"""Pictures and depth: every cuboid face into a z-buffer, then one shading pass per image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.faces import (
    NEAR,
    NORMALS,
    Faces,
    Scene,
    project,
    rasterise,
    visible_faces,
)
from metabev_ros.lab.datasets.synthetic.ground import Ground
from metabev_ros.structures import CameraCalibration


@dataclass(frozen=True)
class Light:
    """Weather of a drive as the cameras see it.

    Attributes:
        sun: (3,) unit vector towards the sun, world frame.
        direct, ambient: shares of light; shadow: factor on shaded ground.
        sky_top, sky_low: (3,) RGB; haze: (3,) RGB; haze_range: metres to 63 % haze.
        gain: (3,) factor on everything; noise: standard deviation in LSB.
        windows: RGB of windows of buildings.
    """

    sun: np.ndarray
    direct: float
    ambient: float
    shadow: float
    sky_top: np.ndarray
    sky_low: np.ndarray
    haze_range: float
    gain: np.ndarray
    noise: float
    windows: np.ndarray


@dataclass(frozen=True)
class Shot:
    """One rendered image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, inf for sky.
        owner: (H, W) int32 actor row, -1 elsewhere.
        covered: (A,) int64 pixels each actor would cover alone.
    """

    pixels: np.ndarray
    depth: np.ndarray
    owner: np.ndarray
    covered: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """A picture as a noiseless camera would see it.

    Attributes:
        picture: (H, W, 3) float32 RGB; depth, owner, covered: as in `Shot`.
    """

    picture: np.ndarray
    depth: np.ndarray
    owner: np.ndarray
    covered: np.ndarray


def render(
    scene: Scene,
    ground: Ground,
    pyramid: list[np.ndarray],
    camera: CameraCalibration,
    light: Light,
    rng: np.random.Generator,
) -> Shot:
    """One picture with depth and owners."""
    drawing = draw(scene, ground, pyramid, camera, light)
    pixels = expose(drawing.picture, light, rng)
    return Shot(pixels, drawing.depth, drawing.owner, drawing.covered)


def draw(
    scene: Scene,
    ground: Ground,
    pyramid: list[np.ndarray],
    camera: CameraCalibration,
    light: Light,
) -> Drawing:
    """Everything but the sensor's noise; a level camera with square pixels and no distortion."""
    faces = visible_faces(scene, camera)
    inverse = _ground_inverse_depth(camera)
    index = np.full(inverse.shape, -1, dtype=np.int32)
    on_ground = inverse > 0
    covered = rasterise(faces, inverse, index, scene.actors)
    with np.errstate(divide='ignore'):
        depth = (1.0 / inverse).astype(np.float32)
    solid = index >= 0
    is_ground = on_ground & ~solid
    picture = _sky(camera, light)
    _paint_ground(picture, is_ground, depth, scene, ground, pyramid, camera, light)
    _paint_faces(picture, solid, index, depth, faces, scene, camera, light)
    _add_haze(picture, depth, light)
    owner = np.append(faces.owner, -1)[index].astype(np.int32)
    return Drawing(picture, depth, owner, covered)


def _ground_inverse_depth(camera: CameraCalibration) -> np.ndarray:
    """(H, W) float32 1 / depth of the ground plane, 0 above the horizon (a level camera)."""
    height = camera.ego_from_camera[2, 3]
    v = np.arange(camera.height) - camera.intrinsics[1, 2]
    rows = np.maximum(v / (camera.intrinsics[1, 1] * height), 0.0)
    rows[rows < 1 / 400.0] = 0.0
    return np.repeat(rows.astype(np.float32)[:, None], camera.width, axis=1)


def _sky(camera: CameraCalibration, light: Light) -> np.ndarray:
    rise = np.clip(
        (camera.intrinsics[1, 2] - np.arange(camera.height)) / (0.35 * camera.intrinsics[1, 1]),
        0,
        1,
    )[:, None, None]
    rows = light.sky_low * (1 - rise) + light.sky_top * rise
    return np.repeat(rows, camera.width, axis=1).astype(np.float32)


def _paint_ground(
    picture: np.ndarray,
    is_ground: np.ndarray,
    depth: np.ndarray,
    scene: Scene,
    ground: Ground,
    pyramid: list[np.ndarray],
    camera: CameraCalibration,
    light: Light,
) -> None:
    """Looks the texture up along the pixel rays; far rows use coarser copies of it."""
    world_from_camera = scene.world_from_ego @ camera.ego_from_camera
    focal, cx = camera.intrinsics[0, 0], camera.intrinsics[0, 2]
    across = (np.arange(camera.width, dtype=np.float32) - cx) / focal
    right, forward = world_from_camera[:2, 0], world_from_camera[:2, 2]
    rows = np.flatnonzero(is_ground.any(axis=1))
    if not len(rows):
        return
    shade = _shadows(scene, camera, light)
    row_depth = _row_depth(camera)
    # Metres a pixel covers along the view, tempered: full blur would lose the lane lines.
    level = np.clip(
        np.log2(np.maximum(row_depth / focal / ground.cell * 2.0, 1.0)), 0, len(pyramid) - 1
    ).astype(int)
    for k in np.unique(level[rows]):
        band = rows[level[rows] == k]
        band = slice(band[0], band[-1] + 1)
        d = row_depth[band, None].astype(np.float32)
        scale = ground.cell * 2**k
        offset = (2**k - 1) / 2 * ground.cell
        start = world_from_camera[:2, 3] - ground.origin - offset
        x = d * (across * right[0] + forward[0]).astype(np.float32) + np.float32(start[0])
        y = d * (across * right[1] + forward[1]).astype(np.float32) + np.float32(start[1])
        colour = cv2.remap(
            pyramid[k],
            x / np.float32(scale),
            y / np.float32(scale),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        lit = (light.ambient + light.direct * light.sun[2]) * shade[band]
        np.copyto(picture[band], colour * lit[..., None], where=is_ground[band, :, None])


def _row_depth(camera: CameraCalibration) -> np.ndarray:
    """Depth of the flat ground in every row, (H,) metres; far beyond reach above the horizon."""
    below = np.maximum(np.arange(camera.height) - camera.intrinsics[1, 2], 1e-3)
    return camera.ego_from_camera[2, 3] * camera.intrinsics[1, 1] / below


def _shadows(scene: Scene, camera: CameraCalibration, light: Light) -> np.ndarray:
    """(H, W) float32 factor on the ground: what solids take from it."""
    mask = np.zeros((camera.height, camera.width), dtype=np.uint8)
    shadows = scene.shadows[np.abs(scene.shadows).max((1, 2)) < 60.0]
    points = np.concatenate([shadows, np.zeros((*shadows.shape[:2], 1))], axis=-1)
    points = (points - camera.ego_from_camera[:3, 3]) @ camera.ego_from_camera[:3, :3]
    points = points[(points[..., 2] > NEAR).any(1)]
    polygons, low, high = project(points, camera)
    for k in np.flatnonzero((high > low).all(1)):
        cv2.fillConvexPoly(mask, polygons[k], 255, shift=4)
    soft = cv2.blur(mask, (3, 3)).astype(np.float32) / 255
    return 1.0 - (1.0 - light.shadow) * soft


def _paint_faces(
    picture: np.ndarray,
    solid: np.ndarray,
    index: np.ndarray,
    depth: np.ndarray,
    faces: Faces,
    scene: Scene,
    camera: CameraCalibration,
    light: Light,
) -> None:
    if not len(faces.polygons):
        return
    cuboids = scene.cuboids
    normal_yaw = (
        cuboids.yaw[faces.cuboid] + np.array([0, np.pi, np.pi / 2, -np.pi / 2, 0, 0])[faces.side]
    )
    flat = (faces.side < 4).astype(np.float64)
    up = NORMALS[faces.side, 2]
    ego_yaw = np.arctan2(scene.world_from_ego[1, 0], scene.world_from_ego[0, 0])
    sun_yaw = np.arctan2(light.sun[1], light.sun[0]) - ego_yaw
    facing = (
        flat * np.cos(normal_yaw - sun_yaw) * np.hypot(light.sun[0], light.sun[1])
        + up * light.sun[2]
    )
    # A little light from the sky on top and less from below keeps faces apart without sun.
    lit = light.ambient * (
        0.86 + 0.14 * up + 0.06 * np.cos(normal_yaw * 2) * flat
    ) + light.direct * np.maximum(facing, 0)
    colour = cuboids.colour[faces.cuboid] * lit[:, None].astype(np.float32)
    rows, columns = np.nonzero(solid)
    face = index[rows, columns]
    shade = colour[face]
    walls = cuboids.facade[faces.cuboid] & (faces.side < 4)
    wall = np.flatnonzero(walls[face])
    if len(wall):
        shade[wall] = _windows(
            shade[wall], face[wall], rows[wall], columns[wall], depth, faces, scene, camera, light
        )
    picture[rows, columns] = shade


def _windows(
    shade: np.ndarray,
    face: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    depth: np.ndarray,
    faces: Faces,
    scene: Scene,
    camera: CameraCalibration,
    light: Light,
) -> np.ndarray:
    """Rows of windows by the place on the wall."""
    z = depth[rows, columns]
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    optical = np.stack([(columns - cx) / focal * z, (rows - cy) / focal * z, z], axis=-1)
    point = optical @ camera.ego_from_camera[:3, :3].T + camera.ego_from_camera[:3, 3]
    cuboid = faces.cuboid[face]
    delta = point[:, :2] - scene.cuboids.centre[cuboid, :2]
    yaw = scene.cuboids.yaw[cuboid] + np.where(faces.side[face] >= 2, 0, np.pi / 2)
    along = delta[:, 0] * np.cos(yaw) + delta[:, 1] * np.sin(yaw)
    height = point[:, 2]
    glass = (
        ((along / 2.6) % 1.0 < 0.55)
        & ((height / 3.1) % 1.0 > 0.38)
        & ((height / 3.1) % 1.0 < 0.82)
        & (height < scene.cuboids.size[cuboid, 2] - 0.8)
    )
    return np.where(glass[:, None], light.windows * (0.6 + 0.4 * shade[:, :1] / 160), shade)


def _add_haze(picture: np.ndarray, depth: np.ndarray, light: Light) -> None:
    """Haze and exposure, in place."""
    clear = np.exp(-depth / np.float32(light.haze_range))
    clear[~np.isfinite(depth)] = 1.0
    picture *= clear[..., None]
    picture += (1 - clear)[..., None] * light.sky_low.astype(np.float32)
    picture *= light.gain.astype(np.float32)


def expose(picture: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: the picture, which is changed, with the noise of the sensor."""
    size = picture.shape[:2]
    noise = rng.standard_normal(
        picture.shape[0] * picture.shape[1] * 3 // 4 + 64, dtype=np.float32
    ) * np.float32(light.noise)
    # Four shifted uses of one draw: quicker than a draw for each value, and as white to look at.
    spread = np.concatenate([noise, -noise[7:], noise[::-1], noise[13:], noise])
    picture += spread[: size[0] * size[1] * 3].reshape(picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
