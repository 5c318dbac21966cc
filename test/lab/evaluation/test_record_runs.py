"""Models on records: what is scored, what is left out and said, and the devkit's word on it."""

import dataclasses
import json
import os
import tempfile

import numpy as np
import pytest
from support.labelled_drives import write_drive
from support.made_records import made_record
from support.nuscenes_truth import devkit_answer, write_tables
from typer.testing import CliRunner

from metabev_ros.cli import app
from metabev_ros.config import ModelConfig, load_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import ATTRIBUTES
from metabev_ros.lab.datasets.importing import import_records
from metabev_ros.lab.datasets.record_folder import (
    RecordFolder,
    RecordSamples,
    entry_of,
    record_path,
    write_manifest,
)
from metabev_ros.lab.datasets.sample_record import read_record, write_record
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.datasets.sources.synthetic import SyntheticDrives
from metabev_ros.lab.evaluation.own_metrics import OwnMetric, OwnMetrics
from metabev_ros.lab.evaluation.record_drives import RecordDrives
from metabev_ros.lab.evaluation.record_runs import SubmissionRequest, evaluate_on_records
from metabev_ros.lab.evaluation.records import read_records
from metabev_ros.lab.evaluation.report import markdown
from metabev_ros.lab.evaluation.report_records import class_records, evaluation_records
from metabev_ros.lab.evaluation.run import evaluate_model
from metabev_ros.lab.spreading import Spread
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, resource_path
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES, Modality

DEVKIT = os.environ.get('METABEV_DEVKIT_PYTHON')
MODEL = load_config(ModelConfig, resource_path(DEFAULT_MODEL) / 'config.yaml')
INFO = SourceInfo('made', 'CC0', True, 'nobody', {'car': 'car'}, ('Five cars.',))


@pytest.fixture(scope='module')
def pipeline():
    return Pipeline.load(resource_path(DEFAULT_MODEL), 'onnxruntime', 1)


def changed(record, rng):
    """The record as a data set would have it: attributes, unknown velocities, bicycle racks."""
    count = len(record.labels)
    boxes = record.boxes.copy()
    boxes[rng.random(count) < 0.3, 7:9] = np.nan
    attributes = rng.integers(-1, len(ATTRIBUTES), count)
    attributes[np.isin(record.labels, [5, 9])] = -1
    bicycles = [DETECTION_CLASSES.index(name) for name in ('bicycle', 'motorcycle')]
    rack = np.array([[12.0, 6, 1, 14, 10, 6, 0.3]], np.float32)
    return dataclasses.replace(
        record,
        boxes=boxes,
        attributes=attributes,
        ignored=np.repeat(rack, 2, axis=0),
        ignored_labels=np.array(bicycles),
    )


@pytest.fixture(scope='module')
def synthetic(tmp_path_factory):
    """Three rendered samples of two worlds, labelled as a data set would."""
    folder = tmp_path_factory.mktemp('synthetic') / 'records'
    source = SyntheticDrives(990_000, 2, 2)
    import_records(source, folder, MODEL, Spread(), lambda done, total, scene: None)
    rng = np.random.default_rng(0)
    for path in RecordFolder(folder).paths:
        write_record(path, changed(read_record(path), rng))
    return folder


def written(folder, records):
    """A folder of these records."""
    for record in records:
        path = record_path(folder, record.scene, record.token)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, record)
    write_manifest(folder, INFO, MODEL, [entry_of(record) for record in records])
    return folder


@pytest.fixture(scope='module')
def mixed(synthetic, tmp_path_factory):
    """One record with all sensors, one without cameras; the map of neither is known."""
    whole = read_record(RecordFolder(synthetic).paths[0])
    unknown = np.zeros(whole.map_layers.shape, bool)
    whole = dataclasses.replace(whole, map_known=unknown, attributes=None)
    boxes = whole.boxes.copy()
    boxes[:, 7:9] = np.nan
    blind = made_record(
        boxes,
        token='blind',
        scene='other',
        labels=whole.labels,
        num_lidar_pts=whole.num_lidar_pts,
        points=whole.points,
        ego_from_lidar=whole.ego_from_lidar,
        pixels=np.zeros((0, *whole.pixels.shape[1:]), np.uint8),
        map_known=unknown,
        world_from_ego=np.full((4, 4), np.nan),
    )
    return written(tmp_path_factory.mktemp('mixed'), [whole, blind])


