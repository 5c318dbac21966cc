"""Result records: what they say of themselves, and how files of them change."""

import json
import re
import subprocess
from dataclasses import replace

import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.records import (
    current_commit,
    machine_name,
    make_record,
    merge_records,
    read_records,
)


def record(name, value=1.0, target=None):
    return make_record(name, value, 'mAP', 'metabev evaluate', 120, target)


@pytest.mark.parametrize(
    ('value', 'target', 'met'),
    [
        (0.35, '>= 0.35', True),
        (0.349, '>= 0.35', False),
        (400, '<= 400', True),
        (401, '<= 400', False),
        (400, '< 400', False),
        (5.1, '> 5', True),
        (0, '== 0', True),
        (float('nan'), '>= 0', False),
        (1, None, None),
    ],
)
def test_met_follows_from_value_and_target(value, target, met):
    assert record('x', value, target).met is met


@pytest.mark.parametrize('target', ['0.35', '>= fast', '~ 3', ''])
def test_a_target_that_is_no_comparison_is_refused(target):
    with pytest.raises(ConfigError, match='target'):
        record('x', 1.0, target)


def test_a_file_holds_each_run_once_and_a_line_a_record(tmp_path):
    path = tmp_path / 'demo.json'
    merge_records(path, [record('a'), record('b', target='>= 2')])
    content = json.loads(path.read_text())
    assert [set(run) for run in content['runs']] == [{'command', 'commit', 'date', 'machine'}]
    first = {'id': 'a', 'value': 1.0, 'unit': 'mAP', 'n': 120, 'run': 0}
    assert content['records'] == [
        first,
        {
            'id': 'b',
            'value': 1.0,
            'unit': 'mAP',
            'target': '>= 2',
            'met': False,
            'n': 120,
            'run': 0,
        },
    ]
    assert len(path.read_text().splitlines()) == 1 + 1 + 1 + 2 + 1


def test_records_are_read_as_they_were_written_each_with_its_run(tmp_path):
    path, other = tmp_path / 'demo.json', replace(record('b', target='< 2'), machine='other')
    written = [record('a'), other, record('c')]
    merge_records(path, written)
    assert read_records(path) == written
    assert len(json.loads(path.read_text())['runs']) == 2


def test_a_run_whose_records_are_all_replaced_is_forgotten(tmp_path):
    path = tmp_path / 'demo.json'
    merge_records(path, [replace(record('a'), commit='old')])
    merge_records(path, [record('a')])
    assert 'old' not in path.read_text() and len(read_records(path)) == 1


def test_merging_replaces_same_ids_in_place_and_appends_new_ones(tmp_path):
    path = tmp_path / 'results' / 'demo.json'
    merge_records(path, [record('a', 1), record('b', 2)])
    merge_records(path, [record('c', 3), record('a', 4)])
    assert [(r.id, r.value) for r in read_records(path)] == [('a', 4), ('b', 2), ('c', 3)]
    assert [p.name for p in path.parent.iterdir()] == ['demo.json']


@pytest.mark.parametrize(
    'text',
    ['[{"id": "a"', '[]', '{"runs": [], "records": [{"id": "a", "run": 0}]}', '{"records": []}'],
)
def test_a_broken_file_is_refused_and_left_as_it_is(tmp_path, text):
    path = tmp_path / 'demo.json'
    path.write_text(text)
    with pytest.raises(ConfigError, match='demo.json'):
        merge_records(path, [record('b')])
    assert path.read_text() == text


def test_an_id_given_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='distinct'):
        merge_records(tmp_path / 'demo.json', [record('a'), record('a')])


def test_no_file_means_no_records(tmp_path):
    assert read_records(tmp_path / 'none.json') == []


def test_the_machine_is_named_with_its_cores():
    assert re.search(r', \d+ cores, \w+ ', machine_name())


def git(folder, *arguments):
    subprocess.run(
        ['git', '-c', 'user.name=t', '-c', 'user.email=t@t', *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_the_commit_says_when_tracked_files_differ_except_in_docs(tmp_path):
    git(tmp_path, 'init', '-q')
    (tmp_path / 'docs').mkdir()
    for name in ('code.py', 'docs/figure.json'):
        (tmp_path / name).write_text('1')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-qm', 'one')
    commit = current_commit(tmp_path)
    assert re.fullmatch('[0-9a-f]{12}', commit)
    (tmp_path / 'docs' / 'figure.json').write_text('2')
    assert current_commit(tmp_path) == commit
    (tmp_path / 'code.py').write_text('2')
    assert current_commit(tmp_path) == f'{commit}+changes'


def test_outside_a_checkout_the_commit_is_unknown(tmp_path):
    assert current_commit(tmp_path) == 'unknown'
