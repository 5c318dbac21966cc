"""The demonstration from end to end: drive, live run, judgement, report."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.config.node import DEFAULT_MODEL, DEFAULT_RIG
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.lab.demo.checks import make_checks
from metabev_ros.lab.demo.evidence import Evidence, read_evidence
from metabev_ros.lab.demo.live import LiveRun, make_script, run_live
from metabev_ros.lab.demo.measures import measure
from metabev_ros.lab.demo.pictures import (
    boxes_against_truth,
    live_maps,
    moments,
    output_near,
    panels,
    same_moment,
)
from metabev_ros.lab.demo.plan import standard_plan
from metabev_ros.lab.demo.plots import plot_delays, plot_latency, plot_quality, plot_timeline
from metabev_ros.lab.demo.quality import score_outputs
from metabev_ros.lab.demo.report import Report, write_pictures, write_report
from metabev_ros.lab.demo.scene import Mounting, scene_at
from metabev_ros.lab.demo.summary import Findings, Setting, facts, headline, write_summary
from metabev_ros.lab.demo.video import write_video
from metabev_ros.lab.demo.world import make_drive
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.run import HELD_OUT_FIRST_SEED
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path

HELD_OUT_SEED = 900_100  # no training and no evaluation takes this world
WORKERS = 2
REFRESH_HZ = 4
BUSY_MS = 20.0


@dataclass(frozen=True)
class DemoConfig:
    """What to demonstrate with.

    Attributes:
        model_dir, rig_path: None takes the package's own.
        record: merge the figures into this file of result records.
        command: what a person typed, for the records.
        fault_seconds, pause_seconds: of the script.
        keep_drive: keep the bag that was played (the output bag holds it as published).
    """

    out: Path = Path('out/demo')
    seed: int = HELD_OUT_SEED
    model_dir: Path | None = None
    rig_path: Path | None = None
    record: Path | None = None
    command: str = 'make demo'
    fault_seconds: float = 4.0
    pause_seconds: float = 3.5
    keep_drive: bool = False

    def __post_init__(self) -> None:
        if self.seed < HELD_OUT_FIRST_SEED:
            raise ConfigError(
                'demo seed',
                f'a held-out world, {HELD_OUT_FIRST_SEED} or above',
                str(self.seed),
                'smaller seeds may have been trained on',
            )


class _Steps:
    """Progress on the console, one bar a step."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str, total: float) -> Iterator[tuple[Progress, int]]:
        columns = (
            TextColumn('{task.description:<46}'),
            BarColumn(32),
            TextColumn('{task.percentage:>4.0f}%'),
            TimeElapsedColumn(),
            TextColumn('[dim]{task.fields[note]}'),
        )
        with Progress(*columns, console=self.console, refresh_per_second=REFRESH_HZ) as progress:
            task = progress.add_task(title, total=total, note='')
            yield progress, task
            progress.update(task, completed=total, note='')


def run_demo(
    out: Path = Path('out/demo'),
    seed: int = HELD_OUT_SEED,
    model_dir: Path | None = None,
    record: Path | None = None,
    command: str = 'make demo',
    console: Console | None = None,
    rig_path: Path | None = None,
) -> bool:
    """Run the demonstration as `DemoConfig` says; whether every target was met.

    Raises:
        MetaBevError: something could not run at all.
    """
    return run_configured(
        DemoConfig(out, seed, model_dir, rig_path, record, command), console or Console()
    )


def run_configured(config: DemoConfig, console: Console) -> bool:
    """See `run_demo`."""
    steps = _Steps(console)
    config.out.mkdir(parents=True, exist_ok=True)
    for name in ('report.html', 'output.mcap', 'summary.json', 'run.mp4'):
        (config.out / name).unlink(missing_ok=True)  # nothing old may pass for this run's
    began = time.monotonic()
    model_dir = (config.model_dir or resource_path(DEFAULT_MODEL)).resolve()
    rig_path = (config.rig_path or resource_path(DEFAULT_RIG)).resolve()
    pipeline = Pipeline.load(model_dir, threads=WORKERS)  # a wrong model stops before the work
    setting = _make_world(config, rig_path, steps)
    live = _live(config, setting, model_dir, rig_path, steps)
    evidence = read_evidence(live.bag, setting.rig)
    measures = measure(evidence, setting.plan, setting.rig, setting.sensing)
    findings = Findings(
        evidence,
        measures,
        make_checks(measures, setting.rig, setting.sensing, live.node_exit, config.command),
        score_outputs(evidence, setting.truths, frozenset(setting.rig.sensor_names)),
    )
    write_summary(config.out / 'summary.json', config.seed, setting, findings)
    _make_report(config, setting, findings, pipeline, steps, began)
    if not config.keep_drive:
        (config.out / 'drive.mcap').unlink(missing_ok=True)
    if config.record is not None:
        merge_records(config.record, [check.record for check in findings.checks])
    return _tell(config, findings, console, time.monotonic() - began)


# ------------------------------------------------------------------------------- before, live
def _make_world(config: DemoConfig, rig_path: Path, steps: _Steps) -> Setting:
    rig = load_config(RigConfig, rig_path)
    plan = standard_plan(rig, config.fault_seconds, config.pause_seconds)
    frames = math.ceil(plan.duration * rig.lidar.rate_hz) + 1
    drive = DriveConfig(frames=frames, rate_hz=rig.lidar.rate_hz)
    with steps.step('1/4 rendering a street nobody trained on', frames) as (progress, task):
        truths = make_drive(
            config.out / 'drive.mcap',
            config.seed,
            drive,
            WORKERS,
            lambda done, total: progress.update(
                task, completed=done, note=f'{done} of {total} frames'
            ),
        )
    frame = SyntheticDrive(config.seed, dataclasses.replace(drive, frames=1))[0]
    mounting = Mounting(frame.calibrations, frame.ego_from_lidar)
    return Setting(rig, SensingConfig(), plan, drive, truths, mounting)


