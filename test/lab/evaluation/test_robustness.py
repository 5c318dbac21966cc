"""Evaluation under failures: shared work equals separate work, parallel equals serial."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from metabev_ros.errors import ConfigError, MissingDependencyError
from metabev_ros.geometry import NUSCENES_MAP_GRID
from metabev_ros.lab.datasets.corruptions import ALL, CLEAN, HEADLINE, Failure, Setting, corrupt
from metabev_ros.lab.evaluation import robustness
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.partial_results import PartialResults
from metabev_ros.lab.evaluation.robustness import (
    DriveJob,
    ModelSource,
    evaluate_robustness,
    evaluate_settings,
    load_models,
    run_drive,
    with_backend,
)
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality, ModelInfo

MODEL = ModelSource('nano', resource_path('models/metabev_nano'), 'onnxruntime')
TEST_SET = HeldOutDrives(2, 1, 990_000, world=World.BOXES)
FIRST, SECOND = TEST_SET.all_drives
FEW = (CLEAN, Setting(Failure.LIMITED_FIELD, 120), Setting(Failure.MISSING_CAMERA, 1))


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(MODEL.folder, MODEL.backend, 1)


@pytest.fixture(scope='module')
def labelled(pipeline):
    return next(iter(TEST_SET.samples(FIRST, pipeline)))


def evaluate(models, settings, folder, *how):
    """(what the models are, scores of all drives together)."""
    infos, drives = evaluate_robustness(models, settings, TEST_SET, folder, *how)
    return infos, {key: Score.merged(parts) for key, parts in drives.items()}


@pytest.fixture(scope='module')
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp('partial')
    return folder, *evaluate((MODEL,), FEW, folder, Spread(1))


def test_shared_runs_equal_the_pipeline_and_encode_every_input_once(pipeline, labelled):
    run = SharedRuns(pipeline)
    settings = (CLEAN, Setting(Failure.OCCLUSION, 0), *HEADLINE[:4], *HEADLINE[6:])
    for setting in settings:
        sample = corrupt(labelled, setting, 1)
        detections, probabilities = run(sample)
        whole = pipeline(sample)
        np.testing.assert_array_equal(probabilities, whole.map_probabilities)
        np.testing.assert_array_equal(detections.boxes, whole.detections.boxes)
        np.testing.assert_array_equal(detections.scores, whole.detections.scores)
    # LiDAR: clean, LF, MO, BR; cameras: clean, VD. Fused: those five, MC and ML.
    assert (run.encoded, run.fused) == (6, 7)


def test_models_of_equal_encoders_encode_once_for_all(pipeline, labelled, monkeypatch):
    settings = (CLEAN, Setting(Failure.LIMITED_FIELD, 120), Setting(Failure.MISSING_CAMERA, 1))
    alone = evaluate_settings({'nano': pipeline}, settings, [labelled], 1)
    calls = []
    encode = pipeline.backend.encode_lidar
    monkeypatch.setattr(
        pipeline.backend, 'encode_lidar', lambda inputs: calls.append(1) or encode(inputs)
    )
    twins = {'nano': pipeline, 'twin': pipeline, 'other': pipeline}
    encoders = {'nano': 'equal', 'twin': 'equal', 'other': None}
    shared = evaluate_settings(twins, settings, [labelled], 1, encoders)
    assert len(calls) == 4, 'clean and LF, once for the twins and once for the other'
    for name, setting in shared:
        found = shared[name, setting].result().to_plain()
        assert found == alone['nano', setting].result().to_plain()


def test_without_any_sensor_nothing_is_found_and_it_is_scored_as_such(pipeline, labelled):
    lost = Setting(Failure.INDEPENDENT, 1.0)
    assert corrupt(labelled, lost, 0).modality is Modality.NONE
    scores = evaluate_settings({'nano': pipeline}, (lost,), [labelled], 0)
    figures = scores['nano', lost].result().figures
    assert (figures['nds'], figures['miou']) == (0.0, 0.0)
    assert np.isnan(figures['detection_ece'])


def test_the_samples_of_the_test_set_have_their_past_and_lie_a_second_apart(pipeline):
    test_set = HeldOutDrives(1, 2, 990_000, world=World.BOXES)
    samples = test_set.samples(test_set.all_drives[0], pipeline)
    first, second = samples
    assert second.sample.stamp_ns - first.sample.stamp_ns == 1_000_000_000
    assert first.earlier(500).stamp_ns == first.sample.stamp_ns - 500_000_000
    with pytest.raises(ConfigError):
        HeldOutDrives(spacing_s=0.33)


def test_two_processes_give_exactly_what_one_gives(serial, tmp_path):
    _, infos, one = serial
    _, two = evaluate((MODEL,), FEW, tmp_path, Spread(2))
    assert list(one) == list(two)
    for key, score in one.items():
        assert json.dumps(score.result().to_plain()) == json.dumps(two[key].result().to_plain())
        mine, other = score.to_arrays(), two[key].to_arrays()
        assert all(np.array_equal(mine[name], other[name]) for name in mine)
    assert one['nano', CLEAN].result().detection.samples == 2


def test_a_ray_cluster_gives_exactly_what_one_process_gives(serial, tmp_path):
    pytest.importorskip('ray', reason='ray is optional and not installed')
    _, _, one = serial
    _, other = evaluate((MODEL,), FEW, tmp_path, Spread(1, ray_address='local'))
    for key, score in one.items():
        assert score.result().to_plain() == other[key].result().to_plain()


@pytest.mark.skipif(importlib.util.find_spec('ray') is not None, reason='ray is installed')
def test_a_ray_address_without_ray_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingDependencyError, match='pip install ray'):
        evaluate_robustness((MODEL,), (CLEAN,), TEST_SET, tmp_path, Spread(1, 'auto'))


def test_a_stopped_run_goes_on_with_what_is_missing(serial, tmp_path):
    folder, infos, scores = serial
    jobs = []

    class Watched(Spread):
        def __call__(self, function, todo):
            jobs.extend(todo)
            return super().__call__(function, todo)

    store = PartialResults(tmp_path)
    done = PartialResults(folder)
    info = infos['nano']
    store.write(info, FIRST, done.read(info, FIRST))
    first_half = done.read(info, SECOND)
    store.write(info, SECOND, {FEW[0].id: first_half[FEW[0].id]})
    reports = []
    _, resumed = evaluate(
        (MODEL,), FEW, tmp_path, Watched(1), lambda *report: reports.append(report[:2])
    )
    assert [(job.drive.name, job.settings) for job in jobs] == [('990001', FEW[1:])]
    assert reports == [(1, 2), (2, 2)]
    for key, score in scores.items():
        assert score.result().to_plain() == resumed[key].result().to_plain()


def test_partial_results_of_other_weights_or_test_sets_are_not_used(serial, tmp_path):
    folder, infos, _ = serial
    store, info = PartialResults(folder), infos['nano']
    assert store.finished(info, FIRST) == {s.id for s in FEW}
    assert not store.finished(dataclasses.replace(info, hash='another'), FIRST)
    assert not store.finished(info, HeldOutDrives(2, 2, 990_000, world=World.BOXES).all_drives[0])
    assert store.finished(info, HeldOutDrives(9, 1, 990_000, world=World.BOXES).all_drives[0])


def test_partial_results_lie_where_earlier_versions_put_them(tmp_path):
    info = ModelInfo('nano', 'a' * 16, (), (), NUSCENES_MAP_GRID, 'onnxruntime', 'cpu', 'fp32')
    PartialResults(tmp_path).write(info, FIRST, {'clean.0': {'x': np.ones(3)}})
    [path] = tmp_path.rglob('*.npz')
    assert str(path.relative_to(tmp_path)) == 'a188c9843fb1070c/990000.npz'


def test_a_damaged_partial_file_is_done_again(serial, tmp_path):
    _, infos, _ = serial
    store, info = PartialResults(tmp_path), infos['nano']
    store.write(info, FIRST, {'clean.0': {'x': np.ones(3)}})
    [path] = tmp_path.rglob('*.npz')
    path.write_bytes(path.read_bytes()[:40])
    assert store.finished(info, FIRST) == set() and store.read(info, FIRST) == {}


def test_failures_are_drawn_by_the_drive_and_the_sample_not_by_the_model(monkeypatch):
    seen = {}

    def watch(labelled, setting, seed):
        seen.setdefault(labelled.source, set()).add(seed)
        return corrupt(labelled, setting, seed)

    monkeypatch.setattr(robustness, 'corrupt', watch)
    test_set = HeldOutDrives(1, 2, 990_001, world=World.BOXES)
    models = (MODEL, dataclasses.replace(MODEL, name='twin'))
    run_drive(DriveJob(test_set.all_drives[0], models, (CLEAN,), test_set))
    assert list(seen.values()) == [{990_001_000}, {990_001_001}]


def test_models_need_names_of_their_own_and_one_image_size():
    with pytest.raises(ConfigError, match='distinct names'):
        load_models((MODEL, MODEL))
    with pytest.raises(ConfigError, match='letters'):
        ModelSource('a b', MODEL.folder, 'torch')
    assert with_backend(dataclasses.replace(MODEL, backend='auto')).backend == 'onnxruntime'
    bare = dataclasses.replace(MODEL, folder=MODEL.folder.parent, backend='auto')
    assert with_backend(bare).backend == 'torch'


def test_every_kind_of_failure_runs_through_the_model(pipeline, labelled):
    worst = {setting.code: setting for setting in ALL}
    harmless = [setting for setting in ALL if setting.is_harmless]
    scores = evaluate_settings({'nano': pipeline}, {*worst.values(), *harmless}, [labelled], 7)
    clean = scores['nano', CLEAN].result().to_plain()
    for setting in worst.values():
        assert scores['nano', setting].result().detection.samples == 1
    for setting in harmless:
        assert scores['nano', setting].result().to_plain() == clean
