"""Contestants of a comparison get the same start, the same samples and the same treatment."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.fair_plan import ENCODERS, tiny_plan
from support.rendered import rendered_records
from support.tiny import TINY
from torch import nn

from benchmark.comparison import norms
from benchmark.comparison.layers import layer_ious
from benchmark.comparison.plan import (
    SWEEP_SEED,
    Comparison,
    Contestant,
    RateSweep,
    Scoring,
    merged,
)
from benchmark.comparison.rates import best, sweep_trainings
from benchmark.comparison.starts import FUSER, start_weights, write_start
from benchmark.comparison.trainings import all_trainings, finish
from metabev_ros.config import load_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.map_segmentation import MapEvaluator
from metabev_ros.lab.training import recalibration
from metabev_ros.lab.training.data import all_paths
from metabev_ros.lab.training.samples import TrainingSamples
from metabev_ros.lab.training.sampling import BatchKeys
from metabev_ros.lab.training.step import TrainingStep
from metabev_ros.lab.training.warm_start import freeze, initialise, train_unfrozen
from metabev_ros.network.fusers import MODALITY_SETS, ConvFuser, ModalityNorm
from metabev_ros.network.metabev import MetaBev
from metabev_ros.resources import resource_path

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    return rendered_records(tmp_path_factory.mktemp('cache'), TINY, 5000, 1, 2)


@pytest.fixture
def plan(tmp_path):
    return tiny_plan(tmp_path)


def told(plan, contestant, regime, seed):
    """The training of one contestant, as the harness asks for it."""
    return plan.training_of(contestant, regime, seed)


def content(value) -> str:
    """Hash of a nest of tensors and names."""
    found = hashlib.sha256()

    def add(item):
        if isinstance(item, dict):
            for name, inner in sorted(item.items()):
                found.update(name.encode())
                add(inner)
        elif isinstance(item, (list, tuple)):
            for inner in item:
                add(inner)
        elif isinstance(item, torch.Tensor):
            found.update(str((item.dtype, item.shape)).encode() + item.numpy().tobytes())
        else:
            found.update(repr(item).encode())

    add(value)
    return found.hexdigest()


def test_all_that_is_not_the_fuser_starts_equal_and_encoders_are_those_of_the_file(plan):
    metabev, conv = (
        start_weights(plan.model_of(c), plan.start, plan.seeds[0]) for c in plan.contestants
    )
    shared = {name for name in metabev if not name.startswith(FUSER)}
    assert shared == {name for name in conv if not name.startswith(FUSER)}
    assert {n.rsplit('.', 1)[0] for n in shared if n.startswith('fusion.neck')}
    for name in shared:
        assert torch.equal(metabev[name], conv[name]), name
    other = start_weights(plan.model_of(plan.contestants[0]), plan.start, plan.seeds[1])
    learned = [n for n in shared if metabev[n].is_floating_point() and metabev[n].std() > 0]
    for name in learned:
        same = torch.equal(metabev[name], other[name])
        assert same == name.startswith(ENCODERS) or metabev[name].unique().numel() < 3, name
    assert any(n.startswith('fusion.detection') for n in learned)


def test_the_fuser_starts_new_in_both_and_no_contestant_brings_trained_parts(plan, tmp_path):
    """The encoders' file holds nothing else, and asking it for more is refused."""
    weights = [
        start_weights(plan.model_of(c), plan.start, plan.seeds[0]) for c in plan.contestants
    ]
    for found in weights:
        assert any(name.startswith(FUSER) for name in found)
    greedy = dataclasses.replace(plan.start, parts=(*ENCODERS, 'fusion.neck'))
    with pytest.raises(ConfigError, match='init'):
        start_weights(plan.model_of(plan.contestants[0]), greedy, 11)
    path = write_start(tmp_path / 'a', plan.model_of(plan.contestants[0]), plan.start, 11)
    network = MetaBev(plan.model_of(plan.contestants[0]))
    training = plan.training_of(plan.contestants[0], plan.regimes[0], 11, None, path)
    initialise(network, training.init)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[0][name]), name


