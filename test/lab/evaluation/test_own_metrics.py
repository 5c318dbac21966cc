"""Metrics of the data sets themselves over records, and recorded figures of the real frames."""

import dataclasses

import numpy as np
import pytest
from support.real_frames import real_records

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import RecordFolder
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.evaluation.own_metrics import OwnMetrics, metric_of, missing_metric_notes
from metabev_ros.lab.evaluation.record_drives import RecordDrives
from metabev_ros.lab.evaluation.record_runs import evaluate_on_records
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.lab.evaluation.report import markdown
from metabev_ros.lab.evaluation.report_records import class_records, evaluation_records
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, resource_path
from metabev_ros.structures import DETECTION_CLASSES, Detections, Modality

MODEL = load_config(ModelConfig, resource_path(DEFAULT_MODEL) / 'config.yaml')
CAR = DETECTION_CLASSES.index('car')
# Of other machines' arithmetic: a box that comes or goes moves the AP of ten cars by this much.
SLACK = 0.03


@pytest.fixture(scope='module')
def real(shared_data, tmp_path_factory):
    if not (shared_data / 'real_lidar').is_dir():
        pytest.skip('no real frames')
    return real_records(shared_data, tmp_path_factory.mktemp('real'), MODEL)


@pytest.fixture(scope='module')
def evaluations(real):
    pipeline = Pipeline.load(resource_path(DEFAULT_MODEL), 'onnxruntime', 1)
    return {
        name: evaluate_on_records(pipeline, RecordDrives((made.records,)), original=made.original)
        for name, made in real.items()
    }


def exact(record) -> Detections:
    """The true boxes that a point shows, as if they had been found."""
    shown = record.num_lidar_pts > 0
    boxes = np.nan_to_num(record.boxes[shown])
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Detections(boxes, scores, record.labels[shown])


def own_figures(made, found_of, original):
    """The own metric of a data set for what `found_of` finds in its records."""
    folder = RecordFolder(made.records)
    own = OwnMetrics((Modality.LIDAR,), lambda source: metric_of(source, original))
    for path in folder.paths:
        record = read_record(path)
        own.add(folder.manifest.source, record, {Modality.LIDAR: found_of(record)})
    ((title, results),) = own.results().items()
    return title, results[Modality.LIDAR]


def test_the_truth_of_kittis_frames_scores_as_high_as_kitti_lets_it(real):
    title, figures = own_figures(real['kitti'], exact, real['kitti'].original)
    assert title == 'KITTI AP, 40 steps of recall'
    # Ten cars give ten steps of recall, of which the first does not count.
    assert figures['Car 3d moderate'] == figures['Car bev moderate'] == pytest.approx(9 / 40)
    _, moved = own_figures(
        real['kitti'],
        lambda r: dataclasses.replace(
            exact(r), boxes=exact(r).boxes + np.float32([1.0] + [0] * 8)
        ),
        real['kitti'].original,
    )
    assert moved['Car 3d moderate'] == 0.0


def test_kittis_metric_needs_kittis_own_files_and_says_so(real, evaluations):
    folder = RecordFolder(real['kitti'].records)
    source = folder.manifest.source
    assert metric_of(source, None) is None
    assert '--original' in missing_metric_notes(source, None)[0]
    metric = metric_of(source, real['kitti'].records)  # no folder of KITTI
    with pytest.raises(ConfigError):
        metric.make().add(read_record(folder.paths[0]), exact(read_record(folder.paths[0])))
    assert '## KITTI AP, 40 steps of recall' in markdown(evaluations['kitti'])


def test_the_truth_of_argoverses_sweeps_has_the_highest_score(real):
    title, figures = own_figures(real['av2'], exact, None)
    assert title == 'AV2 CDS, all that is labelled'
    assert figures['car CDS'] == pytest.approx(1, abs=0.01) == figures['car AP']


def test_argoverses_regions_come_from_its_folder(real):
    original = real['av2'].records.parent / 'av2'
    title, figures = own_figures(real['av2'], exact, original)
    assert title == 'AV2 CDS, in the region of interest'
    assert figures['car AP'] == pytest.approx(1, abs=0.01)
    folder = RecordFolder(real['av2'].records)
    record = dataclasses.replace(read_record(folder.paths[0]), token='another')
    collector = metric_of(folder.manifest.source, original).make()
    with pytest.raises(ConfigError, match='another'):
        collector.add(record, exact(record))


def test_other_sources_have_no_metric_of_their_own():
    assert metric_of(SourceInfo('bags', '', True, '', {}), None) is None


def test_real_frames_are_scored_under_what_they_have(evaluations):
    names = {name: [m.name for m in e.modalities] for name, e in evaluations.items()}
    three = ['FUSED', 'LIDAR', 'CAMERA']
    assert names == {'nuscenes': three, 'kitti': three, 'av2': ['LIDAR']}
    lidar = {name: e.modalities[Modality.LIDAR] for name, e in evaluations.items()}
    cars = {name: int(result.detection.truth_count[CAR]) for name, result in lidar.items()}
    assert cars == {'nuscenes': 4, 'kitti': 10, 'av2': 34}
    defined = {name: not np.isnan(result.detection.nds) for name, result in lidar.items()}
    assert defined == {'nuscenes': True, 'kitti': False, 'av2': True}
    assert all(np.isnan(result.map.mean_iou) for result in lidar.values())


def test_the_recorded_figures_are_what_the_shipped_weights_score(evaluations, repo_root):
    recorded = {r.id: r for r in read_records(repo_root / 'docs/results/real_frames.json')}
    scored = {}
    for name, evaluation in evaluations.items():
        topic = f'real_frames.{name}'
        scored |= {r.id: r for r in evaluation_records(evaluation, '', topic)}
        scored |= {r.id: r for r in class_records(evaluation, '', topic)}
    assert recorded.keys() == scored.keys()
    for key, record in scored.items():
        assert recorded[key].n == record.n
        if '.car.' in key or '.pedestrian.' in key:
            assert recorded[key].value == pytest.approx(record.value, abs=SLACK), key
