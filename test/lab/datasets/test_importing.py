import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.street_source import CARS, FORWARD, StreetSource
from support.tiny import TINY

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.importing import ImportJob, import_records, import_scene
from metabev_ros.lab.datasets.record_folder import MANIFEST, RecordFolder, RecordSamples
from metabev_ros.lab.datasets.record_pictures import write_pictures
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.summary import summarise
from metabev_ros.lab.spreading import Spread


def importing(source, folder, model=TINY, workers=1):
    return import_records(source, folder, model, Spread(workers), lambda done, total, scene: None)


@pytest.fixture(scope='module')
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp('street') / 'records'
    importing(StreetSource(), folder, workers=2)
    return folder


def test_an_import_holds_every_sample_in_order_and_says_where_it_is_from(street):
    folder = RecordFolder(street)
    assert [path.stem for path in folder.paths] == ['a0', 'a1', 'a2', 'b0', 'b1', 'b2']
    assert list(folder.scenes) == ['a', 'b']
    assert folder.manifest.source.licence == 'CC0'
    assert {entry.classes for entry in folder.manifest.records} == {('car',)}


def test_a_record_is_what_the_front_end_would_have_handed_out(street):
    record = read_record(RecordFolder(street).paths[1])
    # The picture is 20 ms older than the sweep: its camera stood 0.1 m farther back.
    moved = FORWARD.copy()
    moved[0, 3] -= 0.1
    np.testing.assert_allclose(record.ego_from_camera[0], moved, atol=1e-12)
    sample = RecordSamples([RecordFolder(street).paths[1]])[0].sample
    assert sample.cameras['front'].pixels.shape == (32, 96, 3)
    assert sample.sensors[0].age_ns == 20_000_000
    assert record.points[:, 2].min() == pytest.approx(-0.05, abs=1e-6)  # the ground


def test_depth_is_that_of_the_nearest_point_a_feature_pixel_sees(street):
    record = read_record(RecordFolder(street).paths[0])
    camera = record.points[:, :3].astype(float) - record.ego_from_camera[0][:3, 3]
    u = -camera[:, 1] / camera[:, 0] * record.intrinsics[0][0, 0] + record.intrinsics[0][0, 2]
    v = -camera[:, 2] / camera[:, 0] * record.intrinsics[0][1, 1] + record.intrinsics[0][1, 2]
    stride = TINY.camera.stride
    for row, column in np.argwhere(np.isfinite(record.depth[0]))[::3]:
        inside = (np.floor((u + 0.5) / stride) == column) & (np.floor((v + 0.5) / stride) == row)
        depths = camera[inside & (camera[:, 0] > TINY.camera.depth_min), 0]
        assert record.depth[0][row, column] == pytest.approx(depths.min(), rel=1e-5)
    assert np.isfinite(record.depth).any() and np.isinf(record.depth).any()


def test_what_was_interrupted_is_not_whole_and_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(ConfigError, match='no such file'):
        importing(StreetSource(fails_at=2), tmp_path)
    with pytest.raises(ConfigError, match='did not finish'):
        RecordFolder(tmp_path)
    first = tmp_path / 'a' / 'a0.npz'
    made = first.stat().st_mtime_ns
    importing(StreetSource(), tmp_path)
    assert first.stat().st_mtime_ns == made
    assert len(RecordFolder(tmp_path)) == 6


def test_a_record_that_is_missing_is_an_error_that_names_it(street, tmp_path):
    shutil.copytree(street, tmp_path / 'copy')
    (tmp_path / 'copy' / 'b' / 'b1.npz').unlink()
    with pytest.raises(ConfigError, match=r'1 missing, the first .*b1\.npz'):
        RecordFolder(tmp_path / 'copy')
    importing(StreetSource(), tmp_path / 'copy')
    assert len(RecordFolder(tmp_path / 'copy')) == 6


