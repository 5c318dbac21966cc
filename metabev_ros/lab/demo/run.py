"""The demonstration from end to end: drive, live run, judgement, report."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.faults.plan import FaultPlan, find_plan
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.lab.demo.console import print_findings, step
from metabev_ros.lab.demo.correctness import score_outputs
from metabev_ros.lab.demo.evidence import Evidence, read_evidence
from metabev_ros.lab.demo.live import LiveRun, make_rehearsal, run_live
from metabev_ros.lab.demo.measures import measure
from metabev_ros.lab.demo.pictures import (
    boxes_against_truth,
    live_maps,
    moments,
    output_near,
    panels,
    same_moment,
)
from metabev_ros.lab.demo.plots import plot_delays, plot_latency, plot_quality, plot_timeline
from metabev_ros.lab.demo.report import Report, write_pictures, write_report
from metabev_ros.lab.demo.scene import Mounting, Scene, scene_at
from metabev_ros.lab.demo.summary import Findings, Setting, facts, headline, write_summary
from metabev_ros.lab.demo.targets import drive_seconds, make_checks, require_judgeable
from metabev_ros.lab.demo.video import write_video
from metabev_ros.lab.demo.world import make_drive
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.evaluation.run import HELD_OUT_FIRST_SEED
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_MODEL, DEFAULT_RIG, resource_path

HELD_OUT_SEED = 900_100  # no training and no evaluation takes this world
PLAN = 'sensor_loss'
WORKERS = 2


@dataclass(frozen=True)
class DemoConfig:
    """Settings of a demonstration.

    Attributes:
        model_dir: None takes the package's own.
        record: merge the figures into this file of result records.
        command: what a person typed, for the records.
        plan: what fails when; one that `targets.require_judgeable` accepts.
    """

    out: Path = Path('out/demo')
    seed: int = HELD_OUT_SEED
    model_dir: Path | None = None
    record: Path | None = None
    command: str = 'make demo'
    plan: FaultPlan = field(default_factory=lambda: find_plan(PLAN))

    def __post_init__(self) -> None:
        if self.seed < HELD_OUT_FIRST_SEED:
            raise ConfigError(
                'demo seed',
                f'a held-out world, {HELD_OUT_FIRST_SEED} or above',
                str(self.seed),
                'smaller seeds may have been trained on',
            )


def run_demo(config: DemoConfig, console: Console) -> bool:
    """Run the demonstration; whether every target was met.

    Raises:
        MetaBevError: something could not run at all.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    for name in ('report.html', 'output.mcap', 'summary.json', 'run.mp4'):
        (config.out / name).unlink(missing_ok=True)  # nothing old may pass for this run's
    began = time.monotonic()
    model_dir = (config.model_dir or resource_path(DEFAULT_MODEL)).resolve()
    rig_path = resource_path(DEFAULT_RIG).resolve()
    pipeline = Pipeline.load(model_dir, threads=WORKERS)  # a wrong model stops before the work
    setting = _make_world(config, rig_path, console)
    live = _live(config, setting, model_dir, rig_path, console)
    evidence = read_evidence(live.bag, setting.rig)
    measures = measure(evidence, setting.plan, setting.rig, setting.sensing)
    findings = Findings(
        evidence,
        measures,
        make_checks(measures, setting.rig, setting.sensing, live.node_exit, config.command),
        score_outputs(evidence, setting.truths, frozenset(setting.rig.sensor_names)),
    )
    write_summary(config.out / 'summary.json', config.seed, setting, findings)
    _make_report(config, setting, findings, pipeline, console, began)
    (config.out / 'drive.mcap').unlink()  # the output bag holds it as it was published
    if config.record is not None:
        merge_records(config.record, [check.record for check in findings.checks])
    return print_findings(console, findings, config.out, time.monotonic() - began)


