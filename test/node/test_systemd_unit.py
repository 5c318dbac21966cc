"""The example unit: systemd takes it, and the node runs where only its folders can be written.

systemd itself is not run: a mount namespace has the restrictions on the file system that
`ProtectSystem=strict`, `ProtectHome` and `PrivateTmp` make.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

UNIT = 'config/systemd/metabev-perception.service'
FOLDERS = {
    'LogsDirectory': '/var/log',
    'StateDirectory': '/var/lib',
    'CacheDirectory': '/var/cache',
}
# $1: a folder to read from; then the command. What is mounted is gone with the namespace.
RESTRICTED = """
set -e
from=$1; shift
mount --make-rprivate /
mount --bind "$from" /mnt
for folder in /tmp /home /var/log /var/lib /var/cache; do mount -t tmpfs tmpfs $folder; done
for folder in /var/log /var/lib /var/cache; do
    mkdir $folder/metabev
    mount --bind $folder/metabev $folder/metabev
    mount -o remount,ro,bind $folder
done
mount -o remount,ro,bind /mnt
mount -o remount,ro,bind /
exec "$@"
"""


def settings(repo_root) -> dict[str, list[str]]:
    """Key of the unit -> its values."""
    found: dict[str, list[str]] = {}
    for line in (repo_root / UNIT).read_text().splitlines():
        name, separator, value = line.partition('=')
        if separator and not line.startswith('#'):
            found.setdefault(name, []).append(value)
    return found


def environment(repo_root) -> dict[str, str]:
    """What the unit sets for the node, of folders."""
    words = ' '.join(settings(repo_root)['Environment']).split()
    pairs = dict(word.split('=', 1) for word in words)
    return {name: value for name, value in pairs.items() if value.startswith('/var/')}


def can_unshare() -> bool:
    command = ['unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']
    return (
        bool(shutil.which('unshare'))
        and not subprocess.run(command, capture_output=True).returncode
    )


def test_every_folder_that_is_written_is_one_that_systemd_makes(repo_root):
    unit = settings(repo_root)
    made = {f'{parent}/{name}' for key, parent in FOLDERS.items() for name in unit[key]}
    assert set(environment(repo_root)) == {'ROS_LOG_DIR', 'ROS_HOME', 'HOME', 'XDG_CACHE_HOME'}
    assert set(environment(repo_root).values()) == made


@pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='needs systemd-analyze')
def test_systemd_finds_no_fault_in_the_unit(repo_root):
    done = subprocess.run(
        ['systemd-analyze', 'verify', str(repo_root / UNIT)], capture_output=True, text=True
    )
    assert done.returncode == 0 and UNIT.rsplit('/', 1)[-1] not in done.stderr, done.stderr


@pytest.mark.ros
@pytest.mark.parametrize('with_folders', [False, True], ids=['ROS defaults', 'as the unit says'])
def test_the_node_runs_where_only_the_folders_of_the_unit_can_be_written(
    repo_root, tmp_path, monkeypatch, model, with_folders
):
    if not can_unshare():
        pytest.skip('needs the right to mount: root, and unshare')
    from support.live_graph import NodeProcess

    for name in ('ROS_LOG_DIR', 'ROS_HOME', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    if with_folders:
        for name, value in environment(repo_root).items():
            monkeypatch.setenv(name, value)
    restricted = ('unshare', '--mount', 'sh', '-c', RESTRICTED, 'sh', str(tmp_path))
    node = NodeProcess(
        tmp_path,
        program=(*restricted, sys.executable, '-m', 'metabev_ros.node.process'),
        model=model,
        rig='/mnt/rig.yaml',
    )
    try:
        if with_folders:
            node.wait_for_log('active:')
        else:
            assert node.wait() == 2 and 'name another one: ROS_LOG_DIR' in node.log, node.log
    finally:
        assert node.stop() == (0 if with_folders else 2), node.log
    assert not os.path.exists('/var/log/metabev'), 'it belonged to the namespace'
