"""`make gpu-check` refuses plainly without a GPU; its program runs on a CPU for this test."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip('torch')

from support.small_networks import small_model  # noqa: E402

from metabev_ros.config import save_config  # noqa: E402
from metabev_ros.lab.evaluation.records import read_records  # noqa: E402

BENCHMARK = Path(__file__).parents[1] / 'benchmark'
sys.path.insert(0, str(BENCHMARK))
import gpu_check  # noqa: E402

CANDIDATES = ('torch_fp32', 'torch_fp16', 'onnxruntime_fp32', 'onnxruntime_fp16', 'tensorrt_fp32')


def test_without_a_gpu_it_says_what_is_missing_and_ends_with_2():
    if torch.cuda.is_available():
        pytest.skip('there is a GPU here')
    done = subprocess.run(
        [sys.executable, str(BENCHMARK / 'gpu_check.py')],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert 'expected an NVIDIA GPU' in done.stderr and 'docs/engines.md' in done.stderr
    assert 'Traceback' not in done.stderr and not done.stdout


@pytest.fixture(scope='module')
def checked(tmp_path_factory):
    """(figures by id, printed lines) of a small model on the CPU."""
    folder = tmp_path_factory.mktemp('gpu_check')
    save_config(small_model(), folder / 'small.yaml')
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = gpu_check.main(
            [
                '--device',
                'cpu',
                '--runs',
                '2',
                '--models',
                str(folder / 'small.yaml'),
                '--candidates',
                *CANDIDATES,
                '--out',
                str(folder / 'out'),
                '--record',
                str(folder / 'engines.json'),
            ]
        )
    assert code == 0
    figures = {record.id: record for record in read_records(folder / 'engines.json')}
    return figures, printed.getvalue().splitlines()


def test_every_branch_of_every_candidate_that_runs_is_measured(checked):
    figures, _ = checked
    for candidate in CANDIDATES[:4]:
        for branch in ('fused', 'camera', 'lidar'):
            start = f'gpu_check_on_cpu.small.{candidate}.{branch}'
            assert 0 < figures[f'{start}.p50'].value <= figures[f'{start}.p99'].value
            assert figures[f'{start}.throughput'].value > 0
            assert f'torch {torch.__version__}' in figures[f'{start}.p50'].machine


def test_candidates_agree_with_torch_in_float32_as_far_as_their_precision_goes(checked):
    figures, _ = checked
    start = 'gpu_check_on_cpu.small'
    for branch in ('fused', 'camera', 'lidar'):
        assert figures[f'{start}.onnxruntime_fp32.{branch}.error'].value < 1e-4
        for half in ('torch_fp16', 'onnxruntime_fp16'):
            assert 1e-5 < figures[f'{start}.{half}.{branch}.error'].value < 0.1
        assert f'{start}.torch_fp32.{branch}.error' not in figures


def test_what_cannot_run_here_is_named_with_its_reason_and_the_rest_goes_on(checked):
    _, lines = checked
    not_run = [line for line in lines if line.startswith('not run:')]
    assert len(not_run) == 1
    assert 'small.tensorrt_fp32' in not_run[0] and 'cuda' in not_run[0]
