"""Adaptive expert selection: the traces of the released trainer, and going on."""

import os
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file
from support.rendered import rendered_records
from support.tiny import TINY
from test_distributed import free_port
from test_train import config, log_of

from metabev_ros.config import AdamvConfig, DecoderFfn
from metabev_ros.errors import ConfigError
from metabev_ros.lab.training.adamv import (
    OfficialSelection,
    PerTaskSelection,
    SelectionConfig,
    SelectionMode,
)
from metabev_ros.lab.training.config import Precision
from metabev_ros.lab.training.data import all_paths
from metabev_ros.lab.training.distributed import joined, leaders_numbers
from metabev_ros.lab.training.train import Trainer
from metabev_ros.lab.training.validation import hold_out
from metabev_ros.network.adamv import experts_used

START, EVERY, PATIENCE, LAST = 40_000, 2000, 5000, 120_000
ADAMV = replace(
    TINY,
    name='tiny_adamv',
    decoder=replace(TINY.decoder, ffn=DecoderFfn.ADAMV, experts=4, adamv=AdamvConfig()),
)


def falling(step):
    return 10.0 - step * 1e-5


def flat_after(*steps):
    """Improves at every check up to the start, then at these steps only."""

    def loss(step):
        return falling(min(step, START)) - sum(step >= s for s in steps)

    return loss


# Section 1.5: k of (cls, det) from the given step on, and whether the trainer had stopped then.
SCRIPTS = {
    'both improve': (falling, falling, [(0, (2, 2), False)]),
    'cls flat': (flat_after(), falling, [(46000, (3, 2), False), (48000, (2, 2), True)]),
    'cls improves once': (
        flat_after(48000),
        falling,
        [(46000, (3, 2), False), (54000, (4, 2), False), (56000, (3, 2), True)],
    ),
    'both flat': (flat_after(), flat_after(), [(46000, (3, 3), False), (48000, (2, 3), True)]),
    'cls climbs': (
        flat_after(*range(48000, 90000, 8000)),
        falling,
        [(46000 + 8000 * i, (3 + i, 2), False) for i in range(6)],
    ),
}


def trace_of(selection, cls, det):
    """[(step, k of both)] at every change, and the state at the end."""
    changes, last = [], (2, 2)
    for step in range(EVERY, LAST + 1, EVERY):
        selection.check(step, {'cls': cls(step), 'det': det(step)})
        now = tuple(selection.used.values())
        if now != last:
            changes.append((step, now))
            last = now
    return changes


@pytest.mark.parametrize('name', SCRIPTS)
def test_official_selection_reproduces_the_traces(name):
    cls, det, expected = SCRIPTS[name]
    selection = OfficialSelection({'cls': 2, 'det': 2}, 8, PATIENCE, START)
    changes = trace_of(selection, cls, det)
    assert changes == [(step, used) for step, used, _ in expected if step]
    assert selection.stopped is expected[-1][2]


def per_task(experts=8):
    return PerTaskSelection({'cls': 2, 'det': 2}, experts, PATIENCE, START, EVERY, 1e-6)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('both improve', []),
        ('cls flat', [(46000, (3, 2)), (48000, (2, 2))]),
        ('cls improves once', [(46000, (3, 2)), (54000, (4, 2)), (56000, (3, 2))]),
        ('both flat', [(46000, (3, 3)), (48000, (2, 2))]),  # both tries are undone
        ('cls climbs', [(46000 + 8000 * i, (3 + i, 2)) for i in range(6)]),
    ],
)
def test_per_task_selection_decides_for_each_task_alone(name, expected):
    assert trace_of(per_task(), *SCRIPTS[name][:2]) == expected


def test_per_task_selection_rolls_back_from_all_experts():
    cls = flat_after(*range(48000, 84000, 8000))  # the eighth does not help
    official = OfficialSelection({'cls': 2, 'det': 2}, 8, PATIENCE, START)
    assert trace_of(official, cls, falling)[-1] == (86000, (8, 2))
    assert trace_of(per_task(), cls, falling)[-2:] == [(86000, (8, 2)), (88000, (7, 2))]


def test_what_is_learned_about_one_task_does_not_depend_on_the_other():
    alone = trace_of(per_task(), flat_after(), falling)
    both = trace_of(per_task(), flat_after(), flat_after(50000))
    assert [(s, k[0]) for s, k in alone] == [(46000, 3), (48000, 2)]
    assert {s: k[0] for s, k in both}[48000] == 2


