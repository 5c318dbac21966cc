"""Maps of scores: monotone, identity where there is none, the same wherever outputs are made."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.small_networks import small_model

from metabev_ros.backends import build_backend
from metabev_ros.config import ModelConfig
from metabev_ros.contract import (
    Contract,
    load_contract,
    require_current_variant,
    score_calibration_for,
)
from metabev_ros.errors import BackendError, ConfigError, ContractError
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.postprocess import Postprocessor
from metabev_ros.resources import resource_path
from metabev_ros.score_calibration import (
    BranchCalibration,
    BranchScores,
    ScoreCalibration,
    ScoreLine,
    logit,
    sigmoid,
)
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Modality

CONFIG = ModelConfig()
WEIGHTS = '1' * 64
CONTRACT = Contract(CONFIG, 18, 'fp32', {'a.onnx': '0' * 64}, {'torch': 'x'}, WEIGHTS)


def branch(scale: float, bias: float) -> BranchCalibration:
    """Lines that differ from class to class."""
    return BranchCalibration(
        tuple(ScoreLine(scale + 0.01 * k, bias) for k in range(len(DETECTION_CLASSES))),
        tuple(ScoreLine(scale, bias + 0.1 * k) for k in range(len(MAP_CLASSES))),
    )


def calibration(weights: str = WEIGHTS) -> ScoreCalibration:
    return ScoreCalibration(
        weights,
        'ten drives',
        DETECTION_CLASSES,
        MAP_CLASSES,
        {Modality.FUSED: branch(1.5, -0.4), Modality.LIDAR: branch(0.7, 0.3)},
    )


def outputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = CONFIG.bev_grid.shape
    return {
        'heatmap': rng.normal(-4, 2, (1, 10, rows, columns)).astype(np.float32),
        'boxes': rng.normal(0, 0.3, (1, 10, rows, columns)).astype(np.float32),
        'map_logits': rng.normal(0, 2, (1, 6, 200, 200)).astype(np.float32),
    }


def test_a_line_moves_scores_as_computed_by_hand_and_keeps_their_order():
    scores = BranchScores(branch(2.0, -1.0))
    labels = np.zeros(3, int)
    # logit(0.5) = 0 -> -1 -> 0.26894; logit(0.8) = ln 4 -> 2 ln 4 - 1 -> 16 / (16 + e) = 0.85479
    found = scores.scores(np.array([0.5, 0.8, 0.2]), labels)
    np.testing.assert_allclose(found[:2], [0.268941, 16 / (16 + np.e)], atol=1e-6)
    rising = np.linspace(0.0, 1.0, 1001)
    moved = scores.scores(rising, np.zeros(1001, int))
    assert (np.diff(moved) >= 0).all() and (np.diff(moved[10:-10]) > 0).all()
    assert moved.min() >= 0 and moved.max() <= 1


def test_without_lines_scores_are_the_same_objects():
    nothing = BranchScores(None)
    values = np.array([0.1, 0.7], np.float32)
    assert nothing.scores(values, np.zeros(2, int)) is values
    assert nothing.map_logits(values) is values and nothing.is_identity


def test_raw_scores_come_back_from_calibrated_ones():
    scores, labels = BranchScores(branch(1.5, -0.4)), np.arange(200) % 10
    raw = np.linspace(0.02, 0.98, 200).astype(np.float32)
    np.testing.assert_allclose(
        scores.raw_scores(scores.scores(raw, labels), labels), raw, atol=1e-4
    )
    planes = np.random.default_rng(0).uniform(0.02, 0.98, (6, 4, 4)).astype(np.float32)
    calibrated = sigmoid(scores.map_logits(logit(planes)))
    np.testing.assert_allclose(scores.raw_map(calibrated), planes, atol=1e-4)


@pytest.mark.parametrize(
    ('scale', 'bias'), [(0.0, 0.0), (-1.0, 0.0), (float('nan'), 0.0), (1.0, 1e9), (1e9, 0.0)]
)
def test_a_line_that_falls_or_is_no_number_is_refused(scale, bias):
    with pytest.raises(ConfigError, match='score calibration'):
        ScoreLine(scale, bias)


def test_the_lines_of_one_give_the_outputs_of_no_calibration_bit_for_bit():
    ones = BranchCalibration((ScoreLine(),) * 10, (ScoreLine(),) * 6)
    fitted = dataclasses.replace(calibration(), branches={Modality.FUSED: ones})
    raw = outputs()
    plain, same = Postprocessor(CONFIG)(raw), Postprocessor(CONFIG, fitted)(raw, Modality.FUSED)
    for a, b in ((plain[0].boxes, same[0].boxes), (plain[0].scores, same[0].scores)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(plain[1], same[1])


def test_each_branch_has_lines_of_its_own_and_one_without_any_stays_as_it_is():
    raw, decode = outputs(), Postprocessor(CONFIG, calibration())
    plain = Postprocessor(CONFIG)(raw)
    camera = decode(raw, Modality.CAMERA)
    np.testing.assert_array_equal(plain[0].scores, camera[0].scores)
    fused, lidar = decode(raw, Modality.FUSED), decode(raw, Modality.LIDAR)
    assert not np.array_equal(fused[1], plain[1]) and not np.array_equal(fused[1], lidar[1])
    expected = sigmoid(raw['map_logits'][0, 2] * np.float32(1.5) + np.float32(-0.4 + 0.2))
    np.testing.assert_allclose(fused[1][2], expected, atol=1e-6)


def test_the_threshold_is_one_of_calibrated_scores():
    raw = outputs()
    raw['heatmap'][:] = -9
    raw['heatmap'][0, 3, 20, 20] = logit(np.array(0.04))
    raw['heatmap'][0, 3, 60, 60] = logit(np.array(0.06))
    lines = (ScoreLine(1.0, 0.5),) * 10
    up = dataclasses.replace(
        calibration(), branches={Modality.LIDAR: BranchCalibration(lines, (ScoreLine(),) * 6)}
    )
    assert CONFIG.head.score_threshold == 0.05
    assert len(Postprocessor(CONFIG)(raw)[0]) == 1
    assert len(Postprocessor(CONFIG, up)(raw, Modality.LIDAR)[0]) == 2


def test_a_query_keeps_its_class_when_its_score_is_calibrated():
    config = small_model('transfusion')
    queries = config.head.proposals
    raw = {
        'boxes': np.zeros((1, 10, queries), np.float32),
        'class_logits': np.full((1, 10, queries), -9, np.float32),
        'query_scores': np.ones((1, 10, queries), np.float32),
        'map_logits': np.zeros((1, 6, *config.map_grid.shape), np.float32),
    }
    raw['class_logits'][0, 4, 0], raw['class_logits'][0, 7, 0] = 1.0, 0.9
    lines = [ScoreLine()] * 10
    lines[4] = ScoreLine(1.0, -2.0)
    down = dataclasses.replace(
        calibration(),
        branches={Modality.FUSED: BranchCalibration(tuple(lines), (ScoreLine(),) * 6)},
    )
    found, _ = Postprocessor(config, down)(raw, Modality.FUSED)
    assert found.labels[0] == 4 and found.scores[0] == pytest.approx(1 / (1 + np.e), abs=1e-6)


def test_calibrated_outputs_without_their_branch_are_an_error():
    with pytest.raises(BackendError, match='branch'):
        Postprocessor(CONFIG, calibration())(outputs())


def test_a_contract_keeps_its_calibration_and_its_hash_knows_it(tmp_path):
    fitted = dataclasses.replace(CONTRACT, score_calibration=calibration())
    fitted.save(tmp_path / 'contract.json')
    loaded = load_contract(tmp_path)
    assert loaded == fitted and loaded.hash == fitted.hash != CONTRACT.hash
    assert loaded.graphs_hash == CONTRACT.hash == CONTRACT.graphs_hash  # engines stay
    CONTRACT.save(tmp_path / 'contract.json')
    assert 'score_calibration' not in json.loads((tmp_path / 'contract.json').read_text())


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        (('format',), 2),
        (('method',), 'isotonic'),
        (('weights_sha256',), '2' * 64),
        (('weights_sha256',), 3),
        (('fitted_on',), None),
        (('branches',), {}),
        (('branches',), []),
        (('branches', 'NONE'), {}),
        (('branches', 'FUSED'), 'x'),
        (('branches', 'FUSED', 'detection'), {'car': [1, 0]}),
        (('branches', 'FUSED', 'detection', 'lorry'), [1, 0]),
        (('branches', 'FUSED', 'detection', 'car'), [1]),
        (('branches', 'FUSED', 'detection', 'car'), [1, 0, 0]),
        (('branches', 'FUSED', 'detection', 'car'), [True, 0]),
        (('branches', 'FUSED', 'detection', 'car'), ['1', 0]),
        (('branches', 'FUSED', 'detection', 'car'), [-1.0, 0]),
        (('branches', 'FUSED', 'detection', 'car'), [float('nan'), 0]),
        (('branches', 'FUSED', 'map', 'divider'), [1, 10**400]),
        (('more',), 1),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, path, value):
    plain = dataclasses.replace(CONTRACT, score_calibration=calibration()).to_json()
    target = plain['score_calibration']
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    (tmp_path / 'contract.json').write_text(json.dumps(plain))
    with pytest.raises(ContractError, match='score.calibration'):
        load_contract(tmp_path)
    assert score_calibration_for(tmp_path, WEIGHTS) is None


@pytest.mark.parametrize('content', [None, 1, [], {}])
def test_a_calibration_that_is_none_is_refused(tmp_path, content):
    plain = CONTRACT.to_json() | {'score_calibration': content}
    (tmp_path / 'contract.json').write_text(json.dumps(plain))
    with pytest.raises(ContractError, match='score_calibration'):
        load_contract(tmp_path)


def test_lines_of_other_weights_are_no_calibration(tmp_path):
    dataclasses.replace(CONTRACT, score_calibration=calibration()).save(tmp_path / 'contract.json')
    assert score_calibration_for(tmp_path, WEIGHTS) == calibration()
    assert score_calibration_for(tmp_path, '2' * 64) is None
    assert score_calibration_for(tmp_path / 'nowhere', WEIGHTS) is None


def test_a_variant_with_another_calibration_is_refused(tmp_path):
    form, precision = GraphForm.TENSORRT, GraphPrecision.FP16
    CONTRACT.save(tmp_path / 'contract.json')
    folder = variant_folder(tmp_path, form, precision)
    folder.mkdir()
    variant = dataclasses.replace(CONTRACT, form=form, precision='fp16')
    dataclasses.replace(variant, score_calibration=calibration()).save(folder / 'contract.json')
    with pytest.raises(ContractError, match='metabev calibrate'):
        require_current_variant(tmp_path, form, precision)
    variant.save(folder / 'contract.json')
    require_current_variant(tmp_path, form, precision)


def test_every_backend_of_a_model_folder_has_its_calibration(tmp_path):
    source = resource_path('models/metabev_nano')
    model = tmp_path / 'model'
    shutil.copytree(source, model)
    contract = load_contract(model)
    fitted = calibration(contract.weights_sha256)
    dataclasses.replace(contract, score_calibration=fitted).save(model / 'contract.json')
    exact, reference = build_backend('onnxruntime', model, 1), build_backend('torch', model, 1)
    assert exact.score_calibration == fitted == reference.score_calibration
    assert exact.model_hash == load_contract(model).hash != contract.hash
