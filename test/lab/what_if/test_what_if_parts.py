"""Plans of failures, times until labels are right, boxes that move, shares and sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.labelled_drives import small_rig
from support.made_model import MODEL

from metabev_ros.errors import ConfigError
from metabev_ros.faults.plan import FaultType, What
from metabev_ros.geometry import rotation_z
from metabev_ros.lab.datasets.sources.labelled_bags import LabelledBags
from metabev_ros.lab.what_if.failures import Failure, FailureKind, all_failures
from metabev_ros.lab.what_if.losses import Perceived, Reference, Share, Tally, moved_boxes
from metabev_ros.lab.what_if.question import Question
from metabev_ros.lab.what_if.report import Outcome, counted, plural
from metabev_ros.lab.what_if.watch import Seen, seconds_to_label
from metabev_ros.structures import Detections, Modality, Sample, SensorKind

KINDS = {'front': SensorKind.CAMERA, 'top': SensorKind.LIDAR}
CAR, PEDESTRIAN = 0, 8


def test_each_kind_is_a_fault_that_inject_knows_until_the_end_of_the_bag():
    failures = all_failures(('front', 'top'), tuple(FailureKind), 0.3, with_pairs=True)
    assert len({f.id for f in failures}) == len(failures) == 2 * 4 + 1
    plans = {f.id: f.plan(2.0, KINDS) for f in failures}
    assert {p.faults[0].begin for p in plans.values()} == {2.0}
    assert min(fault.end for p in plans.values() for fault in p.faults) > 1e6
    (late,) = plans['delay.top'].faults
    assert (late.type, late.seconds, late.sensors) == (FaultType.DELAYED, 0.3, ('top',))
    assert plans['blind.front'].faults[0].what is What.BLACK
    assert plans['blind.top'].faults[0].what is What.EMPTY
    assert [f.sensors for f in plans['kill.front+top'].faults] == [('front',), ('top',)]
    assert len(all_failures(('front', 'top'), (FailureKind.KILL,), 0.3, False)) == 2


def seen(*used: set[str]) -> list[Seen]:
    """Samples that close every tenth of a second from 0 on."""
    return [Seen(k * 100_000_000, 0, frozenset(names)) for k, names in enumerate(used)]


@pytest.mark.parametrize(
    ('used', 'seconds'),
    [
        (({'a', 'b'}, {'a', 'b'}, {'b'}, {'b'}), 0.1),
        (({'b'}, {'a'}, {'b'}, {'a'}, {'b'}), 0.3),  # it came back: not yet right for good
        (({'a'}, {'b'}, {'a'}), None),
        (({'a'},), None),
    ],
)
def test_a_label_is_right_from_when_on_no_output_holds_the_sensor(used, seconds):
    found = seconds_to_label(seen(*used), ['a'], 100_000_000)
    assert found == (None if seconds is None else pytest.approx(seconds))


def sample(stamp_s: float, pose: np.ndarray) -> Sample:
    return Sample(round(stamp_s * 1e9), {}, None, Modality.NONE, ego_poses={'odom': pose})


def pose(x: float, turn: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[0, 3] = rotation_z(turn), x
    return matrix


def box(x: float, y: float, vx: float = 0.0) -> list[float]:
    return [x, y, 1.0, 4.0, 2.0, 1.5, 0.0, vx, 0.0]


def detections(*boxes: list[float], score: float = 0.9, label: int = CAR) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 9),
        np.full(count, score, np.float32),
        np.full(count, label, np.int64),
    )


def test_boxes_are_compared_where_they_should_be_by_then():
    before, after = sample(1.0, pose(0, 0)), sample(1.1, pose(1.0, np.pi / 2))
    boxes = np.array([box(11.0, 0.0, vx=10.0)])
    (moved,) = moved_boxes(boxes, after, before)
    # At 12 m by then, from a vehicle at 1 m that looks left: 11 m to its right.
    assert moved[:2] == pytest.approx([0.0, -11.0])
    assert moved[6] == pytest.approx(-np.pi / 2) and moved[7:9] == pytest.approx([0, -10])


def perceived(found: Detections, cells: int, at: Sample | None = None) -> Perceived:
    layers = np.zeros((len(MODEL.map_classes), *MODEL.map_grid.shape), np.float32)
    layers[0].reshape(-1)[:cells] = 0.9
    return Perceived(at or sample(1.0, np.eye(4)), found, layers, None)


def test_boxes_map_and_silence_are_counted_against_the_run_with_all_sensors():
    base, tally = Tally(MODEL, 0.3, False), Tally(MODEL, 0.3, False)
    whole = perceived(detections(box(10, 0), box(20, 0), box(40, 0)), 400)
    reference = Reference.of(whole)
    base.add(reference, whole)
    base.add(reference, whole)
    left = detections(box(10.5, 0), box(20, 2.5), box(10, 20))
    tally.add(reference, perceived(left, 100))
    tally.add_silence(reference)
    assert base.found()[CAR].tolist() == [2, 4, 6] and base.extra() == 0
    assert tally.found()[CAR].tolist() == [1, 1, 1], 'centres 2.5 m apart are not the same'
    assert tally.extra() == 2 and (tally.looks, tally.silent) == (2, 1)
    assert base.area()[0] == 800 * 0.25 and tally.area()[0] == 100 * 0.25
    weak = Tally(MODEL, 0.3, False)
    weak.add(reference, perceived(detections(box(10, 0), score=0.2), 0))
    assert weak.found().sum() == 0
    one = Outcome.make(Failure(FailureKind.KILL, ('a',)), tally, base, MODEL, 0.1, {})
    assert one.all_boxes() == Share(6, 1) and one.all_area.lost == pytest.approx(1 - 100 / 800)
    assert one.sentence() == 'If you lose a you lose 83 % of boxes within 50 m.'


def test_only_the_cells_that_all_sensors_showed_are_left_wherever_the_vehicle_has_got_to():
    x = MODEL.map_grid.centres()[..., 0]

    def strip(begin: float, at: Sample) -> Perceived:
        """A map that is drivable from `begin` to 10 m further on."""
        layers = np.zeros((len(MODEL.map_classes), *x.shape), np.float32)
        layers[0] = np.where((x > begin) & (x < begin + 10), 0.9, 0.1)
        return Perceived(at, detections(), layers, None)

    start, later = sample(1.0, pose(0, 0)), sample(1.2, pose(2.0, 0))
    reference = Reference.of(strip(10.0, start))
    whole = reference.layers.sum() * 0.25
    for at, begin, left in ((start, 10.0, 1.0), (start, 15.0, 0.5), (later, 8.0, 1.0),
                            (later, 10.0, 0.8)):  # fmt: skip
        tally = Tally(MODEL, 0.3, False)
        tally.add(reference, strip(begin, at))
        assert tally.area()[0] == pytest.approx(left * whole), (at.stamp_ns, begin)


def outcome(lost: dict[str, tuple[int, int]], **more) -> Outcome:
    shares = {name: (Share(0, 0), Share(*pair), Share(*pair)) for name, pair in lost.items()}
    fields = {
        'boxes': shares,
        'extra': Share(0, 0),
        'area': {'walkway': Share(100.0, 90.0)},
        'figures': {},
        'label_s': 0.1,
        'looks': 2,
        'silent': 0,
        'branches': {},
        'states': {},
    } | more
    return Outcome(Failure(FailureKind.FREEZE, ('CAM_BACK',)), **fields)


def test_the_sentence_names_the_class_of_which_most_is_lost_but_never_a_handful():
    found = outcome({'car': (100, 80), 'pedestrian': (25, 22), 'bus': (2, 0)})
    assert found.sentence() == 'If CAM_BACK freezes you lose 20 % of cars within 30 m.'
    unhurt = outcome({'car': (100, 100)})
    assert unhurt.sentence() == 'If CAM_BACK freezes you lose hardly any box, but 10 % of the map.'
    far = outcome({}, boxes={'car': (Share(5, 5), Share(50, 50), Share(80, 60))})
    assert far.sentence() == 'If CAM_BACK freezes you lose 25 % of cars within 50 m.'
    few = outcome({'bus': (4, 3), 'truck': (4, 3)})
    assert few.sentence() == 'If CAM_BACK freezes you lose 25 % of boxes within 50 m.'
    assert 'nothing to lose' in outcome({}).sentence()
    nothing = outcome({'car': (100, 101)}, area={})
    assert nothing.sentence() == 'If CAM_BACK freezes you lose next to nothing.'


def test_failures_are_ranked_by_nds_where_there_are_labels_and_else_by_boxes():
    many, few = outcome({'car': (100, 10)}), outcome({'car': (100, 90)})
    assert many.cost > few.cost
    labelled = {'figures': {'nds': Share(0.6, 0.5)}}
    unlabelled = {'figures': {'nds': Share(0.6, 0.6)}}
    assert (
        outcome({'car': (100, 90)}, **labelled).cost
        > outcome({'car': (100, 10)}, **unlabelled).cost
    )
    assert outcome({'car': (9, 0)}, figures={'nds': Share(math.nan, math.nan)}).cost[0] == 1.0


def test_a_delayed_sensor_that_is_used_with_its_true_age_is_no_wrong_label():
    late = Failure(FailureKind.DELAY, ('a',), 0.3)
    used = outcome({}, label_s=None)
    assert used.label_words() == 'the label NEVER said so'
    changed = Outcome(late, *[getattr(used, n) for n in list(vars(used))[1:]])
    assert 'its age is in the label' in changed.label_words()


def test_words_have_their_plurals():
    names = ('car', 'bus', 'construction_vehicle', 'box')
    assert [plural(n) for n in names] == ['cars', 'buses', 'construction vehicles', 'boxes']
    assert counted(1, 'moment') == '1 moment' and counted(3, 'moment') == '3 moments'


@pytest.mark.parametrize(
    'wrong',
    [{'every': 0.0}, {'seconds': 0.0}, {'late': -1.0}, {'score': 2.0}, {'begin': -1.0},
     {'kinds': ()}, {'every': math.nan}],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match='what-if'):
        Question(LabelledBags((tmp_path / 'a.mcap',), small_rig()), **wrong)
