"""The pages that lead a new user say what the code says and what tests run."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from test_readme import BLOCK, blocks

NOTEBOOK = 'docs/notebooks/first_look.ipynb'


def texts_of(source: str) -> Iterator[str]:
    """Yield the texts of a module, not its docstrings; `{}` stands for what is put in."""
    tree = ast.parse(source)
    words = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else '{}' for p in node.values]
            yield ''.join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in words:
                yield node.value


def messages(page: str) -> list[str]:
    """Return the fragments that the first cells of the tables quote."""
    cells = [line.split(' | ')[0] for line in page.splitlines() if line.startswith('| `')]
    return [fragment for cell in cells for fragment in re.findall(r'`([^`]+)`', cell)]


@pytest.fixture(scope='module')
def source_texts(repo_root: Path) -> str:
    """Every text of the package and of the set-up, one a line; names of states too."""
    paths = [*(repo_root / 'metabev_ros').rglob('*.py'), *(repo_root / 'tools').glob('setup*.py')]
    texts = [text for path in paths for text in texts_of(path.read_text(encoding='utf-8'))]
    from metabev_ros.structures import SensorState

    shell = (repo_root / 'tools/setup.sh').read_text(encoding='utf-8')
    return '\n'.join([*texts, shell, *SensorState.__members__])


def test_every_message_of_the_troubleshooting_page_is_one_of_the_code(
    repo_root: Path, source_texts: str
) -> None:
    quoted = messages((repo_root / 'docs/troubleshooting.md').read_text(encoding='utf-8'))
    assert len(quoted) > 80
    assert [each for each in quoted if each not in source_texts] == []


def test_every_state_of_a_sensor_that_is_not_ok_is_explained_somewhere(repo_root: Path) -> None:
    from metabev_ros.structures import SensorState

    pages = ''.join(
        (repo_root / 'docs' / name).read_text(encoding='utf-8')
        for name in ('troubleshooting.md', 'operations.md')
    )
    assert [state.name for state in SensorState if state.name not in pages] == []


def test_a_message_that_no_code_has_is_noticed() -> None:
    page = '| message | why | what |\n|---|---|---|\n| `a b` ... `c` | `d` | e |\n'
    assert messages(page) == ['a b', 'c']
    texts = list(texts_of('"""a b"""\nx = f"one {1} two" \'three\'\ny = "four"'))
    assert not any('a b' in text for text in texts)
    assert 'one {} twothree' in texts and 'four' in texts


def runnable(page: str) -> list[str]:
    """Return the lines of a page's shell blocks but those that it says need something."""
    found = []
    for part in re.finditer(BLOCK, page):
        before = page[: part.start()].rstrip().rsplit('\n\n', 1)[-1]
        if not before.startswith('Needs '):
            found += part[1].splitlines()
    return found


def test_every_command_of_the_start_page_is_run_by_the_test_of_the_readme(
    repo_root: Path,
) -> None:
    lines = runnable((repo_root / 'docs/start.md').read_text(encoding='utf-8'))
    known = {line for block in blocks(repo_root) for line in block.splitlines()}
    assert len(lines) > 10
    assert [line for line in lines if line not in known] == []


def test_a_command_that_needs_something_is_not_taken_for_one_that_runs() -> None:
    page = 'Do:\n\n```sh\nmake a\n```\n\nNeeds a screen:\n\n```sh\nrviz2\n```\n'
    assert runnable(page) == ['make a']


def test_the_page_of_commands_is_made_from_the_commands(repo_root: Path) -> None:
    tool = runpy.run_path(str(repo_root / 'tools/command_docs.py'))
    for path, text in tool['texts']().items():
        assert (repo_root / path).read_text(encoding='utf-8') == text, f'run {tool["COMMAND"]}'


def test_the_page_of_commands_has_every_option_of_a_command(repo_root: Path) -> None:
    from typer.testing import CliRunner

    from metabev_ros.cli import app

    page = (repo_root / 'docs/command_line.md').read_text(encoding='utf-8')
    for name in ('replay', 'import bag', 'build-engines'):
        section = page.split(f'\n## metabev {name}\n')[1].split('\n## ')[0]
        shown = CliRunner().invoke(app, [*name.split(), '--help'], terminal_width=200).output
        options = set(re.findall(r'(?<![\w-])(--[a-z][a-z-]+)', shown)) - {'--help'}
        assert len(options) > 4
        assert options <= set(re.findall(r'`(--[a-z-]+)`', section)), name


def test_the_notebook_runs_in_order_and_sees_less_with_fewer_sensors(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plt, 'show', lambda: None)
    book = json.loads((repo_root / NOTEBOOK).read_text(encoding='utf-8'))
    names: dict = {}
    for number, cell in enumerate(book['cells']):
        if cell['cell_type'] == 'code':
            assert cell['outputs'] == [] and cell['execution_count'] is None, number
            code = compile(''.join(cell['source']), f'{NOTEBOOK}, cell {number}', 'exec')
            exec(code, names)
    made = {name: result.sample.modality.name for name, result in names['results'].items()}
    assert list(made.values()) == ['FUSED', 'LIDAR', 'CAMERA', 'FUSED']
    assert (
        sum(image is not None for image in names['samples']['two cameras dead'].cameras.values())
        == 4
    )
    assert all(axis.images for axis in names['figure'].axes)
    plt.close(names['figure'])


def test_the_moving_picture_of_the_readme_moves_and_is_small(repo_root: Path) -> None:
    path = repo_root / 'docs/images/sensor_dies.webp'
    assert path.name in (repo_root / 'README.md').read_text(encoding='utf-8')
    assert path.stat().st_size < 1.5e6
    with Image.open(path) as picture:
        assert picture.n_frames > 20


def test_a_video_becomes_a_moving_picture_of_every_fourth_frame(tmp_path: Path) -> None:
    from figures.film import STEP, WIDTH, write_webp

    video, out = tmp_path / 'a.mp4', tmp_path / 'a.webp'
    frames = imageio_ffmpeg.write_frames(str(video), (320, 160), fps=20, macro_block_size=2)
    frames.send(None)
    for level in range(3 * STEP):
        frames.send(np.full((160, 320, 3), 20 * level, np.uint8))
    frames.close()
    write_webp(video, out)
    with Image.open(out) as picture:
        assert (picture.n_frames, picture.size) == (3, (WIDTH, WIDTH // 2))
        picture.seek(2)
        picture.load()
        assert picture.info['duration'] == 200
        assert abs(np.asarray(picture.convert('RGB')).mean() - 20 * 2 * STEP) < 4
