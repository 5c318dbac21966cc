"""A real keyframe: its failures cost what the evaluation says they cost."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from support.keyframe_rig import keyframe_rig
from support.labelled_drives import Maker, rewrite

from metabev_ros.bags import BagReader
from metabev_ros.geometry import rotation_z
from metabev_ros.lab.datasets.record_folder import labelled
from metabev_ros.lab.datasets.samples import without_sensors
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.datasets.sources.label_collection import LabelTopics
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.what_if.failures import FailureKind
from metabev_ros.lab.what_if.question import Question
from metabev_ros.lab.what_if.run import ask
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.wire.definitions import VISION

NAMES = ('car', 'truck', 'trailer', 'bus', 'construction_vehicle', 'bicycle', 'motorcycle',
         'pedestrian', 'traffic_cone', 'barrier')  # fmt: skip


@pytest.fixture(scope='module')
def source(shared_data, tmp_path_factory):
    """The keyframe with its annotations on a topic."""
    plain = pickle.loads(next((shared_data / 'nuscenes_keyframe').glob('*.pkl')).read_bytes())
    bag, maker = shared_data / 'bags' / 'nuscenes_keyframe', Maker()
    (cdr,) = [m.cdr for m in BagReader(bag) if m.topic == '/LIDAR_TOP/points']
    stamp = int.from_bytes(cdr[4:8], 'little') * 10**9 + int.from_bytes(cdr[8:12], 'little')
    found = [
        maker.detection(str(one['bbox_label']), b[:3], b[3:6], rotation_z(b[6]), str(k))
        for k, one in enumerate(plain['data_list'][0]['instances'])
        for b in [np.array(one['bbox_3d'])]
    ]
    labels = ('/annotations', VISION, stamp, maker.detections(stamp, 'LIDAR_TOP', found))
    path = rewrite(bag, tmp_path_factory.mktemp('bag') / 'keyframe.mcap', [labels])
    classes = {'-1': 'ignore'} | {str(k): name for k, name in enumerate(NAMES)}
    return LabelledBags(
        (path,), keyframe_rig(), labels=LabelTopics('/annotations'), classes=classes
    )


def test_each_lost_camera_of_a_real_keyframe_costs_what_the_evaluation_says(source):
    pipeline = Pipeline.load(resource_path('models/metabev_nano'), threads=1)
    (record,) = source.records('keyframe', RecordMaker(pipeline.config), frozenset())
    whole, runs = labelled(record), SharedRuns(pipeline)
    question = Question(source, (FailureKind.KILL,))
    report = ask(question, pipeline, lambda *_: None, lambda _: None).report
    assert report.stamps_ns == [record.stamp_ns] and len(report.outcomes) == 7
    for outcome in report.outcomes:
        if outcome.failure.sensors == ('LIDAR_TOP',):
            assert outcome.branches == {'CAMERA': 1} and outcome.all_boxes().lost > 0.5
            continue
        for names, of in (((), 'before'), (outcome.failure.sensors, 'after')):
            score = Score()
            score.add(*runs(without_sensors(whole.sample, list(names))), whole.truth)
            wanted = score.result().figures
            for name, share in outcome.figures.items():
                value = getattr(share, of)
                same = math.isclose(value, wanted[name], abs_tol=1e-9)
                assert same or (math.isnan(value) and math.isnan(wanted[name])), name
    assert report.outcomes[0].failure.sensors == ('LIDAR_TOP',)
    assert report.outcomes[0].figures['map'].before > 0.001  # trained on boxes, not on streets
