"""Every command of the README runs as it stands there."""

import re
import shutil
import subprocess

import pytest

BLOCK = re.compile(r'```sh\n(.*?)```', re.S)


def blocks(root) -> list[str]:
    return BLOCK.findall((root / 'README.md').read_text(encoding='utf-8'))


def make_targets(text: str) -> list[str]:
    return re.findall(r'^make ([\w-]+)', text, re.M)


@pytest.fixture
def folder(repo_root, tmp_path):
    """An empty folder in which the relative paths of the README hold."""
    if not (repo_root / '.venv/bin/metabev').exists():
        pytest.skip('needs the environment of `make setup`')
    (tmp_path / '.venv').symlink_to(repo_root / '.venv')
    return tmp_path


def test_every_make_target_of_the_readme_exists(repo_root):
    targets = [target for block in blocks(repo_root) for target in make_targets(block)]
    assert {'demo', 'test', 'setup'} <= set(targets)
    for target in targets:
        done = subprocess.run(['make', '-n', target], cwd=repo_root, capture_output=True)
        assert done.returncode == 0, target


def test_every_link_of_the_readme_leads_to_a_file(repo_root):
    text = (repo_root / 'README.md').read_text(encoding='utf-8')
    links = [link for link in re.findall(r'\]\(([^)#]+)\)', text) if '://' not in link]
    assert links
    assert [link for link in links if not (repo_root / link).exists()] == []


@pytest.mark.ros
def test_the_commands_of_the_readme_run_in_order(repo_root, folder):
    for block in blocks(repo_root):
        script = '\n'.join(line for line in block.splitlines() if not line.startswith('make '))
        if not script.strip():
            continue
        done = subprocess.run(
            ['bash', '-e', '-c', script], cwd=folder, text=True, capture_output=True, timeout=400
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ('drive.mcap', 'seen.mcap', 'seen.mp4', 'out/evaluation/report.md'):
        assert (folder / name).stat().st_size > 1000, name
    shutil.rmtree(folder / 'out')
