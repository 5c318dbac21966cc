"""From a data set to a live node, by the commands that a team would type, on a tiny network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.labelled_drives import write_drive
from support.nuscenes_folder import write_folder
from support.nuscenes_keyframes import Plan, invented_keyframe
from support.tiny import TINY

from metabev_ros.bags import BagReader
from metabev_ros.config import save_config
from metabev_ros.contract import load_contract
from metabev_ros.lab.training.config import ModalityDraw, Precision, TrainingConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig

STEPS = 50
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1'}


def metabev(folder: Path, *words: str) -> str:
    """What a command of `metabev` prints."""
    done = subprocess.run(
        [sys.executable, '-m', 'metabev_ros.cli', *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def told(folder: Path, *words: str) -> dict:
    """What a command of `metabev` prints for other programs."""
    return json.loads(metabev(folder, *words, '--json'))


def log_of(run: Path) -> list[dict]:
    """What a run logged, but for the clock."""
    lines = [json.loads(line) for line in (run / 'log.jsonl').read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ('seconds', 'samples_per_s')}
        for line in lines
    ]


def train_killed_once(folder: Path, run: str) -> None:
    """Start a run, kill it between two checkpoints, and start it again."""
    command = [sys.executable, '-m', 'metabev_ros.cli', 'train', 'run.yaml', '--out', run]
    child = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    log, deadline = folder / run / 'log.jsonl', time.monotonic() + 300
    while not (log.exists() and len(log.read_text().splitlines()) >= 25):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert len(log.read_text().splitlines()) < STEPS
    metabev(folder, 'train', 'run.yaml', '--out', run)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """A folder with imported records of two sources, and a run on their mixture."""
    folder = tmp_path_factory.mktemp('chain')
    write_folder(
        folder / 'set', invented_keyframe(), Plan(keyframes=3, scenes=('scene-0103', 'scene-0916'))
    )
    training = TrainingConfig(
        steps=STEPS,
        warmup_steps=2,
        decay_steps=10,
        batch=('fused', 'lidar'),
        draw=ModalityDraw.PER_SAMPLE,
        precision=Precision.FP32,
        threads=1,
        checkpoint_every=10,
    )
    data = (
        DataSource(records='records/real', weight=3.0),
        DataSource(records='records/drawn', weight=1.0),
    )
    save_config(RunConfig(TINY, training, data), folder / 'run.yaml')
    said = metabev(
        folder, 'import', 'nuscenes', 'set', '-o', 'records/real', '--model', 'run.yaml'
    )
    assert '6 records of 2 drives (6 FUSED)' in said
    words = ('--worlds', '2', '--frames', '2', '--model', 'run.yaml', '--pictures', '0')
    made = told(folder, 'import', 'synthetic', '-o', 'records/drawn', *words)
    assert made['summary']['records'] == 4 and made['written'] == ['records/drawn']
    made = told(folder, 'train', 'run.yaml', '--out', 'runs/whole')
    assert made == {'written': ['runs/whole/weights.safetensors'], 'steps': STEPS, 'skipped': 0}
    return folder


def test_a_run_on_real_and_synthetic_records_that_is_killed_goes_on_bit_for_bit(trained):
    train_killed_once(trained, 'runs/parts')
    whole, parts = trained / 'runs/whole', trained / 'runs/parts'
    assert len(log_of(whole)) == STEPS
    assert log_of(parts) == log_of(whole)
    weights = 'weights.safetensors'
    assert (parts / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.ros
def test_what_was_learnt_is_fine_tuned_exported_replayed_and_runs_live(trained, tmp_path):
    from support.live_graph import Graph, NodeProcess, RigPublisher

    tune = ('--data', 'records/real', '--out', 'runs/tuned', '--steps', '4')
    assert told(trained, 'finetune', 'runs/whole', *tune)['steps'] == 4
    made = told(trained, 'export', 'models/mine', '--run', 'runs/tuned')
    # written only where the graphs agree with the network
    assert made['contract'] == load_contract(trained / 'models/mine').hash
    assert made['parity']['cases'] > 0
    card = (trained / 'models/mine/MODEL_CARD.md').read_text()
    assert 'CC BY-NC-SA 4.0' in card and 'non-commercial' in card.lower().split('\n\n')[1]
    drive = write_drive(tmp_path)
    save_config(drive.rig, tmp_path / 'small.yaml')
    words = ('--rig', str(tmp_path / 'small.yaml'), '--model', 'models/mine')
    metabev(trained, 'replay', str(drive.path), '-o', 'seen.mcap', *words)
    topics = {m.topic for m in BagReader(trained / 'seen.mcap')}
    assert any(topic.endswith('detections') for topic in topics)
    words = ('--data', 'records/real', '--out', 'scored')
    figures = told(trained, 'evaluate', 'models/mine', *words)['figures']
    assert {figure['id'] for figure in figures} >= {'evaluation.nuscenes_v1_0_mini.fused.nds'}, (
        figures
    )
    assert 'FUSED' in (trained / 'scored/report.md').read_text()
    graph = Graph()
    node = NodeProcess(tmp_path, model=trained / 'models/mine')
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph, timeout=90)
    finally:
        node.process.kill()
        node.process.wait()
        graph.close()
