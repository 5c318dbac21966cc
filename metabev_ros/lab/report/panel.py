"""One instant of a run as a picture: what the sensors gave, what was found, what is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_boxes_on_image
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.pages.ground import HALF_LENGTH, boxes_shown, draw_frame
from metabev_ros.pages.messages import Frame, Status
from metabev_ros.structures import DETECTION_CLASSES, CameraImage, Modality


@dataclass(frozen=True)
class Instant:
    """One instant, decoded.

    Attributes:
        images: camera name -> its image, whose `ego_from_camera` leads into the ego frame of the
            instant; None where it gave nothing.
        points: (P, 3) metres in the ego frame; None where there are none.
        frame: the output, None if there was none.
        status: its label, or the last word before it.
        truth: None where nobody knows it.
        caption: right end of the banner.
    """

    images: dict[str, CameraImage | None]
    points: np.ndarray | None
    frame: Frame | None
    status: Status | None
    truth: GroundTruth | None
    caption: str

    @property
    def modality(self) -> Modality:
        """Modality of the output, else what the status says."""
        if self.frame is not None:
            return self.frame.modality
        return self.status.modality if self.status is not None else Modality.NONE


def visible_truth(truth: GroundTruth | None) -> np.ndarray:
    """Truth boxes that some sensor could see, (M, 9)."""
    if truth is None:
        return np.zeros((0, 9), np.float32)
    return truth.boxes[(truth.num_lidar_pts > 0) | (truth.visibility > 0)]


def draw_images(instant: Instant, with_text: bool) -> dict[str, np.ndarray | None]:
    """Camera name -> its picture with boxes, None where it gave nothing."""
    boxes, labels, scores = boxes_shown(instant.frame)
    names = DETECTION_CLASSES if instant.frame is None else instant.frame.class_names
    return {
        name: None
        if image is None
        else draw_boxes_on_image(
            image.pixels, boxes, labels, scores, image.calibration, names, with_text=with_text
        )
        for name, image in instant.images.items()
    }


def draw_ground(instant: Instant, view: BevView, with_map: bool = True) -> np.ndarray:
    """(view.height, view.width, 3) uint8 RGB: map, points, boxes over the truth's outlines."""
    truth = visible_truth(instant.truth)
    return draw_frame(instant.frame, view, instant.points, truth, with_map)


def draw_instant(instant: Instant, layout: PanelLayout, with_text: bool = False) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: cameras, bird's-eye view, labels."""
    return compose_panel(
        draw_images(instant, with_text),
        draw_ground(instant, BevView(*layout.bev_size, HALF_LENGTH)),
        instant.modality,
        instant.status.sensors if instant.status else (),
        instant.caption,
        layout=layout,
    )
