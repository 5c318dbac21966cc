"""Augmentation; that of images and scene keeps pixels, points, boxes and map aligned.

An image moves by an affine map of its pixels, which goes into the intrinsics; a mirrored image is
that of a camera with a mirrored x axis, so focal lengths stay positive. The scene moves by one
affine map of the ego frame, which goes into the sensors' poses, the boxes and the map. The camera
model stays exact. BEVFusion's ranges are in config/training/metabev_base.yaml.

What becomes of colours and points alone is in `picture_variation` and `point_variation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.geometry import BevGrid, rotation_z

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
_CHANCES = (
    'turn',
    'view_drop',
    'image_flip',
    'flip_x',
    'flip_y',
    'blur',
    'jpeg',
    'cutout',
    'intensity_lost',
    'beams_thinned',
    'range_limited',
    'sweeps_lost',
)
_SHARES = ('brightness', 'contrast', 'colour', 'noise_points')
_LIMITS = ('image_rotation', 'rotation', 'translation', 'height', 'tilt', 'noise', 'nearest_limit')
_RANGES = ('image_scale', 'scale', 'gamma', 'intensity_scale', 'intensity_gamma', 'point_share')


@dataclass(frozen=True)
class AugmentationConfig:
    """Training-time variation. The defaults are nano's: their lift-splat tables are cached.

    Attributes:
        turn: chance of turning the ego frame by half a turn; images stay as they are, their
            calibration turns with the frame. A mirror would put traffic on the other side of the
            road and so take away what tells a heading.
        brightness: largest relative change of gain, and of offset in units of 255 / 4.
        view_drop: chance that one to three views of a sample are missing.
        image_scale: smallest and largest size over the network's; bottom kept, random crop at the
            sides; every view has its own draw.
        image_flip: chance of a mirrored image, per view.
        image_rotation: largest turn of an image about its centre, degrees.
        rotation: largest turn of the ego frame about z, degrees.
        scale: smallest and largest scale of the scene.
        translation: standard deviation per axis, metres.
        flip_x, flip_y: chance of mirroring the scene front to back (x), left to right (y).
        height: largest move of the scene up or down under the sensors' ego frame, metres.
        tilt: largest pitch and largest roll of the ego frame, degrees. Boxes stay upright.
        contrast: largest relative change about the mean, per view.
        gamma: smallest and largest exponent on brightness 0..1, per view.
        colour: largest relative change of each colour's gain, and of saturation, per sample.
        noise: largest standard deviation of the pixels, 0..255.
        blur, jpeg, cutout: chance per view of a Gaussian blur, of compression of low quality, and
            of one to three patches of one colour.
        intensity_scale: smallest and largest factor, drawn evenly in its logarithm.
        intensity_gamma: smallest and largest exponent on intensity / 255.
        intensity_lost: chance that all points have one and the same intensity, half the time 0.
        point_share: smallest and largest share of the points that stay.
        beams_thinned: chance that only one of two to four narrow bands of elevation stays.
        range_limited: chance that what is farther than some distance is lost.
        nearest_limit: the least such distance, metres.
        sweeps_lost: chance that the oldest sweeps are missing, all but the newest at most.
        noise_points: largest number of points of nothing, over the number of points.
    """

    turn: float = 0.5
    brightness: float = 0.2
    view_drop: float = 0.15
    image_scale: tuple[float, ...] = (1.0, 1.0)
    image_flip: float = 0.0
    image_rotation: float = 0.0
    rotation: float = 0.0
    scale: tuple[float, ...] = (1.0, 1.0)
    translation: float = 0.0
    flip_x: float = 0.0
    flip_y: float = 0.0
    height: float = 0.0
    tilt: float = 0.0
    contrast: float = 0.0
    gamma: tuple[float, ...] = (1.0, 1.0)
    colour: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    jpeg: float = 0.0
    cutout: float = 0.0
    intensity_scale: tuple[float, ...] = (1.0, 1.0)
    intensity_gamma: tuple[float, ...] = (1.0, 1.0)
    intensity_lost: float = 0.0
    point_share: tuple[float, ...] = (1.0, 1.0)
    beams_thinned: float = 0.0
    range_limited: float = 0.0
    nearest_limit: float = 30.0
    sweeps_lost: float = 0.0
    noise_points: float = 0.0

    def __post_init__(self) -> None:
        for name in (*_CHANCES, *_SHARES):
            require(
                0 <= getattr(self, name) <= 1, f'augmentation.{name}', '0..1', getattr(self, name)
            )
        for name in _LIMITS:
            require(
                getattr(self, name) >= 0, f'augmentation.{name}', 'at least 0', getattr(self, name)
            )
        for name in _RANGES:
            value = getattr(self, name)
            require(
                len(value) == 2 and 0 < value[0] <= value[1],
                f'augmentation.{name}',
                'two numbers, 0 < low <= high',
                value,
            )
        require(
            self.point_share[1] <= 1,
            'augmentation.point_share',
            'shares up to 1',
            self.point_share,
        )

    @property
    def moves_images(self) -> bool:
        """Tell whether pictures are scaled, flipped or turned."""
        return self.image_flip > 0 or self.image_rotation > 0 or self.image_scale != (1.0, 1.0)

    def draw_scene(self, rng: np.random.Generator) -> np.ndarray:
        """(4, 4) new_from_old of the ego frame: turn, flips, rotation, scale, shift, tilt."""
        sign = -1.0 if rng.random() < self.turn else 1.0
        new_from_old = np.diag([sign, sign, 1.0, 1.0])
        if self.flip_x > 0 or self.flip_y > 0:
            flips = [
                -1.0 if rng.random() < chance else 1.0 for chance in (self.flip_x, self.flip_y)
            ]
            new_from_old = np.diag([*flips, 1.0, 1.0]) @ new_from_old
        if self.rotation > 0 or self.scale != (1.0, 1.0) or self.translation > 0:
            move = np.eye(4)
            move[:3, :3] = rotation_z(np.deg2rad(rng.uniform(-self.rotation, self.rotation)))
            move[:3, :3] *= rng.uniform(*self.scale)
            move[:3, 3] = rng.normal(0, self.translation, 3)
            new_from_old = move @ new_from_old
        if self.height > 0 or self.tilt > 0:
            move = np.eye(4)
            move[:3, :3] = tilt(*np.deg2rad(rng.uniform(-self.tilt, self.tilt, 2)))
            move[2, 3] = rng.uniform(-self.height, self.height)
            new_from_old = move @ new_from_old
        return new_from_old

    def draw_image(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """(3, 3) new_from_old on pixels of a picture of this size, and whether it mirrors."""
        scale = rng.uniform(*self.image_scale)
        mirrored = bool(rng.random() < self.image_flip)
        angle = np.deg2rad(rng.uniform(-self.image_rotation, self.image_rotation))
        left = rng.random() * (scale * width - width)
        # u' + 0.5 = (u + 0.5) * scale - left; the bottom edge stays where it is.
        matrix = np.array(
            [
                [scale, 0, (scale - 1) / 2 - left],
                [0, scale, (scale - 1) / 2 - (scale - 1) * height],
                [0, 0, 1.0],
            ]
        )
        if mirrored:
            matrix = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]]) @ matrix
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        turn = rotation_z(angle)
        turn[:2, 2] = centre - turn[:2, :2] @ centre
        return turn @ matrix, mirrored


def tilt(pitch: float, roll: float) -> np.ndarray:
    """(3, 3) rotation about y by `pitch` after one about x by `roll`, radians."""
    (a, b), (c, d) = (np.cos([pitch, roll]), np.sin([pitch, roll]))
    about_y = np.array([[a, 0, c], [0, 1, 0], [-c, 0, a]])
    about_x = np.array([[1, 0, 0], [0, b, -d], [0, d, b]])
    return about_y @ about_x


def move_image(pixels: np.ndarray, new_from_old: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 under an affine map of its pixels; black where nothing was."""
    height, width = pixels.shape[:2]
    return cv2.warpAffine(
        np.ascontiguousarray(pixels), new_from_old[:2], (width, height), flags=cv2.INTER_LINEAR
    )


