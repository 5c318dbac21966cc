"""AV2 CDS against stored answers of av2, av2 itself where it is installed, and unit facts."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from support import av2_cases as cases

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import box_corners, inverse_rigid, transform_points
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL, GroundTruth
from metabev_ros.lab.datasets.sources.argoverse_files import EGO_FROM_AXLE
from metabev_ros.lab.datasets.sources.argoverse_map import RegionOfInterest
from metabev_ros.lab.evaluation.av2_metrics import Av2Evaluator
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Detections

TOLERANCE = 1e-9
OUR_LABEL = np.array([DETECTION_CLASSES.index(name) for name in cases.CLASSES])


def detections_of(part: dict) -> Detections:
    return Detections(part['boxes'], part['scores'], OUR_LABEL[part['labels']])


def truth_of(part: dict, **changes) -> GroundTruth:
    count = len(part['boxes'])
    truth = GroundTruth(
        part['boxes'],
        OUR_LABEL[part['labels']],
        np.asarray(part['points'], np.int64),
        np.ones(count, np.float32),
        np.arange(count),
        np.zeros((len(MAP_CLASSES), 4, 4), bool),
    )
    return dataclasses.replace(truth, **changes)


def score(samples, **arguments):
    evaluator = Av2Evaluator(cases.CLASSES, **arguments)
    for found, truth in samples:
        evaluator.add(detections_of(found), truth_of(truth))
    return evaluator.result()


def require_equal(result, answer) -> None:
    assert answer['columns'] == ['AP', 'ATE', 'ASE', 'AOE', 'CDS']
    table = np.column_stack([result.ap.mean(1), result.errors, result.cds])
    assert np.abs(table - answer['classes']).max() < TOLERANCE
    means = [result.mean_ap, *result.mean_errors.values(), result.mean_cds]
    assert np.abs(np.array(means) - answer['mean']).max() < TOLERANCE


@pytest.fixture(scope='module')
def golden() -> dict:
    return json.loads(cases.GOLDEN.read_text())


@pytest.mark.parametrize('name', cases.CASES)
def test_scores_are_those_that_av2_gave(name, golden):
    samples = cases.make_case(name)
    assert golden[name]['inputs'] == cases.digest(samples), 'renew the stored answers'
    require_equal(score(samples), golden[name])


@pytest.mark.skipif(not importlib.util.find_spec('av2'), reason='needs av2 (docs/dependencies.md)')
@pytest.mark.parametrize('name', cases.CASES)
def test_scores_are_those_that_av2_gives(name):
    require_equal(score(cases.make_case(name)), cases.av2_answer(cases.make_case(name)))


def test_the_stored_answers_are_neither_all_right_nor_wrong(golden):
    aps = np.array([golden[name]['classes'] for name in cases.CASES])[..., 0]
    assert ((aps > 0.05) & (aps < 0.95)).mean() > 0.5


def distance_to_areas(points, areas) -> np.ndarray:
    """(N,) metres from (N, 2) points to the nearest edge of any area, edge by edge."""
    best = np.full(len(points), np.inf)
    for area in areas:
        for a, b in zip(area[:, :2], np.roll(area[:, :2], -1, axis=0), strict=True):
            along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            apart = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
            best = np.minimum(best, apart)
    return best


def test_the_region_is_that_of_av2_but_for_its_cells(golden):
    areas, city_from_axle, boxes = cases.region_case()
    region = RegionOfInterest(tuple(areas), city_from_axle @ inverse_rigid(EGO_FROM_AXLE))
    mine, theirs = region.covers(boxes), np.array(golden['region'])
    assert 0.1 < theirs.mean() < 0.9
    corners = transform_points(region.world_from_ego, box_corners(boxes))[..., :2]
    every = np.concatenate(areas)[:, :2]
    low, high = np.floor(every.min(0)), np.ceil(every.max(0)) + 1
    at_border = np.abs(distance_to_areas(corners.reshape(-1, 2), areas) - 5).reshape(-1, 8) < 0.2
    at_border |= (np.minimum(np.abs(corners - low), np.abs(corners - high)) < 0.2).any(-1)
    clear = ~at_border.any(1)
    assert clear.mean() > 0.8 and np.array_equal(mine[clear], theirs[clear])
    assert (mine == theirs).mean() > 0.98
    assert not RegionOfInterest((), np.eye(4)).covers(boxes).any()


# ------------------------------------------------------------------------------- unit facts
def one_car(x: float = 10.0, z: float = 0.8) -> dict:
    boxes = np.array([[x, 0, z, 4, 2, 1.6, 0.1, 0, 0]], np.float32)
    return {'boxes': boxes, 'labels': np.zeros(1, np.int64), 'points': np.ones(1, np.int64)}


def as_found(truth: dict) -> dict:
    return {
        'boxes': truth['boxes'].copy(),
        'labels': truth['labels'],
        'scores': np.linspace(0.9, 0.5, len(truth['boxes'])).astype(np.float32),
    }


def test_the_limit_of_range_is_measured_in_space_from_the_rear_axle():
    x = np.float32(np.sqrt(150.0**2 - 9.67**2))
    near, far = one_car(float(x) - 0.01, 10.0), one_car(float(x) + 0.01, 10.0)
    assert score([(as_found(near), near)]).truth_count[0] == 1
    assert score([(as_found(far), far)]).truth_count[0] == 0
    assert score([(as_found(near), near)], max_range_m=50.0).truth_count[0] == 0


def test_what_was_not_labelled_is_neither_asked_for_nor_wrong():
    truth, other = one_car(), one_car(20.0)
    found = {
        key: np.concatenate([as_found(other)[key], as_found(truth)[key]])
        for key in as_found(truth)
    }
    found['scores'] = np.array([0.9, 0.5], np.float32)
    results = []
    for changes in (
        {},
        {'ignored': other['boxes'][:, :7], 'ignored_labels': np.array([ANY_LABEL])},
    ):
        evaluator = Av2Evaluator(['car'])
        evaluator.add(detections_of(found), truth_of(truth, **changes))
        results.append(evaluator.result().ap[0].tolist())
    # The false car is nearest to the only truth and better scored: it alone counts for it in av2.
    assert results == [[0.0] * 4, [pytest.approx(1)] * 4]


def test_boxes_outside_of_the_region_are_left_out_and_a_set_has_regions_or_none():
    truth, other = one_car(), one_car(60.0)
    both = {key: np.concatenate([truth[key], other[key]]) for key in truth}
    square = np.array([[0, -10, 0], [30, -10, 0], [30, 10, 0], [0, 10, 0.0]])
    region = RegionOfInterest((square,), np.eye(4))
    evaluator = Av2Evaluator(['car'])
    evaluator.add(detections_of(as_found(both)), truth_of(both), region)
    result = evaluator.result()
    assert result.truth_count[0] == 1 and result.has_region
    with pytest.raises(ConfigError, match='a region for all samples or for none'):
        evaluator.add(detections_of(as_found(both)), truth_of(both))


def test_merged_parts_are_the_whole_and_the_plain_form_names_metric_and_range():
    samples = cases.make_case('many_samples')
    parts = []
    for half in (samples[:5], samples[5:]):
        parts.append(Av2Evaluator(cases.CLASSES))
        for found, truth in half:
            parts[-1].add(detections_of(found), truth_of(truth))
    parts[0].merge(parts[1])
    assert parts[0].result().to_plain() == score(samples).to_plain()
    plain = score(samples).to_plain()
    assert plain['metric'] == 'AV2 CDS' and plain['max_range_m'] == 150.0
    assert plain['region_of_interest'] is False and plain['samples'] == 12
    assert set(plain['classes']['car']['errors']) == {'ATE', 'ASE', 'AOE'}
    for other in (Av2Evaluator(['car']), Av2Evaluator(cases.CLASSES, 50.0)):
        with pytest.raises(ConfigError):
            parts[0].merge(other)


@pytest.mark.parametrize('classes,reach', [(['tank'], 150.0), ([], 150.0), (['car'], 0.0)])
def test_classes_that_are_not_ours_and_ranges_that_are_none_are_refused(classes, reach):
    with pytest.raises(ConfigError):
        Av2Evaluator(classes, reach)


@pytest.mark.parametrize('what', ['box', 'size', 'score', 'count'])
def test_what_is_no_detection_is_refused(what):
    found = as_found(one_car())
    if what == 'box':
        found['boxes'][0, 0] = np.nan
    elif what == 'size':
        found['boxes'][0, 3] = 0
    else:
        found['scores'] = np.array([np.nan]) if what == 'score' else np.zeros(2)
    with pytest.raises(ConfigError):
        Av2Evaluator().add(detections_of(found), truth_of(one_car()))
