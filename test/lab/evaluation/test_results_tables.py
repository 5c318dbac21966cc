"""Tables in the documents come from docs/results and are up to date."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'results_tables.py'
DOCUMENT = 'Before.\n\n<!-- results:demo evaluation. -->\nold\n<!-- /results -->\n\nAfter.\n'


@pytest.fixture(scope='module')
def tables():
    spec = importlib.util.spec_from_file_location('results_tables', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    record = {
        'id': 'evaluation.fused.map',
        'value': 0.41,
        'unit': 'mAP',
        'target': '>= 0.35',
        'met': True,
        'command': 'metabev evaluate',
        'commit': 'abc',
        'date': '2026-01-01',
        'machine': 'a computer',
        'n': 120,
    }
    other = {
        **record,
        'id': 'demo.silence',
        'value': 450.0,
        'unit': 'ms',
        'target': '<= 400',
        'met': False,
    }
    (tmp_path / 'docs' / 'results').mkdir(parents=True)
    (tmp_path / 'docs' / 'results' / 'demo.json').write_text(json.dumps([record, other]))
    (tmp_path / 'README.md').write_text(DOCUMENT)
    return tmp_path


def test_the_committed_documents_are_up_to_date():
    done = subprocess.run([sys.executable, str(TOOL), '--check'], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_a_stale_document_and_changes_nothing(tables, checkout, capsys):
    assert tables.main(['--check', '--root', str(checkout)]) == 1
    assert 'README.md: out of date' in capsys.readouterr().out
    assert (checkout / 'README.md').read_text() == DOCUMENT


def test_writing_fills_the_block_only_and_is_then_up_to_date(tables, checkout):
    assert tables.main(['--root', str(checkout)]) == 0
    text = (checkout / 'README.md').read_text()
    assert text.startswith('Before.\n\n<!-- results:demo evaluation. -->\n')
    assert text.endswith('<!-- /results -->\n\nAfter.\n') and 'old' not in text
    assert '| `evaluation.fused.map` | 0.41 mAP | >= 0.35 | yes | 120 |' in text
    assert 'demo.silence' not in text
    assert tables.main(['--check', '--root', str(checkout)]) == 0


def test_a_figure_below_its_target_is_shown_as_such(tables, checkout):
    path = checkout / 'docs' / 'page.md'
    path.write_text('<!-- results:demo -->\n<!-- /results -->\n')
    tables.main(['--root', str(checkout)])
    assert '| `demo.silence` | 450 ms | <= 400 | **no** |' in path.read_text()


def test_a_changed_figure_makes_the_document_stale(tables, checkout):
    tables.main(['--root', str(checkout)])
    path = checkout / 'docs' / 'results' / 'demo.json'
    path.write_text(path.read_text().replace('0.41', '0.39'))
    assert tables.main(['--check', '--root', str(checkout)]) == 1


def test_a_missing_results_file_gives_a_table_that_says_so(tables, checkout):
    (checkout / 'docs' / 'results' / 'demo.json').unlink()
    tables.main(['--root', str(checkout)])
    assert 'no figures recorded yet' in (checkout / 'README.md').read_text()


def test_a_matrix_sets_models_side_by_side_and_shows_what_is_missing(tables, checkout):
    record = {
        'value': 0.5,
        'unit': 'NDS',
        'target': None,
        'met': None,
        'command': 'c',
        'commit': 'abc',
        'date': 'd',
        'machine': 'm',
        'n': 400,
    }
    records = [
        {**record, 'id': 'robustness.ours.lf.120.nds'},
        {**record, 'id': 'robustness.ours.lf.120.miou', 'value': 0.25, 'unit': 'mIoU'},
        {**record, 'id': 'robustness.base.lf.120.nds', 'value': 0.4},
        {**record, 'id': 'robustness.ours.mo.0_3.nds', 'value': 0.9},
        {**record, 'id': 'robustness.other.lf.120.nds', 'value': 0.8},
    ]
    (checkout / 'docs' / 'results' / 'robustness.json').write_text(json.dumps(records))
    page = checkout / 'docs' / 'page.md'
    page.write_text('<!-- matrix:robustness ours,base nds,miou lf. -->\n<!-- /results -->\nEnd.')
    tables.main(['--root', str(checkout)])
    text = page.read_text()
    assert '| setting | ours NDS / mIoU | base NDS / mIoU |' in text
    assert '| `lf.120` | 0.500 / 0.250 | 0.400 / - |' in text
    assert 'mo.0_3' not in text and '0.8' not in text and 'Samples: `400`' in text
    assert text.endswith('<!-- /results -->\nEnd.')
    assert tables.main(['--check', '--root', str(checkout)]) == 0


def test_a_figure_stands_in_a_sentence_with_its_unit(tables, checkout):
    page = checkout / 'docs' / 'page.md'
    page.write_text(
        'Silent for <!-- figure:demo demo.silence -->9 s<!-- /figure -->, mAP '
        '<!-- figure:demo evaluation.fused.map --><!-- /figure -->.'
    )
    assert tables.main(['--check', '--root', str(checkout)]) == 1
    tables.main(['--root', str(checkout)])
    assert page.read_text() == (
        'Silent for <!-- figure:demo demo.silence -->450 ms<!-- /figure -->, mAP '
        '<!-- figure:demo evaluation.fused.map -->0.41 mAP<!-- /figure -->.'
    )


def test_a_figure_that_nobody_recorded_is_an_error(tables, checkout):
    (checkout / 'README.md').write_text('<!-- figure:demo demo.silense -->1 s<!-- /figure -->')
    with pytest.raises(SystemExit, match="demo.json has no figure 'demo.silense'"):
        tables.main(['--root', str(checkout)])


@pytest.mark.parametrize(
    'value, unit, text',
    [
        (1022637, 'outputs', '1 022 637 outputs'),
        (0.5156, 's', '0.516 s'),
        (0, '', '0'),
        (-0.01973, 's', '-0.0197 s'),
    ],
)
def test_a_figure_has_three_digits_or_is_whole(tables, value, unit, text):
    record = {'id': 'f', 'value': value, 'unit': unit}
    assert tables.render_figure([record], 'demo', 'f') == text
