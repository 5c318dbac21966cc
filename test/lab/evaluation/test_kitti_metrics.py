"""KITTI AP against loops written from the official description, and cases with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support import kitti_evaluation as official
from support.kitti_folder import RealKitti, write_object_folder

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z, transform_points
from metabev_ros.lab.datasets.sources.kitti import KittiObject
from metabev_ros.lab.datasets.sources.kitti_calibration import (
    EGO_FROM_LIDAR,
    KittiCalibration,
)
from metabev_ros.lab.datasets.sources.kitti_files import KittiLabels
from metabev_ros.lab.datasets.sources.kitti_truth import KittiView
from metabev_ros.lab.evaluation.kitti_matching import score_thresholds
from metabev_ros.lab.evaluation.kitti_metrics import (
    DIFFICULTIES,
    EVALUATED,
    VIEWS,
    KittiEvaluator,
    picture_heights,
)
from metabev_ros.structures import DETECTION_CLASSES, Detections

SIZE = (1242, 375)
PROJECTION = np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]])
OPTICAL = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0.0]])
# A camera that looks ahead, turned and tilted a little as KITTI's is.
TILTED = rotation_z(0.004) @ OPTICAL @ rotation_z(0.01)
CALIBRATION = KittiCalibration(
    PROJECTION, rigid_transform(TILTED, (0.02, -0.07, -0.28)), np.eye(4)
)
VIEW_KINDS = ('Car', 'Van', 'Pedestrian', 'Person_sitting', 'Cyclist', 'Truck', 'Misc')
LABEL_OF = {'Car': 'car', 'Pedestrian': 'pedestrian', 'Cyclist': 'bicycle', 'Truck': 'truck'}
SHAPES = {'Car': (1.5, 1.6, 3.9), 'Pedestrian': (1.75, 0.65, 0.85), 'Cyclist': (1.75, 0.6, 1.75)}


def obj(kind, x, y, z, ry, shape=None, occlusion=0, truncation=0.0, height=60.0):
    """A label: `x y z` bottom centre in the camera's frame, `height` in the picture."""
    height_m, width, length = shape or SHAPES.get(kind, SHAPES['Car'])
    return {
        'type': kind,
        'truncation': truncation,
        'occlusion': occlusion,
        'box': (100.0, 100.0, 160.0, 100.0 + height),
        'h': height_m,
        'w': width,
        'l': length,
        't': (x, y, z),
        'ry': ry,
    }


def view_of(truth, regions=()):
    rows = truth + [
        {**obj('DontCare', -1000, -1000, -1000, -10, (-1, -1, -1), -1, -1), 'box': region}
        for region in regions
    ]
    return KittiView(
        KittiLabels(
            tuple(g['type'] for g in rows),
            np.full(len(rows), -1),
            np.array([g['truncation'] for g in rows], np.float64),
            np.array([g['occlusion'] for g in rows], np.int64),
            np.array([g['box'] for g in rows], np.float64).reshape(-1, 4),
            np.array([(g['h'], g['w'], g['l']) for g in rows], np.float64).reshape(-1, 3),
            np.array([g['t'] for g in rows], np.float64).reshape(-1, 3),
            np.array([g['ry'] for g in rows], np.float64),
        ),
        CALIBRATION,
        SIZE,
    )


def detections_of(found):
    """Results in the camera's frame as detections in ego."""
    ego_from_rect = inverse_rigid(CALIBRATION.rect_from_ego)
    boxes = np.zeros((len(found), 9))
    for row, d in zip(boxes, found, strict=True):
        row[:3] = transform_points(ego_from_rect, np.array(d['t']) - [0, d['h'] / 2, 0])
        row[3:6] = d['l'], d['w'], d['h']
        # The yaw whose heading has this turn in the plane of the picture's x and z.
        across = CALIBRATION.rect_from_ego[:3, :3].T @ [math.sin(d['ry']), 0, math.cos(d['ry'])]
        row[6] = math.atan2(-across[0], across[1])
        ahead = CALIBRATION.rect_from_ego[:3, :3] @ [math.cos(row[6]), math.sin(row[6]), 0]
        if ahead[0] * math.cos(d['ry']) - ahead[2] * math.sin(d['ry']) < 0:
            row[6] += math.pi
    labels = [DETECTION_CLASSES.index(LABEL_OF[d['type']]) for d in found]
    scores = np.array([d['score'] for d in found], np.float64)
    return Detections(boxes, scores, np.array(labels, np.int64))


