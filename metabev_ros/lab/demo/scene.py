"""One instant of a run as pictures: what the sensors gave, what was found, what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros import wire
from metabev_ros.config import RigConfig
from metabev_ros.drawing import BevView, PanelLayout, compose_panel, draw_bev, draw_boxes_on_image
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.demo.correctness import truth_of
from metabev_ros.lab.demo.evidence import Evidence, Frame, Status
from metabev_ros.sensing.decoding import read_compressed_image
from metabev_ros.sensing.point_clouds import decode_point_cloud
from metabev_ros.structures import CameraCalibration, Modality

SHOWN_SCORE = 0.25
HALF_LENGTH = 51.0  # metres from the ego to the upper border of the bird's-eye view
HEARTBEAT_LAG_NS = 150_000_000  # an instant without output is described by what was said then
IMAGE_TYPE, CLOUD_TYPE = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/PointCloud2'


@dataclass(frozen=True)
class Mounting:
    """Poses of the sensors, for drawing only."""

    calibrations: Mapping[str, CameraCalibration]
    ego_from_lidar: np.ndarray


@dataclass(frozen=True)
class Scene:
    """One instant; the sensors' data is still serialized, so that it travels cheaply.

    Attributes:
        images, cloud: as published at this stamp; None where nothing was.
        frame: the output of this stamp, None if there was none.
        status: its label, or the heartbeat shortly after.
        caption: right end of the banner.
    """

    stamp_ns: int
    images: dict[str, bytes | None]
    cloud: bytes | None
    frame: Frame | None
    status: Status | None
    truth: GroundTruth | None
    caption: str


def scene_at(
    evidence: Evidence, truths: dict[int, GroundTruth], rig: RigConfig, stamp_ns: int, caption: str
) -> Scene:
    """The scene of a stamp of the drive."""
    images = {camera.name: evidence.payloads[camera.name].get(stamp_ns) for camera in rig.cameras}
    frame = evidence.frame(stamp_ns)
    status = evidence.label_status(stamp_ns) if frame else None
    if status is None:
        status = evidence.last_heartbeat(stamp_ns + HEARTBEAT_LAG_NS)
    return Scene(
        stamp_ns,
        images,
        evidence.payloads[rig.lidars[0].name].get(stamp_ns),
        frame,
        status,
        truth_of(evidence, truths, stamp_ns),
        caption if frame else f'no output   {caption}',
    )


def boxes_shown(frame: Frame | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, labels and scores worth drawing."""
    if frame is None:
        return np.zeros((0, 9), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
    found = frame.detections
    shown = found.scores >= SHOWN_SCORE
    return found.boxes[shown], found.labels[shown], found.scores[shown]


def visible_truth(truth: GroundTruth | None) -> np.ndarray:
    """Truth boxes that some sensor could see, (M, 9)."""
    if truth is None:
        return np.zeros((0, 9), np.float32)
    return truth.boxes[(truth.num_lidar_pts > 0) | (truth.visibility > 0)]


def scene_images(
    scene: Scene,
    mounting: Mounting,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None,
    with_text: bool,
) -> dict[str, np.ndarray | None]:
    """Camera name -> its picture with boxes, None where it gave nothing."""
    pictures: dict[str, np.ndarray | None] = {}
    for name, cdr in scene.images.items():
        pictures[name] = (
            None
            if cdr is None
            else draw_boxes_on_image(
                read_compressed_image(wire.deserialize(cdr, IMAGE_TYPE)).decode()[0],
                boxes,
                labels,
                scores,
                mounting.calibrations[name],
                with_text=with_text,
            )
        )
    return pictures


def scene_points(scene: Scene, mounting: Mounting) -> np.ndarray | None:
    """(P, 3) in the ego frame."""
    if scene.cloud is None:
        return None
    points = decode_point_cloud(wire.deserialize(scene.cloud, CLOUD_TYPE))[0]
    return transform_points(mounting.ego_from_lidar, points[:, :3].astype(np.float64))


def draw_scene(
    scene: Scene, mounting: Mounting, layout: PanelLayout, with_text: bool = False
) -> np.ndarray:
    """(layout.height, layout.width, 3) uint8 RGB: cameras, bird's-eye view, labels."""
    boxes, labels, scores = boxes_shown(scene.frame)
    images = scene_images(scene, mounting, boxes, labels, scores, with_text)
    layers = None if scene.frame is None else scene.frame.map_probabilities
    bev = draw_bev(
        BevView(*layout.bev_size, HALF_LENGTH),
        layers,
        points=scene_points(scene, mounting),
        boxes=boxes,
        labels=labels,
        scores=scores,
        truth=visible_truth(scene.truth),
    )
    modality = (
        scene.frame.modality
        if scene.frame
        else (scene.status.modality if scene.status else Modality.NONE)
    )
    reports = scene.status.sensors if scene.status else ()
    return compose_panel(images, bev, modality, reports, scene.caption, layout=layout)
