"""The command line teaches, lists what is there, and writes over nothing unasked."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import typer
from support import rig_messages

from metabev_ros.bags import BagWriter
from metabev_ros.cli import app, main
from metabev_ros.cli.results import say_json
from metabev_ros.config import save_config
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality

SHIPPED = 'metabev_nano_streets'


def leaves(command, path=('metabev',)):
    """(words, command) of every command that does something."""
    inner = getattr(command, 'commands', None)
    if not inner:
        yield path, command
        return
    for name, child in inner.items():
        yield from leaves(child, (*path, name))


# Commands that end with nothing that a program could read.
NO_JSON = {
    ('metabev', 'watch'): 'serves a page until it is stopped',
}
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


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_every_command_prints_its_result_as_json_or_says_why_it_has_none(words):
    options = {name for p in COMMANDS[words].params for name in p.opts}
    assert ('--json' in options) != (words in NO_JSON)


@pytest.mark.parametrize('words', COMMANDS, ids=' '.join)
def test_no_help_explains_a_value_by_a_type_of_python_alone(words):
    command = COMMANDS[words]
    context = command.make_context(words[-1], [], resilient_parsing=True)
    shown = {p.name: str(p.display_type_rich(ctx=context)) for p in command.params}
    assert not {name: text for name, text in shown.items() if '<str>' in text}


def test_reasons_are_those_of_commands_that_are_there():
    assert set(NO_JSON) <= set(COMMANDS) and all(NO_JSON.values())


def test_with_json_nothing_else_is_on_standard_output(metabev, bag, tmp_path):
    save_config(rig_messages.rig(), tmp_path / 'rig.yaml')
    out, broken, policy = (tmp_path / name for name in ('out.mcap', 'bad.mcap', 'p.xml'))
    rig = ('--rig', tmp_path / 'rig.yaml', '--json')

    def told(*words, code=0):
        found, out, printed = metabev(*words)
        assert found == code, printed
        return json.loads(out)

    replayed = told('replay', bag, '-o', out, *rig)
    assert replayed['written'] == [str(out)] and replayed['outputs'] == {'FUSED': 8}
    assert replayed['not_heard']['odom'] and not replayed['is_blind']
    off = '- {name: %s, type: "off", sensors: [lidar], begin: %s, end: %s}\n'
    (tmp_path / 'plan.yaml').write_text(
        'name: no_lidar\ntitle: no LiDAR\nfaults:\n'
        + off % ('a', 0.5, 700)
        + off % ('b', 800, 900)
    )
    plan = ('--schedule', tmp_path / 'plan.yaml', '--enable-fault-injection')
    made = told('inject', bag, broken, *plan, *rig, code=1)
    assert made['messages'] == made['integrity']['messages'] == replayed['integrity']['messages']
    assert broken.is_file() and made['touched']['a'] > 0 == made['touched']['b']
    assert told('policy', 'lidar_only', policy, '--json') == {'written': [str(policy)]}
    made = told(
        'simulate', tmp_path / 'a.mcap', '--seconds', '0.1', '--rig', 'lidar_only', '--json'
    )
    assert made['written'] == [str(tmp_path / 'a.mcap')] and made['seconds'] == 0.1
    assert told('info', bag, '--json')['topics'] and told('models', '--json')
    code, out, printed = metabev('info', tmp_path / 'nothing.mcap', '--json')
    assert code == 2 and out == '' and 'nothing.mcap' in printed
    assert 'written' in metabev('policy', 'lidar_only', policy, '--force')[1]


def test_json_knows_counters_paths_and_what_is_no_number(capsys):
    say_json({'a': (np.nan, 1.5), 'b': Counter(x=2), Modality.LIDAR: Path('c'), 'd': np.inf})
    told = json.loads(capsys.readouterr().out)
    assert told == {'a': [None, 1.5], 'b': {'x': 2}, 'LIDAR': 'c', 'd': None}


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
    found = json.loads(out)
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


OUTPUTS = (
    ('simulate', '{}', '--seconds', '0.1'),
    ('replay', '{bag}', '-o', '{}'),
    ('replay', '{bag}', '-o', '{folder}/b.mcap', '--video', '{}'),
    ('inject', '{bag}', '{}', '--schedule', 'bad_day', '--enable-fault-injection'),
    ('policy', 'lidar_only', '{}'),
    ('card', SHIPPED, '--from', '{bag}', '-o', '{}'),
    ('check-rig', '{bag}', '--write', '{}'),
    ('what-if', '{bag}', '-o', '{}'),
    ('convert', '{bag}', '--source', 'bevfusion', '--config', '{bag}', '--out', '{}'),
    ('compare', '{bag}', '--cards', '--at-least', 'clean.nds=0.1', '--junit', '{}'),
)
FOLDERS = (
    ('batch', '{bag}', '--out', '{}'),
    ('evaluate', '--out', '{}'),
    ('demo', '--out', '{}'),
    ('import', 'bag', '{bag}', '-o', '{}'),
    ('train', 'config/training/metabev_nano.yaml', '--out', '{}'),
    ('finetune', SHIPPED, '--data', '{folder}', '--out', '{}'),
    ('pretrain', 'config/pretraining/metabev_nano.yaml', '--out', '{}'),
    ('experts', SHIPPED, '--out', '{}'),
)


@pytest.mark.parametrize('words', OUTPUTS, ids=' '.join)
def test_an_output_that_cannot_be_is_refused_before_the_work(metabev, bag, tmp_path, words):
    """A folder, a pipe (as a device: a rename would put a file in its place), no such folder."""
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    os.mkfifo(tmp_path / 'pipe')
    for name, said in (
        ('folder', 'that of a folder'),
        ('pipe', 'that of a device or pipe'),
        ('file/a.mcap', 'a file that can be written'),
    ):
        typed = [word.format(tmp_path / name, bag=bag, folder=tmp_path) for word in words]
        code, out, text = metabev(*typed, *(() if 'compare' in words else ('--force',)))
        assert code == 2 and said in ' '.join(text.split()), text
        assert '0:00' not in text and '.tmp' not in text and 'Traceback' not in text
    assert (tmp_path / 'pipe').is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder', 'pipe']


def test_an_input_is_never_written_over(metabev, bag, tmp_path):
    before = bag.read_bytes()
    for words in OUTPUTS[1:4]:
        typed = [word.format(bag, bag=bag, folder=tmp_path) for word in words]
        code, _, text = metabev(*typed, '--force')
        assert code == 2 and 'beside the input' in ' '.join(text.split())
    assert bag.read_bytes() == before


@pytest.mark.parametrize('words', FOLDERS, ids=' '.join)
def test_a_folder_that_cannot_be_is_refused_before_the_work(
    metabev, bag, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    for name in ('file', 'file/folder'):
        place = tmp_path / name
        typed = [
            str(resource_path(word))
            if word.startswith('config/')
            else word.format(place, bag=bag, folder=tmp_path)
            for word in words
        ]
        code, _, text = metabev(*typed)
        assert code == 2 and 'a file that can be written' in ' '.join(text.split()), text
        assert '0:00' not in text and 'Traceback' not in text


def test_a_rate_is_unknown_where_one_message_came():
    from metabev_ros.bags.overview import _overview

    one = _overview('/a', 'a/msg/B', [5], 3)
    assert np.isnan(one.rate_hz) and np.isnan(one.longest_gap_s) and one.first_ns == 5
