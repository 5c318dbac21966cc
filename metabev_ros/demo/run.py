"""The demonstration from end to end: drive, live run, judgement, report."""
from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.demo.checks import Check, make_checks
from metabev_ros.demo.evidence import Evidence, read_evidence
from metabev_ros.demo.live import LiveRun, make_script, run_live
from metabev_ros.demo.measures import Measures, measure
from metabev_ros.demo.pictures import (
    boxes_against_truth,
    live_maps,
    moments,
    output_near,
    panels,
    same_moment,
)
from metabev_ros.demo.plan import FailurePlan, standard_plan
from metabev_ros.demo.plots import plot_delays, plot_latency, plot_quality, plot_timeline
from metabev_ros.demo.quality import Quality, score_outputs
from metabev_ros.demo.report import Report, write_pictures, write_report
from metabev_ros.demo.scene import Mounting, scene_at
from metabev_ros.demo.video import write_video
from metabev_ros.demo.world import make_drive
from metabev_ros.errors import ConfigError
from metabev_ros.evaluation.records import current_commit, machine_name, merge_records
from metabev_ros.evaluation.run import HELD_OUT_FIRST_SEED
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import GroundTruth

HELD_OUT_SEED = 900_100  # no training and no evaluation takes this world
DEFAULT_RIG = 'config/rigs/nuscenes_like.yaml'
DEFAULT_MODEL = 'models/metabev_nano'
WORKERS = 2
REFRESH_HZ = 4


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
            raise ConfigError('demo seed', f'a held-out world, {HELD_OUT_FIRST_SEED} or above',
                              str(self.seed), 'smaller seeds may have been trained on')


@dataclass(frozen=True)
class _World:
    """What the judgement knows beside the evidence."""

    rig: RigConfig
    sensing: SensingConfig
    plan: FailurePlan
    drive: DriveConfig
    truths: dict[int, GroundTruth]
    mounting: Mounting