def picture_box(d):
    """left, top, right, bottom of the box's part of the picture; None outside of it."""
    pixels, before = [], False
    for a in (-d['l'] / 2, d['l'] / 2):
        for b in (-d['w'] / 2, d['w'] / 2):
            for up in (0, d['h']):
                c, s = math.cos(d['ry']), math.sin(d['ry'])
                x, y = d['t'][0] + c * a + s * b, d['t'][1] - up
                z = d['t'][2] - s * a + c * b
                before |= z > 0.1
                u, v, w = PROJECTION @ [x, y, max(z, 0.1), 1]
                pixels.append((u / w, v / w))
    left, right = (min(max(f(p[0] for p in pixels), 0), SIZE[0] - 1) for f in (min, max))
    top, low = (min(max(f(p[1] for p in pixels), 0), SIZE[1] - 1) for f in (min, max))
    return (left, top, right, low) if before and right > left and low > top else None


def random_frame(rng, ties):
    truth = []
    for _ in range(int(rng.integers(0, 12))):
        kind = str(rng.choice(VIEW_KINDS))
        place = rng.uniform(-10, 10), rng.uniform(1.4, 1.9), rng.uniform(4, 60)
        shape = tuple(np.array(SHAPES.get(kind, SHAPES['Car'])) * rng.uniform(0.8, 1.2, 3))
        level = int(rng.choice([0, 0, 0, 1, 2, 3])), float(rng.choice([0, 0, 0.1, 0.2, 0.4, 0.6]))
        g = obj(kind, *place, rng.uniform(-3, 3), shape, *level)
        g['box'] = picture_box(g) or g['box']
        truth.append(g)
    found = []
    for g in truth:
        for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
            kind = g['type'] if g['type'] in LABEL_OF else str(rng.choice(list(LABEL_OF)))
            kind = kind if rng.random() < 0.9 else str(rng.choice(list(LABEL_OF)))
            noise = rng.normal(0, 1, 7) * (0.08, 0.04, 0.12, 0.06, 0.04, 0.04, 0.04)
            t = tuple(np.array(g['t']) + noise[:3])
            shape = np.array((g['h'], g['w'], g['l'])) * (1 + noise[3:6])
            found.append(
                {**obj(kind, *t, g['ry'] + noise[6], tuple(shape)), 'score': rng.random()}
            )
    for _ in range(int(rng.integers(0, 6))):
        place = rng.uniform(-15, 15), rng.uniform(1, 2), rng.uniform(-5, 60)
        kind = str(rng.choice(list(LABEL_OF)))
        found.append({**obj(kind, *place, rng.uniform(-3, 3)), 'score': rng.random() * 0.7})
    for d in found:
        d['box'] = picture_box(d)
        d['score'] = round(d['score'], 1 if ties else 6)
    return truth, [d for d in found if d['box']], [d for d in found if not d['box']]


def score(frames):
    evaluator = KittiEvaluator()
    for truth, found in frames:
        evaluator.add(detections_of(found), view_of(truth))
    return evaluator.result()


def r40(frames, name='Car', level='moderate', view='3d'):
    result = score(frames)
    return result.ap40[EVALUATED.index(name), DIFFICULTIES.index(level), VIEWS.index(view)]