def _live(
    config: DemoConfig, setting: Setting, model_dir: Path, rig_path: Path, steps: _Steps
) -> LiveRun:
    script = make_script(
        config.out / 'drive.mcap', config.out / 'output.mcap', setting.plan, setting.rig
    )
    started: list[float] = []
    with steps.step('2/4 the node lives while sensors die', setting.plan.duration) as (
        progress,
        task,
    ):

        def tell(state: dict) -> None:
            if state['state'] == 'playing':
                started.append(time.monotonic())

        def poll() -> None:
            if not started:
                progress.update(task, note='starting the node')
                return
            seconds = time.monotonic() - started[0]
            fault = setting.plan.fault_at(seconds)
            note = 'all sensors live' if fault is None else fault.title
            if seconds > setting.plan.duration:
                note = 'writing output.mcap'
            progress.update(task, completed=min(seconds, setting.plan.duration), note=note)

        return run_live(script, config.out / 'logs', model_dir, rig_path, tell, poll)


# ------------------------------------------------------------------------------------- report
def _make_report(
    config: DemoConfig,
    setting: Setting,
    findings: Findings,
    pipeline: Pipeline,
    steps: _Steps,
    began: float,
) -> None:
    video = config.out / 'run.mp4'
    evidence, plan, rig = findings.evidence, setting.plan, setting.rig
    _film(setting, evidence, video, steps)
    with steps.step('4/4 drawing the report', 3) as (progress, task):
        stills = panels(evidence, setting.truths, rig, plan, setting.mounting)
        progress.advance(task)
        stamp = output_near(evidence, rig, moments(plan)[0][1])  # all sensors live
        boxes = boxes_against_truth(
            scene_at(evidence, setting.truths, rig, stamp, ''), setting.mounting
        )
        maps = same_moment(pipeline, _frame_of(config.seed, setting, evidence, stamp), rig)
        progress.advance(task)
        published = live_maps(evidence, setting.truths, rig, plan)
        write_pictures(
            config.out / 'pictures',
            [*stills, *boxes, *maps, *(p for pair in published for p in pair)],
        )
        made = facts(config.out, config.seed, setting, evidence, time.monotonic() - began)
        write_report(
            Report(
                headline(setting),
                findings.checks,
                findings.measures.labels.wrong,
                video,
                plot_timeline(evidence, plan, rig),
                plot_delays(findings.measures),
                plot_latency(evidence, plan),
                plot_quality(findings.qualities),
                stills,
                boxes,
                maps,
                published,
                made,
            ),
            config.out / 'report.html',
        )


def _frame_of(seed: int, setting: Setting, evidence: Evidence, stamp_ns: int) -> DriveFrame:
    """The frame of the drive that was played at a stamp, rendered again."""
    offset = evidence.truth_stamp(stamp_ns) - setting.drive.start_ns
    return SyntheticDrive(seed, setting.drive)[round(offset * setting.drive.rate_hz * 1e-9)]


def _film(setting: Setting, evidence: Evidence, path: Path, steps: _Steps) -> None:
    frames = setting.drive.frames

    def scenes():
        for index in range(frames):
            offset = round(index * 1e9 / setting.drive.rate_hz)
            fault = setting.plan.fault_at(offset * 1e-9)
            caption = f'{offset * 1e-9:.1f} s'
            if fault is not None:
                caption = f'script: {fault.title}   {caption}'
            yield scene_at(
                evidence, setting.truths, setting.rig, evidence.start_ns + offset, caption
            )

    with steps.step('3/4 drawing the film', frames) as (progress, task):
        write_video(
            path,
            scenes(),
            setting.mounting,
            setting.drive.rate_hz,
            WORKERS,
            lambda: progress.advance(task),
        )


def _tell(config: DemoConfig, findings: Findings, console: Console, seconds: float) -> bool:
    """The table and where to look; whether every target was met."""
    checks, measures = findings.checks, findings.measures
    table = Table(box=None, pad_edge=False)
    for title, side in (
        ('', 'left'),
        ('', 'left'),
        ('measured', 'right'),
        ('target', 'right'),
        ('', 'left'),
    ):
        table.add_column(title, justify=side)
    group = ''
    for check in checks:
        met = check.record.met
        mark = {True: '[green]met', False: '[bold red]MISSED', None: ''}[met]
        table.add_row(
            '' if check.group == group else f'[not dim bold]{check.group}',
            check.what,
            check.value_text,
            check.target_text,
            mark,
            style='dim' if met is None else '',
        )
        group = check.group
    console.print(table)
    for text in measures.labels.wrong[:5]:
        console.print(f'[red]untrue label[/red] {text}', highlight=False)
    missed = [check for check in checks if check.record.met is False]
    total = sum(check.record.target is not None for check in checks)
    console.print(
        f'\n{total - len(missed)} of {total} targets met, {seconds:.0f} s',
        style='bold green' if not missed else 'bold red',
    )
    if missed and measures.lateness > BUSY_MS:
        console.print(
            f'this machine was too busy: messages left {measures.lateness:.0f} ms late; '
            'run again when nothing else runs',
            style='yellow',
        )
    for name in ('report.html', 'output.mcap', 'summary.json'):
        console.print(str(config.out / name), highlight=False, soft_wrap=True)
    return not missed
