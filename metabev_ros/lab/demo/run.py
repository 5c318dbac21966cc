"""The demonstration from end to end: drive, live run, judgement, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.faults.plan import FaultPlan, find_plan
from metabev_ros.lab.demo.console import print_findings, step
from metabev_ros.lab.demo.correctness import score_outputs
from metabev_ros.lab.demo.evidence import Evidence, read_evidence
from metabev_ros.lab.demo.live import LiveRun, make_rehearsal, run_live
from metabev_ros.lab.demo.load import LoadMeter
from metabev_ros.lab.demo.measures import measure
from metabev_ros.lab.demo.moment import sample_at
from metabev_ros.lab.demo.moving import HELD_NS, moving_timeline
from metabev_ros.lab.demo.pictures import (
    boxes_against_truth,
    live_maps,
    moments,
    output_near,
    panels,
    same_moment,
)
from metabev_ros.lab.demo.plots import (
    plot_ages,
    plot_delays,
    plot_latency,
    plot_quality,
    plot_timeline,
)
from metabev_ros.lab.demo.report import Report, write_pictures, write_report
from metabev_ros.lab.demo.scene import Mounting, Scene, draw_film_frame, scene_at
from metabev_ros.lab.demo.summary import (
    SUMMARY,
    Findings,
    Setting,
    facts,
    headline,
    write_summary,
)
from metabev_ros.lab.demo.targets import drive_seconds, make_checks, require_judgeable
from metabev_ros.lab.demo.world import (
    TrueMotion,
    make_drive,
    planned_arrivals,
    unsent_images,
    vehicle_drive,
)
from metabev_ros.lab.evaluation.held_out import CHOICE_FIRST_SEED
from metabev_ros.lab.evaluation.records import merge_records
from metabev_ros.lab.report.film import write_video
from metabev_ros.lab.report.gathering import FilmTimes
from metabev_ros.lab.report.player import Film, film_address
from metabev_ros.lab.simulation.worlds import DEFAULT_WORLD, World
from metabev_ros.pages.parts import Picture
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import DEFAULT_RIG, resource_path

HELD_OUT_SEED = 900_113  # no training and no evaluation takes this world
PLAN = 'sensor_loss'
WORKERS = 2
FILM_HZ = 10


@dataclass(frozen=True)
class DemoConfig:
    """Settings of a demonstration.

    Attributes:
        model_dir: None takes the package's own.
        record: merge the figures into this file of result records.
        command: what a person typed, for the records.
        plan: what fails when; one that `targets.require_judgeable` accepts.
        world: what the vehicle is driven through.
    """

    out: Path = Path('out/demo')
    seed: int = HELD_OUT_SEED
    model_dir: Path | None = None
    record: Path | None = None
    command: str = 'make demo'
    plan: FaultPlan = field(default_factory=lambda: find_plan(PLAN))
    world: World = DEFAULT_WORLD

    def __post_init__(self) -> None:
        if self.seed < CHOICE_FIRST_SEED:
            raise ConfigError(
                'demo seed',
                f'a held-out world, {CHOICE_FIRST_SEED} or above',
                str(self.seed),
                'smaller seeds may have been trained on',
            )


def run_demo(config: DemoConfig, console: Console) -> bool:
    """Run the demonstration; whether every target was met.

    Raises:
        MetaBevError: something could not run at all.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    for name in ('report.html', 'output.mcap', SUMMARY, 'run.mp4'):
        (config.out / name).unlink(missing_ok=True)  # nothing old may pass for this run's
    began = time.monotonic()
    model_dir = (config.model_dir or resource_path(f'models/{config.world.model}')).resolve()
    rig_path = resource_path(DEFAULT_RIG).resolve()
    pipeline = Pipeline.load(model_dir, threads=WORKERS)  # a wrong model stops before the work
    setting = _make_world(config, rig_path, console)
    meter = LoadMeter()
    live = _live(config, setting, model_dir, rig_path, console)
    load = meter.load()
    evidence = read_evidence(live.bag, setting.rig)
    arrivals = planned_arrivals(setting.drive)
    measures = measure(evidence, setting.plan, setting.rig, setting.sensing, arrivals)
    findings = Findings(
        evidence,
        measures,
        make_checks(
            measures, setting.rig, setting.sensing, live.node_exit, config.command, load.is_busy
        ),
        score_outputs(evidence, setting.truths, frozenset(setting.rig.sensor_names)),
        load,
    )
    write_summary(config.out / SUMMARY, config.seed, setting, findings)
    _make_report(config, setting, findings, pipeline, console, began)
    (config.out / 'drive.mcap').unlink()  # the output bag holds it as it was published
    if config.record is not None and load.is_busy:
        console.print(f'{config.record}: nothing recorded, the machine was busy', style='yellow')
    elif config.record is not None:
        merge_records(config.record, [check.record for check in findings.checks])
    return print_findings(console, findings, config.out, time.monotonic() - began)


