"""The page from a bag to a model of one's own: its commands run as they stand there, on little."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from metabev_ros.resources import DEFAULT_MODEL

BLOCK = re.compile(r'```sh\n(.*?)```', re.S)
# What the page asks for -> what a test has time for.
LITTLE = {
    '--seconds 20': '--seconds 1.6',
    '--seconds 10': '--seconds 1.2',
    '--steps 300': '--steps 2',
}


def commands(repo_root: Path) -> list[str]:
    """Return the shell blocks of the page, with fewer seconds and steps."""
    text = (repo_root / 'docs/your_data.md').read_text(encoding='utf-8')
    blocks = BLOCK.findall(text)
    for much, little in LITTLE.items():
        assert any(much in block for block in blocks), much
        blocks = [block.replace(much, little) for block in blocks]
    return blocks


@pytest.mark.ros
def test_the_commands_of_the_page_lead_from_a_bag_to_a_running_model(
    repo_root: Path, tmp_path: Path
) -> None:
    programs = repo_root / '.venv/bin'
    if not (programs / 'metabev').exists():
        pytest.skip('needs the environment of `make setup-dev`')
    shutil.copytree(repo_root / DEFAULT_MODEL, tmp_path / DEFAULT_MODEL)
    environment = {**os.environ, 'PATH': f'{programs}:{os.environ["PATH"]}'}
    for block in commands(repo_root):
        done = subprocess.run(
            ['bash', '-e', '-c', block],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in (
        'data/train/records.json',
        'out/before/report.md',
        'out/after/report.md',
        'models/mine/contract.json',
        'seen.mcap',
    ):
        assert (tmp_path / name).stat().st_size > 500, name
    assert list((tmp_path / 'data/train/pictures').glob('*.png'))
    card = (tmp_path / 'models/mine/MODEL_CARD.md').read_text(encoding='utf-8')
    assert "of the bag's owner" in card


def test_every_source_of_the_page_is_a_command(repo_root: Path) -> None:
    from typer.testing import CliRunner

    from metabev_ros.cli import app

    text = (repo_root / 'docs/your_data.md').read_text(encoding='utf-8')
    named = set(re.findall(r'metabev import ([a-z0-9-]+)', text))
    assert named == {'bag', 'nuscenes', 'kitti', 'kitti-tracking', 'av2', 'synthetic', 'traffic'}
    for name in named:
        shown = CliRunner().invoke(app, ['import', name, '--help'])
        assert shown.exit_code == 0, name
    options = set(re.findall(r'(--[a-z][a-z-]*)', text))
    shown = ''.join(
        CliRunner().invoke(app, [*line.split(), '--help'], terminal_width=200).output
        for line in (
            *(f'import {name}' for name in named),
            'evaluate',
            'finetune',
            'simulate',
            'export',
            'play',
            'replay',
        )
    )
    known = set(re.findall(r'(--[a-z][a-z-]*)', shown)) | {'--ros-args'}
    assert options <= known, options - known
