"""Which body an object wears, and how large objects are."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.bodies.body import STILL
from metabev_ros.lab.simulation.bodies.shelf import BodyShelf, shelf
from metabev_ros.structures import DETECTION_CLASSES

# Mean length, width and height in metres of the annotations of nuScenes (see synthetic/models.py).
REAL = {
    'car': (4.63, 1.97, 1.74),
    'truck': (6.93, 2.51, 2.84),
    'construction_vehicle': (6.37, 2.85, 3.19),
    'bus': (10.5, 2.94, 3.47),
    'trailer': (12.29, 2.90, 3.87),
    'barrier': (0.50, 2.53, 0.98),
    'motorcycle': (2.11, 0.77, 1.47),
    'bicycle': (1.70, 0.60, 1.28),
    'pedestrian': (0.73, 0.67, 1.77),
    'traffic_cone': (0.41, 0.41, 1.07),
}
SHELF = shelf()


def label(name: str) -> int:
    return DETECTION_CLASSES.index(name)


def chosen(name: str, size: tuple[float, float, float], speed: float, t: float = 0.0) -> list[str]:
    """Kinds of 200 objects of one class and size."""
    count = 200
    rows = SHELF.choose(
        np.full(count, label(name)),
        np.tile(size, (count, 1)),
        np.arange(count),
        np.full(count, speed),
        t,
    )
    return [SHELF.bodies[row].kind for row in rows]


@pytest.mark.parametrize('name', DETECTION_CLASSES)
def test_sizes_are_those_of_real_annotations(name: str) -> None:
    sizes = SHELF.draw_sizes(np.random.default_rng(1), np.full(1500, label(name)))
    assert np.allclose(sizes.mean(0), REAL[name], rtol=0.2)
    assert (sizes.std(0) / sizes.mean(0) < 0.5).all() and (sizes.std(0) > 0.005).all()


def test_objects_get_bodies_of_their_class() -> None:
    labels = np.arange(500) % 10
    rng = np.random.default_rng(4)
    sizes = SHELF.draw_sizes(rng, labels)
    rows = SHELF.choose(labels, sizes, np.arange(500), rng.uniform(0, 10, 500), 2.5)
    assert rows.dtype == np.int32
    names = [DETECTION_CLASSES[row] for row in labels]
    assert [SHELF.bodies[row].label for row in rows] == names


def test_a_long_flat_truck_is_a_pickup_and_a_tall_one_is_not() -> None:
    low = chosen('truck', (5.5, 1.98, 1.9), 8.0)
    tall = chosen('truck', (7.4, 2.7, 3.4), 8.0)
    assert sum('pickup' in kind for kind in low) > 190
    assert sum('pickup' in kind for kind in tall) == 0


def test_a_size_drawn_from_a_kind_usually_gets_a_body_of_like_size() -> None:
    rng = np.random.default_rng(9)
    for index in range(len(DETECTION_CLASSES)):
        labels = np.full(200, index)
        sizes = SHELF.draw_sizes(rng, labels)
        rows = SHELF.choose(labels, sizes, np.arange(200), np.zeros(200), 0.0)
        usual = np.array([SHELF.bodies[row].size.tolist() for row in rows], dtype=np.float64)
        assert np.median(np.abs(np.log(sizes / usual))) < 0.12
        assert np.quantile(np.abs(np.log(sizes / usual)).max(1), 0.9) < 0.45


def test_rigid_objects_keep_their_body_whatever_their_speed() -> None:
    labels = np.repeat([label(name) for name in ('car', 'truck', 'bus', 'trailer', 'barrier')], 40)
    sizes = SHELF.draw_sizes(np.random.default_rng(3), labels)
    first = SHELF.choose(labels, sizes, np.arange(200), np.zeros(200), 0.0)
    later = SHELF.choose(labels, sizes, np.arange(200), np.full(200, 12.0), 8.31)
    assert np.array_equal(first, later)


def test_the_choice_does_not_depend_on_the_other_objects() -> None:
    labels = np.arange(60) % 10
    sizes = SHELF.draw_sizes(np.random.default_rng(3), labels)
    speeds, tracks = np.full(60, 1.2), np.arange(60) * 7919
    together = SHELF.choose(labels, sizes, tracks, speeds, 1.0)
    alone = [
        SHELF.choose(
            labels[i : i + 1], sizes[i : i + 1], tracks[i : i + 1], speeds[i : i + 1], 1.0
        )
        for i in range(60)
    ]
    assert np.array_equal(together, np.concatenate(alone))


def test_a_person_who_walks_goes_through_all_steps_in_order_and_stays_the_same_person() -> None:
    times = np.arange(0.0, 3.0, 0.02)
    size = np.array([[0.85, 0.62, 1.78]])
    rows = [
        int(
            SHELF.choose(
                np.array([label('pedestrian')]), size, np.array([11]), np.array([1.4]), t
            )[0]
        )
        for t in times
    ]
    bodies = [SHELF.bodies[row] for row in rows]
    assert len({body.kind for body in bodies}) == 1
    phases = np.array([body.phase for body in bodies])
    assert len(set(phases)) >= 8 and STILL not in phases
    steps = np.diff(phases)
    assert set(np.round(steps[steps != 0] % 1.0, 3)) == {0.1}


def test_a_person_who_stands_does_not_move_and_is_who_walked() -> None:
    size, one = np.array([[0.85, 0.62, 1.78]]), np.array([label('pedestrian')])
    rows = {
        int(SHELF.choose(one, size, np.array([11]), np.zeros(1), t)[0]) for t in (0.0, 1.1, 7.3)
    }
    assert len(rows) == 1
    still = SHELF.bodies[rows.pop()]
    walks = SHELF.bodies[int(SHELF.choose(one, size, np.array([11]), np.ones(1), 0.0)[0])]
    assert still.phase == STILL and still.kind == walks.kind


def test_cycles_that_move_have_riders_and_low_ones_that_stand_have_none() -> None:
    riders = {body.kind for body in SHELF.bodies if body.rider}
    for name, low in (('bicycle', (1.7, 0.58, 1.02)), ('motorcycle', (2.0, 0.82, 1.24))):
        assert set(chosen(name, low, 6.0)) <= riders
        assert not set(chosen(name, low, 0.0)) & riders


def test_cycles_are_drawn_with_and_without_riders_as_asked() -> None:
    rng = np.random.default_rng(0)
    index = label('bicycle')
    ridden = np.mean([SHELF.draw_size(rng, index, True)[2] for _ in range(100)])
    parked = np.mean([SHELF.draw_size(rng, index, False)[2] for _ in range(100)])
    assert ridden > 1.5 > 1.2 > parked


def test_cyclists_pedal() -> None:
    one, size = np.array([label('bicycle')]), np.array([[1.75, 0.6, 1.85]])
    rows = {
        int(SHELF.choose(one, size, np.array([5]), np.array([5.0]), t)[0])
        for t in np.arange(0, 2, 0.05)
    }
    assert len(rows) == 8


def test_nobody_is_no_choice() -> None:
    empty = np.zeros(0)
    assert SHELF.choose(empty, np.zeros((0, 3)), empty, empty, 0.0).shape == (0,)


def test_a_shelf_without_a_class_is_refused() -> None:
    with pytest.raises(ConfigError, match='bus'):
        BodyShelf(tuple(body for body in SHELF.bodies if body.label != 'bus'))
