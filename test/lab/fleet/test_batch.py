"""A batch does every bag once, whatever dies on the way, and ranks them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import rig_messages
from support.ray_nodes import two_nodes
from support.rig_messages import LIDAR

from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.cli import main
from metabev_ros.config import save_config
from metabev_ros.errors import ConfigError
from metabev_ros.lab.fleet.batch import drive_names, run_batch
from metabev_ros.lab.fleet.drive_outcome import OUTCOME, load_outcome
from metabev_ros.lab.fleet.drive_work import DETECTIONS, REPORT, SEEN, WHAT_IF, DriveTask
from metabev_ros.lab.spreading import Spread
from metabev_ros.resources import model_folder

BAGS = 20


def quiet(done: int, total: int, name: str) -> None:
    """Show no progress."""


@pytest.fixture(scope='module')
def drives(tmp_path_factory):
    """Twenty short bags, of which every third loses its LiDAR, and their rig."""
    folder = tmp_path_factory.mktemp('drives')
    for number in range(BAGS):
        with BagWriter(folder / f'd{number:02}.mcap') as writer:
            rig_messages.write_drive(
                writer,
                3,
                skip=lambda name, tick, n=number: name == LIDAR and tick > 0 and n % 3 == 0,
            )
    save_config(rig_messages.rig(), folder / 'rig.yaml')
    return folder


def tasks_of(drives: Path, out: Path, count: int = BAGS, every: float = 0.0):
    bags = sorted(drives.glob('*.mcap'))[:count]
    return [
        DriveTask(
            bag.stem, bag, out / bag.stem, model_folder(''), drives / 'rig.yaml', every=every
        )
        for bag in bags
    ]


@pytest.fixture(scope='module')
def local(drives, tmp_path_factory):
    """All of them on this machine: (folder, outcomes)."""
    out = tmp_path_factory.mktemp('local')
    return out, run_batch(tasks_of(drives, out), out, Spread(2), quiet)


def boxes_of(folder: Path) -> list[bytes]:
    return [m.cdr for m in BagReader(folder / SEEN) if m.topic == DETECTIONS]


def test_a_dead_lidar_is_trouble_and_ranks_first(local):
    out, outcomes = local
    assert [o.failure for o in outcomes] == [''] * BAGS
    troubled = [o for o in outcomes if o.unused[LIDAR] > 0]
    assert [o.name for o in troubled] == [f'd{n:02}' for n in range(0, BAGS, 3)]
    assert all(LIDAR in o.reasons and o.trouble > 0 for o in troubled)
    page = (out / 'index.html').read_text()
    order = [page.index(f'>{o.name}</a>') for o in outcomes]
    assert max(order[::3]) < min(place for n, place in enumerate(order) if n % 3)


def test_what_is_done_is_not_done_again_and_what_changed_is(drives, local, tmp_path):
    out = tmp_path / 'copy'
    shutil.copytree(local[0], out)
    bags = tmp_path / 'bags'
    shutil.copytree(drives, bags)
    tasks = [
        DriveTask(t.name, bags / t.bag.name, out / t.name, t.model, t.rig, every=0.0)
        for t in tasks_of(drives, out, 3)
    ]
    first = run_batch(tasks, out, Spread(), quiet)  # bags of another place: all anew
    times = [(out / t.name / OUTCOME).stat().st_mtime_ns for t in tasks]
    os.utime(bags / 'd01.mcap')
    again = run_batch(tasks, out, Spread(), quiet)
    later = [(out / t.name / OUTCOME).stat().st_mtime_ns for t in tasks]
    assert [a == b for a, b in zip(times, later, strict=True)] == [True, False, True]
    assert [o.key == p.key for o, p in zip(first, again, strict=True)] == [True, False, True]


def test_a_bag_that_fails_is_listed_with_its_reason_and_the_others_go_on(
    drives, tmp_path, monkeypatch, capsys
):
    bags = tmp_path / 'bags'
    bags.mkdir()
    shutil.copy(drives / 'd01.mcap', bags)
    (bags / 'broken.mcap').write_bytes(b'no bag at all')
    words = ['batch', f'{bags}/*.mcap', '--out', tmp_path / 'out', '--rig', drives / 'rig.yaml']
    monkeypatch.setattr(sys, 'argv', ['metabev', *map(str, words), '--workers', '1', '--json'])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    said = ' '.join(printed.err.split())
    drives_told = json.loads(printed.out)['drives']
    assert [bool(drive['failure']) for drive in drives_told] == [True, False]
    assert end.value.code == 1 and 'failed:' in said and 'broken.mcap' in said
    assert load_outcome(tmp_path / 'out' / 'd01').failure == ''
    page = (tmp_path / 'out' / 'index.html').read_text()
    assert 'broken' in page and 'd01' in page


def test_branches_are_compared_where_both_see(drives, tmp_path):
    (outcome,) = run_batch(tasks_of(drives, tmp_path, 1, every=0.1), tmp_path, Spread(), quiet)
    assert outcome.compared >= 1
    assert math.isnan(outcome.disagreement) or 0 <= outcome.disagreement <= 1


def test_a_batch_makes_the_pages_of_each_bag(drives, tmp_path):
    (task,) = tasks_of(drives, tmp_path, 1)
    asked = replace(task, report=True, what_if=True)
    (outcome,) = run_batch([asked], tmp_path, Spread(), quiet)
    assert not outcome.failure
    assert LIDAR in (tmp_path / task.name / REPORT).read_text()
    assert LIDAR in (tmp_path / task.name / WHAT_IF).read_text()


def test_two_batches_do_not_write_into_one_folder(drives, tmp_path):
    def meanwhile(done: int, total: int, name: str) -> None:
        with pytest.raises(ConfigError, match='another batch'):
            run_batch(tasks_of(drives, tmp_path, 1), tmp_path, Spread(), quiet)

    run_batch(tasks_of(drives, tmp_path, 1), tmp_path, Spread(), meanwhile)


def test_bags_of_one_name_have_folders_of_their_own():
    names = drive_names([Path('a/x.mcap'), Path('b/x.mcap'), Path('a/y.mcap')])
    assert len(set(names)) == 3 and names[2] == 'y' and names[0].startswith('x_')


def test_a_damaged_outcome_is_none(tmp_path):
    for text in ('', '[]', '{"name": 3}', '[' * 100_000):
        (tmp_path / OUTCOME).write_text(text)
        assert load_outcome(tmp_path) is None


def start_batch(drives: Path, out: Path, *options: str) -> subprocess.Popen:
    words = ['batch', f'{drives}/*.mcap', '--out', out, '--rig', drives / 'rig.yaml']
    command = [sys.executable, '-m', 'metabev_ros.cli', *map(str, words), '--every', '0']
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def done_in(out: Path) -> dict[str, int]:
    """Drive -> when its outcome was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f'*/{OUTCOME}')}


