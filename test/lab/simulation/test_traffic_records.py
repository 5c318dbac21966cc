"""Records of recorded traffic: evaluation only, and their manifest says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.traffic_scenes import stored

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sources.frame import RecordMaker
from metabev_ros.lab.simulation.traffic_records import TrafficDrives
from metabev_ros.lab.spreading import Spread
from metabev_ros.structures import DETECTION_CLASSES

MODEL = dataclasses.replace(
    ModelConfig(), lidar=dataclasses.replace(ModelConfig().lidar, sweeps=1)
)


def test_the_traffic_of_a_record_is_that_of_the_recording(tmp_path: Path):
    source = TrafficDrives((stored(tmp_path),), spacing=1.5, cameras=False)
    assert source.scenes() == {'scene_00': 3}
    done = frozenset({'scene_00_000', 'scene_00_002'})
    (record,) = source.records('scene_00', RecordMaker(MODEL), done)
    assert (record.scene, record.token) == ('scene_00', 'scene_00_001')
    car = record.boxes[record.labels == DETECTION_CLASSES.index('car')]
    t = 0.25 + 1.5  # the ego drives at 10 m/s, the car ahead at 5 m/s from 20 m on
    assert len(car) == 1
    assert car[0, :2] == pytest.approx((20 - 5 * t, 0.0), abs=0.3)
    assert car[0, 7:9] == pytest.approx((5.0, 0.0), abs=0.1)
    assert len(record.points) > 500


def test_the_manifest_says_that_the_records_are_for_evaluation_only(tmp_path: Path):
    out = tmp_path / 'records'
    source = TrafficDrives((stored(tmp_path),), spacing=3.0, cameras=False)
    entries = import_records(source, out, MODEL, Spread(), lambda done, total, scene: None)
    assert len(entries) == 2
    info = RecordFolder(out).manifest.source
    assert info.licence == 'CC BY-NC-SA 4.0'
    assert not info.is_commercial
    assert 'nuScenes' in info.attribution
    assert any('evaluation only' in note for note in info.notes)


def test_variants_of_a_scene_differ_in_seed_and_name(tmp_path: Path):
    source = TrafficDrives((stored(tmp_path),), first_seed=5, variants=2, cameras=False)
    assert list(source.scenes()) == ['scene_00', 'scene_01']
    last = frozenset(f'scene_0{k}_00{index}' for k in (0, 1) for index in (0, 1))
    one, other = (next(source.records(name, RecordMaker(MODEL), last)) for name in source.scenes())
    assert not np.array_equal(one.lidar_mount, other.lidar_mount)
    assert len(one.boxes) == len(other.boxes)


@pytest.mark.parametrize(
    ('field', 'changes'),
    [
        ('files', {'files': ()}),
        ('files', {'files': (Path('a/x.npz'), Path('b/x.npz'))}),
        ('first_seed', {'first_seed': -1}),
        ('variants', {'variants': 0}),
        ('spacing', {'spacing': 0.0}),
    ],
)
def test_drives_that_cannot_be_are_refused(field: str, changes: dict[str, object]):
    made = TrafficDrives((Path('x.npz'),))
    with pytest.raises(ConfigError, match=f'traffic.{field}'):
        dataclasses.replace(made, **changes)
