"""A report from end to end: one bag or two are read, films are drawn, the page is written."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from metabev_ros.config import ModelConfig, RigConfig, SensingConfig
from metabev_ros.errors import ConfigError, OutputError, clean_text
from metabev_ros.lab.evaluation.records import machine_name
from metabev_ros.lab.report.gathering import FilmTimes, Gathering, RunFindings
from metabev_ros.lab.report.instants import SampleSetting
from metabev_ros.lab.report.page import Page, make_page, poster_of, save_page
from metabev_ros.lab.report.player import Film, film_address, film_beside
from metabev_ros.lab.report.recording import Recording, film_rate, read_recording, share_zero
from metabev_ros.lab.report.truth import read_truth
from metabev_ros.resources import package_version

# (what is done, how much of it, of how much)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReportConfig:
    """Settings of a report.

    Attributes:
        bag: with the outputs of the node beside its inputs.
        out: the page.
        other: a second bag to compare with; None for none.
        rig: the sensors of both.
        model: the network whose input size the images have.
        workers: processes that draw.
    """

    bag: Path
    out: Path
    rig: RigConfig
    model: ModelConfig
    other: Path | None = None
    sensing: SensingConfig = field(default_factory=SensingConfig)
    workers: int = 2

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in ('.html', '.htm'):
            raise ConfigError('report', 'the name of an .html file', clean_text(self.out))
        if self.workers < 1:
            raise ConfigError('workers', '1 or more', str(self.workers))

    @property
    def bags(self) -> tuple[Path, ...]:
        """The bags, in the order of the page."""
        return (self.bag,) if self.other is None else (self.bag, self.other)

    @property
    def files(self) -> tuple[Path, ...]:
        """The page, and the films that lie beside it where they are too large for it."""
        return (self.out, *(film_beside(self.out, number) for number in range(len(self.bags))))


def write_report(config: ReportConfig, progress: Progress) -> list[RunFindings]:
    """Write the page; returns what was found in each bag.

    Raises:
        ConfigError: a bag has no outputs.
        SensorDataError: a bag is unreadable from its first byte.
        OutputError: nothing can be written there.
        MissingDependencyError: there is no encoder, or no Bokeh.
    """
    began = time.monotonic()
    recordings = [_read(bag, progress) for bag in config.bags]
    if len(recordings) > 1:
        share_zero(recordings[0], recordings[1])
    seconds = max(recording.duration for recording in recordings)
    times = FilmTimes.over(seconds, film_rate(seconds))
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.metabev_report_', dir=config.out.parent) as made:
            runs = [
                _gather(config, recording, times, Path(made) / f'{number}.mp4', progress)
                for number, recording in enumerate(recordings)
            ]
            films = [
                Film(
                    film_address(run.film, config.out, number),
                    poster_of(run),
                    run.recording.name if len(runs) > 1 else '',
                )
                for number, run in enumerate(runs)
            ]
            page = Page(runs, films, _facts(config, runs, time.monotonic() - began))
            save_page(config.out, make_page(page))
    except OSError as error:
        raise OutputError.of(config.out, error) from error
    return runs


def _read(bag: Path, progress: Progress) -> Recording:
    name = f'Reading {clean_text(bag.name, 30)}'
    return read_recording(bag, lambda done, total: progress(name, done, total))


def _gather(
    config: ReportConfig, recording: Recording, times: FilmTimes, film: Path, progress: Progress
) -> RunFindings:
    setting = SampleSetting(config.rig, config.sensing, config.model)
    truth = read_truth(recording.path, config.rig)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(f'Drawing the film of {recording.name[:30]}', done, times.count)

    return Gathering(recording, setting, truth, times, film).run(config.workers, advance)


def _facts(config: ReportConfig, runs: list[RunFindings], seconds: float) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for run in runs:
        rows += [
            ('bag', clean_text(run.recording.path.resolve(), 300)),
            ('input', run.recording.integrity),
            ('node', run.recording.prefix.rstrip('/')),
            ('truth', run.truth_topic or 'none in the bag'),
            *(('note', clean_text(note, 300)) for note in run.notes),
        ]
    film = runs[0].times
    return [
        *rows,
        ('film', f'{film.count} pictures, {film.rate_hz:.3g} a second'),
        ('made by', f'metabev {package_version()} on {machine_name()} in {seconds:.0f} s'),
    ]
