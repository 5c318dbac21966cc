"""KITTI AP: average precision of boxes in space and seen from above, as KITTI's server counts it.

Over 40 steps of recall (R40, since October 2019) and over 11 (R11, in papers before). Truth comes
from the label files (`KittiObject.view`), because a record holds neither the height of an object
in the picture nor its truncation, by which KITTI tells easy, moderate and hard.

* Overlap must exceed 0.7 for Car and 0.5 for Pedestrian and Cyclist, in both views.
* Van is ignored for Car and Person_sitting for Pedestrian: neither asked for nor wrong.
* So is truth that is too small, occluded or truncated for a difficulty, and a detection that is
  lower in the picture than the difficulty's least height.
* DontCare regions are parts of the picture. They have no place in space, and KITTI's own
  evaluation of boxes spares no detection for lying in one; neither does this one.
* As in the official code, the last step of recall is out of reach for a class with 40 truths
  or less in the set: found exactly, they score 0.975 or less.
* A submission names boxes of the picture: a detection that does not project into it is left out.

The score is not comparable with nuScenes' mAP or Argoverse's, which ask for distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import box_corners, transform_points
from metabev_ros.lab.datasets.box_overlap import box_iou, footprint_iou
from metabev_ros.lab.datasets.sources.kitti_truth import KittiView
from metabev_ros.lab.evaluation.kitti_matching import (
    IGNORED,
    OTHER,
    SAMPLES,
    VALID,
    FrameMatch,
    precision_curve,
)
from metabev_ros.structures import DETECTION_CLASSES, Detections

METRIC_NAME = 'KITTI AP'
KITTI_NAMES = {'car': 'Car', 'pedestrian': 'Pedestrian', 'bicycle': 'Cyclist'}
EVALUATED = tuple(KITTI_NAMES.values())
NEIGHBOURS = {'Car': ('Van',), 'Pedestrian': ('Person_sitting', 'Person'), 'Cyclist': ()}
LEAST_OVERLAP = {'Car': 0.7, 'Pedestrian': 0.5, 'Cyclist': 0.5}
VIEWS = ('3d', 'bev')
DIFFICULTIES = ('easy', 'moderate', 'hard')
LEAST_HEIGHT = (40.0, 25.0, 25.0)  # pixels
MOST_OCCLUSION = (0, 1, 2)
MOST_TRUNCATION = (0.15, 0.3, 0.5)
_NEAREST = 0.1  # metres; corners nearer to the camera are projected from there


@dataclass(frozen=True)
class KittiResult:
    """Scores over a set of frames, 0..1; NaN for a class without truth.

    Attributes:
        precision: (3, 3, 2, 41) of EVALUATED, DIFFICULTIES, VIEWS at recall 0, 1/40, ... 1.
        truth_count: (3, 3) objects asked for, of EVALUATED and DIFFICULTIES.
        samples: number of frames.
    """

    precision: np.ndarray
    truth_count: np.ndarray
    samples: int

    @property
    def ap40(self) -> np.ndarray:
        """(3, 3, 2) AP|R40: the mean at recall 1/40, ... 1."""
        return self.precision[..., 1:].mean(-1)

    @property
    def ap11(self) -> np.ndarray:
        """(3, 3, 2) AP|R11: the mean at recall 0, 0.1, ... 1."""
        return self.precision[..., ::4].mean(-1)

    def to_plain(self) -> dict:
        """For JSON; what is undefined is None."""

        def named(values: np.ndarray) -> dict[str, float | None]:
            return {
                name: None if np.isnan(value) else float(value)
                for name, value in zip(DIFFICULTIES, values, strict=True)
            }

        return {
            'metric': METRIC_NAME,
            'samples': self.samples,
            'classes': {
                name: {
                    'truth': dict(zip(DIFFICULTIES, self.truth_count[k].tolist(), strict=True)),
                    **{
                        f'{view}_{steps}': named(values[k, :, column])
                        for column, view in enumerate(VIEWS)
                        for steps, values in (('r40', self.ap40), ('r11', self.ap11))
                    },
                }
                for k, name in enumerate(EVALUATED)
            },
        }


@dataclass(frozen=True, eq=False)
class _Frame:
    """Truth and detections of one frame.

    Attributes:
        kinds: KITTI's type of each of M truths.
        levels: (M, 3) height in the picture, occlusion, truncation.
        names: KITTI's name of each of N detections, '' for other classes.
        heights: (N,) in the picture.
        scores: (N,).
        overlaps: (2, M, N) IoU in VIEWS.
    """

    kinds: np.ndarray
    levels: np.ndarray
    names: np.ndarray
    heights: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray

    def match(self, name: str, difficulty: int, view: int) -> FrameMatch:
        """As one class, difficulty and view see it."""
        height, occlusion, truncation = self.levels.T
        hard = (
            (height <= LEAST_HEIGHT[difficulty])
            | (occlusion > MOST_OCCLUSION[difficulty])
            | (truncation > MOST_TRUNCATION[difficulty])
        )
        truth = np.where(self.kinds == name, np.where(hard, IGNORED, VALID), OTHER)
        truth[np.isin(self.kinds, NEIGHBOURS[name])] = IGNORED
        # As the official code: a low detection is ignored whatever its class.
        low = self.heights < LEAST_HEIGHT[difficulty]
        found = np.where(low, IGNORED, np.where(self.names == name, VALID, OTHER))
        return FrameMatch(truth, found, self.scores, self.overlaps[view], LEAST_OVERLAP[name])


class KittiEvaluator:
    """Collects frames; `result` scores them together."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []

    def add(self, detections: Detections, view: KittiView) -> None:
        """Add one frame.

        Args:
            detections: in the ego frame, labels of DETECTION_CLASSES; other classes than
                KITTI_NAMES count only where KITTI lets them.
            view: of the frame.

        Raises:
            ConfigError: for boxes or scores that are not finite, or boxes without size.
        """
        boxes = np.asarray(detections.boxes, np.float64).reshape(-1, 9)[:, :7]
        scores = np.asarray(detections.scores, np.float64)
        if not np.isfinite(boxes).all() or (boxes[:, 3:6] <= 0).any():
            raise ConfigError('KittiEvaluator.add', 'finite boxes of positive size', 'others')
        if len(scores) != len(boxes) or not np.isfinite(scores).all():
            raise ConfigError('KittiEvaluator.add', 'one finite score a box', f'{len(scores)}')
        heights = picture_heights(boxes, view)
        seen = heights > 0
        boxes, labels = boxes[seen], np.asarray(detections.labels, np.int64)[seen]
        names = np.array([KITTI_NAMES.get(DETECTION_CLASSES[k], '') for k in labels], dtype=object)
        truth = view.labels.rows(~view.labels.is_dont_care)
        image_boxes = truth.image_boxes
        levels = [image_boxes[:, 3] - image_boxes[:, 1], truth.occlusion, truth.truncation]
        placed = _upright(truth.bottoms, truth.sizes, truth.turns)
        found = _in_rect(boxes, view)
        self._frames.append(
            _Frame(
                np.array(truth.kinds, dtype=object),
                np.column_stack(levels),
                names,
                heights[seen],
                scores[seen],
                np.stack([box_iou(placed, found), footprint_iou(placed, found)]),
            )
        )

    def merge(self, other: KittiEvaluator) -> None:
        """Add the frames of another evaluator after one's own."""
        self._frames += other._frames

    def result(self) -> KittiResult:
        """Score everything added so far."""
        shape = (len(EVALUATED), len(DIFFICULTIES), len(VIEWS))
        precision, counts = np.zeros((*shape, SAMPLES)), np.zeros(shape[:2], np.int64)
        for k, name in enumerate(EVALUATED):
            for d in range(len(DIFFICULTIES)):
                for v in range(len(VIEWS)):
                    matches = [frame.match(name, d, v) for frame in self._frames]
                    precision[k, d, v], counts[k, d] = precision_curve(matches)
        return KittiResult(precision, counts, len(self._frames))


