"""Pictures of pasted objects, drawn so that cameras and LiDAR agree (MoCa, PointAugmenting).

Far objects are drawn before near ones; what stood in the picture before an object is drawn again
over it. An object's pixels are those inside the outline of its box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.training.object_database import Picture, StoredObject
from metabev_ros.lab.training.outlines import Outline, outline_of


def can_be_shown(item: StoredObject, record: SampleRecord) -> bool:
    """Tell whether every camera of a record that would see an object has a picture of it."""
    names = {picture.camera for picture in item.pictures}
    return all(
        name in names or _outline(item.box, record, i) is None
        for i, name in enumerate(record.cameras)
    )


def paste_pictures(
    pasted: SampleRecord, record: SampleRecord, found: Sequence[StoredObject]
) -> SampleRecord:
    """`pasted` with the pictures of the objects in it; no depth is claimed where they are.

    Args:
        record: before the objects came.
    """
    pixels, depth = record.pixels.copy(), record.depth.copy()
    for i, name in enumerate(record.cameras):
        layers: list[tuple[float, np.ndarray, np.ndarray]] = []
        covered = np.zeros(pixels.shape[1:3], bool)
        for item in found:
            outline = _outline(item.box, record, i)
            picture = next((p for p in item.pictures if p.camera == name), None)
            if outline is None or picture is None:
                continue
            drawn, known = _fitted(picture, outline, pixels.shape[1:3])
            mask = outline.mask(*pixels.shape[1:3]) & known
            layers.append((outline.distance, mask, drawn))
            covered |= mask
        if not layers:
            continue
        for box in record.boxes:
            outline = _outline(box, record, i)
            if outline is not None:
                mask = outline.mask(*pixels.shape[1:3])
                layers.append((outline.distance, mask, record.pixels[i]))
        for _, mask, drawn in sorted(layers, key=lambda layer: -layer[0]):
            pixels[i][mask] = drawn[mask]
        depth[i][_at_features(covered, depth.shape[1:])] = np.inf
    return dataclasses.replace(pasted, pixels=pixels, depth=depth)


def _outline(box: np.ndarray, record: SampleRecord, camera: int) -> Outline | None:
    return outline_of(
        box,
        record.intrinsics[camera],
        record.ego_from_camera[camera],
        record.pixels.shape[1:3],
    )


def _fitted(
    picture: Picture, outline: Outline, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The picture at the place and size of an outline: (H, W, 3), and where it has content.

    With the calibration that the picture was taken with it stays pixel for pixel.
    """
    height, width = shape
    new, old = outline.frame, picture.frame
    scale = (new[2:] - new[:2]) / np.maximum(old[2:] - old[:2], 1e-6)
    shift = new[:2] + scale * (picture.corner - old[:2])
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    whole = np.full(picture.pixels.shape[:2], 255, np.uint8)
    drawn = cv2.warpAffine(
        picture.pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    known = cv2.warpAffine(whole, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return drawn, known > 0


def _at_features(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool: feature pixels with a pixel of the mask below them."""
    rows, columns = mask.shape[0] // shape[0], mask.shape[1] // shape[1]
    parts = mask[: shape[0] * rows, : shape[1] * columns]
    return np.asarray(parts.reshape(shape[0], rows, shape[1], columns).any((1, 3)))