@pytest.mark.parametrize('regime', range(3))
def test_contestants_see_the_same_bytes_in_the_same_order(plan, records, regime):
    seen = {}
    for seed in plan.seeds:
        for contestant in plan.contestants:
            training = told(plan, contestant, plan.regimes[regime], seed)
            samples = TrainingSamples(
                all_paths(records),
                plan.model_of(contestant),
                training.augmentation,
                training.curriculum,
            )
            keys = list(BatchKeys(records, training, 0))
            bytes_ = [[content(samples[key]) for key in batch] for batch in keys]
            seen[seed, contestant.name] = keys, bytes_
    first, second = plan.seeds
    assert seen[first, 'metabev'] == seen[first, 'conv']
    assert seen[second, 'metabev'] == seen[second, 'conv']
    assert seen[first, 'conv'][1] != seen[second, 'conv'][1]


@pytest.mark.parametrize(
    ('regime', 'expected'),
    [(0, {'fused'}), (1, set(MODALITY_SETS)), (2, set(MODALITY_SETS))],
)
def test_the_convolutional_fuser_keeps_statistics_per_modality_in_every_regime(
    plan, records, regime, expected
):
    conv = plan.contestants[1]
    training = told(plan, conv, plan.regimes[regime], 11)
    network = MetaBev(plan.model_of(conv))
    freeze(network, training.frozen)
    train_unfrozen(network, training.frozen)
    fuser = network.fusion.decoder
    assert isinstance(fuser, ConvFuser)
    found = [m for m in fuser.modules() if isinstance(m, ModalityNorm)]
    inner = {id(n) for norm in found for n in norm.statistics.values()}
    assert {id(m) for m in fuser.modules() if isinstance(m, nn.BatchNorm2d)} == inner
    samples = TrainingSamples(
        all_paths(records), network.config, training.augmentation, training.curriculum
    )
    for batch in BatchKeys(records, training, 0):
        TrainingStep(network, None, training)([samples[key] for key in batch])
    for norm in found:
        used = {n for n, one in norm.statistics.items() if int(one.num_batches_tracked)}
        assert used == expected
        network.eval()
        assert all(not one.training for one in norm.statistics.values())


def test_frozen_encoders_end_as_they_began(plan, tmp_path):
    one = dataclasses.replace(plan, regimes=plan.regimes[:1], seeds=plan.seeds[:1])
    trainings = all_trainings(one, tmp_path / 'out', dict.fromkeys(('metabev', 'conv'), 1e-3))
    start = tmp_path / 'start.safetensors'
    lines = []
    left = finish(trainings, start, tmp_path / 'cache', 1, lambda *line: lines.append(line))
    assert left == [] and all(t.is_finished for t in trainings)
    assert plan.shares_encoders
    from benchmark.comparison.scores import encoders_of

    assert len({encoders_of(training) for training in trainings}) == 1
    count = len(lines)
    finish(trainings, start, tmp_path / 'cache', 1, lambda *line: lines.append(line))
    assert len(lines) == count == 4, 'what is finished is not trained again'
    other = all_trainings(one, tmp_path / 'out', dict.fromkeys(('metabev', 'conv'), 2e-3))
    with pytest.raises(ConfigError, match='another plan'):
        finish(other, start, tmp_path / 'cache', 1, lambda *line: None)


