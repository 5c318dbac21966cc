"""Foxglove's scenes as labels: what is replaced, deleted, over, and where it stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from support.labelled_drives import Maker, scene_cdr

from metabev_ros.errors import ConfigError, SensorDataError
from metabev_ros.lab.datasets.sources.label_messages import CLASS_KEYS, reader_for
from metabev_ros.wire.definitions import DEFINITIONS, SCENE, VISION

S = 1_000_000_000
T0 = 100 * S
BOX = [((1.0, 2.0, 3.0), (4.0, 2.0, 1.5), np.eye(3))]


@pytest.fixture
def maker():
    return Maker()


@pytest.fixture
def reader():
    return reader_for(SCENE, {}, CLASS_KEYS, Counter())


def shown(labels):
    return {name: placed for name, placed in zip(labels.names, labels.placed_ns, strict=True)}


def test_an_entity_replaces_the_one_of_its_id(maker, reader):
    reader.read(maker.scene([maker.entity(T0, 'map', 'car_1', BOX)]))
    moved = [((9.0, 2.0, 3.0), (4.0, 2.0, 1.5), np.eye(3))]
    labels = reader.read(maker.scene([maker.entity(T0 + S, 'map', 'car_1', moved)]))
    assert labels.stamp_ns == T0 + S and labels.boxes[:, 0].tolist() == [9.0]


def test_an_entity_without_a_lifetime_is_shown_until_it_is_deleted(maker, reader):
    reader.read(maker.scene([maker.entity(T0, 'map', 'car_1', BOX)]))
    labels = reader.read(maker.scene([maker.entity(T0 + 60 * S, 'map', 'bus_1', BOX)]))
    assert shown(labels) == {'car': T0, 'bus': T0 + 60 * S}
    labels = reader.read(maker.scene([], [maker.deletion(T0 + 61 * S, 'car_1')]))
    assert shown(labels) == {'bus': T0 + 60 * S} and labels.stamp_ns == T0 + 61 * S


def test_an_entity_is_gone_when_its_lifetime_is_over(maker, reader):
    reader.read(maker.scene([maker.entity(T0, 'map', 'car_1', BOX, lifetime_ns=S)]))
    early = reader.read(maker.scene([maker.entity(T0 + S - 1, 'map', 'bus_1', BOX)]))
    assert set(early.names) == {'car', 'bus'}
    late = reader.read(maker.scene([maker.entity(T0 + S, 'map', 'bus_1', BOX)]))
    assert set(late.names) == {'bus'}


def test_a_deletion_spares_what_is_not_earlier_than_it(maker, reader):
    reader.read(maker.scene([maker.entity(T0 + S, 'map', 'car_1', BOX)]))
    labels = reader.read(maker.scene([], [maker.deletion(T0 + S, None)]))
    assert labels.names == ('car',)
    labels = reader.read(maker.scene([], [maker.deletion(T0 + S + 1, None)]))
    assert labels.names == ()


def test_an_entity_locked_to_its_frame_moves_with_it_and_another_stays(maker, reader):
    reader.read(
        maker.scene(
            [
                maker.entity(T0, 'base_link', 'car_1', BOX, is_locked=True),
                maker.entity(T0, 'base_link', 'bus_1', BOX),
            ]
        )
    )
    labels = reader.read(maker.scene([maker.entity(T0 + S, 'map', 'truck_1', BOX)]))
    assert shown(labels) == {'car': T0 + S, 'bus': T0, 'truck': T0 + S}


@pytest.mark.parametrize(
    ('name', 'metadata', 'expected'),
    [
        ('17', {'class': 'car'}, 'car'),
        ('17', {'colour': 'red', 'category': 'bus', 'label': 'van'}, 'van'),
        ('traffic_cone_17', {}, 'traffic_cone'),
        ('car/17', {}, 'car'),
        ('car:17', {'class': ''}, 'car'),
        ('car', {}, 'car'),
    ],
)
def test_the_class_is_in_the_metadata_or_before_the_number_of_the_id(
    maker, reader, name, metadata, expected
):
    entity = maker.entity(T0, 'map', name, BOX, metadata=metadata)
    assert reader.read(maker.scene([entity])).names == (expected,)


def test_an_entity_that_is_only_a_number_has_no_class_and_is_counted(maker):
    dropped = Counter()
    reader = reader_for(SCENE, {}, CLASS_KEYS, dropped)
    assert reader.read(maker.scene([maker.entity(T0, 'map', '17', BOX)])).names == ()
    assert dropped == {'without a class': 1}


def test_every_cube_of_an_entity_is_a_box_and_a_track(maker, reader):
    labels = reader.read(maker.scene([maker.entity(T0, 'map', 'car_1', BOX * 3)]))
    assert labels.tracks.tolist() == [0, 1, 2] and labels.names == ('car',) * 3


def test_an_update_that_says_nothing_is_no_label(maker, reader):
    assert reader.read(maker.scene()) is None


def test_more_boxes_than_any_road_has_are_refused(maker, reader):
    many = [maker.entity(T0, 'map', 'car_1', BOX * 5001)]
    with pytest.raises(SensorDataError, match='at most 5000 boxes'):
        reader.read(maker.scene(many))


def test_damaged_scenes_never_raise_anything_else(maker, reader):
    boxes = np.array([[1, 2, 3, 4, 2, 1, 0.5]])
    cdr = scene_cdr(maker, T0, 'map', boxes, [0], ['7'], metadata={'class': 'car'})
    rng = np.random.default_rng(1)
    good = 0
    for _ in range(2000):
        damaged = bytearray(cdr[: rng.integers(len(cdr) + 1)])
        for at in rng.integers(0, max(len(damaged), 1), rng.integers(4)):
            if len(damaged):
                damaged[at] = rng.integers(256)
        try:
            reader.read(bytes(damaged))
            good += 1
        except SensorDataError:
            pass
    assert 0 < good < 1000


def test_a_definition_of_an_old_release_is_refused_by_name():
    old = DEFINITIONS[VISION].replace(
        'vision_msgs/ObjectHypothesis hypothesis\n', 'string id\nfloat64 score\n'
    )
    with pytest.raises(ConfigError, match='Humble or later.*without .*class_id'):
        reader_for(VISION, {VISION: old}, CLASS_KEYS, Counter())
    with pytest.raises(ConfigError, match='text of a .msg file'):
        reader_for(VISION, {VISION: 'rubbish ]['}, CLASS_KEYS, Counter())