class _Steps:
    """Progress on the console, one bar a step."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str, total: float) -> Iterator[tuple[Progress, int]]:
        columns = (TextColumn('{task.description:<46}'), BarColumn(32),
                   TextColumn('{task.percentage:>4.0f}%'), TimeElapsedColumn(),
                   TextColumn('[dim]{task.fields[note]}'))
        with Progress(*columns, console=self.console, refresh_per_second=REFRESH_HZ) as progress:
            task = progress.add_task(title, total=total, note='')
            yield progress, task
            progress.update(task, completed=total, note='')


def run_demo(out: Path = Path('out/demo'), seed: int = HELD_OUT_SEED,
             model_dir: Path | None = None, record: Path | None = None,
             command: str = 'make demo', console: Console | None = None,
             rig_path: Path | None = None) -> bool:
    """Run the demonstration as `DemoConfig` says; whether every target was met.

    Raises:
        MetaBevError: something could not run at all.
    """
    return run_configured(DemoConfig(out, seed, model_dir, rig_path, record, command),
                          console or Console())


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
    world = _make_world(config, rig_path, steps)
    live = _live(config, world, model_dir, rig_path, steps)
    evidence = read_evidence(live.bag, world.rig)
    measures = measure(evidence, world.plan, world.rig, world.sensing)
    checks = make_checks(measures, world.rig, world.sensing, live.node_exit,
                         config.command)
    qualities = score_outputs(evidence, world.truths, frozenset(world.rig.sensor_names))
    _write_summary(config, world, evidence, measures, checks, qualities)
    _make_report(config, world, evidence, measures, checks, qualities, pipeline, steps, began)
    if not config.keep_drive:
        (config.out / 'drive.mcap').unlink(missing_ok=True)
    if config.record is not None:
        merge_records(config.record, [check.record for check in checks])
    return _tell(config, checks, measures, steps.console, time.monotonic() - began)


# ------------------------------------------------------------------------------- before, live
def _make_world(config: DemoConfig, rig_path: Path, steps: _Steps) -> _World:
    rig = load_config(RigConfig, rig_path)
    plan = standard_plan(rig, config.fault_seconds, config.pause_seconds)
    frames = math.ceil(plan.duration * rig.lidar.rate_hz) + 1
    drive = DriveConfig(frames=frames, rate_hz=rig.lidar.rate_hz)
    with steps.step('1/4 rendering a street nobody trained on', frames) as (progress, task):
        truths = make_drive(
            config.out / 'drive.mcap', config.seed, drive, WORKERS,
            lambda done, total: progress.update(task, completed=done,
                                                note=f'{done} of {total} frames'))
    frame = SyntheticDrive(config.seed, dataclasses.replace(drive, frames=1))[0]
    mounting = Mounting(frame.calibrations, frame.ego_from_lidar)
    return _World(rig, SensingConfig(), plan, drive, truths, mounting)


def _live(config: DemoConfig, world: _World, model_dir: Path, rig_path: Path, steps: _Steps
          ) -> LiveRun:
    script = make_script(config.out / 'drive.mcap', config.out / 'output.mcap', world.plan,
                         world.rig)
    started: list[float] = []
    with steps.step('2/4 the node lives while sensors die', world.plan.duration
                    ) as (progress, task):
        def tell(state: dict) -> None:
            if state['state'] == 'playing':
                started.append(time.monotonic())

        def poll() -> None:
            if not started:
                progress.update(task, note='starting the node')
                return
            seconds = time.monotonic() - started[0]
            failing = [f.title for f in world.plan.faults if f.begin <= seconds < f.end]
            note = failing[0] if failing else 'all sensors live'
            if seconds > world.plan.duration:
                note = 'writing output.mcap'
            progress.update(task, completed=min(seconds, world.plan.duration), note=note)

        return run_live(script, config.out / 'logs', model_dir, rig_path, tell, poll)


# ------------------------------------------------------------------------------------ results
def _write_summary(config: DemoConfig, world: _World, evidence: Evidence, measures: Measures,
                   checks: list[Check], qualities: list[Quality]) -> None:
    labels: dict[str, int] = {}
    for output in evidence.outputs:
        labels[output.modality.name] = labels.get(output.modality.name, 0) + 1
    plain = {
        'seed': config.seed, 'machine': machine_name(), 'commit': current_commit(),
        'model': _model_text(evidence), 'duration_s': round(measures.duration, 3),
        'plan': [{'name': f.name, 'kind': f.kind.value, 'sensors': list(f.sensors),
                  'begin_s': f.begin, 'end_s': f.end} for f in world.plan.faults],
        'events': [{
            'name': e.fault.name, 'begin_s': round(e.begin_s, 3), 'end_s': round(e.end_s, 3),
            'expected': e.expected.name, 'label_delay_stamp_ms': round(e.label_stamp, 1),
            'label_delay_received_ms': round(e.label_wall, 1),
            'longest_silence_ms': round(e.silence, 1), 'recovery_ms': round(e.recovery, 1),
            'outputs': e.outputs} for e in measures.events],
        'labels': {'outputs': labels, 'checked': measures.labels.checked,
                   'wrong': list(measures.labels.wrong)},
        'latency_ms': {name: {'median': round(1e3 * float(np.median(v)), 2),
                              'p95': round(1e3 * float(np.percentile(v, 95)), 2), 'n': len(v)}
                       for name, v in measures.latency.items()},
        'metrics': [quality.to_plain() for quality in qualities],
        'checks': [dataclasses.asdict(check.record) for check in checks]}
    path = config.out / 'summary.json'
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    part.write_text(json.dumps(plain, indent=1) + '\n', encoding='utf-8')
    os.replace(part, path)


def _model_text(evidence: Evidence) -> str:
    return evidence.statuses[-1].model if evidence.statuses else 'unknown'


def _make_report(config: DemoConfig, world: _World, evidence: Evidence, measures: Measures,
                 checks: list[Check], qualities: list[Quality], pipeline: Pipeline,
                 steps: _Steps, began: float) -> None:
    video = config.out / 'run.mp4'
    _film(world, evidence, video, steps)
    with steps.step('4/4 drawing the report', 4) as (progress, task):
        stills = panels(evidence, world.truths, world.rig, world.plan, world.mounting)
        progress.advance(task)
        fused = moments(world.plan)[0][1]
        stamp = output_near(evidence, world.rig, fused)
        boxes = boxes_against_truth(scene_at(evidence, world.truths, world.rig, stamp, ''),
                                    world.mounting)
        index = round((evidence.truth_stamp(stamp) - world.drive.start_ns)
                      * world.drive.rate_hz * 1e-9)
        frame = SyntheticDrive(config.seed, world.drive)[index]
        maps = same_moment(pipeline, frame, world.rig)
        progress.advance(task)
        published = live_maps(evidence, world.truths, world.rig, world.plan)
        write_pictures(config.out / 'pictures', [*stills, *boxes, *maps,
                                                 *(p for pair in published for p in pair)])
        progress.advance(task)
        write_report(Report(
            _headline(world, measures), checks, measures.labels.wrong, video,
            plot_timeline(evidence, world.plan, world.rig), plot_delays(measures),
            plot_latency(evidence, world.plan), plot_quality(qualities), stills, boxes, maps,
            published, _facts(config, world, evidence, began)), config.out / 'report.html')


def _film(world: _World, evidence: Evidence, path: Path, steps: _Steps) -> None:
    frames = world.drive.frames

    def scenes():
        for index in range(frames):
            offset = round(index * 1e9 / world.drive.rate_hz)
            failing = sorted(world.plan.failed_at(offset * 1e-9))
            caption = f'{offset * 1e-9:.1f} s'
            if failing:
                fault = next(f for f in world.plan.faults
                             if f.begin <= offset * 1e-9 < f.end)
                caption = f'script: {fault.title}   {caption}'
            yield scene_at(evidence, world.truths, world.rig, evidence.start_ns + offset, caption)

    with steps.step('3/4 drawing the film', frames) as (progress, task):
        write_video(path, scenes(), world.mounting, world.drive.rate_hz, WORKERS,
                    lambda: progress.advance(task))


def _headline(world: _World, measures: Measures) -> str:
    cameras = len(world.rig.cameras)
    return (
        f'A street of {world.plan.duration:.0f} seconds that no training saw was played to the '
        f'running ROS 2 node: {cameras} cameras and a LiDAR at {world.rig.lidar.rate_hz:g} Hz. '
        'A script destroyed publishers and made them anew, and let one camera repeat a single '
        'picture. What the node published is held against the script and the log of what was '
        'really sent, never against its own word.')


def _facts(config: DemoConfig, world: _World, evidence: Evidence, began: float
           ) -> list[tuple[str, str]]:
    out = config.out
    return [
        ('drive', f'synthetic, seed {config.seed} (held out: {HELD_OUT_FIRST_SEED} and above), '
         f'{world.drive.frames} frames, images {world.drive.image_width} x '
         f'{world.drive.image_height}'),
        ('model', _model_text(evidence)),
        ('script', '; '.join(f'{f.title}: {f.begin:g} to {f.end:g} s' for f in world.plan.faults)),
        ('killed', 'publishers are destroyed; they are advertised again half a second before '
         'their sensor delivers again'),
        ('graph', 'three processes over Fast DDS on a private domain of this machine: the node, '
         'the player with the recorder, this report'),
        ('sensing', f'deadline {1e3 * world.sensing.deadline:g} ms, tolerance '
         f'{1e3 * world.sensing.tolerance:g} ms, frozen after {world.sensing.frozen_frames} '
         f'equal frames, back after {world.sensing.readmit_frames} good ones'),
        ('machine', machine_name()), ('commit', current_commit()),
        ('made in', f'{time.monotonic() - began:.0f} s'),
        ('files', f'{out}/output.mcap (inputs as played and all outputs; opens in Foxglove), '
         f'{out}/summary.json, {out}/run.mp4, {out}/pictures/, {out}/logs/')]


def _tell(config: DemoConfig, checks: list[Check], measures: Measures, console: Console,
          seconds: float) -> bool:
    """The table and where to look."""
    table = Table(box=None, pad_edge=False)
    for title, side in (('', 'left'), ('', 'left'), ('measured', 'right'), ('target', 'right'),
                        ('', 'left')):
        table.add_column(title, justify=side)
    group = ''
    for check in checks:
        met = check.record.met
        mark = {True: '[green]met', False: '[bold red]MISSED', None: ''}[met]
        table.add_row('' if check.group == group else f'[not dim bold]{check.group}', check.what,
                      check.value_text, check.target_text, mark,
                      style='dim' if met is None else '')
        group = check.group
    console.print(table)
    for text in measures.labels.wrong[:5]:
        console.print(f'[red]untrue label[/red] {text}', highlight=False)
    missed = [check for check in checks if check.record.met is False]
    total = sum(check.record.target is not None for check in checks)
    console.print(f'\n{total - len(missed)} of {total} targets met, {seconds:.0f} s',
                  style='bold green' if not missed else 'bold red')
    for name in ('report.html', 'output.mcap', 'summary.json'):
        console.print(str(config.out / name), highlight=False, soft_wrap=True)
    return not missed