def _upright(bottoms: np.ndarray, sizes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(M, 7) boxes of labels in axes right, forward, up of the rectified camera."""
    height, width, length = sizes.T
    return np.column_stack(
        [
            bottoms[:, 0],
            bottoms[:, 2],
            height / 2 - bottoms[:, 1],
            length,
            width,
            height,
            -turns,
        ]
    )


def _in_rect(boxes: np.ndarray, view: KittiView) -> np.ndarray:
    """(N, 7) ego boxes in the axes of `_upright`, upright there, as a result file holds them."""
    rect_from_ego = view.calibration.rect_from_ego
    centres = transform_points(rect_from_ego, boxes[:, :3])
    zero = np.zeros(len(boxes))
    ahead = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6]), zero], axis=1)
    ahead = ahead @ rect_from_ego[:3, :3].T
    return np.column_stack(
        [
            centres[:, 0],
            centres[:, 2],
            -centres[:, 1],
            boxes[:, 3:6],
            np.arctan2(ahead[:, 2], ahead[:, 0]),
        ]
    )


def picture_heights(boxes: np.ndarray, view: KittiView) -> np.ndarray:
    """Height of each box's part of the picture.

    Args:
        boxes: (N, >=7) in the ego frame.

    Returns:
        (N,) pixels; 0 for a box that is not in the picture.
    """
    placed = _in_rect(boxes, view)
    corners = box_corners(placed)  # right, forward, up
    rect = np.stack([corners[..., 0], -corners[..., 2], corners[..., 1]], axis=-1)
    before = (rect[..., 2] > _NEAREST).any(1)
    rect[..., 2] = np.maximum(rect[..., 2], _NEAREST)
    projection = view.calibration.image_from_rect
    at = rect @ projection[:, :3].T + projection[:, 3]
    pixels = at[..., :2] / at[..., 2:]
    most = np.array(view.size) - 1.0
    extent = np.clip(pixels.max(1), 0, most) - np.clip(pixels.min(1), 0, most)
    return np.where(before & (extent > 0).all(1), extent[:, 1], 0.0)
