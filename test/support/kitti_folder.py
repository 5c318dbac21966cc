"""Real frames laid out as KITTI's object and tracking benchmarks are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

# KITTI's names of our classes.
KINDS = {'car': 'Car', 'pedestrian': 'Pedestrian', 'bicycle': 'Cyclist', 'truck': 'Truck'}
IMU_TO_VELO = np.array(  # of the training drives of 26 September 2011
    [
        [9.999976e-01, 7.553071e-04, -2.035826e-03, -8.086759e-01],
        [-7.854027e-04, 9.998898e-01, -1.482298e-02, 3.195559e-01],
        [2.024406e-03, 1.482454e-02, 9.998881e-01, -7.997231e-01],
    ]
)
OBJECT_NAMES = ('R0_rect:', 'Tr_velo_to_cam:', 'Tr_imu_to_velo:')
TRACKING_NAMES = ('R_rect', 'Tr_velo_cam', 'Tr_imu_velo')  # without a colon, as published


@dataclass(frozen=True, eq=False)
class RealKitti:
    """One of the real frames, `kitti_*.npz` and its picture."""

    token: str
    arrays: dict[str, np.ndarray]
    picture: Path

    @classmethod
    def read(cls, folder: Path, token: str) -> RealKitti:
        """The frame '000134' and its like."""
        with np.load(folder / f'kitti_{token}.npz') as file:
            arrays = {name: file[name] for name in file.files}
        return cls(token, arrays, folder / f'kitti_{token}.png')

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        height, width = cv2.imread(str(self.picture)).shape[:2]
        return width, height

    def label_lines(self) -> list[str]:
        """Lines of its label file: ego boxes taken back to KITTI's convention."""
        lines = [
            label_line(KINDS[str(label)], box, self.arrays, self.size)
            for box, label in zip(self.arrays['boxes'], self.arrays['labels'], strict=True)
        ]
        return lines + [dont_care_line(r) for r in self.arrays['ignored_image_regions']]

    def calibration_text(self, names: tuple[str, str, str] = OBJECT_NAMES) -> str:
        """Content of its calibration file; the rotation is told apart as R0 times Tr is."""
        rect_from_lidar = self.arrays['rect_from_ego'] @ self.arrays['ego_from_lidar']
        turn = cv2.Rodrigues(np.array([[0.004], [-0.007], [0.009]]))[0]
        rest = np.linalg.inv(np.block([[turn, np.zeros((3, 1))], [0, 0, 0, 1]])) @ rect_from_lidar
        rows = [(f'P{i}:', self.arrays['image_from_rect']) for i in range(4)]
        rows += zip(names, (turn, rest[:3], IMU_TO_VELO), strict=True)
        text = ''.join(
            f'{name} {" ".join(f"{v:.12e}" for v in np.ravel(matrix))}\n' for name, matrix in rows
        )
        return text + '\n'

    def points_bytes(self) -> bytes:
        """Content of its `velodyne/*.bin`."""
        return np.ascontiguousarray(self.arrays['points'], '<f4').tobytes()


def label_line(
    kind: str,
    box: np.ndarray,
    arrays: dict[str, np.ndarray],
    size: tuple[int, int],
    truncated: str = '0.00',
    occluded: int = 0,
) -> str:
    """A line of an object label file from a box in the ego frame."""
    x, y, z, length, width, height, yaw = np.asarray(box, np.float64)[:7]
    rect_from_ego = arrays['rect_from_ego']
    bottom = (rect_from_ego @ [x, y, z, 1])[:3] + [0, height / 2, 0]
    # The turn whose heading, brought to ego, has this yaw: solved for, not taken from the reader.
    back = rect_from_ego[:3, :3]
    normal = back @ [-np.sin(yaw), np.cos(yaw), 0]  # the heading has no part along it
    turn = np.arctan2(normal[0], normal[2])
    if (back.T @ [np.cos(turn), 0, -np.sin(turn)]) @ [np.cos(yaw), np.sin(yaw), 0] < 0:
        turn += np.pi
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    left, top, right, bottom_v = image_box(bottom, (height, width, length), turn, arrays, size)
    alpha = turn - np.arctan2(bottom[0], bottom[2])
    return (
        f'{kind} {truncated} {occluded} {alpha:.6f} {left:.2f} {top:.2f} {right:.2f} '
        f'{bottom_v:.2f} {height:.6f} {width:.6f} {length:.6f} {bottom[0]:.6f} {bottom[1]:.6f} '
        f'{bottom[2]:.6f} {turn:.6f}'
    )