# ------------------------------------------------------------------- against the description
@pytest.mark.parametrize('seed,frames,ties', [(0, 20, False), (1, 16, True), (2, 3, False)])
def test_every_score_is_that_of_loops_written_from_the_description(seed, frames, ties):
    rng = np.random.default_rng(seed)
    drawn = [random_frame(rng, ties) for _ in range(frames)]
    result = score([(truth, found + outside) for truth, found, outside in drawn])
    compared = 0
    for k, name in enumerate(EVALUATED):
        for d in range(len(DIFFICULTIES)):
            for v, view in enumerate(VIEWS):
                seen = [(truth, found) for truth, found, _ in drawn]
                wide, narrow, asked = official.average_precision(name, d, view, seen)
                assert result.truth_count[k, d] == asked
                np.testing.assert_allclose(result.ap40[k, d, v], wide, atol=1e-9)
                np.testing.assert_allclose(result.ap11[k, d, v], narrow, atol=1e-9)
                compared += 0 < wide < 1
    assert compared >= (6 if frames > 10 else 0), 'the cases must be neither all right nor wrong'


def test_the_steps_of_recall_are_those_of_the_description():
    rng = np.random.default_rng(3)
    for truths in (1, 2, 7, 10, 20, 40, 41, 60, 100, 140, 200, 1000):
        scores = rng.random(int(truths * 0.8) + 1).tolist()
        assert score_thresholds(scores, truths) == official.thresholds_of(scores, truths)


def test_heights_in_the_picture_are_those_of_corners_one_by_one():
    rng = np.random.default_rng(4)
    for _ in range(20):
        _, found, outside = random_frame(rng, False)
        heights = picture_heights(detections_of(found + outside).boxes, view_of([]))
        expected = [d['box'][3] - d['box'][1] for d in found] + [0.0] * len(outside)
        np.testing.assert_allclose(heights, expected, atol=1e-6)


# --------------------------------------------------------------------------- known answers
CAR = obj('Car', 1, 1.7, 15, 0.3)
OTHER_CAR = obj('Car', -4, 1.7, 20, -1.2)
FAR = obj('Car', 6, 1.7, 30, 1.0)


def hit(g, value=0.9, kind=None, **moved):
    d = {**g, 'type': kind or g['type'], 'score': value}
    d['t'] = (g['t'][0] + moved.get('x', 0), g['t'][1] + moved.get('y', 0), g['t'][2])
    return d


def test_what_is_found_exactly_scores_one_and_nothing_scores_zero():
    frames = [([CAR, OTHER_CAR], [hit(CAR), hit(OTHER_CAR, 0.8)])] * 40
    for view in VIEWS:
        assert r40(frames, view=view) == pytest.approx(1)
    assert r40([([CAR], [])] * 3) == 0
    assert math.isnan(r40([([], [hit(CAR)])]))


def test_the_last_step_of_recall_is_out_of_reach_for_few_truths_as_in_the_official_code():
    assert r40([([CAR], [hit(CAR)])] * 40) == pytest.approx(39 / 40)
    assert r40([([CAR], [hit(CAR)])] * 2) == pytest.approx(1 / 40)


def test_one_false_car_better_scored_than_half_of_the_true_ones():
    """80 truths: 40 found at .9, a false one at .5, 40 found at .3: precision 1, then 80/81."""
    frames = [([CAR], [hit(CAR, 0.9 if i < 40 else 0.3)]) for i in range(80)]
    frames[0][1].append(hit(FAR, 0.5))
    assert r40(frames) == pytest.approx((20 + 20 * 80 / 81) / 40)


def test_a_box_that_is_too_high_counts_from_above_and_not_in_space():
    frames = [([CAR], [hit(CAR, y=-1.0)])] * 80
    assert r40(frames, view='bev') == pytest.approx(1) and r40(frames) == 0


def test_a_second_box_on_one_object_is_wrong():
    frames = [([CAR], [hit(CAR, 0.9), hit(CAR, 0.9, x=0.05)])] * 80
    assert r40(frames) == pytest.approx(0.5)


