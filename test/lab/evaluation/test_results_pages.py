"""The pages of docs/results are what the command makes, and documents link to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import results_pages
from results_pages import Page, Table

from metabev_ros.lab.evaluation.records import ResultRecord, merge_records

LINK = re.compile(r'\]\(((?:[\w./-]*/)?results/[\w.-]+)(?:#[\w-]+)?\)')
RECORD = ResultRecord(
    'demo.cameras.silence', 450.0, 'ms', '<= 400', False, 'metabev demo', 'abc', 'day', 'here', 40
)
LISTED = Table('Silence', 'How long.', list=('demo.',))


def record(name: str, value: float, unit: str = 'NDS', met: bool | None = None) -> ResultRecord:
    target = None if met is None else '> 0'
    return ResultRecord(
        name, value, unit, target, met, 'metabev evaluate', 'abc', 'day', 'pc', 400
    )


def made(tmp_path: Path, table: Table, *records: ResultRecord) -> str:
    """The page that a table and records give."""
    merge_records(tmp_path / 'demo.json', records)
    return results_pages.render(Page('demo', 'Title', 'About it.', (table,)), tmp_path)


def test_the_committed_pages_are_what_the_command_makes(capsys):
    assert results_pages.main(['--check']) == 0, capsys.readouterr().out


def test_every_page_of_the_folder_is_made_by_the_command(repo_root):
    made_pages = set(results_pages.all_pages(repo_root, results_pages.SPEC))
    folder = repo_root / 'docs' / 'results'
    others = {folder / 'README.md', folder / 'transcript.md'}  # was typed
    assert {*folder.glob('*.md')} - made_pages == others


def test_a_result_file_is_small_enough_to_read(repo_root):
    for path in (repo_root / 'docs' / 'results').iterdir():
        assert path.stat().st_size <= 200_000, path.name


def test_documents_link_to_result_pages_that_exist(repo_root):
    documents = [repo_root / 'README.md', *(repo_root / 'docs').glob('*.md')]
    linked = {
        (path.parent / link).resolve()
        for path in (*documents, *(repo_root / 'models').rglob('MODEL_CARD.md'))
        for link in LINK.findall(path.read_text(encoding='utf-8'))
    }
    assert [path for path in linked if not path.exists()] == []
    assert repo_root / 'docs/results/demo.md' in linked


def test_a_list_has_a_row_a_record_and_the_run_once_at_the_bottom(tmp_path):
    text = made(tmp_path, LISTED, RECORD, record('demo.score', 1022637.0, '', met=True))
    assert '| cameras: silence | 450 ms | <= 400 | **no** | 40 | 1 |' in text
    assert '| score | 1 022 637 | > 0 | yes | 400 | 2 |' in text
    assert text.startswith('# Title\n\nAbout it.\n') and '## Silence\n\nHow long.\n' in text
    assert text.endswith(
        '## Runs\n\n1. `metabev demo`, commit `abc`, day, here\n'
        '2. `metabev evaluate`, commit `abc`, day, pc\n'
    )


def test_a_row_of_a_list_may_have_words_of_its_own(tmp_path):
    table = Table('Silence', 'How long.', ('demo.',), rows={RECORD.id: 'no cameras'})
    assert '| no cameras | 450 ms |' in made(tmp_path, table, RECORD)


def test_a_grid_sets_models_side_by_side_and_shows_what_is_missing(tmp_path):
    table = Table(
        'Scores',
        'Of all.',
        grid='rob.{column}.{row}.{figure}',
        rows={'lf.*': 'LiDAR sees {} degrees', 'mo.*': 'share {}'},
        columns={'ours': 'ours', 'base': 'the other', 'none': 'not measured'},
        figures={'nds': 'NDS', 'miou': 'mIoU'},
        digits='.3f',
        only=('lf.', 'mo.'),
    )
    text = made(
        tmp_path,
        table,
        record('rob.ours.lf.120.nds', 0.5),
        record('rob.ours.lf.120.miou', 0.25, 'mIoU', met=False),
        record('rob.base.lf.120.nds', 0.4),
        record('rob.ours.mo.0_3.nds', 0.9),
        record('rob.third.lf.120.nds', 0.8),
        record('rob.ours.br.4.nds', 0.7),
        record('rob.ours.lf.120.ece', 0.6),
    )
    assert '|  | ours (NDS / mIoU) | the other (NDS / mIoU) |\n' in text
    assert '| LiDAR sees 120 degrees | 0.500 / **0.250** | 0.400 / - |\n' in text
    assert '| share 0.3 | 0.900 / - |  |\n' in text
    assert not re.search(r'0\.[678]', text) and 'n: 400. Run: 1.' in text


def test_a_figure_may_stand_with_its_interval_in_one_cell(tmp_path):
    table = Table(
        'Leads',
        'Of both.',
        grid='over.{row}.{column}{figure}',
        columns={'nds': 'NDS', 'miou': 'mIoU'},
        figures={'': 'lead', '_low': 'from', '_high': 'to'},
        cell='{} [{}, {}]',
    )
    ends = {'': 0.2, '_low': 0.1, '_high': 0.3}
    records = [record(f'over.mc.1.nds{ending}', value) for ending, value in ends.items()]
    text = made(tmp_path, table, *records, record('over.mc.1.miou', 0.4))
    assert '|  | NDS (lead [from, to]) | mIoU (lead [from, to]) |\n' in text
    assert '| mc: 1 | 0.2 [0.1, 0.3] | 0.4 [-, -] |\n' in text


def test_figures_without_a_column_have_a_column_each_with_its_unit(tmp_path):
    table = Table(
        'Cost',
        'Of both.',
        grid='cost.{row}.{figure}',
        figures={'p': 'parameters', 'm': 'products'},
    )
    text = made(tmp_path, table, record('cost.a.p', 2.5, 'M'), record('cost.a.m', 7.0, 'GMAC'))
    assert '|  | parameters (M) | products (GMAC) |\n' in text
    assert '| a | 2.5 | 7 |\n' in text


@pytest.mark.parametrize('file', ['demo', 'unknown'])
def test_a_table_without_figures_is_an_error_that_names_file_and_table(tmp_path, file):
    merge_records(tmp_path / 'demo.json', [RECORD])
    page = Page('demo', 'T', 'A.', (Table('Silence', 'How long.', list=('other.',)),), file=file)
    with pytest.raises(SystemExit, match=f"'Silence': docs/results/{file}.json has no such"):
        results_pages.render(page, tmp_path)


@pytest.mark.parametrize(
    ('value', 'digits', 'text'),
    [
        (1022637, '', '1 022 637'),
        (20968.4, '', '20 968'),
        (0.5156, '', '0.5156'),
        (0, '', '0'),
        (-0.01973, '', '-0.01973'),
        (0.0734, '+.3f', '+0.073'),
    ],
)
def test_a_value_is_whole_or_has_four_digits(value, digits, text):
    assert results_pages.number(value, digits) == text


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one page, of which a fault matrix is no part."""
    monkeypatch.setattr(results_pages, 'ROOT', tmp_path)
    monkeypatch.setattr(results_pages, 'SPEC', tmp_path / 'pages.yaml')
    monkeypatch.setattr(results_pages.fault_matrix, 'page', lambda root: 'matrix')
    (tmp_path / 'pages.yaml').write_text(
        '- {name: demo, title: T, about: A, tables: [{title: S, about: H, list: [demo.]}]}\n'
    )
    merge_records(tmp_path / 'docs/results/demo.json', [RECORD])
    return tmp_path


def test_check_names_stale_pages_and_writes_nothing(checkout, capsys):
    assert results_pages.main(['--check']) == 1
    assert 'demo.md: out of date' in capsys.readouterr().out
    assert [path.name for path in (checkout / 'docs/results').iterdir()] == ['demo.json']


def test_writing_makes_the_pages_and_a_changed_figure_makes_one_stale(checkout, capsys):
    assert results_pages.main([]) == 0 and results_pages.main(['--check']) == 0
    path = checkout / 'docs/results/demo.json'
    path.write_text(path.read_text().replace('450', '390'))
    capsys.readouterr()
    assert results_pages.main(['--check']) == 1
    assert capsys.readouterr().out == 'docs/results/demo.md: out of date\n'