def test_records_are_scored_like_the_samples_that_they_are(pipeline, synthetic):
    evaluation = evaluate_on_records(pipeline, RecordDrives((synthetic,)))
    expected = evaluate_model(pipeline, RecordSamples(RecordFolder(synthetic).paths))
    assert list(evaluation.modalities) == list(expected)
    for modality, result in evaluation.modalities.items():
        assert result.detection.to_plain() == expected[modality].detection.to_plain()
        assert result.map.to_plain() == expected[modality].map.to_plain()
    fused = evaluation.modalities[Modality.FUSED].detection
    assert fused.ap.max() > 0.5 and not np.isnan(fused.nds)
    text = markdown(evaluation)
    assert 'AAE is of annotated attributes' in text and 'Apache-2.0' in text
    assert '| car | FUSED |' in text and '| pedestrian | CAMERA |' in text


def test_a_record_without_the_sensors_of_a_modality_is_left_out_there_and_counted(pipeline, mixed):
    evaluation = evaluate_on_records(pipeline, RecordDrives((mixed,)))
    counts = {m: (r.detection.samples, r.left_out) for m, r in evaluation.modalities.items()}
    assert counts == {Modality.FUSED: (1, 1), Modality.LIDAR: (2, 0), Modality.CAMERA: (1, 1)}
    text = markdown(evaluation)
    assert 'CAMERA: 1 samples lack its sensors and are left out' in text
    assert 'no truth is known of every map layer' in text and 'Map IoU per class' not in text
    figures = {record.id for record in evaluation_records(evaluation, 'c', 'real.made')}
    assert 'real.made.lidar.map' in figures and 'real.made.lidar.miou' not in figures


def test_modalities_that_no_record_has_are_no_rows(pipeline, mixed, tmp_path):
    blind = read_record(RecordFolder(mixed).paths[1])
    folder = written(tmp_path / 'blind', [blind])
    evaluation = evaluate_on_records(pipeline, RecordDrives((folder,)))
    assert list(evaluation.modalities) == [Modality.LIDAR]
    result = evaluation.modalities[Modality.LIDAR]
    assert np.isnan(result.detection.nds) and np.isnan(result.map.mean_iou)
    assert 'there is no NDS' in markdown(evaluation)
    with pytest.raises(ConfigError, match='LIDAR'):
        evaluate_on_records(pipeline, RecordDrives((folder,)), (Modality.CAMERA,))


def test_records_of_two_folders_are_scored_together(pipeline, mixed, tmp_path):
    blind = dataclasses.replace(read_record(RecordFolder(mixed).paths[1]), token='twin')
    folders = (mixed, written(tmp_path / 'blind', [blind]))
    evaluation = evaluate_on_records(pipeline, RecordDrives(folders), (Modality.LIDAR,))
    assert evaluation.samples == 3
    assert 'made (2 records of 2 drives' in evaluation.source and ' and ' in evaluation.source


def test_records_of_another_kind_of_model_are_refused(pipeline, mixed, tmp_path):
    records = [read_record(path) for path in RecordFolder(mixed).paths]
    folder = written(tmp_path / 'other', records)
    manifest = folder / 'records.json'
    plain = json.loads(manifest.read_text())
    plain['input']['width'] += 8
    manifest.write_text(json.dumps(plain))
    with pytest.raises(ConfigError, match='import the data again'):
        evaluate_on_records(pipeline, RecordDrives((folder,)))


@pytest.mark.parametrize(
    ('modality', 'message'), [(Modality.FUSED, 'sensors of FUSED'), (Modality.LIDAR, 'pose')]
)
def test_a_result_file_that_records_cannot_give_is_refused_first(
    pipeline, mixed, tmp_path, modality, message
):
    request = SubmissionRequest(tmp_path / 'result.json', True)
    done = []
    with pytest.raises(ConfigError, match=message):
        evaluate_on_records(
            pipeline,
            RecordDrives((mixed,)),
            (modality,),
            request,
            progress=lambda text, total: done.append(text),
        )
    assert not done and not list(tmp_path.iterdir())


class CountingMetric:
    """Counts what it is given."""

    def __init__(self):
        self.boxes = 0

    def add(self, record, detections):
        self.boxes += len(detections)

    def figures(self):
        return {'boxes': float(self.boxes)}


