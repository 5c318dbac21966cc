"""`metabev what-if` on the command line: a page, a JSON, wrong use."""

from __future__ import annotations

import json
import re

import pytest
from support.failing_drives import write_simultaneous_drive

from metabev_ros.config import save_config


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('command')
    save_config(write_simultaneous_drive(folder).rig, folder / 'rig.yaml')
    return folder


def test_a_page_that_needs_nothing_else_and_the_same_figures_as_json(metabev, folder, tmp_path):
    out = tmp_path / 'page.html'
    words = ('what-if', folder / 'drive.mcap', '--rig', folder / 'rig.yaml', '-o', out)
    more = ('--json', '--model', 'metabev_nano', '--only', 'kill', '--every', '0.3')
    code, text = metabev(*words, *more)
    assert code == 0, text
    assert '3 failures of 3 sensors, 2 moments each' in text and 'at most about' in text
    page = out.read_text(encoding='utf-8')
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and 'http' not in page
    assert page.count('src="data:image/jpeg;base64,') == 4
    plain = json.loads((tmp_path / 'page.json').read_text(encoding='utf-8'))
    assert plain['labels'] == '/ground_truth/detections' and len(plain['outcomes']) == 3
    for outcome in plain['outcomes']:
        assert outcome['sentence'] in page
    assert plain['outcomes'][0]['sentence'] in text
    assert json.loads(text[text.index('{') : text.rindex('}') + 1]) == plain
    code, text = metabev(*words, *more)
    assert code == 2 and '--force' in text and out.read_text(encoding='utf-8') == page
    assert metabev(*words, *more, '--force')[0] == 0


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--every', '0'), '0.01 or more'),
        (('--begin', '99'), 'the length of the bag'),
        (('--only', 'explode'), 'kill'),
        (('--model', 'metabev_huge'), 'metabev_nano'),
        (('-o', '/proc/nowhere/a.html'), 'a file that can be written'),
        (('-o', '/proc'), 'the name of a file'),
        (('--labels', '/nowhere'), 'no such topic'),
        (('--class', 'car'), 'THEIRS=OURS'),
    ],
)
def test_wrong_use_is_one_clear_text_and_exit_code_2(metabev, folder, tmp_path, words, said):
    out = () if '-o' in words else ('-o', tmp_path / 'out.html')
    rig = ('--rig', folder / 'rig.yaml')
    code, text = metabev('what-if', folder / 'drive.mcap', *rig, *out, *words)
    assert code == 2 and said in text and 'Traceback' not in text, text
    assert not (tmp_path / 'out.html').exists()


def test_what_is_no_bag_is_said(metabev, folder, tmp_path):
    (tmp_path / 'a.mcap').write_bytes(b'no bag')
    for path in (tmp_path / 'a.mcap', tmp_path / 'nothing.mcap'):
        code, text = metabev('what-if', path, '-o', tmp_path / 'out.html')
        assert code == 2 and str(path) in text and 'Traceback' not in text


def test_a_cut_bag_is_looked_at_as_far_as_it_goes_and_ends_with_3(metabev, folder, tmp_path):
    whole = (folder / 'drive.mcap').read_bytes()
    (tmp_path / 'cut.mcap').write_bytes(whole[: len(whole) * 3 // 4])
    out = tmp_path / 'page.html'
    words = ('what-if', tmp_path / 'cut.mcap', '--rig', folder / 'rig.yaml', '-o', out)
    code, text = metabev(*words, '--only', 'kill')
    assert code == 3 and 'written' in text, text
    assert 'the bag is cut or damaged' in out.read_text(encoding='utf-8')


def test_the_help_has_examples_and_the_kinds_of_failure(metabev):
    _, text = metabev('what-if', '--help')
    assert 'metabev what-if drive.mcap --rig my_rig.yaml' in text
    assert all(kind in text for kind in ('kill', 'delay', 'freeze', 'blind'))
