"""A fine-tune takes the model's own mixture, and the licence of its data goes with the weights."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file
from safetensors.torch import load_file
from support.made_records import folder_of
from support.tiny import PLAIN, TINY
from test_train import config
from typer.testing import CliRunner

from metabev_ros.cli.app import app
from metabev_ros.config import load_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.conversion.sources import Source, data_of
from metabev_ros.lab.datasets.sample_record import read_record
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.finetune import KEPT, FinetuneOptions, finetune_run, keep_run
from metabev_ros.lab.training.provenance import data_behind
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.train import Trainer

BOUND = SourceInfo(
    'citySet v1',
    'CC BY-NC-SA 4.0',
    False,
    'the makers of citySet',
    {'car': 'car'},
    ('velocities are differences of positions',),
)
FREE = dataclasses.replace(BOUND, name='yard', licence='ours', is_commercial=True, notes=())


@pytest.fixture(scope='module')
def model_folder(tmp_path_factory, tiny_records):
    """A tiny model that learnt from synthetic drives."""
    folder = tmp_path_factory.mktemp('model') / 'tiny'
    training = config(
        steps=2,
        batch=('fused', 'lidar', 'lidar', 'camera'),
        map_weight=1.3,
        learning_rate=2e-3,
        curriculum=CurriculumConfig(probability=0.4, ramp_start=5, ramp_steps=50),
    )
    Trainer(folder, TINY, training).run(tiny_records)
    return folder


@pytest.fixture(scope='module')
def real(tmp_path_factory, tiny_records):
    """Folders of records as an import would leave them: bound and free."""
    top = tmp_path_factory.mktemp('records')
    record = read_record(tiny_records[0].paths[0])
    unknown = record.boxes.copy()
    unknown[::3, 7:] = np.nan
    frames = [
        dataclasses.replace(record, token=f'f{i}', scene=f's{i}', boxes=unknown) for i in range(3)
    ]
    return {
        info.name: folder_of(top / info.name.split()[0], frames, info=info)
        for info in (BOUND, FREE)
    }


def test_the_recipe_of_the_model_is_kept_and_the_rest_follows_from_the_data(model_folder, real):
    run = finetune_run(model_folder, list(real.values()))
    training = run.training
    assert run.model == TINY
    assert training.batch == ('fused', 'lidar', 'lidar', 'camera')
    assert (training.map_weight, training.augmentation) == (1.3, PLAIN)
    assert training.learning_rate == pytest.approx(2e-4)
    assert training.curriculum.probability == 0.4 and training.curriculum.chance(0) == 0.4
    assert training.steps == 100 and 0.9 <= training.ema_decay < 0.998
    assert training.init.path == str(model_folder / 'weights.safetensors')
    assert [source.weight for source in run.data] == [None, None]


def test_more_records_mean_more_steps_and_a_share_is_kept_synthetic(
    model_folder, real, monkeypatch
):
    from metabev_ros.lab.training import finetune

    monkeypatch.setattr(finetune, 'open_records', lambda path, model: [None] * 4000)
    run = finetune_run(model_folder, [real['yard']], FinetuneOptions(keep=0.2))
    assert run.training.steps == 10 * 4000 / (4 * 0.8)
    assert [source.weight for source in run.data] == pytest.approx([0.8, 0.2])
    drives = run.data[1].synthetic
    assert drives.first_seed == 100_000 and drives.worlds == 300


def test_of_every_field_of_a_training_it_is_known_whether_a_fine_tune_keeps_it():
    anew = {
        *('steps', 'schedule', 'warmup_steps', 'decay_steps', 'rise', 'ema_decay', 'seed', 'init'),
        *('device', 'precision', 'checkpoint_every', 'tensorboard', 'picture_every', 'execution'),
        *('sampling', 'auxiliary_weight', 'expert_selection', 'frozen', 'paste'),
    }
    kept = set(KEPT)
    assert not kept & anew
    assert kept | anew == {field.name for field in dataclasses.fields(TrainingConfig)}


def test_a_model_of_streets_keeps_streets_and_the_losses_of_headings(
    repo_root, model_folder, real, monkeypatch
):
    model = shutil.copytree(model_folder, model_folder.parent / 'streets')
    shutil.copy(repo_root / 'models/metabev_nano_streets/training.json', model)
    from metabev_ros.lab.training import finetune

    monkeypatch.setattr(finetune, 'open_records', lambda path, model: [None] * 100)
    run = finetune_run(model, [real['yard']], FinetuneOptions(keep=0.2))
    assert run.data[1].streets.first_seed == 1_010_000 and run.data[1].synthetic is None
    assert (run.training.either_way, run.training.direction_weight) == (1.0, 1.5)


def test_wrong_starts_are_refused_before_anything_is_written(model_folder, real, tmp_path):
    with pytest.raises(ConfigError, match='weights.safetensors'):
        finetune_run(tmp_path, [real['yard']])
    with pytest.raises(ConfigError, match='metabev import'):
        finetune_run(model_folder, [tmp_path / 'nowhere'])
    run = finetune_run(model_folder, [real['yard']])
    keep_run(run, tmp_path / 'run')
    keep_run(run, tmp_path / 'run')
    with pytest.raises(ConfigError, match='another one'):
        keep_run(dataclasses.replace(run, data=run.data * 2), tmp_path / 'run')
    damaged = tmp_path / 'damaged'
    shutil.copytree(model_folder, damaged)
    (damaged / 'training.json').write_text('{')
    with pytest.raises(ConfigError, match='training.json'):
        finetune_run(damaged, [real['yard']])


def test_the_licence_goes_from_the_data_to_the_model_and_to_what_comes_after(
    model_folder, real, tmp_path
):
    out, runner = tmp_path / 'first', CliRunner()
    arguments = ['finetune', str(model_folder), '--data', str(real[BOUND.name]), '--steps', '3']
    result = runner.invoke(app, [*arguments, '--out', str(out)])
    assert result.exit_code == 0, (result.output, result.exception)
    card = (out / 'MODEL_CARD.md').read_text().splitlines()
    assert card[2].startswith('**Non-commercial.') and 'citySet v1: CC BY-NC-SA 4.0' in card[2]
    text = '\n'.join(card)
    for said in (
        'the makers of citySet',
        '| citySet v1 | 3 | 3 | 100% |',
        'Started from `tiny/weights.safetensors`.',
        'synthetic drives 5000..5000',
        '3 steps, 12 samples',
        'velocities are differences of positions',
        '- car: 3',
    ):
        assert said in text, said
    state = json.loads((out / 'training.json').read_text())
    assert state['data'][0]['licence'] == 'CC BY-NC-SA 4.0'
    assert state['data'][0]['shown']['car'] == 3
    start = load_file(model_folder / 'weights.safetensors')
    ours = load_file(out / 'weights.safetensors')
    moved = max(float((ours[n] - v).abs().max()) for n, v in start.items() if n.endswith('weight'))
    assert 0 < moved < 0.05

    # `metabev train` repeats it.
    again = runner.invoke(app, ['train', str(out / 'run.yaml'), '--out', str(tmp_path / 'again')])
    assert again.exit_code == 0, again.output
    assert load_config(RunConfig, out / 'run.yaml').training.steps == 3
    assert (tmp_path / 'again/MODEL_CARD.md').read_text() == text + '\n'

    # A model of it has the card, and what is fine-tuned from that model on free data stays bound.
    model = tmp_path / 'model'
    export_model(model, out, report=lambda line: None)
    assert (model / 'MODEL_CARD.md').read_text() == text + '\n'
    second = tmp_path / 'second'
    arguments = ['finetune', str(model), '--data', str(real['yard']), '--steps', '2']
    result = runner.invoke(app, [*arguments, '--out', str(second)])
    assert result.exit_code == 0, (result.output, result.exception)
    first_lines = (second / 'MODEL_CARD.md').read_text().splitlines()[:4]
    assert first_lines[2].startswith('**Non-commercial.') and 'citySet v1' in first_lines[2]
    assert {used.name for used in data_behind([second / 'weights.safetensors'])} == {
        'yard',
        'citySet v1',
        'synthetic drives 5000..5000, 2 frames at 0.5 Hz',
    }


def test_free_data_makes_free_weights_and_a_resumed_run_knows_where_it_came_from(
    model_folder, real, tmp_path
):
    start = tmp_path / 'start'
    shutil.copytree(model_folder, start)
    run = finetune_run(start, [real['yard']], FinetuneOptions(steps=2))
    from metabev_ros.lab.training.run import train_model

    train_model(run, tmp_path / 'run', tmp_path / 'cache', 1)
    card = (tmp_path / 'run/MODEL_CARD.md').read_text()
    assert 'allows commercial use (Apache-2.0, ours)' in card
    (start / 'training.json').unlink()
    longer = dataclasses.replace(run, training=dataclasses.replace(run.training, steps=4))
    train_model(longer, tmp_path / 'run', tmp_path / 'cache', 1)
    card = (tmp_path / 'run/MODEL_CARD.md').read_text()
    assert 'synthetic drives 5000..5000' in card and '4 steps' in card


def test_a_data_sets_texts_cannot_break_the_card(model_folder, tiny_records, tmp_path):
    record = read_record(tiny_records[0].paths[0])
    odd = dataclasses.replace(FREE, name='a | b\n# Free for all', attribution='x\n\n**y**')
    folder = folder_of(tmp_path / 'odd', [record], info=odd)
    run = finetune_run(model_folder, [folder], FinetuneOptions(steps=1))
    from metabev_ros.lab.training.run import train_model

    train_model(run, tmp_path / 'run', tmp_path / 'cache', 1)
    lines = (tmp_path / 'run/MODEL_CARD.md').read_text().splitlines()
    assert [line for line in lines if line.startswith('#')] == ['# tiny']
    [row] = [line for line in lines if 'Free for all' in line]
    assert row.count('|') == 7


def test_published_weights_bring_the_licence_of_what_they_learnt_from(tmp_path):
    for source in Source:  # as `metabev convert` writes them
        data = data_of(source)
        metadata = {'source': source.value, 'data': json.dumps(dataclasses.asdict(data))}
        path = tmp_path / f'{source.value}.safetensors'
        save_file({'a': np.zeros(2, np.float32)}, path, metadata)
        (used,) = data_behind([path])
        assert (used.licence, used.is_commercial) == (data.licence, data.is_commercial)
        assert data.name in used.name and source.value in used.name
    assert not data_of(Source.BEVFUSION).is_commercial
    save_file({'a': np.zeros(2, np.float32)}, path, {'source': 'swin', 'data': '{'})
    with pytest.raises(ConfigError, match='convert them again'):
        data_behind([path])