# ------------------------------------------------------------------------------- before, live
def _make_world(config: DemoConfig, rig_path: Path, console: Console) -> Setting:
    drive = vehicle_drive(rig_path, config.seed, drive_seconds(config.plan), config.world)
    rig = drive.rig
    require_judgeable(config.plan, rig)
    total = len(drive.events)
    with step(console, '1/4 rendering a city nobody trained on', total) as (progress, task):
        truths = make_drive(
            config.out / 'drive.mcap',
            drive,
            WORKERS,
            lambda done, total: progress.update(
                task, completed=done, note=f'{done} of {total} messages'
            ),
            unsent_images(drive, config.plan),
        )
    lidar = rig.lidars[0]
    mounting = Mounting(
        drive.mounts.cameras, drive.mounts.poses[lidar.name], lidar.point_time, TrueMotion(drive)
    )
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
    truths, mounting = setting.truths, setting.mounting
    _film(setting, evidence, video, console)
    with step(console, '4/4 drawing the report', 3) as (progress, task):
        stills = panels(evidence, truths, rig, plan, mounting)
        progress.advance(task)
        stamp = output_near(evidence, rig, moments(plan)[0][1])  # all sensors live
        boxes = boxes_against_truth(scene_at(evidence, truths, rig, mounting, stamp, ''))
        maps = _same_moment(config, setting, evidence, pipeline, stamp)
        progress.advance(task)
        published = live_maps(evidence, truths, rig, plan, mounting)
        pairs = (picture for pair in published for picture in pair)
        write_pictures(config.out / 'pictures', [*stills, *boxes, *maps, *pairs])
        report = Report(
            headline(setting),
            findings.checks,
            findings.load.text,
            findings.measures.labels.wrong,
            Film(film_address(video, config.out / 'report.html'), stills[0].pixels),
            *moving_timeline(evidence, plan, rig, FilmTimes(FILM_HZ, _pictures(setting))),
            plot_timeline(evidence, plan, rig),
            findings.measures.sensors,
            plot_ages(evidence, findings.measures.sensors),
            plot_delays(findings.measures),
            plot_latency(evidence, plan),
            plot_quality(findings.qualities),
            stills,
            boxes,
            maps,
            published,
            facts(config.out, config.seed, setting, findings, time.monotonic() - began),
        )
        write_report(report, config.out / 'report.html')


def _same_moment(
    config: DemoConfig, setting: Setting, evidence: Evidence, pipeline: Pipeline, stamp_ns: int
) -> list[Picture]:
    """The instant of an output through the network: everything, no cameras, no LiDAR."""
    sample = sample_at(
        config.out / 'drive.mcap',
        pipeline,
        setting.rig,
        setting.sensing,
        evidence.truth_stamp(stamp_ns),
    )
    truth = setting.truths.at(sample.stamp_ns)
    return [] if truth is None else same_moment(pipeline, sample, truth)


def _pictures(setting: Setting) -> int:
    """Pictures of the film."""
    return round(setting.drive.seconds * FILM_HZ)


def _film(setting: Setting, evidence: Evidence, path: Path, console: Console) -> None:
    count = _pictures(setting)
    with step(console, '3/4 drawing the film', count) as (progress, task):
        write_video(
            path,
            _scenes(setting, evidence, count),
            draw_film_frame,
            FILM_HZ,
            WORKERS,
            lambda: progress.advance(task),
        )


def _scenes(setting: Setting, evidence: Evidence, count: int) -> Iterator[Scene]:
    """The newest output of every instant; its caption says what fails."""
    for index in range(count):
        offset = round((index + 1) * 1e9 / FILM_HZ)
        seconds = offset * 1e-9
        now = evidence.start_ns + offset
        titles = ', '.join(fault.title for fault in setting.plan.lasting(seconds))
        caption = f'plan: {titles}   {seconds:.1f} s' if titles else f'{seconds:.1f} s'
        stamp = evidence.output_before(now, HELD_NS)
        yield scene_at(
            evidence,
            setting.truths,
            setting.rig,
            setting.mounting,
            now if stamp is None else stamp,
            caption,
        )