def move_camera(
    intrinsics: np.ndarray, ego_from_camera: np.ndarray, new_from_old: np.ndarray, mirrored: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics and pose whose projection is the old one followed by the affine map."""
    if mirrored:
        return new_from_old @ intrinsics @ MIRROR[:3, :3], ego_from_camera @ MIRROR
    return new_from_old @ intrinsics, ego_from_camera


def move_depth(depth: np.ndarray, new_from_old: np.ndarray, stride: int) -> np.ndarray:
    """(h, w) metres at feature pixels of the moved image; inf where the old one has none.

    Args:
        depth: (h, w) metres along the optical axis at the centres of the old feature pixels;
            the axis does not move, so values stay.
        stride: image pixels per feature pixel.
    """
    h, w = depth.shape
    u, v = np.meshgrid((np.arange(w) + 0.5) * stride - 0.5, (np.arange(h) + 0.5) * stride - 0.5)
    old_from_new = np.linalg.inv(new_from_old)
    old = np.stack([u, v], -1) @ old_from_new[:2, :2].T + old_from_new[:2, 2]
    column, row = np.floor((old + 0.5) / stride).astype(int).transpose(2, 0, 1)
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    values = depth[np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)]
    return np.where(inside, values, np.inf).astype(np.float32)


def move_boxes(boxes: np.ndarray, new_from_old: np.ndarray) -> np.ndarray:
    """(M, 9) float64 boxes in the new ego frame; sizes and velocities scale with the scene."""
    boxes = boxes.astype(np.float64)
    linear = new_from_old[:2, :2]
    scale = np.cbrt(abs(np.linalg.det(new_from_old[:3, :3])))
    heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], 1) @ linear.T
    boxes[:, :3] = boxes[:, :3] @ new_from_old[:3, :3].T + new_from_old[:3, 3]
    boxes[:, 3:6] *= scale
    boxes[:, 6] = np.arctan2(heading[:, 1], heading[:, 0])
    boxes[:, 7:9] = boxes[:, 7:9] @ linear.T
    return boxes


def move_map(
    layers: np.ndarray, grid: BevGrid, new_from_old: np.ndarray, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Map layers in the new ego frame, nearest cell; the map lies on the old frame's ground.

    Args:
        layers: (L, Y, X) bool on `grid`.
        known: (L, Y, X) bool, cells whose truth is known; None: all.

    Returns:
        (L, Y, X) bool, and (L, Y, X) or (1, Y, X) bool: the cells that are known afterwards,
        None when all are.
    """
    signs = np.diag(new_from_old)[:2]
    symmetric = (grid.x_min, grid.y_min) == (-grid.x_max, -grid.y_max)
    if (
        symmetric
        and np.array_equal(new_from_old, np.diag([*signs, 1.0, 1.0]))
        and (np.abs(signs) == 1).all()
    ):
        mirror = (slice(None), slice(None, None, int(signs[1])), slice(None, None, int(signs[0])))
        moved = np.ascontiguousarray(layers[mirror])
        return moved, None if known is None else np.ascontiguousarray(known[mirror])
    cells = grid.cell_index(on_old_ground(grid.centres(), new_from_old))
    inside = cells >= 0
    kept = inside[None]
    if known is not None:
        kept = known.reshape(len(known), -1)[:, np.where(inside, cells, 0)] & inside
    moved = layers.reshape(len(layers), -1)[:, np.where(inside, cells, 0)] & inside
    return moved, kept


def on_old_ground(places: np.ndarray, new_from_old: np.ndarray) -> np.ndarray:
    """(..., 2) x and y, on the old frame's ground, of what stands at (..., 2) in the new frame."""
    return (places - new_from_old[:2, 3]) @ np.linalg.inv(new_from_old[:2, :2]).T
