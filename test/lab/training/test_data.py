"""What a run learns from is named, whole and fits the model; only `synthetic` renders."""

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from support.made_records import folder_of, made_record
from support.tiny import TINY

from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import record_path
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.training.data import DataSource, gather_records, open_records
from metabev_ros.lab.training.run import RunConfig, say_nothing


def gathered(sources, cache, tell=say_nothing, rendered=say_nothing):
    return gather_records(sources, TINY, cache, 1, tell, rendered)


def test_a_source_is_records_or_streets_or_synthetic(tmp_path):
    for wrong in ({}, {'records': 'a', 'synthetic': SyntheticDrives()}):
        with pytest.raises(ConfigError, match='one of .*streets'):
            DataSource(**wrong)
    with pytest.raises(ConfigError, match='data.weight'):
        DataSource('a', weight=0.0)
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump({'data': []}))
    with pytest.raises(ConfigError, match='at least one source'):
        load_config(RunConfig, path)
    plain = {'data': [{'records': 'a', 'weight': 0.5}, {'synthetic': {'worlds': 3}}]}
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(ConfigError, match='for every source or for none'):
        load_config(RunConfig, path)
    plain['data'][1]['weight'] = 1
    path.write_text(yaml.safe_dump(plain))
    first, second = load_config(RunConfig, path).data
    assert first.records == 'a' and second.synthetic.worlds == 3 and second.weight == 1.0


def test_a_missing_record_is_an_error_and_nothing_is_rendered(tmp_path):
    records = [made_record(token=f't{i}') for i in range(3)]
    folder = folder_of(tmp_path / 'records', records)
    assert len(open_records(folder, TINY)) == 3
    record_path(folder, 'scene', 't1').unlink()
    sources = [
        DataSource(synthetic=SyntheticDrives(5000, 1, 1)),
        DataSource(records=str(folder)),
    ]
    with pytest.raises(ConfigError, match='1 missing'):
        gathered(sources, tmp_path / 'cache')
    assert not (tmp_path / 'cache').exists()


def test_records_of_another_model_and_records_without_a_sensor_are_refused(tmp_path):
    folder = folder_of(tmp_path / 'a', [made_record()])
    other = dataclasses.replace(TINY, camera=dataclasses.replace(TINY.camera, width=64))
    with pytest.raises(ConfigError, match='records for tiny'):
        open_records(folder, other)
    nothing = made_record(points=np.zeros((0, 5), np.float32))
    with pytest.raises(ConfigError, match='a sensor'):
        open_records(folder_of(tmp_path / 'b', [nothing]), TINY)


def test_rendering_is_announced_first_and_what_is_whole_is_not_touched(tmp_path):
    drives = SyntheticDrives(5000, 2, 1)
    told, order = [], []
    [records] = gathered(
        [DataSource(synthetic=drives)],
        tmp_path,
        lambda line: (told.append(line), order.append('told')),
        lambda *done: order.append(done),
    )
    assert order == ['told', 'told', (1, 2), (2, 2)]
    assert told[0].startswith('rendering 2 worlds, 2 records') and 'GB' in told[1]
    assert records.scenes == ['0005000', '0005001']
    stamps = [path.stat().st_mtime_ns for path in records.paths]
    told.clear()
    [again] = gathered([DataSource(synthetic=drives)], tmp_path, told.append)
    assert told == [] and [path.stat().st_mtime_ns for path in again.paths] == stamps
    records.paths[1].unlink()
    [mended] = gathered([DataSource(synthetic=drives)], tmp_path, told.append)
    assert told and mended.paths[1].is_file()
    assert mended.paths[0].stat().st_mtime_ns == stamps[0]


def test_a_disk_too_small_stops_after_the_first_world(tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: full)
    with pytest.raises(ConfigError, match='GB of disk for 2 worlds'):
        gathered([DataSource(synthetic=SyntheticDrives(5000, 2, 1))], tmp_path)
