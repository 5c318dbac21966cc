"""Any lens and any pose, from pictures of level cameras without distortion.

`lens_map` looks where each pixel of the real camera looks, covers that with one or more level
pin-hole cameras at the same place, and says where in their pictures the pixel is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.synthetic.camera import Drawing
from metabev_ros.lab.datasets.synthetic.rig import BODY_FROM_OPTICAL
from metabev_ros.structures import CameraCalibration, DistortionModel

_WIDEST = np.deg2rad(72.0)  # of one level camera
_STEEPEST = np.deg2rad(68.0)  # elevation that is drawn; beyond it the picture is black
_PAD = 2  # pixels around what is looked up
_HALF_SPHERE = np.deg2rad(89.0)  # a fisheye sees this far from its axis


@dataclass(frozen=True)
class LensMap:
    """The way from pictures of level cameras to that of a lens.

    Attributes:
        faces: the level cameras.
        face: (H, W) int8 which of them shows a pixel, -1 for none.
        places: (H, W, 2) float32 where in its picture.
    """

    faces: tuple[CameraCalibration, ...]
    face: np.ndarray
    places: np.ndarray

    def picture(self, drawings: list[Drawing]) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) float32 picture and (H, W) int32 owners of what the lens sees."""
        picture = np.zeros((*self.face.shape, 3), dtype=np.float32)
        owner = np.full(self.face.shape, -1, dtype=np.int32)
        x, y = self.places[..., 0], self.places[..., 1]
        for k, drawing in enumerate(drawings):
            here = self.face == k
            looked = cv2.remap(drawing.picture, x, y, cv2.INTER_LINEAR)
            np.copyto(picture, looked, where=here[..., None])
            rows, columns = np.rint(y[here]).astype(int), np.rint(x[here]).astype(int)
            owner[here] = drawing.owner[rows, columns]
        return picture, owner


def is_ideal(camera: CameraCalibration) -> bool:
    """Tell whether `draw` can draw this camera itself: level, square pixels, no distortion."""
    k, up = camera.intrinsics, camera.ego_from_camera[:3, :3]
    square = abs(k[0, 0] - k[1, 1]) < 1e-9 * k[0, 0] and k[0, 1] == 0
    is_level = abs(up[2, 0]) < 1e-9 and abs(up[2, 2]) < 1e-9 and up[2, 1] < 0
    return square and is_level and not camera.distortion.any() and not _is_fisheye(camera)


def _is_fisheye(camera: CameraCalibration) -> bool:
    return camera.distortion_model is DistortionModel.EQUIDISTANT and len(camera.distortion) == 4


def pixel_rays(camera: CameraCalibration) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which the pixels look.

    Returns:
        (H, W, 3) float64 unit vectors in the optical frame, and (H, W) bool where the lens has
        an image: within half a sphere, and where its polynomial can be undone.
    """
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    pixels = np.stack([u, v], axis=-1)
    if _is_fisheye(camera):
        return _fisheye_rays(camera, pixels)
    flat = pixels.reshape(-1, 1, 2)
    distortion = camera.distortion if len(camera.distortion) else np.zeros(5)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-9)
    places = cv2.undistortPoints(
        flat, camera.intrinsics, distortion, R=np.eye(3), P=np.eye(3), criteria=stop
    ).reshape(-1, 2)
    rays = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    back, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera.intrinsics, distortion)
    error = np.abs(back.reshape(-1, 2) - flat.reshape(-1, 2)).max(1)
    valid = np.isfinite(error) & (error < 0.1) & (np.abs(places).max(1) < 20)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    shape = (camera.height, camera.width)
    return rays.reshape(*shape, 3), valid.reshape(shape)


def _fisheye_rays(camera: CameraCalibration, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kannala and Brandt's model as OpenCV has it, undone by a table of its radii."""
    k = camera.intrinsics
    y = (pixels[..., 1] - k[1, 2]) / k[1, 1]
    x = (pixels[..., 0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
    radius = np.hypot(x, y)
    angle = np.linspace(0, _HALF_SPHERE, 20_001)
    k1, k2, k3, k4 = camera.distortion
    square = angle**2
    bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    rising = int(np.argmax(np.append(np.diff(bent) <= 0, True)))  # beyond it the image folds
    theta = np.interp(radius, bent[: rising + 1], angle[: rising + 1])
    scale = np.where(radius > 0, np.sin(theta) / np.maximum(radius, 1e-12), 1.0)
    rays = np.stack([x * scale, y * scale, np.cos(theta)], axis=-1)
    return rays, radius <= bent[rising]


def lens_map(camera: CameraCalibration) -> LensMap:
    """The level cameras that cover what this one sees."""
    rays, valid = pixel_rays(camera)
    rotation, position = camera.ego_from_camera[:3, :3], camera.ego_from_camera[:3, 3]
    seen = rays @ rotation.T
    axis = np.arctan2(rotation[1, 2], rotation[0, 2])
    yaw = np.arctan2(seen[..., 1], seen[..., 0]) - axis
    yaw = (yaw + np.pi) % (2 * np.pi) - np.pi
    valid &= np.abs(np.arcsin(np.clip(seen[..., 2], -1, 1))) < _STEEPEST
    low, high = yaw[valid].min(), yaw[valid].max()
    count = max(1, int(np.ceil((high - low) / _WIDEST)))
    which = np.clip(((yaw - low) / max(high - low, 1e-9) * count).astype(int), 0, count - 1)
    face = np.where(valid, which, -1).astype(np.int8)
    places = np.zeros((*face.shape, 2), dtype=np.float32)
    faces = []
    for k in range(count):
        middle = axis + low + (k + 0.5) * (high - low) / count
        pose = rigid_transform(rotation_z(float(middle)) @ BODY_FROM_OPTICAL, position)
        here = face == k
        optical = seen[here] @ pose[:3, :3]
        place = optical[:, :2] / optical[:, 2:] * camera.intrinsics[0, 0]
        if not len(place):  # between two lobes of what is seen
            place = np.zeros((1, 2))
        corner = np.floor(place.min(0)) - _PAD
        width, height = (np.ceil(place.max(0)) - corner + _PAD + 1).astype(int)
        focal = camera.intrinsics[0, 0]
        matrix = np.array([[focal, 0, -corner[0]], [0, focal, -corner[1]], [0, 0, 1.0]])
        faces.append(CameraCalibration(int(width), int(height), matrix, pose))
        places[here] = (place - corner)[: here.sum()]
    return LensMap(tuple(faces), face, places)
