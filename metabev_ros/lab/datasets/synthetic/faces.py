"""The solids of one instant as faces in front of a camera, and the z-buffer they go into."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.lab.datasets.synthetic.models import Cuboids
from metabev_ros.structures import CameraCalibration

NEAR = 0.25
# Corner signs of a cuboid and its faces, counter-clockwise seen from outside; no bottom face.
_CORNERS = np.array([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
_FACES = np.array(
    [[1, 3, 7, 5], [2, 0, 4, 6], [3, 2, 6, 7], [0, 1, 5, 4], [4, 5, 7, 6], [0, 2, 3, 1]]
)
NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])


def cuboid_corners(cuboids: Cuboids) -> np.ndarray:
    """(N, 8, 3) corners in the frame of the cuboids."""
    local = _CORNERS[None] * cuboids.size[:, None]
    c, s = np.cos(cuboids.yaw)[:, None], np.sin(cuboids.yaw)[:, None]
    return np.stack(
        [
            c * local[..., 0] - s * local[..., 1] + cuboids.centre[:, None, 0],
            s * local[..., 0] + c * local[..., 1] + cuboids.centre[:, None, 1],
            local[..., 2] + cuboids.centre[:, None, 2],
        ],
        axis=-1,
    )


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


@dataclass(frozen=True)
class Faces:
    """Faces in front of one camera, nearest object first, all faces of an actor together.

    Attributes:
        polygons: (K, 2) int32 pixels times 16, clipped to the near plane.
        low, high: (F, 2) pixel bounds inside the image, high exclusive.
        plane: (F, 3) float32, inverse depth = a u + b v + c.
        nearest, farthest: (F,) the largest and smallest inverse depth of its corners.
        owner, cuboid, side: (F,) actor row or -1, cuboid row, which of the six faces.
    """

    polygons: list
    low: np.ndarray
    high: np.ndarray
    plane: np.ndarray
    nearest: np.ndarray
    farthest: np.ndarray
    owner: np.ndarray
    cuboid: np.ndarray
    side: np.ndarray


def _chosen_cuboids(scene: Scene, corners: np.ndarray, camera: CameraCalibration) -> np.ndarray:
    """Rows of the cuboids that touch the view and are not too small to see, nearest first."""
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    x, y, z = corners[..., 0], corners[..., 1], corners[..., 2]
    distance = np.sqrt((corners**2).sum(-1).min(1))
    middle = np.sort(scene.cuboids.size, axis=1)[:, 1]
    inside = (
        (z > NEAR).any(1)
        & (x < (camera.width - cx) / focal * z).any(1)
        & (x > -(cx + 1) / focal * z).any(1)
        & (y < (camera.height - cy) / focal * z).any(1)
        & (y > -(cy + 1) / focal * z).any(1)
        & (middle * focal > 0.8 * distance)
    )
    chosen = np.flatnonzero(inside)
    owner = scene.cuboids.owner[chosen]
    group = np.full(scene.actors + 1, np.inf)
    np.minimum.at(group, owner, distance[chosen])
    return chosen[np.lexsort((owner, np.where(owner < 0, distance[chosen], group[owner])))]


def visible_faces(scene: Scene, camera: CameraCalibration) -> Faces:
    """Faces of the cuboids that look at a camera, in front of it."""
    rotation = camera.ego_from_camera[:3, :3]
    corners = (scene.corners - camera.ego_from_camera[:3, 3]) @ rotation
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    chosen = _chosen_cuboids(scene, corners, camera)
    quads = corners[chosen][:, _FACES]  # (C, 6, 4, 3)
    c, s = np.cos(scene.cuboids.yaw[chosen]), np.sin(scene.cuboids.yaw[chosen])
    normals = np.empty((len(chosen), 6, 3))
    normals[..., 0] = c[:, None] * NORMALS[:, 0] - s[:, None] * NORMALS[:, 1]
    normals[..., 1] = s[:, None] * NORMALS[:, 0] + c[:, None] * NORMALS[:, 1]
    normals[..., 2] = NORMALS[:, 2]
    normals = normals @ rotation
    distance = (normals * quads[:, :, 0]).sum(-1)
    row, side = np.nonzero((distance < -1e-4) & (quads[..., 2].max(-1) > NEAR))
    quads, normals, distance = quads[row, side], normals[row, side], distance[row, side]
    plane = (
        np.stack(
            [
                normals[:, 0],
                normals[:, 1],
                normals[:, 2] * focal - normals[:, 0] * cx - normals[:, 1] * cy,
            ],
            axis=-1,
        )
        / (focal * distance)[:, None]
    )
    polygons, low, high = project(quads, camera)
    keep = np.flatnonzero((high > low).all(1))
    cuboid = chosen[row[keep]]
    nearest = 1.0 / np.maximum(quads[..., 2].min(-1), NEAR)[keep]
    farthest = 1.0 / quads[..., 2].max(-1)[keep]
    return Faces(
        [polygons[k] for k in keep],
        low[keep],
        high[keep],
        plane[keep].astype(np.float32),
        nearest.astype(np.float32),
        farthest.astype(np.float32),
        scene.cuboids.owner[cuboid],
        cuboid,
        side[keep],
    )


def project(
    polygons: np.ndarray, camera: CameraCalibration
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Pixels of (F, K, 3) optical-frame polygons; clips the few that need it.

    Returns:
        list of (K, 2) int32 pixels times 16, and (F, 2) bounds, empty where nothing is seen.
    """
    focal, cx, cy = camera.intrinsics[0, 0], camera.intrinsics[0, 2], camera.intrinsics[1, 2]
    size = np.array([camera.width, camera.height])
    near = np.maximum(polygons[..., 2], NEAR)
    pixels = polygons[..., :2] / near[..., None] * focal + (cx, cy)
    low, high = pixels.min(1), pixels.max(1)
    hard = (polygons[..., 2].min(-1) <= NEAR) | (np.abs(pixels).max((-1, -2)) >= 2000.0)
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