@pytest.mark.parametrize(
    'truth,kind,name',
    [
        (obj('Van', 1, 1.7, 15, 0.3), 'Car', 'Car'),
        (obj('Person_sitting', 1, 1.7, 15, 0.3, SHAPES['Pedestrian']), 'Pedestrian', 'Pedestrian'),
    ],
)
def test_a_neighbouring_class_is_neither_asked_for_nor_wrong(truth, kind, name):
    asked = obj(name, -4, 1.7, 20, -1.2)
    found = [hit(asked, 0.5), hit(truth, 0.9, kind)]
    assert r40([([asked, truth], found)] * 80, name) == pytest.approx(1)
    assert r40([([asked], found)] * 80, name) == pytest.approx(0.5)


@pytest.mark.parametrize(
    'changes,asked_at',
    [
        ({'height': 39.0}, (False, True, True)),
        ({'height': 25.0}, (False, False, False)),
        ({'occlusion': 1}, (False, True, True)),
        ({'occlusion': 2}, (False, False, True)),
        ({'truncation': 0.2}, (False, True, True)),
        ({'truncation': 0.4}, (False, False, True)),
        ({'truncation': 0.6}, (False, False, False)),
    ],
)
def test_what_is_too_hard_for_a_level_is_not_asked_for_there(changes, asked_at):
    """Half of the truths is hard and not found: recall ends at a half where it is asked for."""
    hard = obj('Car', -4, 1.7, 20, -1.2, **changes)
    result = score([([CAR, hard], [hit(CAR)])] * 80)
    assert result.truth_count[0].tolist() == [160 if asked else 80 for asked in asked_at]
    expected = [0.5 if asked else 1.0 for asked in asked_at]
    assert result.ap40[0, :, 0].tolist() == pytest.approx(expected, abs=0.026)


def test_a_detection_that_is_low_in_the_picture_is_not_wrong_and_a_higher_one_is():
    low, high = obj('Car', 6, 1.7, 52, 0), obj('Car', 6, 1.7, 25, 0)
    assert picture_heights(detections_of([hit(low)]).boxes, view_of([]))[0] < 25
    assert r40([([CAR], [hit(CAR, 0.5), hit(low, 0.9)])] * 80) == pytest.approx(1)
    assert r40([([CAR], [hit(CAR, 0.5), hit(high, 0.9)])] * 80) == pytest.approx(0.5)


def test_a_low_detection_of_another_class_takes_a_truth_as_in_the_official_code():
    """The better-scored truck is ignored for its height, and with it the truth that it lies on."""
    truth = obj('Car', 2, 1.7, 44, 0)
    car = {**hit(truth, 0.5), 'h': 1.6, 'l': 3.9}
    truck = {**hit(truth, 0.9, 'Truck'), 'h': 1.45}
    low, high = picture_heights(detections_of([truck, car]).boxes, view_of([]))
    assert low < 25 <= high
    assert r40([([truth], [car])] * 80) == pytest.approx(1)
    assert r40([([truth], [truck, car])] * 80) == 0
    assert official.overlap(truck, truth, '3d') > 0.7


def test_at_a_threshold_a_truth_takes_what_overlaps_it_most_and_leaves_the_rest_to_others():
    first, second = (obj('Pedestrian', x, 1.7, 15, 0) for x in (0, 0.5))
    third = obj('Pedestrian', -5, 1.7, 15, 0)
    between, beside = hit(first, 0.9, x=0.25), hit(first, 0.8, x=-0.05)
    frames = [([first, second, third], [between, beside, hit(third, 0.1)])] * 40
    precision = score(frames).precision[EVALUATED.index('Pedestrian'), 1, 0]
    assert (precision[:26] == 1).all() and precision[28] == 0