def test_a_fuser_that_never_saw_a_sensor_missing_gets_norms_for_that(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(norms, 'SAMPLES', 2)
    monkeypatch.setattr(recalibration, 'BATCH', 2)
    one = dataclasses.replace(plan, seeds=plan.seeds[:1])
    rates = dict.fromkeys(('metabev', 'conv'), 1e-3)
    out, cache = tmp_path / 'out', tmp_path / 'cache'
    trainings = all_trainings(one, out, rates)
    finish(trainings, tmp_path / 'start.safetensors', cache, 1, lambda *line: None)
    for training in trainings:
        folder = norms.settled(training, cache)
        never = training.contestant.name == 'conv' and training.regime is plan.regimes[0]
        assert (folder != training.folder) == never
        if never:
            before, after = (
                load_file(where / 'weights.safetensors') for where in (training.folder, folder)
            )
            for name, value in before.items():
                made = '.statistics.camera.' in name or '.statistics.lidar.' in name
                assert torch.equal(value, after[name]) != made, name
            assert norms.settled(training, cache) == folder


def test_a_training_that_another_process_holds_is_left_to_it(plan, tmp_path):
    one = dataclasses.replace(plan, regimes=plan.regimes[:1], seeds=plan.seeds[:1])
    trainings = all_trainings(one, tmp_path / 'out', dict.fromkeys(('metabev', 'conv'), 1e-3))
    lines: list[tuple] = []
    with contextlib.ExitStack() as held:
        for training in trainings:
            training.folder.mkdir(parents=True)
            file = held.enter_context(open(training.folder / '.lock', 'w'))
            fcntl.flock(file, fcntl.LOCK_EX)
        left = finish(
            trainings,
            tmp_path / 'start.safetensors',
            tmp_path,
            1,
            lambda *line: lines.append(line),
        )
    assert left == trainings and lines == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_comparison_that_was_killed_goes_on_to_the_page_of_one_that_was_not(tmp_path):
    """Two contestants, two seeds; killed in the first training and again while it scores."""
    plan = tiny_plan(
        tmp_path,
        scoring=Scoring(
            2, 1, 960_000, settings=('clean.0', 'mc.1'), resamples=100, backend='torch'
        ),
    )
    plan = dataclasses.replace(plan, regimes=plan.regimes[2:])
    save_config(plan, tmp_path / 'plan.yaml')
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    command = [sys.executable, str(ROOT / 'benchmark' / 'fair_comparison.py')]
    command += [str(tmp_path / 'plan.yaml'), '--cache', str(tmp_path / 'cache'), '--out']
    subprocess.run([*command, str(whole)], check=True)
    for sign in ('trainings/*/checkpoint.pt', 'partial/*/*.npz'):
        child = subprocess.Popen([*command, str(killed)])
        while not list(killed.glob(sign)):
            assert child.poll() is None, 'it ended before it could be killed'
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run([*command, str(killed)], check=True)
    one, two = (json.loads((folder / 'comparison.json').read_text()) for folder in (whole, killed))
    assert one['figures'] == two['figures'] and len(one['figures']) == 2 * 2 * 3
    page = (killed / 'comparison.md').read_text()
    assert '| `mc.1` |' in page and '## What may be said' in page


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'contestants': (Contestant('a', {'camera': {'bev_channels': 4}}),)}, 'camera'),
        ({'contestants': (Contestant('a'), Contestant('a'))}, 'distinct'),
        ({'contestants': (Contestant('a', {'decoder': {'fuser': 'sum'}}),)}, 'fuser'),
        ({'reference': 'nobody'}, 'reference'),
        ({'seeds': (11, SWEEP_SEED)}, 'seeds'),
        ({'training': {'batch': ['sonar']}}, 'batch'),
        ({'sweep': RateSweep((1e-3,), 'none', 4, 1, 1)}, 'regime'),
    ],
)
def test_a_plan_that_is_not_fair_or_no_plan_is_refused(tmp_path, changes, words):
    one = {'reference': 'a'} if 'contestants' in changes else {}
    with pytest.raises(ConfigError, match=words):
        tiny_plan(tmp_path, **{**one, **changes})


@pytest.mark.parametrize('own', ['curriculum', 'batch', 'steps', 'draw', 'learning_rate', 'seed'])
def test_a_contestant_has_no_training_of_its_own_that_inputs_or_budget_depend_on(own):
    with pytest.raises(ConfigError, match='training'):
        Contestant('a', {}, {own: 1})


