"""Every command of the README runs as it stands there; every document is whole."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BLOCK = re.compile(r'```sh\n(.*?)```', re.S)
CODE = re.compile(r'^```.*?^```$|^    .*?$', re.S | re.M)
LINK = re.compile(r'\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#{1,6} (.+)$', re.M)
# From the code, as long as that has keys and commands.
MADE_BY_TOOLS = ('rig.md', 'parameters.md', 'command_line.md')


def blocks(root: Path) -> list[str]:
    """Return the shell blocks of the README."""
    return BLOCK.findall((root / 'README.md').read_text(encoding='utf-8'))


def make_targets(text: str) -> list[str]:
    """Return the targets of the `make` commands of a block."""
    return re.findall(r'^make ([\w-]+)', text, re.M)


def documents(root: Path) -> list[Path]:
    """Return every Markdown file of the repository."""
    return [*root.glob('*.md'), *(root / 'docs').rglob('*.md'), *(root / 'models').rglob('*.md')]


def prose(path: Path) -> str:
    """Return a document without its blocks of code."""
    return CODE.sub('', path.read_text(encoding='utf-8'))


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a document."""
    titles = [re.sub(r'[`*]', '', title).lower() for title in HEADING.findall(prose(path))]
    return {re.sub(r'[^\w\- ]', '', title).replace(' ', '-') for title in titles}


def broken_links(path: Path) -> list[str]:
    """Return the relative links of a document whose file or anchor is not there."""
    broken = []
    for link in LINK.findall(prose(path)):
        name, _, anchor = link.partition('#')
        target = path.parent / name if name else path
        if '://' not in link and not (
            target.exists() and (not anchor or anchor in anchors(target))
        ):
            broken.append(f'{path.name}: {link}')
    return broken


def unbalanced_rows(path: Path) -> list[str]:
    """Return the rows of tables that have more or fewer cells than their header."""
    uneven, cells = [], 0
    for line in prose(path).splitlines():
        row = line.startswith('|') and re.sub(r'\\\||`[^`]*`', '', line).count('|')
        if row and cells and row != cells:
            uneven.append(f'{path.name}: {line}')
        cells = (cells or row) if row else 0
    return uneven


@pytest.fixture
def folder(repo_root: Path, tmp_path: Path) -> Path:
    """Return an empty folder in which the relative paths of the README hold."""
    if not (repo_root / '.venv/bin/metabev').exists():
        pytest.skip('needs the environment of `make setup`')
    (tmp_path / '.venv').symlink_to(repo_root / '.venv')
    return tmp_path


def test_every_make_target_of_the_readme_exists(repo_root: Path) -> None:
    targets = [target for block in blocks(repo_root) for target in make_targets(block)]
    assert {'demo', 'test', 'setup'} <= set(targets)
    for target in targets:
        done = subprocess.run(['make', '-n', target], cwd=repo_root, capture_output=True)
        assert done.returncode == 0, target


def test_every_link_and_anchor_of_every_document_leads_somewhere(repo_root: Path) -> None:
    assert sum(len(LINK.findall(prose(path))) for path in documents(repo_root)) > 100
    assert [link for path in documents(repo_root) for link in broken_links(path)] == []


def test_a_broken_link_or_anchor_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('# A b\n[1](#a-b) [2](page.md#a-b) [3](#c) [4](gone.md) [5](page.md#d)\n')
    assert broken_links(page) == ['page.md: #c', 'page.md: gone.md', 'page.md: page.md#d']


def test_every_row_of_a_table_has_the_cells_of_its_header(repo_root: Path) -> None:
    assert [row for path in documents(repo_root) for row in unbalanced_rows(path)] == []


def test_documents_for_people_hold_no_markers_and_stay_short(repo_root: Path) -> None:
    pages = [repo_root / 'README.md', *(repo_root / 'docs').glob('*.md')]
    text = [path.read_text(encoding='utf-8') for path in pages]
    assert not any('<!--' in page for page in text)
    assert (
        len(re.sub(r'```.*?```|\]\(.*?\)', '', text[0], flags=re.S).split()) < 850
    )  # two minutes
    written = [page for page in pages[1:] if page.name not in MADE_BY_TOOLS]
    lines = {page.name: page.read_text(encoding='utf-8').count('\n') for page in written}
    assert max(lines.values()) <= 350, lines
    assert sum(lines.values()) <= 2968, lines


@pytest.mark.ros
def test_the_commands_of_the_readme_run_in_order(repo_root: Path, folder: Path) -> None:
    for block in blocks(repo_root):
        script = '\n'.join(line for line in block.splitlines() if not line.startswith('make '))
        if not script.strip():
            continue
        done = subprocess.run(
            ['bash', '-e', '-c', script], cwd=folder, text=True, capture_output=True, timeout=550
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ('drive.mcap', 'seen.mcap', 'seen.mp4', 'out/evaluation/report.md'):
        assert (folder / name).stat().st_size > 1000, name
    shutil.rmtree(folder / 'out')
