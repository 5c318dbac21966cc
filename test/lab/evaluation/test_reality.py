"""Figures of few frames: as the evaluation has them, by hand, and with their intervals."""

import numpy as np
import pytest
from support.real_frames import real_records

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.evaluation.detection import DISTANCES_M, DetectionEvaluator
from metabev_ros.lab.evaluation.reality import (
    BLOCKS_ACROSS,
    CAR,
    RealFrames,
    drawn_blocks,
    intervals,
)
from metabev_ros.lab.evaluation.reality_ledger import (
    ASKED,
    SHIPPED_STEP,
    draw_ledger,
    ledger_records,
    seen_on,
    steps_of,
)
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import DETECTION_CLASSES, Detections


def boxes_at(*places: tuple[float, float], yaw: float = 0.0) -> np.ndarray:
    boxes = np.zeros((len(places), 9), np.float32)
    boxes[:, :2] = np.reshape(places, (-1, 2))
    boxes[:, 3:6], boxes[:, 6] = (4.5, 1.9, 1.6), yaw
    return boxes


def truth_of(boxes: np.ndarray, labels: np.ndarray | None = None) -> GroundTruth:
    n = len(boxes)
    return GroundTruth(
        boxes,
        np.zeros(n, np.int64) if labels is None else labels,
        np.ones(n, np.int64),
        np.ones(n, np.float32),
        np.arange(n),
        np.zeros((6, 2, 2), bool),
    )


def found_of(boxes: np.ndarray, scores: list[float]) -> Detections:
    return Detections(boxes, np.array(scores, np.float32), np.zeros(len(boxes), np.int64))


def once(frames: RealFrames) -> dict[str, float]:
    return frames.figures()(np.ones(frames.blocks, np.int64))


def test_average_precision_is_that_of_the_evaluation():
    rng, frames, evaluator = np.random.default_rng(0), RealFrames(), DetectionEvaluator()
    for drive in ('a', 'a', 'b'):
        places = rng.uniform(-45, 45, (30, 2))
        labels = rng.integers(0, 10, 30)
        truth = truth_of(boxes_at(*map(tuple, places)), labels)
        moved = boxes_at(*map(tuple, places + rng.normal(0, 1.5, (30, 2))))
        found = Detections(moved, rng.random(30).astype(np.float32), labels)
        frames.add(drive, found, truth)
        evaluator.add(found, truth)
    result, figures = evaluator.result(), once(frames)
    for column, distance in enumerate(DISTANCES_M):
        name = f'car.ap_{distance:g}'.replace('.5', '_5')
        assert figures[name] == pytest.approx(result.ap[CAR, column], abs=1e-12)
    pedestrian = DETECTION_CLASSES.index('pedestrian')
    assert figures['pedestrian.ap_2'] == pytest.approx(result.ap[pedestrian, 2], abs=1e-12)
    assert figures['map'] == pytest.approx(result.mean_ap, abs=1e-12)
    assert frames.blocks == 2 * BLOCKS_ACROSS**2 and frames.frames == 3


def test_heading_recall_and_false_cars_are_what_a_person_counts():
    frames = RealFrames()
    truth = boxes_at((10, 0), (25, 5), (-30, -5), (0, 40))
    found = np.concatenate(
        [
            boxes_at((10.5, 0), yaw=np.pi + 0.1),  # the axis is right
            boxes_at((25, 5.5), yaw=0.7),  # 40 degrees off
            boxes_at((-30, -5), yaw=-1.0),  # found, but below the score that counts
            boxes_at((5, 20), (5, -20)),  # false ones, the second too weak to be asked for
        ]
    )
    frames.add('a', found_of(found, [0.9, 0.25, 0.1, 0.5, 0.2]), truth_of(truth))
    figures = once(frames)
    assert figures['car.heading_off'] == pytest.approx(1 / 2)
    assert figures['car.true_0_3'] == 1 and figures['car.false_0_3'] == 1
    assert figures['car.false_share_0_3'] == pytest.approx(1 / 2)
    assert figures['car.recall_0_20'] == 1 and figures['car.recall_20_35'] == pytest.approx(1 / 2)
    assert figures['car.recall_35_50'] == 0


def test_the_own_vehicle_is_reported_where_a_centre_is_in_it_and_others_may_reach_into_it():
    frames, none = RealFrames(), truth_of(boxes_at())
    frames.add('a', found_of(boxes_at((1.0, 0.3), (4.0, 0.5)), [0.06, 0.9]), none)
    frames.add('a', found_of(boxes_at((8.0, 0.0), (0.0, 3.0)), [0.9, 0.9]), none)
    assert frames.own_centres == 1 and frames.own_boxes == 2


def test_what_has_nothing_behind_it_is_no_figure():
    frames = RealFrames()
    frames.add('a', found_of(boxes_at(), []), truth_of(boxes_at((10, 0))))
    figures = once(frames)
    assert np.isnan(figures['car.heading_off']) and np.isnan(figures['car.recall_35_50'])
    assert figures['car.recall_0_20'] == 0 and figures['car.ap_2'] == 0