# ------------------------------------------------------------------------------- before, live
def _make_world(config: DemoConfig, rig_path: Path, console: Console) -> Setting:
    rig = load_config(RigConfig, rig_path)
    require_judgeable(config.plan, rig)
    frames = math.ceil(drive_seconds(config.plan) * rig.sample_rate_hz) + 1
    drive = DriveConfig(frames=frames, rate_hz=rig.sample_rate_hz)
    with step(console, '1/4 rendering a street nobody trained on', frames) as (progress, task):
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
    return Setting(rig, SensingConfig(), config.plan, drive, truths, mounting)


def _live(
    config: DemoConfig, setting: Setting, model_dir: Path, rig_path: Path, console: Console
) -> LiveRun:
    rehearsal = make_rehearsal(
        config.out / 'drive.mcap', config.out / 'output.mcap', setting.plan, setting.rig
    )
    duration = drive_seconds(setting.plan)
    started: list[float] = []
    with step(console, '2/4 the node lives while sensors die', duration) as (progress, task):

        def tell(state: dict) -> None:
            if state['state'] == 'playing':
                started.append(time.monotonic())

        def poll() -> None:
            if not started:
                progress.update(task, note='starting the node')
                return
            seconds = time.monotonic() - started[0]
            titles = [fault.title for fault in setting.plan.lasting(seconds)]
            note = ', '.join(titles) or 'all sensors live'
            if seconds > duration:
                note = 'writing output.mcap'
            progress.update(task, completed=min(seconds, duration), note=note)

        return run_live(rehearsal, config.out / 'logs', model_dir, rig_path, tell, poll)


# ------------------------------------------------------------------------------------- report
def _make_report(
    config: DemoConfig,
    setting: Setting,
    findings: Findings,
    pipeline: Pipeline,
    console: Console,
    began: float,
) -> None:
    video = config.out / 'run.mp4'
    evidence, plan, rig = findings.evidence, setting.plan, setting.rig
    _film(setting, evidence, video, console)
    with step(console, '4/4 drawing the report', 3) as (progress, task):
        stills = panels(evidence, setting.truths, rig, plan, setting.mounting)
        progress.advance(task)
        stamp = output_near(evidence, rig, moments(plan)[0][1])  # all sensors live
        scene = scene_at(evidence, setting.truths, rig, stamp, '')
        boxes = boxes_against_truth(scene, setting.mounting)
        maps = same_moment(pipeline, _frame_of(config.seed, setting, evidence, stamp), rig)
        progress.advance(task)
        published = live_maps(evidence, setting.truths, rig, plan)
        pairs = (picture for pair in published for picture in pair)
        write_pictures(config.out / 'pictures', [*stills, *boxes, *maps, *pairs])
        report = Report(
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
            facts(config.out, config.seed, setting, evidence, time.monotonic() - began),
        )
        write_report(report, config.out / 'report.html')


def _frame_of(seed: int, setting: Setting, evidence: Evidence, stamp_ns: int) -> DriveFrame:
    """The frame of the drive that was played at a stamp, rendered again."""
    offset = evidence.truth_stamp(stamp_ns) - setting.drive.start_ns
    return SyntheticDrive(seed, setting.drive)[round(offset * setting.drive.rate_hz * 1e-9)]


def _film(setting: Setting, evidence: Evidence, path: Path, console: Console) -> None:
    frames, rate_hz = setting.drive.frames, setting.drive.rate_hz
    with step(console, '3/4 drawing the film', frames) as (progress, task):
        write_video(
            path,
            _scenes(setting, evidence),
            setting.mounting,
            rate_hz,
            WORKERS,
            lambda: progress.advance(task),
        )


def _scenes(setting: Setting, evidence: Evidence) -> Iterator[Scene]:
    """One scene a frame of the drive; its caption says what fails."""
    for index in range(setting.drive.frames):
        offset = round(index * 1e9 / setting.drive.rate_hz)
        seconds = offset * 1e-9
        titles = ', '.join(fault.title for fault in setting.plan.lasting(seconds))
        caption = f'plan: {titles}   {seconds:.1f} s' if titles else f'{seconds:.1f} s'
        yield scene_at(evidence, setting.truths, setting.rig, evidence.start_ns + offset, caption)