def _clip(
    quad: np.ndarray, focal: float, cx: float, cy: float, camera: CameraCalibration
) -> np.ndarray:
    """Clips a face to the near plane and to a frustum a little wider than the image."""
    pad = 40.0
    planes = np.array(
        [
            [0, 0, 1.0, -NEAR],
            [focal, 0, cx + pad, 0],
            [-focal, 0, camera.width + pad - cx, 0],
            [0, focal, cy + pad, 0],
            [0, -focal, camera.height + pad - cy, 0],
        ]
    )
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


def rasterise(faces: Faces, inverse: np.ndarray, index: np.ndarray, actors: int) -> np.ndarray:
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
            _draw_face(
                faces, k, inverse, index, columns, rows, scratch, alone if owner >= 0 else None
            )
        if owner >= 0:
            view = alone[y0:y1, x0:x1]
            covered[owner] += cv2.countNonZero(view)
            view[:] = 0
    return covered


def _draw_face(
    faces: Faces,
    k: int,
    inverse: np.ndarray,
    index: np.ndarray,
    columns: np.ndarray,
    rows: np.ndarray,
    scratch: np.ndarray,
    alone: np.ndarray | None,
) -> None:
    (x0, y0), (x1, y1) = faces.low[k].tolist(), faces.high[k].tolist()
    mask = scratch[: y1 - y0, : x1 - x0]
    mask[:] = 0
    cv2.fillConvexPoly(mask, faces.polygons[k] - (x0 * 16, y0 * 16), 1, shift=4)
    if alone is not None:
        view = alone[y0:y1, x0:x1]
        np.bitwise_or(view, mask, out=view)
    a, b, c = faces.plane[k]
    value = a * columns[x0:x1] + (b * rows[y0:y1] + c)
    # Border pixels lie half outside the face: a grazing plane must not be continued there.
    np.minimum(value, faces.nearest[k], out=value)
    np.maximum(value, faces.farthest[k], out=value)
    target = inverse[y0:y1, x0:x1]
    better = value > target
    better &= mask.view(bool)
    np.copyto(target, value, where=better)
    np.copyto(index[y0:y1, x0:x1], k, where=better)
