"""Recorded traffic as a layout: for evaluation only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.traffic_scenes import FRAMES, NAMES, ORIGIN, made_up, stored

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.ground import DIVIDER, DRIVABLE, WALKWAY
from metabev_ros.lab.simulation.cast import Role
from metabev_ros.lab.simulation.traffic import read_evaluation_layout
from metabev_ros.lab.simulation.traffic_file import read_traffic
from metabev_ros.structures import DETECTION_CLASSES


def test_the_ego_goes_as_recorded_from_the_origin(tmp_path: Path):
    layout, seconds = read_evaluation_layout(stored(tmp_path))
    assert seconds == pytest.approx(4.0)
    for t in (0.0, 1.234, 3.9):
        x, y, heading = layout.ego.planar(np.array([t]))[0]
        assert (x, y, heading) == pytest.approx((10 * t, 0.0, 0.0), abs=0.01)
        assert layout.ego.velocity(t) == pytest.approx([10.0, 0.0, 0.0], abs=0.01)
        assert layout.ego.world_from_ego(t)[:3, 3] == pytest.approx([10 * t, 0.0, 0.0], abs=0.01)


def test_tracks_of_our_classes_are_where_and_when_they_were(tmp_path: Path):
    people = read_evaluation_layout(stored(tmp_path))[0].population
    names = [DETECTION_CLASSES[label] for label in people.labels]
    assert names == ['car', 'pedestrian', 'barrier']  # and no animal
    assert people.roles.tolist() == [Role.DRIVING, Role.WALKING, Role.THING]
    boxes, exists = people.at(2.05)
    assert exists.tolist() == [True, True, True]
    assert boxes[0] == pytest.approx([30.25, 0, 0.75, 4, 1.8, 1.5, 0, 5, 0], abs=1e-4)
    assert boxes[1, [0, 1, 6, 7, 8]] == pytest.approx(
        [10, 8 - 1.5 * 2.05, -np.pi / 2, 0, -1.5], abs=1e-4
    )
    assert people.at(0.5)[1].tolist() == [True, False, True]
    assert people.at(4.5)[1].tolist() == [False, False, False]


def test_the_ground_is_that_of_the_map(tmp_path: Path):
    ground = read_evaluation_layout(stored(tmp_path))[0].ground
    assert ground is not None

    def bits(x: float, y: float) -> int:
        return int(ground.sample(ground.labels, np.array([x, y])))

    assert bits(10, -4) == bits(10, 4.5) == DRIVABLE
    assert bits(10, 3) == DRIVABLE | DIVIDER
    assert bits(65, 3) & DRIVABLE == 0  # the island
    assert bits(10, 8) == bits(10, -8) == WALKWAY
    assert bits(10, 20) == 0


def test_nothing_is_built_where_somebody_stands_off_the_map(tmp_path: Path):
    arrays = made_up()
    arrays['track_position'][3, :, 1] = ORIGIN[1] - 25
    layout, _ = read_evaluation_layout(stored(tmp_path, **arrays))
    middles = np.array([area.polygon.mean(axis=0) for area in layout.areas])
    assert np.hypot(*(middles - [30, -25]).T).min() < 1


def test_a_scene_is_the_same_every_time(tmp_path: Path):
    path = stored(tmp_path)
    (first, _), (second, _) = (read_evaluation_layout(path, seed=3) for _ in range(2))
    assert np.array_equal(first.population.colours, second.population.colours)
    assert first.ground is not None and second.ground is not None
    assert np.array_equal(first.ground.texture, second.ground.texture)


def changed(name: str, place: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    array = made_up()[name].copy()
    array[place] = value
    return {name: array}


@pytest.mark.parametrize(
    'changes',
    [
        {'ego_yaw': None},
        {'ego_yaw': np.zeros(FRAMES - 1)},
        {'ego_yaw': np.zeros(FRAMES, dtype=np.int64)},
        {'stamps': np.arange(FRAMES) * 0.5},
        {'stamps': np.zeros(0)},
        {'map_polyline_count': np.array([5, 5, 2, 1])},
        {'map_polyline_count': np.array([14, -2, 0, 0])},
        {'track_valid': np.ones((4, FRAMES), dtype=np.uint8)},
        changed('ego_position', (3, 0), np.nan),
        changed('ego_position', (3, 0), 1300.0),
        changed('track_position', (0, 2, 1), np.inf),
        changed('track_size', (0, 2, 1), -1.0),
        changed('track_size', (0, 2, 1), 1e4),
    ],
)
def test_a_damaged_scene_is_refused(tmp_path: Path, changes: dict[str, np.ndarray]):
    with pytest.raises(ConfigError, match=r'scene\.npz'):
        read_traffic(stored(tmp_path, **changes))


def test_what_is_no_scene_is_refused(tmp_path: Path):
    path = tmp_path / 'scene.npz'
    with pytest.raises(ConfigError):
        read_traffic(path)
    path.write_bytes(b'PK\x03\x04 no archive')
    with pytest.raises(ConfigError):
        read_traffic(path)
    pickled = np.array([{'a': 1}] * 4, dtype=object)
    with pytest.raises(ConfigError):
        read_traffic(stored(tmp_path, track_category=pickled))


def test_an_unknown_category_is_refused(tmp_path: Path):
    names = np.array(['vehicle.hovercraft', *NAMES[1:]])
    with pytest.raises(ConfigError, match='hovercraft'):
        read_evaluation_layout(stored(tmp_path, track_category=names))


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path: Path):
    path = tmp_path / 'scene.npz'
    np.savez_compressed(path, ego_yaw=np.zeros(40_000_000))
    with pytest.raises(ConfigError, match='bytes'):
        read_traffic(path)


@pytest.mark.parametrize('name', ['0061', '0553', '0655', '0796', '1100'])
def test_real_scenes_are_read(shared_data: Path, name: str):
    path = shared_data / 'nuscenes_mini_traffic' / f'scene-{name}.npz'
    if not path.is_file():
        pytest.skip(f'no {path}')
    layout, seconds = read_evaluation_layout(path)
    assert 18 < seconds < 21
    times = np.linspace(0, seconds, 100)
    ground = layout.ground
    assert ground is not None
    on = ground.sample(ground.labels, layout.ego.planar(times)[:, :2]) & DRIVABLE
    assert np.mean(on > 0) > 0.98
    speed = np.array([layout.ego.velocity(float(t))[0] for t in times])
    assert speed.min() > -0.5 and speed.max() < 20
    boxes, exists = layout.population.at(seconds / 2)
    assert exists.sum() > 5 and np.all(np.isfinite(boxes))
    vehicles = exists & (layout.population.labels == DETECTION_CLASSES.index('car'))
    here = ground.sample(ground.labels, boxes[vehicles, :2])
    assert np.mean(here > 0) > 0.7
