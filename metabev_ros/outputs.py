"""A result -> the messages that node and replay send: settings applied, what is wanted encoded."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from metabev_ros import wire
from metabev_ros.config import DetectionsConfig, MarkersConfig, OutputSettings
from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.config.score_rules import (
    check_score_rules,
    parse_score_rules,
    rules_of_class,
)
from metabev_ros.coverage import seen_cells
from metabev_ros.drawing import draw_overlay, draw_sensor_panel
from metabev_ros.postprocess import circle_nms
from metabev_ros.structures import Detections, Modality, ModelInfo, PerceptionResult, Sample
from metabev_ros.tracks import Track, TrackedObjects, TrackState
from metabev_ros.wire import OutMessage, StatusReport


def check_settings(settings: OutputSettings, model: ModelInfo) -> None:
    """Refuse settings that a model cannot follow.

    Raises:
        ConfigError: naming the parameter.
    """
    rules = parse_score_rules(settings.detections.scores)
    check_score_rules(rules, model.detection_classes, model.score_floor)


def select_boxes(
    found: Detections, classes: Sequence[str], config: DetectionsConfig
) -> Detections:
    """The boxes that reach the least score of their class and distance, and outlast the NMS.

    Args:
        found: of a model with these classes, best first; the order stays.
    """
    kept = found.scores >= _least_scores(found, classes, config.scores)
    boxes, scores, labels = found.boxes[kept], found.scores[kept], found.labels[kept]
    if config.nms_scale:
        radius = config.nms_scale * np.array([min(MEAN_SIZES[name][:2]) for name in classes])
        outlasting = circle_nms(boxes, labels, radius)
        boxes, scores, labels = boxes[outlasting], scores[outlasting], labels[outlasting]
    return Detections(boxes, scores, labels)


def _least_scores(found: Detections, classes: Sequence[str], text: str) -> np.ndarray:
    """(M,) float32 that the boxes must reach; 0 where no rule says more."""
    least = np.zeros(len(found), np.float32)
    rules = parse_score_rules(text)
    if not rules:
        return least
    distance = np.hypot(found.boxes[:, 0], found.boxes[:, 1])
    for label, name in enumerate(classes):
        of_class = found.labels == label
        for rule in reversed(rules_of_class(rules, name)):  # the furthest that begins before it
            least[of_class & (distance >= rule.start)] = rule.score
    return least


def apply_settings(
    result: PerceptionResult, model: ModelInfo, settings: OutputSettings
) -> PerceptionResult:
    """The result with the boxes that the settings leave.

    Raises:
        BackendError: if the result is not finite and valid.
    """
    wire.check_result(result, len(model.detection_classes))
    found = select_boxes(result.detections, model.detection_classes, settings.detections)
    return replace(result, detections=found)


def result_messages(
    result: PerceptionResult,
    model: ModelInfo,
    frame: str,
    markers: MarkersConfig,
    wanted: Collection[str] = (),
) -> list[OutMessage]:
    """Everything that is sent of a result but its label; a pure function of the arguments.

    Args:
        wanted: topics of `wire.standard_outputs` that somebody takes.

    Raises:
        BackendError: if the result is not finite and valid.
    """
    seen = seen_cells(result.sample, model.map_grid, model.camera_reach)
    messages = wire.encode_result(result, model, frame, markers, seen)
    if not wanted:
        return messages
    picture = functools.partial(draw_overlay, result, model, markers.min_score)
    return messages + wire.encode_standard(result, model, frame, markers, seen, picture, wanted)


def track_messages(
    objects: TrackedObjects,
    model: ModelInfo,
    frame: str,
    markers: MarkersConfig,
    wanted: Collection[str] = (),
) -> list[OutMessage]:
    """Tracks as our own message and as what is wanted of `wire.standard_outputs`.

    Raises:
        BackendError: if a track is not finite.
    """
    own = wire.encode_tracks(objects, model, frame)
    return [own, *wire.encode_standard_tracks(objects, model, frame, markers, wanted)]


def diagnostic_messages(
    report: StatusReport,
    model: ModelInfo,
    frame: str,
    node_name: str,
    wanted: Collection[str] = (),
) -> list[OutMessage]:
    """The sensors' states as diagnostics and, where it is wanted, as a picture."""
    messages = [wire.encode_diagnostics(report, model, node_name)]
    if wire.SENSOR_PANEL in wanted:
        picture = draw_sensor_panel(report.modality, report.sensors, report.reason)
        messages.append(wire.encode_sensor_panel(picture, report.stamp_ns, frame))
    return messages


def warm_up(model: ModelInfo, frame: str, topics: Collection[str]) -> None:
    """Encode one made-up box as everything, so that the first real output is not late.

    What writes a type is made when the type is first written.

    Args:
        topics: of `wire.standard_outputs`.
    """
    box = np.array([[0, 0, 0, 1, 1, 1, 0, 0, 0]], np.float32)
    found = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64))
    layers = np.zeros((len(model.map_classes), *model.map_grid.shape), np.float32)
    nothing = Sample(0, {}, None, Modality.NONE)
    result, markers = PerceptionResult(nothing, found, layers, {}), MarkersConfig(text=True)
    result_messages(result, model, frame, markers, topics)
    track_messages(TrackedObjects(0, 0, Modality.NONE, (_MADE_UP,)), model, frame, markers, topics)
    diagnostic_messages(StatusReport(0, Modality.NONE, ()), model, frame, 'node', topics)


_MADE_UP = Track(
    id=0,
    state=TrackState.CONFIRMED,
    label=0,
    share=1.0,
    score=1.0,
    hits=1,
    first_ns=0,
    age_s=0.0,
    unseen_s=0.0,
    seen_modality=Modality.NONE,
    box=np.array([0, 0, 0, 1.0, 1, 1, 0, 0, 0]),
    yaw_variance=1.0,
    covariance=np.eye(5),
    tail=np.zeros((1, 3)),
)
