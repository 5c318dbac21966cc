"""The command line teaches, lists what is there, and writes over nothing unasked."""

from __future__ import annotations

import json
import re
import shlex
import sys

import numpy as np
import pytest
import typer
from support import rig_messages

from metabev_ros.bags import BagWriter
from metabev_ros.cli import app, main
from metabev_ros.config import save_config
from metabev_ros.resources import resource_path

SHIPPED = 'metabev_nano_streets'


def leaves(command, path=('metabev',)):
    """(words, command) of every command that does something."""
    inner = getattr(command, 'commands', None)
    if not inner:
        yield path, command
        return
    for name, child in inner.items():
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.fixture
def metabev(monkeypatch, capsys):
    """Runs the command line; gives (exit code, standard output, what was printed in all)."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['metabev', *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.out + printed.err

    return run


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'in.mcap'
    with BagWriter(path) as writer:
        rig_messages.write_drive(writer, 8)
    return path


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_every_help_has_an_example_that_the_command_would_take(words):
    command = COMMANDS[words]
    lines = [line for line in (command.epilog or '').splitlines() if line.startswith('metabev ')]
    assert lines, 'no example'
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    for line in lines:
        typed = shlex.split(line)
        assert tuple(typed[: len(words)]) == words
        used = {word for word in typed if re.match(r'--?[a-z]', word)}
        assert used <= options, used - options
        command.make_context(words[-1], typed[len(words) :])  # parses; nothing runs


def test_files_that_examples_name_in_the_checkout_are_there():
    for command in COMMANDS.values():
        for name in re.findall(r'\bconfig/\S+\.yaml', command.epilog or ''):
            assert resource_path(name).is_file()


def test_models_are_listed_by_the_names_that_model_takes(metabev, bag, tmp_path):
    code, out, _ = metabev('models', '--json')
    found = {entry['name']: entry for entry in json.loads(out)}
    assert code == 0 and found[SHIPPED]['is_default']
    assert 'onnxruntime' in found[SHIPPED]['backends'] and found[SHIPPED]['sweeps'] == 3
    assert SHIPPED in metabev('models')[1]
    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    words = ('replay', bag, '-o', tmp_path / 'out.mcap', '--rig', tmp_path / 'rig.yaml')
    assert metabev(*words, '--model', SHIPPED)[0] == 0
    code, _, text = metabev(*words, '--force', '--model', 'metabev_nanno')
    assert code == 2 and SHIPPED in text and 'Traceback' not in text


@pytest.mark.parametrize('name', ['nowhere', '/nowhere', 'x' * 5000])
def test_a_model_or_rig_that_is_not_there_is_one_clear_text(metabev, bag, name):
    for option in ('--model', '--rig'):
        code, _, text = metabev('replay', bag, '-o', 'never.mcap', option, name)
        assert code == 2 and 'a path or a name' in ' '.join(text.split())


def test_a_rig_is_found_by_name(metabev, tmp_path):
    for name in ('four_cameras', 'four_cameras.yaml'):
        assert metabev('policy', name, tmp_path / 'p.xml', '--force')[0] == 0
    assert '/camera' in (tmp_path / 'p.xml').read_text()


def test_info_tells_topics_rates_and_gaps(metabev, bag):
    code, out, _ = metabev('info', bag, '--json')
    found = json.loads(out[out.index('{') :])
    topics = {topic['topic']: topic for topic in found['topics']}
    cloud = topics[f'/{rig_messages.LIDAR}/points']
    assert code == 0 and cloud['count'] == 8 and not found['is_lossy']
    assert cloud['rate_hz'] == pytest.approx(1e9 / rig_messages.PERIOD_NS, rel=0.01)
    assert cloud['longest_gap_s'] == pytest.approx(rig_messages.PERIOD_NS * 1e-9, rel=0.01)
    assert f'/{rig_messages.LIDAR}/points' in metabev('info', bag)[1]


def test_info_of_a_cut_bag_says_what_is_lost_and_exits_with_3(metabev, bag, tmp_path):
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(bag.read_bytes()[: bag.stat().st_size // 2])
    code, out, _ = metabev('info', cut)
    assert code == 3 and 'not finalised' in ' '.join(out.split())


@pytest.mark.parametrize(
    ('words', 'name'),
    [
        (('simulate', '{}'), 'a.mcap'),
        (('replay', '{bag}', '-o', '{}'), 'a.mcap'),
        (('replay', '{bag}', '-o', '{folder}/b.mcap', '--video', '{}'), 'a.mp4'),
        (('inject', '{bag}', '{}', '--schedule', 'bad_day'), 'a.mcap'),
        (
            ('inject', '{bag}', '{folder}/b.mcap', '--truth', '{}', '--schedule', 'bad_day'),
            'a.jsonl',
        ),
        (('policy', 'lidar_only', '{}'), 'a.xml'),
        (('export', '{folder}', '--run', '{folder}'), 'weights.safetensors'),
        (
            ('convert', 'x.pth', '--source', 'bevfusion', '--config', '{config}', '--out', '{}'),
            'a.safetensors',
        ),
    ],
)
def test_nothing_is_written_over_unasked(metabev, bag, tmp_path, words, name):
    there = tmp_path / name
    there.write_text('mine')
    config = resource_path('config/models/metabev_base.yaml')
    typed = [word.format(there, bag=bag, folder=tmp_path, config=config) for word in words]
    code, _, text = metabev(*typed)
    assert code == 2 and '--force' in text and there.read_text() == 'mine'
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_rate_is_unknown_where_one_message_came():
    from metabev_ros.bags.overview import _overview

    one = _overview('/a', 'a/msg/B', [5], 3)
    assert np.isnan(one.rate_hz) and np.isnan(one.longest_gap_s) and one.first_ns == 5