def test_freezing_takes_an_expert_on_trial_back():
    selection = per_task()
    trace_of(selection, falling, falling)
    selection.check(LAST + 6000, {'cls': 100.0, 'det': 0.0})
    assert selection.used == {'cls': 3, 'det': 2}
    selection.freeze()
    selection.check(LAST + 20000, {'cls': 100.0, 'det': 100.0})
    assert selection.used == {'cls': 2, 'det': 2}


@pytest.mark.parametrize(
    'make', [per_task, lambda: OfficialSelection({'cls': 2, 'det': 2}, 8, PATIENCE, START)]
)
def test_a_selection_restored_in_mid_probe_goes_on_alike(make):
    cls, det = SCRIPTS['cls improves once'][:2]
    whole, used = make(), []
    for step in range(EVERY, LAST, EVERY):
        whole.check(step, {'cls': cls(step), 'det': det(step)})
        used.append(dict(whole.used))
    first, second = make(), make()
    for i, step in enumerate(range(EVERY, LAST, EVERY)):
        selection = first if step <= 46000 else second  # 46000: an expert on trial
        if step == 48000:
            second.restore(first.state())
        selection.check(step, {'cls': cls(step), 'det': det(step)})
        assert selection.used == used[i]


def selecting(**changes):
    """Checks at every second step; losses never fall by half, so every check raises or undoes."""
    return config(
        **{
            'steps': 7,
            'checkpoint_every': 4,
            'precision': Precision.FP32,
            'learning_rate': 1e-4,
            'expert_selection': SelectionConfig(
                SelectionMode.PER_TASK,
                every=2,
                patience=1.0,
                warmup=0.0,
                stop=1.0,
                tolerance=0.5,
                scenes=1,
            ),
            **changes,
        }
    )


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    return rendered_records(tmp_path_factory.mktemp('cache'), ADAMV, 5000, 2, 1)


def experts_of(log):
    return [
        (line['step'], line['experts_detection'], line['experts_map'])
        for line in log
        if 'experts_map' in line
    ]


def test_a_run_stopped_in_mid_probe_goes_on_with_the_same_experts(tmp_path, records):
    part = Trainer(tmp_path, ADAMV, selecting())
    save = part.save

    class Killed(Exception):
        pass

    def save_and_die():
        save()
        raise Killed

    part.save = save_and_die
    with pytest.raises(Killed):
        part.run(records)
    assert experts_used(part.network) == {'detection': 3, 'map': 3}
    resumed = Trainer(tmp_path, ADAMV, selecting())
    assert experts_used(resumed.network) == {'detection': 3, 'map': 3}
    resumed.run(records)
    # First check: the first loss. Second: one expert more on trial. Third: undone, for good; a
    # run that forgot its trial would have raised there again.
    assert experts_of(log_of(tmp_path)) == [(2, 2, 2), (4, 3, 3), (6, 2, 2)]
    weights = load_file(tmp_path / 'weights.safetensors')
    assert weights['fusion.decoder.self_layers.0.ffn.used'].tolist() == [2, 2]
    with pytest.raises(ConfigError, match='training.expert_selection.mode'):
        Trainer(tmp_path, ADAMV, selecting(expert_selection=SelectionConfig()))


def run_rank(rank, port, folder, records):
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE='2',
        LOCAL_RANK=str(rank),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    with joined(cuda=False) as processes:
        assert leaders_numbers([float(rank)], torch.device('cpu')) == [0.0]
        training = selecting(steps=5, batch=('fused', 'lidar') * 2)
        trainer = Trainer(folder, ADAMV, training, processes)
        trainer.run(records)
        torch.save(
            [experts_used(trainer.network), trainer.selection.state()], folder / f'rank{rank}.pt'
        )


def test_two_processes_agree_on_the_experts(tmp_path, records):
    mp.spawn(run_rank, (free_port(), tmp_path, records), 2)
    first, second = (torch.load(tmp_path / f'rank{i}.pt', weights_only=True) for i in range(2))
    assert first == second and first[0] == {'detection': 3, 'map': 3}


def test_whole_drives_are_held_out(records):
    training, held_out = hold_out(records, 1)
    assert [r.scenes for r in training] == [['0005000']]
    assert [r.scenes for r in held_out] == [['0005001']]
    assert len(all_paths(training)) == len(all_paths(held_out)) == 1
    with pytest.raises(ConfigError, match='training.expert_selection.scenes'):
        hold_out(records, 2)


def test_a_selection_without_experts_or_out_of_range_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='training.expert_selection.mode'):
        Trainer(tmp_path, TINY, selecting())
    with pytest.raises(ConfigError, match='training.expert_selection.warmup'):
        SelectionConfig(warmup=0.9)