def test_every_contestant_tries_every_rate_on_the_same_samples(tmp_path):
    plan = tiny_plan(tmp_path, sweep=RateSweep((1e-3, 3e-3), 'masked', 2, 1, 1))
    assert plan.sweep is not None
    trainings = sweep_trainings(plan, plan.sweep, tmp_path)
    assert set(trainings) == {(c, r) for c in ('metabev', 'conv') for r in (1e-3, 3e-3)}
    kept = []
    for (_, rate), training in trainings.items():
        run = training.run.training
        assert (run.learning_rate, run.seed, run.steps) == (rate, SWEEP_SEED, 2)
        kept.append(dataclasses.replace(run, learning_rate=1.0, init=None))
    assert all(run == kept[0] for run in kept)


def test_the_mean_of_the_layers_of_a_draw_is_its_miou():
    rng, maps = np.random.default_rng(0), [MapEvaluator() for _ in range(3)]
    for one in maps:
        one.add(rng.random((6, 8, 8)), rng.random((6, 8, 8)) < 0.3)
    merged = MapEvaluator()
    for drive in (2, 0, 2):
        merged.merge(maps[drive])
    ious = layer_ious(maps, np.array([2, 0, 2]))
    assert ious.shape == (6,) and ious.mean() == pytest.approx(merged.result().mean_iou)
    assert not np.allclose(ious, layer_ious(maps, range(3)))


def test_the_best_rate_wins_and_the_edge_is_told():
    assert best({1e-3: 0.4, 2e-3: 0.6, 4e-3: 0.5}).rate == 2e-3
    assert 'edge' not in best({1e-3: 0.4, 2e-3: 0.6, 4e-3: 0.5}).words
    assert 'edge' in best({1e-3: 0.4, 2e-3: 0.6}).words
    assert best({2e-3: 0.5, 1e-3: 0.5}).rate == 1e-3


@pytest.mark.parametrize('name', ['fuser_frozen', 'fuser_full'])
def test_the_plans_of_the_project_are_whole(name):
    plan = load_config(Comparison, resource_path('config') / 'comparison' / f'{name}.yaml')
    assert plan.shares_encoders == (name == 'fuser_frozen')
    assert len(plan.seeds) == 3 and {r.name for r in plan.regimes} == {
        'clean',
        'masked',
        'failures',
    }
    settings = {setting.code for setting in plan.scoring.chosen}
    assert {'lf', 'mo', 'br', 'vd', 'vn', 'oo', 'mc', 'ml', 'sector', 'absent'} <= settings
    assert sum(code.startswith('image_') for code in settings) == 12
    assert plan.scoring.drives * plan.scoring.per_drive >= 400


def test_the_forms_of_the_decoder_are_held_against_the_same_reference():
    folder = resource_path('config') / 'comparison'
    forms, fuser = (
        load_config(Comparison, folder / f'{name}.yaml')
        for name in ('decoder_forms', 'fuser_frozen')
    )
    assert forms.reference == fuser.reference and forms.shares_encoders
    for plain in ('training', 'start', 'seeds', 'data', 'sweep'):
        assert getattr(forms, plain) == getattr(fuser, plain)
    assert len({forms.model_of(c).hash for c in forms.contestants}) == len(forms.contestants)


def test_settings_are_named_by_group_or_id_and_each_counts_once():
    chosen = Scoring(settings=('headline', 'lf.120', 'image_snow.3')).chosen
    assert [s.id for s in chosen][0] == 'clean.0' and len(chosen) == 10
    with pytest.raises(ConfigError, match='settings'):
        Scoring(settings=('lf.121',))


def test_trees_are_merged_without_a_change_of_the_old_one():
    before = {'a': {'b': 1, 'c': [1]}, 'd': 2}
    after = merged(before, {'a': {'c': [2, 3]}, 'd': {'e': 1}})
    assert after == {'a': {'b': 1, 'c': [2, 3]}, 'd': {'e': 1}}
    assert before == {'a': {'b': 1, 'c': [1]}, 'd': 2}
    assert np.array_equal(before['a']['c'], [1])
