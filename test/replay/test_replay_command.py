"""`metabev replay` and `simulate` on the command line: parameters, wrong use, broken outputs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import rig_messages
from support.rig_messages import LIDAR

from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import NodeConfig, read_node_config, save_config
from metabev_ros.errors import ConfigError
from metabev_ros.resources import resource_path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A drive that loses its LiDAR after two of eight ticks, and its rig."""
    folder = tmp_path_factory.mktemp('command')
    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, 8, skip=lambda name, tick: name == LIDAR and tick > 1)
    save_config(rig_messages.rig(), folder / 'rig.yaml')
    return folder


def parameter_file(path, text: str):
    path.write_text(f'/**:\n  ros__parameters:\n{text}')
    return path


def test_replay_takes_the_parameter_file_of_the_node(metabev, folder, tmp_path):
    words = ('replay', folder / 'in.mcap', '--force', '-o', tmp_path / 'out.mcap')
    code, plain = metabev(*words, '--rig', folder / 'rig.yaml')
    assert code == 0 and 'CAMERA' in plain
    assert 'not heard: odom (not in the bag; optional)' in plain
    file = parameter_file(
        tmp_path / 'p.yaml',
        f'    use_sim_time: true\n    rig: {folder / "rig.yaml"}\n'
        '    sensing:\n      min_cameras: 3\n',
    )
    code, strict = metabev(*words, '--params', file)
    assert code == 0 and 'LIDAR' in strict and 'CAMERA' not in strict
    code, again = metabev(*words, '--params', file, '--set', 'sensing.min_cameras=1')
    assert code == 0 and 'CAMERA' in again


def test_an_option_wins_over_the_file_and_a_wrong_rig_in_the_file_is_named(
    metabev, folder, tmp_path
):
    file = parameter_file(tmp_path / 'p.yaml', '    rig: /nowhere.yaml\n')
    words = ('replay', folder / 'in.mcap', '-o', tmp_path / 'out.mcap', '--params', file)
    assert metabev(*words)[0] == 2 and '/nowhere.yaml' in metabev(*words)[1]
    assert metabev(*words, '--rig', folder / 'rig.yaml')[0] == 0


def test_a_replay_that_never_saw_anything_says_why_and_is_no_success(metabev, folder, tmp_path):
    """A rig with other topics, and one whose cameras are heard but have no calibration."""
    rig = (folder / 'rig.yaml').read_text()
    (tmp_path / 'rig.yaml').write_text(rig.replace('topic: ', 'topic: other/'))
    words = ('replay', folder / 'in.mcap', '--force', '-o', tmp_path / 'out.mcap')
    code, text = metabev(*words, '--rig', tmp_path / 'rig.yaml')
    assert code == 1 and 'NOTHING was perceived' in text
    assert 'not used: LIDAR_TOP (NEVER: nothing received)' in text
    assert f'not heard: other/{LIDAR}/points (not in the bag)' in text
    assert f'in the bag, not in the rig: /{LIDAR}/points (sensor_msgs/msg/PointCloud2)' in text
    assert BagReader(tmp_path / 'out.mcap').counts['/perception/status'] > 5
    rig = rig.replace('camera_info', 'info').replace(f'{LIDAR}/points', 'other')
    (tmp_path / 'rig.yaml').write_text(rig)
    code, text = metabev(*words, '--rig', tmp_path / 'rig.yaml')
    assert code == 1 and 'not used: CAM_FRONT (UNCALIBRATED' in text
    assert 'in the bag, not in the rig: /CAM_FRONT/camera_info' in text


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--set', 'sensing.deadlin=1.0'), 'did you mean sensing.deadline'),
        (('--set', 'sensing.deadline=99'), '0.001..5'),
        (('--set', 'sensing.deadline=soon'), 'sensing.deadline'),
        (('--set', 'sensing.deadline=.nan'), '0.001..5'),
        (('--set', 'sensing=1'), 'unknown name'),
        (('--set', 'deadline'), 'name=value'),
        (('--params', '/nowhere.yaml'), 'readable YAML'),
        (('--video', '/proc/nowhere/a.mp4'), 'a file that can be written'),
        (('--video', 'a.avi'), '.mp4'),
        (('--out', '/proc/nowhere/a.mcap'), 'a file that can be written'),
        (('--out', '/proc'), 'that of a folder'),
    ],
)
def test_wrong_use_is_one_clear_text_and_exit_code_2(metabev, folder, tmp_path, words, said):
    out = () if '--out' in words else ('--out', tmp_path / 'out.mcap')
    code, text = metabev('replay', folder / 'in.mcap', '--rig', folder / 'rig.yaml', *out, *words)
    assert code == 2 and said in text and 'Traceback' not in text
    assert list(tmp_path.iterdir()) == []


def test_a_seed_below_zero_is_refused(metabev, tmp_path):
    code, text = metabev('simulate', tmp_path / 'a.mcap', '--seed', '-5')
    assert code == 2 and '--seed' in text and 'Traceback' not in text


@pytest.mark.parametrize('encoder', ['exit 1', 'cat > /dev/null'])
def test_a_video_that_fails_does_not_cost_the_replay(folder, tmp_path, monkeypatch, encoder):
    """An encoder that dies at once, and one that ends without a file, as on a full disk."""
    script = tmp_path / 'encoder'
    script.write_text(f'#!/bin/sh\n{encoder}\n')
    script.chmod(0o755)
    monkeypatch.setenv('IMAGEIO_FFMPEG_EXE', str(script))
    out, video = tmp_path / 'out.mcap', tmp_path / 'out.mp4'
    command = [sys.executable, '-m', 'metabev_ros.cli', 'replay', folder / 'in.mcap', '-o', out]
    command += ['--rig', folder / 'rig.yaml', '--video', video]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and 'video is LOST' in done.stdout, done.stderr
    assert 'Traceback' not in done.stderr
    assert not BagReader(out).integrity.is_lossy
    assert sorted(path.name for path in tmp_path.iterdir()) == ['encoder', 'out.mcap']


def test_the_shipped_parameter_file_is_the_default_configuration():
    config, given = read_node_config(
        resource_path('config/perception.param.yaml'), (), 'perception'
    )
    assert config == NodeConfig() and 'sensing.deadline' in given


def test_sections_of_other_nodes_are_not_read_and_dotted_names_are(tmp_path):
    path = tmp_path / 'p.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    sensing.deadline: 0.2\n    threads: 3\n'
        'perception:\n  ros__parameters:\n    sensing: {deadline: 0.3}\n'
        'radar:\n  ros__parameters:\n    threads: 9\n'
    )
    config, given = read_node_config(path, ('threads:=4',), 'perception')
    assert (config.sensing.deadline, config.threads) == (0.3, 4)
    assert given == {'sensing.deadline', 'threads'}
    path.write_text('radar:\n  ros__parameters:\n    threads: 9\n')
    with pytest.raises(ConfigError, match='perception'):
        read_node_config(path, (), 'perception')