def wait_for_some(out: Path, count: int, driver: subprocess.Popen) -> dict[str, int]:
    end = time.monotonic() + 120
    while len(done_in(out)) < count:
        assert time.monotonic() < end and driver.poll() is None
        time.sleep(0.05)
    return done_in(out)


def processes_called(title: str) -> list[int]:
    """Numbers of the processes that call themselves so."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(title.encode()):
                found.append(int(path.parent.name))
    return found


@pytest.fixture(scope='module')
def cluster():
    with two_nodes() as address:
        yield address


def test_a_cluster_that_loses_a_worker_and_then_the_driver_gives_what_one_machine_gives(
    drives, local, cluster, tmp_path
):
    out = tmp_path / 'out'
    driver = start_batch(drives, out, '--ray-address', cluster)
    try:
        wait_for_some(out, 3, driver)
        workers = processes_called('ray::_on_one_thread')
        assert workers, 'no process of the cluster is at work'
        os.kill(workers[0], signal.SIGKILL)
        before = wait_for_some(out, 8, driver)
    finally:
        driver.kill()
        driver.wait()
    time.sleep(1.0)
    assert len(done_in(out)) < BAGS and not (out / 'index.html').exists()
    assert start_batch(drives, out, '--ray-address', cluster).wait(300) == 0
    after = done_in(out)
    assert {name: after[name] for name in before} == before, 'done twice'
    outcomes = [load_outcome(out / o.name) for o in local[1]]
    assert [plain(o) for o in outcomes] == [plain(o) for o in local[1]]
    for outcome in local[1]:
        assert boxes_of(out / outcome.name) == boxes_of(local[0] / outcome.name)


def plain(outcome) -> str:
    return repr(outcome)  # NaN equals NaN there


def test_a_driver_that_is_killed_goes_on_where_it_was(drives, tmp_path):
    out = tmp_path / 'out'
    driver = start_batch(drives, out, '--workers', '2')
    before = wait_for_some(out, 4, driver)
    driver.kill()
    driver.wait()
    assert start_batch(drives, out, '--workers', '2').wait(300) == 0
    after = done_in(out)
    assert len(after) == BAGS
    assert {name: after[name] for name in before} == before, 'done twice'
