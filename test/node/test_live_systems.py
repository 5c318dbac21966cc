"""The node with each system that nano does not have: fused, and by either sensor alone."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros import wire
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

pytestmark = pytest.mark.ros

TICKS = 60
# Exporting is most of the time: what is exported in test/lab/export/ runs as a network here.
CASES = (
    ('hornet', 'onnxruntime'),
    ('adamv', 'torch'),
    ('itsa', 'torch'),
    ('plain_detr', 'torch'),
    *(
        pytest.param((name, 'onnxruntime'), marks=pytest.mark.slow)
        for name in ('adamv', 'itsa', 'plain_detr')
    ),
)


@pytest.fixture(scope='module', params=CASES, ids='-'.join)
def played(request, graph, tmp_path_factory):
    """(model, node's exit code, its log, modality -> (detections, map) of one stamp)."""
    from support import rig_messages, system_models
    from support.live_graph import NodeProcess, RigPublisher

    name, backend = request.param
    make = system_models.exported if backend == 'onnxruntime' else system_models.saved
    folder, first = make(name), len(graph.records)
    node = NodeProcess(tmp_path_factory.mktemp('node'), model=folder, backend=backend)
    everything, lidar = set(rig_messages.SENSORS), {rig_messages.LIDAR}
    pairs = {}
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph)
        for modality, sensors in (
            (Modality.FUSED, everything),
            (Modality.LIDAR, lidar),
            (Modality.CAMERA, everything - lidar),
        ):
            for _ in range(TICKS):
                rig.tick(off=frozenset(everything - sensors))
                pairs[modality] = pair_of(graph.records[first:], sensors)
                if pairs[modality] is not None:
                    break
    finally:
        code = node.stop()
    return Pipeline.load(folder, backend, threads=1), code, node.log, pairs


def pair_of(records, sensors: set[str]):
    """The newest detections that were made by exactly these sensors, and the map beside them."""
    maps = {r.stamp_ns: r.message for r in records if r.topic == wire.BEV_MAP}
    made = [
        r
        for r in records
        if r.topic == wire.DETECTIONS and r.stamp_ns in maps and set(r.message.sensors) == sensors
    ]
    return (made[-1].message, maps[made[-1].stamp_ns]) if made else None


def test_every_modality_gets_its_detections_and_map_with_the_models_hash(played):
    pipeline, code, log, pairs = played
    model = pipeline.model
    assert code == 0, log
    assert f'model {model.name} ' in log
    for modality, pair in pairs.items():
        assert pair is not None, f'no output of {modality.name}'
        for message in pair:
            assert message.modality == modality.value
            assert message.model_hash == model.hash


def test_boxes_are_of_known_classes_inside_the_grid_and_best_first(played):
    pipeline, _, _, pairs = played
    config = pipeline.config
    reach, most = config.bev_grid.x_max + 8.0, config.head.max_detections
    if config.head.plain_detr is not None:
        most = config.head.proposals
    for detections, _ in pairs.values():
        boxes = detections.detections
        assert 0 < len(boxes) <= most
        scores = [box.score for box in boxes]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] >= config.head.score_threshold
        for box in boxes:
            assert config.detection_classes[box.class_id] == box.class_name
            assert abs(box.center.x) <= reach and abs(box.center.y) <= reach
            assert min(box.size.x, box.size.y, box.size.z) > 0


def test_the_map_has_the_models_layers_and_differs_between_modalities(played):
    pipeline, _, _, pairs = played
    config, seen = pipeline.config, []
    for _, bev in pairs.values():
        assert tuple(bev.class_names) == config.map_classes
        assert (bev.height, bev.width) == config.map_grid.shape
        layers = np.asarray(bev.data, np.uint8)
        assert len(layers) == len(config.map_classes) * bev.height * bev.width
        assert np.ptp(layers) > 0
        seen.append(layers)
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[:i])
