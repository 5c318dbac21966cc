"""Record folders as test sets under sensor failure."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.street_source import StreetSource
from typer.testing import CliRunner

from metabev_ros.cli import app
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    inverse_rigid,
    rigid_transform,
    rotation_z,
    transform_points,
)
from metabev_ros.lab.datasets.corruptions import (
    ALL,
    CLEAN,
    HEADLINE,
    Failure,
    Setting,
    corrupt,
    needs_of,
)
from metabev_ros.lab.datasets.corruptions.lidar import azimuths
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import (
    MANIFEST,
    RecordFolder,
    entry_of,
    labelled,
    write_manifest,
)
from metabev_ros.lab.datasets.sample_record import forward_lidar, read_record, write_record
from metabev_ros.lab.evaluation.model_results import ModelResults
from metabev_ros.lab.evaluation.record_drives import RecordDrives, drives_for
from metabev_ros.lab.evaluation.robustness import ModelSource, evaluate_robustness
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

MODEL = ModelSource('nano', resource_path('models/metabev_nano'), 'onnxruntime')
CONFIG = load_config(ModelConfig, MODEL.folder / 'config.yaml')
BEAMS = [s for s in ALL if s.failure is Failure.BEAM_REDUCTION and s.degree == 8]
FROZEN, SKEW = Setting(Failure.FROZEN_VIEWS, 1), Setting(Failure.TIME_SKEW, 100)


@pytest.fixture(scope='module')
def street(tmp_path_factory):
    """Two drives of three samples, half a second apart."""
    folder = tmp_path_factory.mktemp('street') / 'records'
    import_records(StreetSource(), folder, CONFIG, Spread(), lambda done, total, scene: None)
    return folder


def copied(street, folder, **changes):
    """The same records, changed."""
    shutil.copytree(street, folder)
    whole = RecordFolder(folder)
    records = [dataclasses.replace(read_record(path), **changes) for path in whole.paths]
    for path, record in zip(whole.paths, records, strict=True):
        write_record(path, record)
    write_manifest(folder, whole.manifest.source, CONFIG, map(entry_of, records))
    return folder


def without_cameras(record_of, street, folder):
    first = record_of(RecordFolder(street).paths[0])
    empty = {
        name: getattr(first, name)[:0]
        for name in ('pixels', 'intrinsics', 'ego_from_camera', 'camera_ages_ns', 'depth')
    }
    return copied(street, folder, cameras=(), **empty)


def test_every_failure_runs_on_records_that_have_what_it_needs(street):
    drives, shown, left_out = drives_for([street], ALL)
    assert FROZEN in shown and Setting(Failure.TIME_SKEW, 500) in shown
    late = {f'skew.{ms}': f'no record lies {ms} ms before another' for ms in (50, 100, 200)}
    assert left_out == late
    pipeline = Pipeline.load(MODEL.folder, MODEL.backend, 1)
    sample = next(iter(drives.samples(drives.all_drives[0], pipeline)))
    for setting in shown:
        corrupt(sample, setting, 1)


def test_records_without_earlier_ones_do_not_count_where_a_failure_needs_them(street):
    assert len(list(_paths(RecordDrives((street,))))) == 6
    drives, _, _ = drives_for([street], (CLEAN, FROZEN))
    assert drives.earlier_ms == (500,) and len(list(_paths(drives))) == 4
    assert '4 of 6 records of 2 drives' in drives.words and '500 ms before' in drives.words
    pipeline = Pipeline.load(MODEL.folder, MODEL.backend, 1)
    first = next(iter(drives.samples(drives.all_drives[0], pipeline)))
    before = read_record(RecordFolder(street).paths[0])
    np.testing.assert_array_equal(first.earlier(500).cameras['front'].pixels, before.pixels[0])
    frozen = corrupt(first, FROZEN, 3).cameras['front']
    np.testing.assert_array_equal(frozen.pixels, before.pixels[0])
    assert frozen.stamp_ns == first.sample.cameras['front'].stamp_ns


def _paths(drives):
    pipeline = Pipeline.load(MODEL.folder, MODEL.backend, 1)
    return (s.source for drive in drives.all_drives for s in drives.samples(drive, pipeline))


def test_failures_of_a_sensor_that_records_lack_are_named(street, tmp_path):
    blind = without_cameras(read_record, street, tmp_path / 'blind')
    drives, shown, left_out = drives_for([blind, street], (CLEAN, *HEADLINE))
    assert {s.id for s in shown} == {'clean.0', 'lf.120', 'mo.1', 'br.4'}
    assert left_out['vd.6'] == '6 of 12 records have no camera' == left_out['mc.1']
    assert len(drives.all_drives) == 4
    one, two = (RecordFolder(folder) for folder in (blind, street))
    assert {e.modality for e in one.manifest.records} == {'LIDAR'}
    assert {e.modality for e in two.manifest.records} == {'FUSED'}


def test_failures_seen_from_the_lidar_need_to_know_where_it_is(street, tmp_path):
    lost = copied(street, tmp_path / 'lost', lidar_mount=None)
    _, shown, left_out = drives_for([lost], ALL)
    reason = '6 of 6 records do not say where their LiDAR is'
    for setting in ('lf.120', 'br_even.4', 'fog.100', 'several.1', 'several.3'):
        assert left_out[setting] == reason
    assert Setting(Failure.MISSING_OBJECTS, 1.0) in shown
    assert Setting(Failure.LIMITED_FIELD, 360) in shown, 'it changes nothing'


def test_every_setting_says_what_it_needs():
    for setting in ALL:
        needs_of(setting)
    several = needs_of(Setting(Failure.SEVERAL, 3))
    assert several.earlier_ms == {500} and several.camera and several.place
    assert needs_of(Setting(Failure.SEVERAL, 1)).beams


def test_the_field_of_a_lidar_is_limited_to_what_lies_before_the_vehicle(street):
    sample = labelled(read_record(RecordFolder(street).paths[0]))
    points = sample.sample.sweep.points
    kept = corrupt(sample, Setting(Failure.LIMITED_FIELD, 120), 0).sweep.points
    seen = points[:, :3] - [0.9, 0, 1.8]  # the LiDAR's place
    ahead = np.abs(np.arctan2(seen[:, 1], seen[:, 0])) <= np.deg2rad(60)
    assert len(kept) == ahead.sum() < len(points) / 2
    np.testing.assert_allclose(kept, points[ahead], atol=1e-5)


@pytest.mark.parametrize('heading', [-np.pi / 2, 0.0, 2.0])
def test_points_in_the_frame_of_a_lidar_of_any_heading_are_limited_alike(street, heading):
    record = read_record(RecordFolder(street).paths[0])
    mount = rigid_transform(rotation_z(heading), [0.9, 0.0, 1.8])
    points = record.points.copy()
    points[:, :3] = transform_points(inverse_rigid(mount), points[:, :3].astype(np.float64))
    turned = dataclasses.replace(record, points=points, ego_from_lidar=mount, lidar_mount=None)
    for setting in (Setting(Failure.LIMITED_FIELD, 120), *BEAMS):
        kept = corrupt(labelled(record), setting, 0).sweep.points
        other = corrupt(labelled(turned), setting, 0).sweep.points
        assert 0 < len(kept) == len(other) < len(points)
        back = transform_points(mount, other[:, :3].astype(np.float64))
        np.testing.assert_allclose(back, kept[:, :3], atol=1e-4)


@pytest.mark.parametrize('heading', [-np.pi / 2, 0.0, 2.0])
def test_a_lidar_of_any_heading_is_turned_until_it_looks_forward(heading):
    mount = rigid_transform(rotation_z(heading), [1.0, 0.2, 1.8])
    place = forward_lidar(mount)
    ahead = place @ [11.0, 0.2, 1.8, 1.0]
    np.testing.assert_allclose(ahead[:3], [0.0, 10.0, 0.0], atol=1e-12)
    assert azimuths(ahead[None, :3])[0] == pytest.approx(0)


@pytest.fixture(scope='module')
def scored(street, tmp_path_factory):
    folder = tmp_path_factory.mktemp('partial')
    few = (CLEAN, Setting(Failure.MISSING_LIDAR, 1), FROZEN)
    drives, shown, left_out = drives_for([street], few)
    assert not left_out
    return folder, drives, shown, evaluate_robustness((MODEL,), shown, drives, folder, Spread(1))


def test_a_run_over_records_goes_on_where_it_was_and_knows_other_records(scored, street, tmp_path):
    folder, drives, shown, (_, scores) = scored
    jobs = []

    class Watched(Spread):
        def __call__(self, function, todo):
            jobs.extend(todo)
            return super().__call__(function, todo)

    _, again = evaluate_robustness((MODEL,), shown, drives, folder, Watched(1))
    assert not jobs
    for key, parts in scores.items():
        assert [p.result().to_plain() for p in parts] == [
            p.result().to_plain() for p in again[key]
        ]
    other = tmp_path / 'other'
    shutil.copytree(street, other)
    manifest = json.loads((other / MANIFEST).read_text())
    manifest['source']['name'] = 'another street'
    (other / MANIFEST).write_text(json.dumps(manifest))
    evaluate_robustness((MODEL,), shown[:1], RecordDrives((other,), (500,)), folder, Watched(1))
    assert [job.drive.name for job in jobs] == ['a', 'b']


def test_scenes_are_what_is_drawn_and_figures_without_truth_are_none(scored):
    _, drives, _, (infos, scores) = scored
    parts = {setting: found for (_, setting), found in scores.items()}
    assert {len(found) for found in parts.values()} == {2}
    results = ModelResults.make('nano', infos['nano'], drives.words, parts, 10, {'skew.50': 'why'})
    plain = json.loads(json.dumps(dataclasses.asdict(results), allow_nan=False))
    assert plain['left_out'] == {'skew.50': 'why'}
    assert set(plain['resampled']) == {s.id for s in parts}


def test_a_single_drive_has_no_spread_and_so_no_interval(scored):
    _, drives, _, (infos, scores) = scored
    parts = {setting: found[:1] for (_, setting), found in scores.items()}
    results = ModelResults.make('nano', infos['nano'], drives.words, parts, 10)
    assert not results.resampled and results.figures['clean.0']['nds'] is not None


def test_the_same_records_twice_and_unfinished_imports_are_refused(street, tmp_path):
    with pytest.raises(ConfigError, match='twice'):
        _ = RecordDrives((street, street)).words
    with pytest.raises(ConfigError, match='metabev import'):
        drives_for([tmp_path], (CLEAN,))


def test_the_command_names_what_cannot_be_shown_and_scores_the_rest(street, tmp_path):
    blind = without_cameras(read_record, street, tmp_path / 'blind')
    out = tmp_path / 'out'
    options = ['--data', str(blind), '--settings', 'headline', '--resamples', '5']
    done = CliRunner().invoke(app, ['evaluate', *options, '--out', str(out)])
    assert done.exit_code == 0, done.output
    assert 'not shown: vd.6, 6 of 6 records have no camera' in done.output
    text = (out / 'comparison.md').read_text()
    assert 'not shown: `ml.1`' in text and '| `mo.1` |' in text and '| `vd.6` |' not in text


def test_a_group_of_which_nothing_can_be_shown_is_refused_before_anything_runs(
    street, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    blind = without_cameras(read_record, street, tmp_path / 'blind')
    lost = copied(blind, tmp_path / 'lost', lidar_mount=None, points=np.zeros((0, 5), np.float32))
    with pytest.raises(ConfigError, match='another group'):
        CliRunner().invoke(
            app,
            ['evaluate', '--data', str(lost), '--settings', 'headline'],
            catch_exceptions=False,
        )
    assert not (tmp_path / 'out').exists()