def image_box(
    bottom: np.ndarray,
    size_hwl: tuple[float, float, float],
    turn: float,
    arrays: dict[str, np.ndarray],
    size: tuple[int, int],
) -> tuple[float, float, float, float]:
    """left, top, right, bottom of the picture's part that a box covers."""
    height, width, length = size_hwl
    pixels = []
    for along in (-length / 2, length / 2):
        for across in (-width / 2, width / 2):
            for up in (0.0, -height):
                corner = bottom + [
                    along * np.cos(turn) + across * np.sin(turn),
                    up,
                    -along * np.sin(turn) + across * np.cos(turn),
                ]
                u, v, w = arrays['image_from_rect'] @ [*corner[:2], max(corner[2], 0.1), 1]
                pixels.append((u / w, v / w))
    (left, top), (right, low) = np.min(pixels, axis=0), np.max(pixels, axis=0)
    most_u, most_v = size[0] - 1, size[1] - 1
    return (
        float(np.clip(left, 0, most_u)),
        float(np.clip(top, 0, most_v)),
        float(np.clip(right, 0, most_u)),
        float(np.clip(low, 0, most_v)),
    )


def dont_care_line(region: np.ndarray) -> str:
    """A DontCare line of an object label file."""
    box = ' '.join(f'{v:.2f}' for v in region)
    return f'DontCare -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10'


def write_object_folder(folder: Path, frames: list[RealKitti]) -> Path:
    """The object benchmark with these frames; returns `folder`."""
    for frame in frames:
        texts = {
            'calib': frame.calibration_text(),
            'label_2': '\n'.join(frame.label_lines()) + '\n',
        }
        for kind, text in texts.items():
            path = folder / 'training' / kind / f'{frame.token}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for kind in ('velodyne', 'image_2'):
            (folder / 'training' / kind).mkdir(exist_ok=True)
        (folder / 'training/velodyne' / f'{frame.token}.bin').write_bytes(frame.points_bytes())
        shutil.copyfile(frame.picture, folder / 'training/image_2' / f'{frame.token}.png')
    return folder


def write_tracking_folder(
    folder: Path,
    name: str,
    frame: RealKitti,
    clouds: list[np.ndarray],
    label_lines: list[str],
    oxts_lines: list[str] | None,
) -> Path:
    """The tracking benchmark with one sequence; returns `folder`.

    Args:
        frame: gives calibration and the picture of every frame.
        clouds: (P, 4) float32 of each frame.
        label_lines: `frame track type ...`.
        oxts_lines: one per frame; None: not loaded.
    """
    root = folder / 'training'
    for kind in ('calib', 'label_02', 'oxts', f'velodyne/{name}', f'image_02/{name}'):
        (root / kind).mkdir(parents=True, exist_ok=True)
    (root / 'calib' / f'{name}.txt').write_text(frame.calibration_text(TRACKING_NAMES))
    (root / 'label_02' / f'{name}.txt').write_text('\n'.join(label_lines) + '\n')
    if oxts_lines is not None:
        (root / 'oxts' / f'{name}.txt').write_text('\n'.join(oxts_lines) + '\n')
    for index, cloud in enumerate(clouds):
        (root / 'velodyne' / name / f'{index:06d}.bin').write_bytes(cloud.astype('<f4').tobytes())
        shutil.copyfile(frame.picture, root / 'image_02' / name / f'{index:06d}.png')
    return folder


def oxts_line(
    latitude: float, longitude: float, altitude: float, roll: float, pitch: float, yaw: float
) -> str:
    """A line of an oxts file; what the reader does not use is zero."""
    values = (latitude, longitude, altitude, roll, pitch, yaw)
    return ' '.join(f'{v:.14f}' for v in values) + ' 0' * 24