def test_a_folder_takes_records_of_one_source_and_one_model(street, tmp_path):
    with pytest.raises(ConfigError, match='records of other'):
        importing(StreetSource(name='other'), street)
    larger = dataclasses.replace(TINY, camera=dataclasses.replace(TINY.camera, width=128))
    with pytest.raises(ConfigError, match='images of 128 x 32'):
        importing(StreetSource(), street, larger)
    with pytest.raises(ConfigError, match='import the data again with --model'):
        RecordFolder(street).require_fit(larger)
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(ConfigError, match='other files'):
        importing(StreetSource(), tmp_path)


def test_what_frames_lack_is_said(tmp_path):
    two = dataclasses.replace(TINY, lidar=dataclasses.replace(TINY.lidar, sweeps=2))
    importing(StreetSource(samples=2, has_motion=False), tmp_path, two)
    notes = ' '.join(RecordFolder(tmp_path).manifest.source.notes)
    assert '4 times, in what was read last: not as many earlier sweeps' in notes
    assert '4 times, in what was read last: no ego motion between an image' in notes


def test_a_drive_cannot_lead_out_of_the_folder(tmp_path):
    with pytest.raises(ConfigError, match='letters, digits'):
        import_scene(ImportJob(StreetSource(), '../elsewhere', tmp_path / 'records', TINY))
    assert list(tmp_path.iterdir()) == []


def test_two_samples_of_one_stamp_are_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match='a0 and a1'):
        importing(StreetSource(drives=1, same_stamps=True), tmp_path)
    assert not (tmp_path / MANIFEST).exists()


def test_a_damaged_record_and_one_of_an_older_version_are_refused(street, tmp_path):
    path = RecordFolder(street).paths[0]
    cut = tmp_path / 'cut.npz'
    cut.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ConfigError, match='import the data again'):
        read_record(cut)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / 'old.npz', **{**arrays, 'version': np.array(1)})
    with pytest.raises(ConfigError, match='version 1'):
        read_record(tmp_path / 'old.npz')
    np.savez(tmp_path / 'torn.npz', **{**arrays, 'labels': arrays['labels'][:-1]})
    with pytest.raises(ConfigError, match='boxes'):
        read_record(tmp_path / 'torn.npz')
    np.savez(tmp_path / 'code.npz', **{**arrays, 'labels': np.array([print], object)})
    with pytest.raises(ConfigError, match='import the data again'):
        read_record(tmp_path / 'code.npz')


def test_the_summary_counts_and_finds_nothing_wrong_with_sound_data(street):
    summary = summarise(RecordFolder(street))
    car = summary.classes[0]
    assert (summary.records, summary.scenes, car.boxes, car.with_velocity) == (6, 2, 48, 48)
    assert car.farthest_m == pytest.approx(np.hypot(CARS[:, 0], CARS[:, 1]).max(), rel=1e-6)
    assert summary.map_known['drivable_area'] == 1 and summary.map_known['walkway'] == 0
    assert [w for w in summary.warnings if not w.startswith('no object of')] == []
    assert summary.oldest_image_ms == 20


@pytest.mark.parametrize(
    ('source', 'warning'),
    [
        (StreetSource(samples=2, shift=9.0), 'that they should: look for a wrong calibration'),
        (
            StreetSource(samples=2, shift=9.0, counts=False),
            'hold no points: look for a wrong calibration',
        ),
        (StreetSource(samples=2, intensity=0.8), 'intensities lie in'),
        (StreetSource(samples=2, intensity=5000.0), 'intensities reach 5000'),
        (StreetSource(samples=2, intensity=0.0), 'intensities lie in 0..0'),
    ],
)
def test_what_looks_wrong_is_said(tmp_path, source, warning):
    importing(source, tmp_path)
    assert any(warning in line for line in summarise(RecordFolder(tmp_path)).warnings)


def test_the_summary_is_strict_json_and_pictures_are_drawn(street):
    folder = RecordFolder(street)
    summarise(folder).save(street / 'summary.json')
    text = (street / 'summary.json').read_text()
    assert json.loads(text, parse_constant=pytest.fail)['records'] == 6
    pictures = write_pictures(folder, 2)
    assert [p.name for p in pictures] == ['a_a0.png', 'b_b2.png']
    assert all(p.stat().st_size > 10_000 for p in pictures)
