"""An evaluation run: what goes in, what is scored, what the report holds."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from metabev_ros.errors import BackendError
from metabev_ros.lab.datasets.samples import SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.evaluation.report import markdown, write_report
from metabev_ros.lab.evaluation.report_records import evaluation_records
from metabev_ros.lab.evaluation.run import Evaluation, evaluate_model
from metabev_ros.structures import Detections, Modality, PerceptionResult

SMALL = DriveConfig(frames=1, rate_hz=0.5, image_width=176, image_height=64)


@pytest.fixture(scope='module')
def samples():
    return list(SyntheticSamples((900_000, 900_001), 1, SMALL))


class Oracle:
    """Knows the truth; without LiDAR it finds only half of the boxes and a half-sure map."""

    def __init__(self, samples):
        self.stamps = {labelled.sample.stamp_ns: labelled.truth for labelled in samples}
        self.seen = []

    def __call__(self, sample):
        self.seen.append(sample)
        truth = self.stamps[sample.stamp_ns]
        kept = np.nonzero(truth.num_lidar_pts > 0)[0][:: 1 if sample.modality.has_lidar else 2]
        found = Detections(
            truth.boxes[kept], np.linspace(1, 0.5, len(kept), dtype=np.float32), truth.labels[kept]
        )
        probabilities = truth.map_layers.astype(np.float32)
        if not sample.modality.has_lidar:
            probabilities[:, ::2] = 0.0
        return PerceptionResult(sample, found, probabilities, {'network': 0.02, 'rest': 0.01})


@pytest.fixture(scope='module')
def distinct(samples):
    """The two samples with stamps of their own, so that the oracle tells them apart."""
    return [
        dataclasses.replace(
            labelled,
            sample=dataclasses.replace(labelled.sample, stamp_ns=labelled.sample.stamp_ns + index),
        )
        for index, labelled in enumerate(samples)
    ]


@pytest.fixture(scope='module')
def evaluation(distinct):
    results = evaluate_model(Oracle(distinct), distinct)
    return Evaluation('oracle', '0123456789abcdef', 'none', 'two samples', len(distinct), results)


def test_every_sample_is_run_once_per_modality_with_only_its_sensors(distinct):
    oracle = Oracle(distinct)
    named = []
    evaluate_model(oracle, distinct, progress=named.append)
    assert [sample.modality for sample in oracle.seen] == [
        Modality.FUSED,
        Modality.LIDAR,
        Modality.CAMERA,
    ] * 2
    for sample in oracle.seen:
        assert (sample.sweep is not None) == sample.modality.has_lidar
        assert any(sample.cameras.values()) == sample.modality.has_camera
    assert named == [labelled.source for labelled in distinct]


def test_the_truth_as_prediction_scores_one_where_there_is_truth(evaluation):
    fused = evaluation.modalities[Modality.FUSED]
    present = fused.detection.truth_count > 0
    assert present.sum() >= 3
    np.testing.assert_allclose(fused.detection.ap[present], 1.0)
    with_cells = fused.map.truth_cells > 0
    np.testing.assert_allclose(fused.map.iou[with_cells], 1.0)
    assert fused.latency_ms == pytest.approx(30.0)


def test_a_poorer_modality_scores_lower(evaluation):
    fused, camera = (evaluation.modalities[m] for m in (Modality.FUSED, Modality.CAMERA))
    assert camera.detection.mean_ap < fused.detection.mean_ap
    assert camera.map.mean_iou < 0.7 * fused.map.mean_iou


def test_a_result_with_another_modality_than_its_sample_is_refused(distinct):
    oracle = Oracle(distinct)

    def mislabelled(sample):
        result = oracle(sample)
        return dataclasses.replace(result, sample=distinct[0].sample)

    with pytest.raises(BackendError, match='LIDAR'):
        evaluate_model(mislabelled, distinct)


def test_the_report_states_the_figures_and_its_pictures_can_be_read(evaluation, tmp_path):
    path = write_report(evaluation, tmp_path / 'report')
    text = path.read_text()
    plain = json.loads((path.parent / 'metrics.json').read_text())
    for modality, result in evaluation.modalities.items():
        assert f'| {modality.name} | {result.detection.mean_ap:.3f} |' in text
        stored = plain['modalities'][modality.name]
        assert stored['detection']['mean_ap'] == result.detection.mean_ap
    for name in ('average_precision.png', 'map_iou.png', 'precision_recall.png'):
        assert f'({name})' in text
        picture = cv2.imread(str(path.parent / name))
        assert picture.shape[0] > 200 and picture.std() > 10
    assert not list(path.parent.glob('.*'))  # nothing half-written stays


def test_undefined_errors_are_a_dash_in_the_report(evaluation):
    row = next(
        line
        for line in markdown(evaluation).splitlines()
        if line.startswith('| traffic_cone |') and line.count('|') == 11
    )
    assert row.endswith('| - | - | - |')


def test_records_carry_the_targets_and_say_whether_they_are_met(evaluation):
    records = {record.id: record for record in evaluation_records(evaluation, 'metabev evaluate')}
    assert len(records) == 18
    fused = records['evaluation.fused.map']
    assert (fused.target, fused.n, fused.command) == ('>= 0.35', 2, 'metabev evaluate')
    assert fused.met == (evaluation.modalities[Modality.FUSED].detection.mean_ap >= 0.35)
    assert records['evaluation.lidar.map'].target is None
