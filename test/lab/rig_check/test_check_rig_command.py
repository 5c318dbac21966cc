"""`metabev check-rig` on the command line: what it writes, prints and refuses."""

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from support.rig_check_bags import small_rig, write

from metabev_ros.cli import main
from metabev_ros.config import RigConfig, SensingConfig, load_config, save_config
from metabev_ros.replay.run import replay_bag
from metabev_ros.resources import resource_path


@pytest.fixture
def metabev(monkeypatch, capsys):
    """Runs the command line; gives (exit code, what was printed, errors)."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, 'argv', ['metabev', *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, ' '.join(printed.err.split())

    return run


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return write(tmp_path_factory.mktemp('rig') / 'good.mcap')


def lidar_away(messages):
    return [message for message in messages if not message.topic.startswith('/lidar_top')]


def test_a_rig_file_and_a_picture_are_written_once(metabev, good, tmp_path):
    rig, picture = tmp_path / 'made' / 'rig.yaml', tmp_path / 'rig.png'
    words = ('check-rig', good, '--write', rig, '--picture', picture)
    code, out, _ = metabev(*words)
    assert code == 0 and 'all sensors are usable' in out and f'written: {rig}' in out
    made = load_config(RigConfig, rig)
    assert set(made.sensor_names) == set(small_rig().sensor_names)
    assert '# lidar_top: point_time time, s from the stamp' in rig.read_text()
    pixels = cv2.imread(str(picture))
    assert min(pixels.shape[:2]) > 600 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
    before = rig.read_bytes()
    code, _, error = metabev(*words)
    assert code == 2 and 'add --force' in error and rig.read_bytes() == before
    assert metabev(*words, '--force')[0] == 0


def test_points_lie_on_the_pictures(metabev, good, tmp_path):
    """The drawing of a bag without points is the same but for them."""
    bare = write(tmp_path / 'bare.mcap', lidar_away)
    shown = {}
    for path in (good, bare):
        picture = tmp_path / f'{path.stem}.png'
        assert metabev('check-rig', path, '--picture', picture)[0] == 0
        shown[path.stem] = cv2.imread(str(picture)).astype(int)
    tile = (slice(26, 340), slice(0, 560))
    changed = np.abs(shown['good'][tile] - shown['bare'][tile]).max(axis=2) > 60
    assert 0.02 < changed.mean() < 0.6
    assert changed[: len(changed) // 4].mean() < changed[len(changed) // 2 :].mean()


def test_json_alone_is_printed_and_a_fault_is_exit_code_1(metabev, tmp_path):
    bad = write(tmp_path / 'bad.mcap', lidar_away)
    save_config(small_rig(), tmp_path / 'rig.yaml')
    code, out, _ = metabev('check-rig', bad, '--rig', tmp_path / 'rig.yaml', '--json')
    told = json.loads(out)
    assert code == 1 and told['ok'] is False
    (finding,) = told['findings']
    assert (finding['kind'], finding['sensor']) == ('not_in_bag', 'lidar_top')
    assert finding['remedy'] and finding['severity'] == 'blocks'
    usable = {sensor['name']: sensor['usable'] for sensor in told['sensors']}
    assert usable == {'cam_front': True, 'cam_rear': True, 'cam_left': True, 'lidar_top': False}
    code, out, _ = metabev('check-rig', bad, '--rig', tmp_path / 'rig.yaml')
    assert code == 1 and 'not used' in out and 'something is wrong' in out


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (('nowhere.mcap',), 'nothing there'),
        (('BAG', '--rig', 'nowhere.yaml'), 'a path or a name'),
        (('BAG', '--rig', 'RIG', '--write', 'other.yaml'), '--rig gives one'),
        (('BAG', '--picture', 'rig.jpg'), 'must end in .png'),
        (('BAG', '--write', 'BAG', '--force'), 'choose another name'),
        (('BAG', '--write', 'FOLDER'), 'a folder'),
        (('NO_BAG',), 'expected'),
        ((), "Missing argument 'BAG'"),
        (('BAG', '--live'), 'or --live'),
        (('--live', '--seconds', '0'), '0.1'),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    metabev, good, tmp_path, monkeypatch, words, told
):
    monkeypatch.chdir(tmp_path)
    save_config(small_rig(), tmp_path / 'rig.yaml')
    (tmp_path / 'no.mcap').write_bytes(b'hello')
    names = {'BAG': good, 'RIG': 'rig.yaml', 'FOLDER': tmp_path, 'NO_BAG': 'no.mcap'}
    code, _, error = metabev('check-rig', *(names.get(word, word) for word in words))
    assert code == 2 and told in error and 'Traceback' not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ['no.mcap', 'rig.yaml']


def test_a_rig_file_made_from_the_real_keyframe_replays_to_fused(metabev, shared_data, tmp_path):
    bag, rig = shared_data / 'bags' / 'nuscenes_keyframe', tmp_path / 'rig.yaml'
    code, out, _ = metabev('check-rig', bag, '--write', rig)
    assert code == 0 and 'all sensors are usable' in out
    summary = replay_bag(
        bag,
        tmp_path / 'out.mcap',
        resource_path('models/metabev_nano'),
        load_config(RigConfig, rig),
        SensingConfig(),
    )
    assert summary.outputs == {'FUSED': 1} and not summary.rejected and not summary.not_heard


def test_the_real_malformed_bag_is_judged_and_nothing_breaks(metabev, shared_data, tmp_path):
    bag = shared_data / 'bags' / 'malformed'
    code, out, _ = metabev('check-rig', bag, '--json', '--picture', tmp_path / 'rig.png')
    assert code == 1 and not json.loads(out)['ok'] and (tmp_path / 'rig.png').is_file()