def test_a_square_that_is_drawn_twice_counts_its_objects_twice():
    frames = RealFrames()
    truth, found = boxes_at((15, 5), (-15, -5)), boxes_at((15, 5), (-15, 15))
    frames.add('a', found_of(found, [0.9, 0.5]), truth_of(truth))
    times, pairs = np.ones(frames.blocks, np.int64), frames.pairs(CAR, 2.0)
    times[pairs.block[0]] = 3  # the square of the one that is found
    figures = frames.figures()(times)
    assert figures['car.true_0_3'] == 3 and figures['car.recall_0_20'] == pytest.approx(3 / 4)


def test_a_box_is_drawn_with_its_object_even_across_a_border():
    frames = RealFrames()
    frames.add('a', found_of(boxes_at((19.5, 5)), [0.9]), truth_of(boxes_at((20.5, 5))))
    pairs = frames.pairs(CAR, 2.0)
    assert pairs.block[0] == pairs.truth_block[0]
    for times in drawn_blocks(frames.blocks, 20):
        there = times[pairs.truth_block[0]] > 0
        assert frames.figures()(times)['car.ap_2'] == pytest.approx(1.0 if there else 0.0)


def test_frames_of_one_drive_share_squares_and_those_of_others_do_not():
    frames = RealFrames()
    for drive in ('a', 'a', 'b'):
        frames.add(drive, found_of(boxes_at((15, 5)), [0.9]), truth_of(boxes_at((15, 5))))
    blocks = frames.pairs(CAR, 2.0).truth_block
    assert blocks[0] == blocks[1] != blocks[2]


def test_intervals_hold_the_figure_and_a_side_less_itself_is_nothing():
    rng, frames = np.random.default_rng(1), RealFrames()
    places = rng.uniform(-45, 45, (40, 2))
    kept = rng.random(40) < 0.6
    found = np.concatenate([boxes_at(*map(tuple, places[kept])), boxes_at((2, 30), (30, 2))])
    frames.add('a', found_of(found, list(rng.random(len(found)))), truth_of(boxes_at(*places)))
    found = intervals([frames], ['car.ap_2', 'car.false_share_0_3'], 200)
    for interval in found.values():
        assert interval.low <= interval.value <= interval.high and interval.low < interval.high
    nothing = intervals([frames, frames], ['car.ap_2'], 50)['car.ap_2']
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    other = RealFrames()
    other.add('a', found_of(boxes_at(), []), truth_of(boxes_at((1, 20))))
    other.add('b', found_of(boxes_at(), []), truth_of(boxes_at((1, 20))))
    with pytest.raises(ConfigError, match='same frames'):
        intervals([frames, other], ['car.ap_2'])


@pytest.fixture(scope='module')
def seen(shared_data, tmp_path_factory):
    pipeline = Pipeline.load(resource_path('models/metabev_nano'))
    made = real_records(shared_data, tmp_path_factory.mktemp('real'), pipeline.config)
    return seen_on(pipeline, {name: real.records for name, real in made.items()})


def test_the_ledger_has_what_is_asked_of_every_data_set(seen):
    assert seen['all.lidar'].frames == 6 and seen['av2.lidar'].blocks == BLOCKS_ACROSS**2
    assert seen['kitti.lidar'].blocks == 3 * BLOCKS_ACROSS**2
    records = {record.id: record for record in ledger_records(seen, 'start', 'x', 30)}
    for asked in ASKED:
        record = records[f'reality.start.{asked.id}']
        assert record.target == asked.target and f'{record.id}_low' in records
    own = records['reality.start.all.own_centres']
    assert own.target == '<= 0' and own.value == 0
    assert own.n == 6 + 4 + 4  # frames of the LiDAR, fused and camera branches


@pytest.mark.slow
def test_the_shipped_weights_still_give_their_row_of_the_ledger(seen, repo_root):
    ledger = read_records(repo_root / 'docs/results/reality_ledger.json')
    written = {record.id: record.value for record in ledger}
    records = ledger_records(seen, SHIPPED_STEP, 'x', 1)
    for record in records:
        if not record.id.endswith(('_low', '_high')):
            assert written[record.id] == pytest.approx(record.value, abs=0.02), record.id


def test_a_step_needs_a_plain_name_and_steps_keep_their_order(tmp_path):
    frames = RealFrames()
    frames.add('a', found_of(boxes_at((15, 5)), [0.9]), truth_of(boxes_at((15, 5))))
    seen = {'av2.lidar': frames, 'all.lidar': frames}
    with pytest.raises(ConfigError, match='--step'):
        ledger_records(seen, 'a.b', 'x', 5)
    records = [r for step in ('b', 'a') for r in ledger_records(seen, step, 'x', 5)]
    assert steps_of(records) == ['b', 'a']
    draw_ledger(records, tmp_path / 'ledger.png')
    assert (tmp_path / 'ledger.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in tmp_path.iterdir()] == ['ledger.png']
