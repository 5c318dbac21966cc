"""The demonstration knows how much of the machine others took, and says what it then judges."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console
from support.ideal_run import ideal_run, measured, sensing

from metabev_ros.lab.demo import load as load_module
from metabev_ros.lab.demo.console import print_findings
from metabev_ros.lab.demo.load import STAT, Load, LoadMeter, spent_by_all, spent_by_us
from metabev_ros.lab.demo.summary import Findings
from metabev_ros.lab.demo.targets import NOT_JUDGED, make_checks
from metabev_ros.resources import resource_path

TICKS = os.sysconf('SC_CLK_TCK')
# What a node decides, whatever its share of the processor.
DECISIONS = {
    'demo.everything.none_share',
    'demo.everything.error_share',
    'demo.frozen.used_after',
    'demo.labels.wrong',
    'demo.node_exit',
}
BUSY, QUIET = Load(2, 1.4), Load(2, 0.1)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets, and what this process spent."""
    now = {'seconds': 100.0, 'ours': 7.0}
    monkeypatch.setattr(load_module.time, 'monotonic', lambda: now['seconds'])
    monkeypatch.setattr(load_module, 'spent_by_us', lambda: now['ours'])
    monkeypatch.setattr(load_module.os, 'cpu_count', lambda: 2)
    return now


def write_stat(path, worked: float, idle: float) -> None:
    user, rest = int(worked * TICKS) - 6, int(idle * TICKS)
    path.write_text(f'cpu  {user} 1 2 {rest} 5 1 1 1 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n')


def checks_of(run, plan, rig, load, node_exit=0):
    return make_checks(measured(run, plan, rig), rig, sensing(), node_exit, is_busy=load.is_busy)


def printed(run, plan, rig, load, node_exit=0) -> tuple[bool, str]:
    checks = checks_of(run, plan, rig, load, node_exit)
    findings = Findings(run, measured(run, plan, rig), checks, [], load)
    out = io.StringIO()
    met = print_findings(Console(file=out, width=200), findings, resource_path('config'), 12.0)
    return met, out.getvalue()


def test_what_others_took_is_what_all_took_without_what_we_took(tmp_path, clock):
    stat = tmp_path / 'stat'
    write_stat(stat, 1000.0, 5000.0)
    meter = LoadMeter(stat)
    clock.update(seconds=110.0, ours=15.0)
    write_stat(stat, 1018.0, 5002.0)  # 18 of 20 seconds, 8 of them ours
    load = meter.load()
    assert load.others == pytest.approx(1.0, abs=0.01) and load.cores == 2 and load.is_busy
    assert load.text == 'other programs kept 1.0 of 2 cores busy'


def test_our_own_work_makes_no_machine_busy(tmp_path, clock):
    stat = tmp_path / 'stat'
    write_stat(stat, 1000.0, 5000.0)
    meter = LoadMeter(stat)
    clock.update(seconds=110.0, ours=26.0)
    write_stat(stat, 1019.5, 5000.5)
    assert not meter.load().is_busy


@pytest.mark.parametrize('text', [None, '', 'cpu 1 2\n', 'cpu a b c d e f g h\n', 'intr 1 2 3\n'])
def test_a_system_that_does_not_say_is_not_called_busy(tmp_path, text):
    if text is not None:
        (tmp_path / 'stat').write_text(text)
    load = LoadMeter(tmp_path / 'stat').load()
    assert load.others is None and not load.is_busy and load.text == 'not known'


def test_children_that_have_ended_are_ours():
    before = spent_by_us()
    work = 'import time\nwhile time.process_time() < 0.3: pass'
    subprocess.run([sys.executable, '-c', work], check=True)
    assert spent_by_us() - before >= 0.3


@pytest.mark.skipif(not STAT.exists(), reason='no Linux')
def test_the_kernel_counts_what_is_spent():
    before, ours = spent_by_all(STAT), spent_by_us()
    while spent_by_us() - ours < 0.2:
        pass
    assert spent_by_all(STAT) - before >= 0.1


def test_on_a_busy_machine_only_decisions_are_judged(plan, rig):
    run = ideal_run(plan, rig)
    quiet, busy = (checks_of(run, plan, rig, load) for load in (QUIET, BUSY))
    judged = {check.record.id for check in busy if check.record.target}
    assert judged == DECISIONS
    assert all(check.record.met for check in busy if check.record.target)
    waived = {check.record.id for check in busy if check.not_judged}
    assert judged | waived == {check.record.id for check in quiet if check.record.target}
    texts = {check.record.id: check.target_text for check in quiet}
    assert all(check.target_text == texts[check.record.id] for check in busy)
    assert not any(check.not_judged for check in quiet)


def test_load_excuses_no_untrue_label(plan, rig):
    run = ideal_run(plan, rig)
    run.outputs[5].ages_ns['CAM_FRONT'] = 90_123_456
    met, text = printed(run, plan, rig, BUSY)
    assert not met and 'MISSED' in text and 'untrue label' in text


def test_what_never_came_on_a_busy_machine_is_said_and_not_judged(plan, rig):
    run = ideal_run(plan, rig)
    begin = run.start_ns + round(plan.named('frozen').begin * 1e9)
    run.outputs = [o for o in run.outputs if o.stamp_ns < begin]
    quiet, busy = (
        {check.record.id: check for check in checks_of(run, plan, rig, load)}
        for load in (QUIET, BUSY)
    )
    assert quiet['demo.frozen.recovery'].record.met is False
    check = busy['demo.frozen.recovery']
    assert (check.value_text, check.mark, check.record.met) == ('never', NOT_JUDGED, None)


def test_a_busy_machine_is_said_in_one_line_and_late_outputs_do_not_fail(plan, rig):
    run = ideal_run(plan, rig)
    fault = plan.named('two_cameras')
    end = run.start_ns + round(fault.end * 1e9)
    run.outputs = [o for o in run.outputs if not end <= o.stamp_ns < end + 600_000_000]
    assert not printed(run, plan, rig, QUIET)[0]
    met, text = printed(run, plan, rig, BUSY)
    assert met and '5 of 5 targets met' in text and f' {NOT_JUDGED}, 12 s' in text
    (line,) = [line for line in text.splitlines() if line.startswith('this machine was')]
    assert 'busy: other programs kept 1.4 of 2 cores busy' in line
    assert 'machine was' not in printed(run, plan, rig, QUIET)[1]