def test_a_detection_outside_of_the_picture_is_left_out():
    for place in ((0, 1.7, -10), (40, 1.7, 10)):
        beside = obj('Car', *place, 0)
        assert r40([([CAR], [hit(CAR, 0.5), hit(beside, 0.9)])] * 80) == pytest.approx(1)


def test_a_dont_care_region_spares_no_box_in_space_as_in_the_official_evaluation():
    evaluator = KittiEvaluator()
    for _ in range(80):
        view = view_of([CAR], regions=[(0.0, 0.0, 1241.0, 374.0)])
        evaluator.add(detections_of([hit(CAR, 0.5), hit(FAR, 0.9)]), view)
    assert evaluator.result().ap40[0, 1, 0] == pytest.approx(0.5)


# -------------------------------------------------------------------------------- interface
def test_merged_parts_are_the_whole_and_the_plain_form_names_the_metric():
    rng = np.random.default_rng(5)
    frames = [random_frame(rng, False)[:2] for _ in range(12)]
    parts = []
    for half in (frames[:5], frames[5:]):
        parts.append(KittiEvaluator())
        for truth, found in half:
            parts[-1].add(detections_of(found), view_of(truth))
    parts[0].merge(parts[1])
    assert np.array_equal(parts[0].result().precision, score(frames).precision, equal_nan=True)
    plain = score([([CAR], [hit(CAR)])] * 80).to_plain()
    assert plain['metric'] == 'KITTI AP' and plain['samples'] == 80
    assert plain['classes']['Car']['3d_r40']['easy'] == pytest.approx(1)
    assert plain['classes']['Cyclist']['bev_r11'] == dict.fromkeys(DIFFICULTIES)
    assert plain['classes']['Car']['truth'] == dict.fromkeys(DIFFICULTIES, 80)


@pytest.mark.parametrize('what', ['box', 'size', 'score', 'count'])
def test_what_is_no_detection_is_refused(what):
    found = detections_of([hit(CAR)])
    boxes, scores = found.boxes.copy(), found.scores.copy()
    if what == 'box':
        boxes[0, 0] = np.nan
    elif what == 'size':
        boxes[0, 3] = 0
    else:
        scores = np.array([np.nan]) if what == 'score' else np.zeros(2)
    with pytest.raises(ConfigError):
        KittiEvaluator().add(Detections(boxes, scores, found.labels), view_of([CAR]))


def test_the_truth_of_real_frames_given_as_detections_scores_one(shared_data, tmp_path):
    folder = shared_data / 'real_lidar'
    if not folder.is_dir():
        pytest.skip(f'no real frames at {folder}')
    frames = [RealKitti.read(folder, token) for token in ('000002', '000008', '000134')]
    source = KittiObject(write_object_folder(tmp_path, frames))
    evaluator = KittiEvaluator()
    for frame in frames:
        boxes = source.frame(frame.token).truth
        velocity = np.nan_to_num(boxes.boxes)
        found = Detections(velocity, np.full(len(velocity), 0.5, np.float32), boxes.labels)
        evaluator.add(found, source.view(frame.token))
    result = evaluator.result()
    views = [source.view(frame.token).labels for frame in frames]
    tall = [
        kind
        for view in views
        for kind, box in zip(view.kinds, view.image_boxes, strict=True)
        if box[3] - box[1] > 25
    ]
    assert result.truth_count[:, 2].tolist() == [tall.count(name) for name in EVALUATED]
    assert result.truth_count[:, 2].min() > 0
    # Fewer than 40 truths cannot reach every step of recall: the last one is found.
    for k in range(3):
        for v in range(2):
            reached = result.precision[k, 2, v]
            assert reached[0] == pytest.approx(1) and set(reached.round(9)) <= {0.0, 1.0}


def test_the_inverse_of_the_mounting_is_what_the_cases_use():
    moved = CALIBRATION.rect_from_ego @ EGO_FROM_LIDAR
    assert np.allclose(moved, CALIBRATION.rect_from_lidar)
