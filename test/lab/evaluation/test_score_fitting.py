"""Lines are found again, and make the scores of other drives say how often they are right."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from support.small_networks import small_model
from typer.testing import CliRunner

from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.cli import app
from metabev_ros.contract import load_contract
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.calibration import Reliability, ScoreErrorCount
from metabev_ros.lab.evaluation.detection import DetectionEvaluator
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.score_calibrating import calibrate, store_calibration
from metabev_ros.lab.evaluation.score_fitting import (
    DriveCases,
    cross_fitted_errors,
    fit_branch,
    fit_calibration,
    fit_line,
)
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.network.metabev import MetaBev
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.score_calibration import (
    BranchCalibration,
    BranchScores,
    ScoreCalibration,
    ScoreLine,
    logit,
    sigmoid,
)
from metabev_ros.structures import (
    DETECTION_CLASSES,
    MAP_CLASSES,
    Detections,
    Modality,
    Sample,
    Sweep,
)

TRUE_LINE = ScoreLine(0.6, -0.8)  # what raw scores are off by in the made drives
BRANCH_OF = {'lidar': Modality.LIDAR, 'lidar_120': Modality.LIDAR}


def made_drive(seed: int, count: int = 60) -> DriveCases:
    """Cars and cones whose raw scores are too sure; 4 x 4 cells of a map likewise."""
    rng, drive = np.random.default_rng(seed), DriveCases()
    for _ in range(4):
        boxes = np.zeros((count, 9), np.float32)
        boxes[:, 0] = np.arange(count) % 8 * 5 - 18
        boxes[:, 1] = np.arange(count) // 8 * 5 - 18
        boxes[:, 3:6] = 1.0
        labels = np.where(np.arange(count) % 3 == 0, DETECTION_CLASSES.index('traffic_cone'), 0)
        logits = rng.normal(0, 1.5, count)
        right = rng.random(count) < sigmoid(TRUE_LINE.scale * logits + TRUE_LINE.bias)
        cells = rng.normal(0, 2, (6, 30, 30)).astype(np.float32)
        layers = rng.random(cells.shape) < sigmoid(cells * 0.5)
        truth = GroundTruth(
            boxes[right],
            labels[right],
            np.ones(right.sum(), int),
            np.ones(right.sum(), np.float32),
            np.arange(right.sum()),
            layers,
        )
        found = Detections(boxes, sigmoid(logits), labels)
        drive.add(found, sigmoid(cells), truth)
    return drive


def test_the_error_of_four_boxes_is_what_a_person_computes():
    # 0.1 twice, right once: |0.5 - 0.1| x 2/4; 0.9 twice, right twice: |1 - 0.9| x 2/4
    reliability = Reliability(('a',))
    reliability.add(0, np.array([0.1, 0.1, 0.9, 0.9]), np.array([True, False, True, True]))
    assert reliability.result().mean_ece == pytest.approx(0.25)
    counted = Reliability(('a',))
    times = np.array([1, 1, 2])
    counted.add(0, np.array([0.1, 0.1, 0.9]), np.array([True, False, True]), times)
    assert counted.result().mean_ece == pytest.approx(0.25)


def test_a_line_is_found_again():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, 200_000)
    right = rng.random(len(x)) < sigmoid(1.7 * x - 0.6)
    line = fit_line(x, right, np.ones(len(x)), ScoreLine(), 1.0)
    assert line.scale == pytest.approx(1.7, abs=0.03)
    assert line.bias == pytest.approx(-0.6, abs=0.03)


def test_a_line_without_cases_is_the_one_that_it_leans_on_and_a_few_move_it_little():
    towards, none = ScoreLine(1.4, -0.3), np.zeros(0)
    assert fit_line(none, none, none, towards, 10.0) == towards
    sure = fit_line(np.array([3.0]), np.array([False]), np.ones(1), towards, 10.0)
    assert 0 < towards.bias - sure.bias < 0.15 and 0 < towards.scale - sure.scale < 0.4


def test_scores_that_split_without_a_doubt_give_a_line_within_bounds():
    x = np.linspace(-4, 4, 1000)
    line = fit_line(x, x > 0, np.ones(1000), ScoreLine(), 1e-6)
    assert line.scale == 20.0  # as steep as a line may be


def test_rare_classes_lean_on_all_and_unseen_layers_stay():
    drive = made_drive(0)
    drive.cells[2] = 0
    fitted = fit_branch([drive])
    bus, cone = (DETECTION_CLASSES.index(name) for name in ('bus', 'traffic_cone'))
    assert fitted.detection[bus].scale == pytest.approx(TRUE_LINE.scale, abs=0.15)
    assert fitted.detection[bus] != fitted.detection[cone]
    assert fitted.map[2] == ScoreLine() and fitted.map[1].scale == pytest.approx(0.5, abs=0.05)


def test_errors_on_other_drives_fall_to_what_chance_gives():
    drives = [made_drive(seed) for seed in range(12)]
    found = cross_fitted_errors({'lidar': drives, 'lidar_120': drives}, BRANCH_OF, 0.05)['lidar']
    assert found.before.detection > 0.1 and found.before.map > 0.08
    assert found.after.detection < 0.06 and found.after.pooled < 0.025 and found.after.map < 0.02
    assert found.after.detection < 1.6 * found.after.chance


def test_a_state_is_measured_with_the_lines_of_its_branch():
    honest = [made_drive(seed) for seed in range(6)]
    other = [made_drive(seed + 50) for seed in range(6)]
    for drive in other:
        drive.cells = drive.cells[:, :, ::-1].copy()  # where the map is said it is not
    found = cross_fitted_errors({'lidar': honest, 'lidar_120': other}, BRANCH_OF, 0.05)
    assert found['lidar_120'].after.map > 0.1 > found['lidar'].after.map


def test_one_drive_is_too_few_to_say_what_a_calibration_gives():
    with pytest.raises(ConfigError, match='two drives'):
        cross_fitted_errors({'lidar': [made_drive(0)]}, BRANCH_OF, 0.05)


def test_an_evaluation_tells_the_error_of_raw_scores_beside_that_of_published_ones():
    drive = made_drive(3)
    branch = BranchScores(fit_branch([drive]))
    raw, hits = drive.boxes(0)
    count, evaluator = ScoreErrorCount(branch), DetectionEvaluator()
    boxes = np.zeros((len(raw), 9))
    boxes[:, 0], boxes[:, 3:6] = np.linspace(-45, 45, len(raw)), 0.1
    labels = np.zeros(len(raw), int)
    truth = GroundTruth(
        boxes[hits],
        labels[hits],
        np.ones(hits.sum(), int),
        np.ones(hits.sum(), np.float32),
        np.arange(hits.sum()),
        np.zeros((6, 2, 2), bool),
    )
    published = branch.scores(raw, labels)
    evaluator.add(Detections(boxes[hits], published[hits], labels[hits]), truth)
    plane = np.full((6, 2, 2), 0.2, np.float32)
    count.add_map(sigmoid(branch.map_logits(logit(plane))), truth.map_layers, None)
    errors = count.errors(evaluator)
    expected = Reliability(('car',))
    expected.add(0, raw[hits], np.ones(hits.sum(), bool))
    assert errors.raw_detection == pytest.approx(expected.result().mean_ece, abs=2e-3)
    assert errors.raw_map == pytest.approx(0.2, abs=1e-5)
    assert errors.detection > errors.raw_detection  # here: what is right is all that is there


def test_runs_that_share_maps_equal_the_pipeline_of_a_calibrated_model():
    torch.manual_seed(0)
    config = small_model()
    network = MetaBev(config)
    lines = BranchCalibration((ScoreLine(1.5, 2.0),) * 10, (ScoreLine(0.5, 1.0),) * 6)
    fitted = ScoreCalibration(
        '0' * 64, 'nothing', DETECTION_CLASSES, MAP_CLASSES, {Modality.LIDAR: lines}
    )
    backend = TorchBackend(network, config, 'x', fitted)
    pipeline, plain = Pipeline(config, backend, 'x'), TorchBackend(network, config)
    points = np.random.default_rng(0).uniform(-5, 5, (500, 5)).astype(np.float32)
    points[:, 4] = 0
    sample = Sample(0, {}, Sweep(0, points, np.eye(4)), Modality.LIDAR)
    result = pipeline(sample)
    detections, layers = SharedRuns(pipeline)(sample)
    np.testing.assert_array_equal(result.map_probabilities, layers)
    np.testing.assert_array_equal(result.detections.scores, detections.scores)
    raw = Pipeline(config, plain, 'x')(sample)
    assert not np.array_equal(raw.map_probabilities, layers)
    assert pipeline.model.calibrated_on == 'nothing'


def test_a_calibration_goes_into_all_contracts_of_its_weights(tmp_path):
    model = tmp_path / 'model'
    shutil.copytree(resource_path('models/metabev_nano'), model)
    contract = load_contract(model)
    half = variant_folder(model, GraphForm.ONNXRUNTIME, GraphPrecision.FP16)
    old = variant_folder(model, GraphForm.TENSORRT, GraphPrecision.FP32)
    for folder in (half, old):
        folder.mkdir()
    dataclasses.replace(contract, precision='fp16').save(half / 'contract.json')
    dataclasses.replace(contract, weights_sha256='0' * 64).save(old / 'contract.json')
    cases = {'lidar': [made_drive(0)]}
    fitted = fit_calibration(cases, contract.weights_sha256, 'made drives')
    written = store_calibration(model, fitted)
    assert written == [model / 'contract.json', half / 'contract.json']
    assert load_contract(half).score_calibration == fitted
    assert load_contract(old).score_calibration is None
    with pytest.raises(ContractError, match='weights'):
        store_calibration(model, dataclasses.replace(fitted, weights_sha256='3' * 64))


def test_the_scores_of_the_shipped_model_are_calibrated_and_nothing_is_stored_unasked(tmp_path):
    model = tmp_path / 'model'
    shutil.copytree(resource_path('models/metabev_nano'), model)
    untouched = (model / 'contract.json').read_bytes()
    outcome = calibrate(model, HeldOutDrives(2, 1, 980_000, world=World.BOXES), threads=1)
    assert (model / 'contract.json').read_bytes() == untouched
    assert set(outcome.errors) >= {'fused', 'lidar', 'camera', 'fused_lidar_120'}
    for state in ('fused', 'lidar', 'camera'):
        assert outcome.errors[state].after.map < outcome.errors[state].before.map
    ids = {record.id for record in outcome.records('x')}
    assert 'calibration.camera.map.after' in ids and 'calibration.fused.chance' in ids


def test_synthetic_drives_and_records_are_not_asked_for_at_once(tmp_path):
    model = str(resource_path('models/metabev_nano'))
    refused = CliRunner().invoke(
        app, ['calibrate', model, '--data', str(tmp_path), '--drives', '3']
    )
    assert isinstance(refused.exception, ConfigError)
