"""Pictures and depth: every cuboid face into a z-buffer, then one shading pass per image."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.datasets.synthetic.ground import Ground
from metabev_ros.datasets.synthetic.models import Cuboids
from metabev_ros.structures import CameraCalibration

_NEAR = 0.25
# Corner signs of a cuboid and its faces, counter-clockwise seen from outside; no bottom face.
_CORNERS = np.array([[x, y, z] for z in (-.5, .5) for y in (-.5, .5) for x in (-.5, .5)])
_FACES = np.array([[1, 3, 7, 5], [2, 0, 4, 6], [3, 2, 6, 7], [0, 1, 5, 4], [4, 5, 7, 6],
                   [0, 2, 3, 1]])
_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


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


def cuboid_corners(cuboids: Cuboids) -> np.ndarray:
    """(N, 8, 3) corners in the frame of the cuboids."""
    local = _CORNERS[None] * cuboids.size[:, None]
    c, s = np.cos(cuboids.yaw)[:, None], np.sin(cuboids.yaw)[:, None]
    return np.stack([c * local[..., 0] - s * local[..., 1] + cuboids.centre[:, None, 0],
                     s * local[..., 0] + c * local[..., 1] + cuboids.centre[:, None, 1],
                     local[..., 2] + cuboids.centre[:, None, 2]], axis=-1)


@dataclass(frozen=True)
class Scene:
    """One instant in the ego frame, ready for any camera.

    Attributes:
        cuboids: solids, ego frame; corners: (N, 8, 3).
        shadows: (A, K, 2) ego-frame polygons on the ground.
        world_from_ego: (4, 4); actors: number of actors.
    """

    cuboids: Cuboids
    corners: np.ndarray
    shadows: np.ndarray
    world_from_ego: np.ndarray
    actors: int


def render(scene: Scene, ground: Ground, pyramid, camera: CameraCalibration, light: Light,
           rng: np.random.Generator) -> Shot:
    """One picture with depth and owners."""
    faces = _visible_faces(scene, camera)
    inverse = _ground_inverse_depth(camera)
    index = np.full(inverse.shape, -1, dtype=np.int32)
    on_ground = inverse > 0
    covered = _rasterise(faces, inverse, index, scene.actors)
    with np.errstate(divide='ignore'):
        depth = (1.0 / inverse).astype(np.float32)
    solid = index >= 0
    is_ground = on_ground & ~solid
    picture = _sky(camera, light)
    _paint_ground(picture, is_ground, depth, scene, ground, pyramid, camera, light)
    _paint_faces(picture, solid, index, depth, faces, scene, camera, light)
    pixels = _finish(picture, depth, light, rng)
    owner = np.append(faces.owner, -1)[index].astype(np.int32)
    return Shot(pixels, depth, owner, covered)


@dataclass(frozen=True)
class _Faces:
    """Faces in front of one camera, nearest object first, all faces of an actor together.

    Attributes:
        polygons: (K, 2) int32 pixels times 16, clipped to the near plane.
        low, high: (F, 2) pixel bounds inside the image, high exclusive.
        plane: (F, 3) float32, inverse depth = a u + b v + c; nearest: (F,) its largest value.
        owner, cuboid, side: (F,) actor row or -1, cuboid row, which of the six faces.
    """

    polygons: list
    low: np.ndarray
    high: np.ndarray
    plane: np.ndarray
    nearest: np.ndarray
    owner: np.ndarray
    cuboid: np.ndarray
    side: np.ndarray


def _chosen_cuboids(scene: Scene, corners: np.ndarray, camera: CameraCalibration) -> np.ndarray:
    """Rows of the cuboids that touch the view and are not too small to see, nearest first."""
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    x, y, z = corners[..., 0], corners[..., 1], corners[..., 2]
    distance = np.sqrt((corners ** 2).sum(-1).min(1))
    middle = np.sort(scene.cuboids.size, axis=1)[:, 1]
    inside = ((z > _NEAR).any(1) & (x < (camera.width - cx) / focal * z).any(1)
              & (x > -(cx + 1) / focal * z).any(1) & (y < (camera.height - cy) / focal * z).any(1)
              & (y > -(cy + 1) / focal * z).any(1) & (middle * focal > 0.8 * distance))
    chosen = np.flatnonzero(inside)
    owner = scene.cuboids.owner[chosen]
    group = np.full(scene.actors + 1, np.inf)
    np.minimum.at(group, owner, distance[chosen])
    return chosen[np.lexsort((owner, np.where(owner < 0, distance[chosen], group[owner])))]


def _visible_faces(scene: Scene, camera: CameraCalibration) -> _Faces:
    rotation = camera.ego_from_camera[:3, :3]
    corners = (scene.corners - camera.ego_from_camera[:3, 3]) @ rotation
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    chosen = _chosen_cuboids(scene, corners, camera)
    quads = corners[chosen][:, _FACES]                       # (C, 6, 4, 3)
    c, s = np.cos(scene.cuboids.yaw[chosen]), np.sin(scene.cuboids.yaw[chosen])
    normals = np.empty((len(chosen), 6, 3))
    normals[..., 0] = c[:, None] * _NORMALS[:, 0] - s[:, None] * _NORMALS[:, 1]
    normals[..., 1] = s[:, None] * _NORMALS[:, 0] + c[:, None] * _NORMALS[:, 1]
    normals[..., 2] = _NORMALS[:, 2]
    normals = normals @ rotation
    distance = (normals * quads[:, :, 0]).sum(-1)
    row, side = np.nonzero((distance < -1e-4) & (quads[..., 2].max(-1) > _NEAR))
    quads, normals, distance = quads[row, side], normals[row, side], distance[row, side]
    plane = np.stack([normals[:, 0], normals[:, 1],
                      normals[:, 2] * focal - normals[:, 0] * cx - normals[:, 1] * cy],
                     axis=-1) / (focal * distance)[:, None]
    polygons, low, high = _project(quads, camera)
    keep = np.flatnonzero((high > low).all(1))
    cuboid = chosen[row[keep]]
    nearest = 1.0 / np.maximum(quads[..., 2].min(-1), _NEAR)[keep]
    return _Faces([polygons[k] for k in keep], low[keep], high[keep],
                  plane[keep].astype(np.float32), nearest.astype(np.float32),
                  scene.cuboids.owner[cuboid], cuboid, side[keep])


def _project(polygons: np.ndarray, camera: CameraCalibration):
    """Pixels of (F, K, 3) optical-frame polygons; clips the few that need it.

    Returns:
        list of (K, 2) int32 pixels times 16, and (F, 2) bounds, empty where nothing is seen.
    """
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    size = np.array([camera.width, camera.height])
    near = np.maximum(polygons[..., 2], _NEAR)
    pixels = polygons[..., :2] / near[..., None] * focal + (cx, cy)
    low, high = pixels.min(1), pixels.max(1)
    hard = (polygons[..., 2].min(-1) <= _NEAR) | (np.abs(pixels).max((-1, -2)) >= 2000.0)
    fixed = list(np.rint(np.clip(pixels, -2000, 2000) * 16).astype(np.int32))
    for k in np.flatnonzero(hard):
        polygon = _clip(polygons[k], focal, cx, cy, camera)
        if len(polygon) >= 3:
            fixed[k] = np.rint(polygon * 16).astype(np.int32)
            low[k], high[k] = polygon.min(0), polygon.max(0)
        else:
            low[k], high[k] = 0, -9
    low = np.maximum(np.floor(low), 0).astype(np.int64)
    high = np.minimum(np.ceil(high) + 1, size).astype(np.int64)
    return fixed, low, high


def _clip(quad: np.ndarray, focal: float, cx: float, cy: float, camera) -> np.ndarray:
    """Clips a face to the near plane and to a frustum a little wider than the image."""
    pad = 40.0
    planes = np.array([[0, 0, 1.0, -_NEAR],
                       [focal, 0, cx + pad, 0], [-focal, 0, camera.width + pad - cx, 0],
                       [0, focal, cy + pad, 0], [0, -focal, camera.height + pad - cy, 0]])
    polygon = quad
    for a, b, c, d in planes:
        value = polygon @ (a, b, c) + d
        if (value >= 0).all():
            continue
        following = np.append(value[1:], value[0])
        points = []
        for k in range(len(polygon)):
            if value[k] >= 0:
                points.append(polygon[k])
            if (value[k] >= 0) != (following[k] >= 0):
                share = value[k] / (value[k] - following[k])
                nxt = polygon[(k + 1) % len(polygon)]
                points.append(polygon[k] + share * (nxt - polygon[k]))
        if len(points) < 3:
            return np.zeros((0, 2))
        polygon = np.array(points)
    return polygon[:, :2] / polygon[:, 2:] * focal + (cx, cy)


def _ground_inverse_depth(camera: CameraCalibration) -> np.ndarray:
    """(H, W) float32 1 / depth of the ground plane, 0 above the horizon (a level camera)."""
    height = camera.ego_from_camera[2, 3]
    v = np.arange(camera.height) - camera.intrinsics[1, 2]
    rows = np.maximum(v / (camera.intrinsics[1, 1] * height), 0.0)
    rows[rows < 1 / 400.0] = 0.0
    return np.repeat(rows.astype(np.float32)[:, None], camera.width, axis=1)


def _rasterise(faces: _Faces, inverse: np.ndarray, index: np.ndarray, actors: int) -> np.ndarray:
    """Writes the nearest face of each pixel; returns what each actor covers alone.

    An actor that lies wholly behind what is drawn already is skipped; its own cover is then
    taken as 0.7 of its bounding rectangle.
    """
    height, width = inverse.shape
    covered = np.zeros(actors, dtype=np.int64)
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    alone = np.zeros((height, width), dtype=np.uint8)
    scratch = np.zeros((height, width), dtype=np.uint8)
    starts = np.flatnonzero(np.append(True, (np.diff(faces.owner) != 0) | (faces.owner[1:] < 0)))
    stops = np.append(starts[1:], len(faces.owner))
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if start == stop:
            continue
        x0, y0 = faces.low[start:stop].min(0).tolist()
        x1, y1 = faces.high[start:stop].max(0).tolist()
        owner = int(faces.owner[start])
        if inverse[y0:y1, x0:x1].min() >= faces.nearest[start:stop].max():
            if owner >= 0:
                covered[owner] += 0.7 * (x1 - x0) * (y1 - y0)
            continue
        for k in range(start, stop):
            _draw_face(faces, k, inverse, index, columns, rows, scratch,
                       alone if owner >= 0 else None)
        if owner >= 0:
            view = alone[y0:y1, x0:x1]
            covered[owner] += cv2.countNonZero(view)
            view[:] = 0
    return covered


def _draw_face(faces: _Faces, k: int, inverse, index, columns, rows, scratch, alone) -> None:
    (x0, y0), (x1, y1) = faces.low[k].tolist(), faces.high[k].tolist()
    mask = scratch[:y1 - y0, :x1 - x0]
    mask[:] = 0
    cv2.fillConvexPoly(mask, faces.polygons[k] - (x0 * 16, y0 * 16), 1, shift=4)
    if alone is not None:
        view = alone[y0:y1, x0:x1]
        np.bitwise_or(view, mask, out=view)
    a, b, c = faces.plane[k]
    value = a * columns[x0:x1] + (b * rows[y0:y1] + c)
    np.minimum(value, faces.nearest[k], out=value)
    target = inverse[y0:y1, x0:x1]
    better = value > target
    better &= mask.view(bool)
    np.copyto(target, value, where=better)
    np.copyto(index[y0:y1, x0:x1], k, where=better)


def _sky(camera: CameraCalibration, light: Light) -> np.ndarray:
    rise = np.clip((camera.intrinsics[1, 2] - np.arange(camera.height))
                   / (0.35 * camera.intrinsics[1, 1]), 0, 1)[:, None, None]
    rows = light.sky_low * (1 - rise) + light.sky_top * rise
    return np.repeat(rows, camera.width, axis=1).astype(np.float32)


def _paint_ground(picture, is_ground, depth, scene: Scene, ground: Ground, pyramid,
                  camera: CameraCalibration, light: Light) -> None:
    """Looks the texture up along the pixel rays; far rows use coarser copies of it."""
    world_from_camera = scene.world_from_ego @ camera.ego_from_camera
    focal, cx = camera.intrinsics[0, 0], camera.intrinsics[0, 2]
    across = (np.arange(camera.width, dtype=np.float32) - cx) / focal
    right, forward = world_from_camera[:2, 0], world_from_camera[:2, 2]
    rows = np.flatnonzero(is_ground.any(axis=1))
    if not len(rows):
        return
    shade = _shadows(scene, camera, light)
    row_depth = camera.ego_from_camera[2, 3] * camera.intrinsics[1, 1] / np.maximum(
        np.arange(camera.height) - camera.intrinsics[1, 2], 1e-3)
    # Metres a pixel covers along the view, tempered: full blur would lose the lane lines.
    level = np.clip(np.log2(np.maximum(row_depth / focal / ground.cell * 2.0, 1.0)), 0,
                    len(pyramid) - 1).astype(int)
    for k in np.unique(level[rows]):
        band = rows[level[rows] == k]
        band = slice(band[0], band[-1] + 1)
        d = row_depth[band, None].astype(np.float32)
        scale = ground.cell * 2 ** k
        offset = (2 ** k - 1) / 2 * ground.cell
        start = world_from_camera[:2, 3] - ground.origin - offset
        x = d * (across * right[0] + forward[0]).astype(np.float32) + np.float32(start[0])
        y = d * (across * right[1] + forward[1]).astype(np.float32) + np.float32(start[1])
        colour = cv2.remap(pyramid[k], x / np.float32(scale), y / np.float32(scale),
                           cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        lit = (light.ambient + light.direct * light.sun[2]) * shade[band]
        np.copyto(picture[band], colour * lit[..., None], where=is_ground[band, :, None])


def _shadows(scene: Scene, camera: CameraCalibration, light: Light) -> np.ndarray:
    """(H, W) float32 factor on the ground: what solids take from it."""
    mask = np.zeros((camera.height, camera.width), dtype=np.uint8)
    shadows = scene.shadows[np.abs(scene.shadows).max((1, 2)) < 60.0]
    points = np.concatenate([shadows, np.zeros((*shadows.shape[:2], 1))], axis=-1)
    points = (points - camera.ego_from_camera[:3, 3]) @ camera.ego_from_camera[:3, :3]
    points = points[(points[..., 2] > _NEAR).any(1)]
    polygons, low, high = _project(points, camera)
    for k in np.flatnonzero((high > low).all(1)):
        cv2.fillConvexPoly(mask, polygons[k], 255, shift=4)
    soft = cv2.blur(mask, (3, 3)).astype(np.float32) / 255
    return 1.0 - (1.0 - light.shadow) * soft


def _paint_faces(picture, solid, index, depth, faces: _Faces, scene: Scene,
                 camera: CameraCalibration, light: Light) -> None:
    if not len(faces.polygons):
        return
    cuboids = scene.cuboids
    normal_yaw = cuboids.yaw[faces.cuboid] + np.array([0, np.pi, np.pi / 2, -np.pi / 2, 0, 0])[
        faces.side]
    flat = (faces.side < 4).astype(np.float64)
    up = _NORMALS[faces.side, 2]
    ego_yaw = np.arctan2(scene.world_from_ego[1, 0], scene.world_from_ego[0, 0])
    sun_yaw = np.arctan2(light.sun[1], light.sun[0]) - ego_yaw
    facing = (flat * np.cos(normal_yaw - sun_yaw) * np.hypot(light.sun[0], light.sun[1])
              + up * light.sun[2])
    # A little light from the sky on top and less from below keeps faces apart without sun.
    lit = light.ambient * (0.86 + 0.14 * up + 0.06 * np.cos(normal_yaw * 2) * flat) \
        + light.direct * np.maximum(facing, 0)
    colour = cuboids.colour[faces.cuboid] * lit[:, None].astype(np.float32)
    rows, columns = np.nonzero(solid)
    face = index[rows, columns]
    shade = colour[face]
    walls = cuboids.facade[faces.cuboid] & (faces.side < 4)
    wall = np.flatnonzero(walls[face])
    if len(wall):
        shade[wall] = _windows(shade[wall], face[wall], rows[wall], columns[wall], depth, faces,
                               scene, camera, light)
    picture[rows, columns] = shade


def _windows(shade, face, rows, columns, depth, faces, scene, camera, light) -> np.ndarray:
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
    glass = ((along / 2.6) % 1.0 < 0.55) & ((height / 3.1) % 1.0 > 0.38) & (
        (height / 3.1) % 1.0 < 0.82) & (height < scene.cuboids.size[cuboid, 2] - 0.8)
    return np.where(glass[:, None], light.windows * (0.6 + 0.4 * shade[:, :1] / 160), shade)


def _finish(picture, depth, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Haze, exposure, sensor noise."""
    clear = np.exp(-depth / np.float32(light.haze_range))
    clear[~np.isfinite(depth)] = 1.0
    picture *= clear[..., None]
    picture += (1 - clear)[..., None] * light.sky_low.astype(np.float32)
    picture *= light.gain.astype(np.float32)
    size = picture.shape[:2]
    noise = rng.standard_normal(picture.shape[0] * picture.shape[1] * 3 // 4 + 64,
                                dtype=np.float32) * np.float32(light.noise)
    # Four shifted uses of one draw: quicker than a draw for each value, and as white to look at.
    spread = np.concatenate([noise, -noise[7:], noise[::-1], noise[13:], noise])
    picture += spread[:size[0] * size[1] * 3].reshape(picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)