def test_metrics_of_a_data_set_see_what_was_found_in_its_records_only(pipeline, mixed):
    known = {'made': OwnMetric("Made's own", CountingMetric), 'x': OwnMetric('X', CountingMetric)}
    own = OwnMetrics((Modality.LIDAR,), lambda source: known.get(source.name))
    record = read_record(RecordFolder(mixed).paths[1])
    found = pipeline(record.sample).detections
    own.add(INFO, record, {Modality.LIDAR: found})
    own.add(dataclasses.replace(INFO, name='else'), record, {Modality.LIDAR: found})
    assert own.results() == {"Made's own": {Modality.LIDAR: {'boxes': float(len(found))}}}
    evaluation = evaluate_on_records(pipeline, RecordDrives((mixed,)), (Modality.LIDAR,))
    shown = dataclasses.replace(evaluation, own=own.results())
    assert "## Made's own" in markdown(shown)
    ids = {record.id for record in class_records(shown, 'c', 'real.made')}
    assert {'real.made.lidar.own.made_s_own.boxes', 'real.made.lidar.car.ap_0_5'} <= ids


def command(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.devkit
def test_the_devkit_says_of_the_commands_result_file_what_the_command_says(synthetic, tmp_path):
    result, out = tmp_path / 'result.json', tmp_path / 'report'
    done = command('evaluate', '--data', synthetic, '--submission', result, '--out', out)
    assert done.exit_code == 0, done.output
    folder = tmp_path / 'nuscenes'
    write_tables(folder, [read_record(path) for path in RecordFolder(synthetic).paths])
    answer = devkit_answer(DEVKIT, folder, result)
    ours = json.loads((out / 'metrics.json').read_text())['modalities']['FUSED']['detection']
    assert ours['nds'] == pytest.approx(answer['nds'], abs=1e-9) and ours['nds'] > 0.1
    assert ours['mean_ap'] == pytest.approx(answer['mean_ap'], abs=1e-9)
    np.testing.assert_allclose(
        list(ours['mean_errors'].values()), answer['mean_errors'], rtol=0, atol=1e-9
    )


def test_the_command_scores_records_and_records_the_figures(mixed, tmp_path):
    record, out = tmp_path / 'real_frames.json', tmp_path / 'report'
    done = command(
        'evaluate', '--data', mixed, '--modality', 'LIDAR', '--record', record, '--out', out
    )
    assert done.exit_code == 0, done.output
    assert '| car | LIDAR |' in (out / 'report.md').read_text()
    ids = {r.id: r for r in read_records(record)}
    assert ids['real_frames.made.lidar.car.ap_2'].unit == 'AP'
    assert ids['real_frames.made.lidar.map'].target is None


def test_a_labelled_bag_is_imported_for_the_run_and_scored(tmp_path, monkeypatch):
    made = write_drive(tmp_path)
    save_config(made.rig, tmp_path / 'rig.yaml')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    bag = ['--bag', made.path, '--rig', tmp_path / 'rig.yaml', '--modality', 'LIDAR']
    done = command('evaluate', *bag, '--class', 'robot=car', '--out', tmp_path / 'out')
    assert done.exit_code == 0, done.output
    text = (tmp_path / 'out' / 'report.md').read_text()
    assert 'labelled bags' in text and '| car | LIDAR |' in text
    plain = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert plain['samples'] > 3
    assert plain['modalities']['LIDAR']['detection']['classes']['car']['truth'] > 0
    assert not list((tmp_path / 'temporary').iterdir())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--drives', '3', '--data', 'x'], 'leave one away'),
        (['--submission', 'x.json'], 'no --data'),
        (['--modality', 'LIDAR'], 'no --data'),
        (['--class', 'a=car', '--data', 'x'], 'how to read a bag'),
        (['--submission', 'x.json', '--data', 'x', '--settings', 'clean'], '--settings'),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        command('evaluate', *options)


def test_every_map_layer_that_is_known_has_a_figure(pipeline, synthetic):
    evaluation = evaluate_on_records(pipeline, RecordDrives((synthetic,)), (Modality.LIDAR,))
    ids = {record.id for record in class_records(evaluation, 'c', 'real.synthetic')}
    assert {f'real.synthetic.lidar.iou.{name}' for name in MAP_CLASSES} <= ids
