"""Settings of outputs applied to a result, and what is encoded for whom."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.made_model import MODEL
from test_wire import decoded, make_result

from metabev_ros import wire
from metabev_ros.config import (
    DetectionsConfig,
    MarkersConfig,
    NodeConfig,
    OutputsConfig,
    OutputSettings,
    changed_parameters,
)
from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.errors import BackendError, ConfigError
from metabev_ros.outputs import (
    apply_settings,
    check_settings,
    diagnostic_messages,
    result_messages,
    select_boxes,
    track_messages,
    warm_up,
)
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality
from metabev_ros.tracks import TrackedObjects
from metabev_ros.wire import MadeOf, StatusReport

TRACKS = TrackedObjects(0, 0, Modality.FUSED)
REPORT = StatusReport(0, Modality.NONE, ())
CAR, BUS, PERSON = (DETECTION_CLASSES.index(name) for name in ('car', 'bus', 'pedestrian'))


def crowd(count: int = 200) -> Detections:
    """Boxes all over the plane, best first."""
    rng = np.random.default_rng(7)
    boxes = np.zeros((count, 9), np.float32)
    boxes[:, :2] = rng.uniform(-50, 50, (count, 2))
    boxes[:, 3:6] = 1
    scores = np.sort(rng.uniform(0.05, 1, count).astype(np.float32))[::-1].copy()
    return Detections(boxes, scores, rng.integers(0, len(DETECTION_CLASSES), count))


def test_without_settings_every_box_stays() -> None:
    found = crowd()
    kept = select_boxes(found, DETECTION_CLASSES, DetectionsConfig())
    assert np.array_equal(kept.boxes, found.boxes) and np.array_equal(kept.labels, found.labels)


def test_a_box_needs_the_score_of_its_class_at_its_distance() -> None:
    found = crowd()
    config = DetectionsConfig(scores='all=0.2, all@40=0.9, car=0.3, pedestrian@30=0.5')
    kept = select_boxes(found, DETECTION_CLASSES, config)
    expected = []
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        far = float(np.hypot(box[0], box[1]))
        if label == CAR:
            least = 0.3
        elif label == PERSON:
            least = 0.5 if far >= 30 else 0.0
        else:
            least = 0.9 if far >= 40 else 0.2
        expected.append(score >= np.float32(least))
    assert np.array_equal(kept.boxes, found.boxes[expected])
    assert np.array_equal(kept.scores, found.scores[expected]) and 0 < len(kept) < len(found)


def test_a_wider_nms_leaves_the_better_of_two_near_boxes_of_a_class() -> None:
    width = min(MEAN_SIZES['bus'][:2])
    boxes = np.zeros((4, 9), np.float32)
    boxes[:, 0] = [0, 0.9 * width, 0.9 * width, 1.9 * width]
    boxes[:, 3:6] = 1
    found = Detections(
        boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([BUS, BUS, CAR, BUS])
    )
    kept = select_boxes(found, DETECTION_CLASSES, DetectionsConfig(nms_scale=1.0))
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])


def test_settings_that_the_model_cannot_follow_are_refused() -> None:
    model = dataclasses.replace(MODEL, score_floor=0.05)
    check_settings(OutputSettings(DetectionsConfig(scores='car=0.05')), model)
    for scores in ('car=0.01', 'tram=0.5'):
        with pytest.raises(ConfigError, match='detections.scores'):
            check_settings(OutputSettings(DetectionsConfig(scores=scores)), model)


def test_an_impossible_result_is_refused_before_anything_is_chosen_of_it() -> None:
    result = make_result()
    result.detections.labels[0] = 99
    with pytest.raises(BackendError):
        apply_settings(result, MODEL, OutputSettings())


def test_settings_reach_every_output_of_a_result() -> None:
    settings = OutputSettings(
        DetectionsConfig(scores='pedestrian=0.5'), MarkersConfig(text=True, lifetime=1.25)
    )
    result = apply_settings(make_result(), MODEL, settings)
    topics = ('vision_detections', 'autoware_objects', 'scene')
    made = decoded(result_messages(result, MODEL, 'base_link', settings.markers, topics))
    assert [d.class_name for d in made[wire.DETECTIONS].detections] == ['car']
    assert len(made['vision_detections'].detections) == len(made['autoware_objects'].objects) == 1
    texts = [m for m in made[wire.MARKERS].markers if m.ns == 'text']
    assert [(m.text, m.type, m.action) for m in texts] == [('car 0.90', 9, 0)]
    assert (texts[0].lifetime.sec, texts[0].lifetime.nanosec) == (1, 250_000_000)
    entities = {entity.id: entity for entity in made['scene'].entities}
    assert [text.text for text in entities['car'].texts] == ['car 0.90']
    assert not entities['pedestrian'].cubes


def test_boxes_below_the_markers_score_are_not_drawn_and_still_said() -> None:
    markers = MarkersConfig(min_score=0.5)
    made = decoded(result_messages(make_result(), MODEL, 'b', markers, ('scene',)))
    assert len(made[wire.DETECTIONS].detections) == 2
    drawn = {marker.ns for marker in made[wire.MARKERS].markers if marker.points}
    assert drawn == {'car'}
    assert {entity.id for entity in made['scene'].entities if entity.cubes} == {'car'}


def test_only_what_somebody_takes_is_made() -> None:
    result, markers = make_result(), MarkersConfig()
    plain = {m.topic for m in result_messages(result, MODEL, 'b', markers)}
    assert plain == {wire.DETECTIONS, wire.BEV_MAP, wire.MARKERS, wire.DRIVABLE_AREA}
    for topic, output in wire.standard_outputs().items():
        made = {
            MadeOf.RESULT: result_messages(result, MODEL, 'b', markers, (topic,))[4:],
            MadeOf.TRACKS: track_messages(TRACKS, MODEL, 'b', markers, (topic,))[1:],
            MadeOf.STATUS: diagnostic_messages(REPORT, MODEL, 'b', 'n', (topic,))[1:],
        }
        (extra,) = made.pop(output.made_of)
        assert (extra.topic, extra.msgtype) == (topic, output.msgtype)
        assert list(made.values()) == [[], []]


def test_the_same_result_and_settings_give_the_same_bytes() -> None:
    topics = tuple(wire.standard_outputs())
    first, again = (
        result_messages(make_result(), MODEL, 'b', MarkersConfig(text=True), topics)
        for _ in range(2)
    )
    of_result = [o for o in wire.standard_outputs().values() if o.made_of is MadeOf.RESULT]
    assert [m.cdr for m in first] == [m.cdr for m in again]
    assert len(first) == 4 + len(of_result)


def test_a_live_node_offers_auto_and_a_replay_writes_what_is_required() -> None:
    config = OutputsConfig(vision='require', scene='never')
    live = wire.chosen_outputs(config, MODEL.map_classes, with_auto=True)
    written = wire.chosen_outputs(config, MODEL.map_classes, with_auto=False)
    assert set(live) == set(wire.standard_outputs()) - {'scene'}
    assert set(written) == {'vision_detections'}


def test_a_switch_has_three_positions_and_no_others() -> None:
    with pytest.raises(ConfigError, match='outputs.vision: expected one of auto, require, never'):
        OutputsConfig(vision='on')


def test_every_switch_has_an_output_and_every_output_a_switch() -> None:
    switches = {f'outputs.{field.name}' for field in dataclasses.fields(OutputsConfig)}
    assert {output.parameter for output in wire.standard_outputs().values()} == switches


def test_what_is_not_as_shipped_is_named() -> None:
    assert changed_parameters(NodeConfig()) == ''
    changed = NodeConfig(
        heartbeat_rate=20.0,
        threads=4,
        detections=DetectionsConfig(scores='car=0.3'),
        markers=MarkersConfig(text=True),
    )
    assert (
        changed_parameters(changed)
        == 'heartbeat_rate=20.0; detections.scores=car=0.3; markers.text=True'
    )
    assert changed_parameters(changed.settings) == 'detections.scores=car=0.3; markers.text=True'


def test_warming_up_makes_what_writes_every_type_before_the_first_output() -> None:
    ready = wire.typestore().cache  # by type: the code with which rosbags writes it
    ready.clear()
    warm_up(MODEL, 'base_link', tuple(wire.standard_outputs()))
    types = {output.msgtype for output in wire.standard_outputs().values()}
    assert types | {wire.OUTPUT_TYPES[wire.DETECTIONS], wire.OUTPUT_TYPES[wire.MARKERS]} <= set(
        ready
    )
