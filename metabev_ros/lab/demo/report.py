"""The report: one HTML file that holds its pictures, plots and film."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.files import write_bytes
from metabev_ros.lab.demo.sensors import SensorMeasure
from metabev_ros.lab.demo.targets import NOT_JUDGED, Check
from metabev_ros.lab.report.player import Film, film_part
from metabev_ros.pages.parts import (
    Picture,
    document,
    facts,
    figure,
    picture_legend,
    plot,
    state_legend,
    table,
)

_FILM = (
    'Every 0.1 s of the drive the newest output: the images and the sweep that it was made from '
    '(of other sensors the newest that they published; hatched: nothing came), the sensor states '
    'as the node reported them, and the map and boxes it published. Thin white outlines are the '
    'truth at its stamp.'
)


@dataclass(frozen=True)
class Report:
    """Everything the report shows.

    Attributes:
        facts: (name, text) of how it was made.
        load: what other programs took of the machine, in words.
        wrong_labels: one text each; empty when all is well.
        film: None where there is none.
        timeline: the one that reacts, and `player` the script that moves it with the film; the
            states beside the film are those of `player`.
        live_maps: (published, truth) pairs.
        sensors: rates and ages; `ages` is their plot.
    """

    headline: str
    checks: Sequence[Check]
    load: str
    wrong_labels: Sequence[str]
    film: Film | None
    timeline: str
    player: str
    publications: str
    sensors: Sequence[SensorMeasure]
    ages: str
    delays: str
    latency: str
    quality: str
    panels: Sequence[Picture]
    boxes: Sequence[Picture]
    same_moment: Sequence[Picture]
    live_maps: Sequence[tuple[Picture, Picture]]
    facts: Sequence[tuple[str, str]]

    @property
    def is_met(self) -> bool:
        """Tell whether no target was missed."""
        return all(check.record.met is not False for check in self.checks)


def write_report(report: Report, path: Path) -> None:
    """Write the file; it appears under its name when complete."""
    parts = [
        *_film(report),
        *_targets(report),
        *_publications(report),
        *_rates_and_ages(report),
        *_delays(report),
        *_panels(report),
        *_maps(report),
        *_boxes(report),
        *_latency(report),
        '<h2>How this was made</h2>',
        facts(report.facts),
        report.player,
    ]
    write_bytes(path, document('MetaBEV: sensors die, the node goes on', parts).encode())


def _film(report: Report) -> list[str]:
    """The verdict, the film, and the timeline that moves it."""
    parts = ['<h1>Sensors die, the node goes on</h1>', _verdict(report)]
    if report.film is not None:
        parts += ['<div id="film">', film_part([report.film], _FILM), '</div>']
    return [
        *parts,
        picture_legend(has_truth=True),
        f'<p>{html.escape(report.headline)}</p>',
        '<h2>Timeline</h2>',
        '<p class="soft">States and modality as the heartbeats reported them, shaded: the plan. '
        'Click anywhere: the film and the sensors below it go to that moment.</p>',
        report.timeline,
        state_legend(),
        '<div id="state0"></div>',
    ]


def _verdict(report: Report) -> str:
    targets = [check for check in report.checks if check.record.target]
    met = sum(bool(check.record.met) for check in targets)
    waived = sum(bool(check.not_judged) for check in report.checks)
    busy = f' <b>{waived} {NOT_JUDGED}</b> ({html.escape(report.load)})' if waived else ''
    return (
        f'<span class="verdict">{met} of {len(targets)} targets met</span>{busy}'
        if report.is_met
        else f'<span class="verdict bad">{len(targets) - met} of {len(targets)} targets '
        f'missed</span>{busy}'
    )


def _targets(report: Report) -> list[str]:
    return ['<h2>Targets</h2>', *_table(report.checks), *_wrong(report.wrong_labels)]


def _table(checks: Sequence[Check]) -> list[str]:
    rows = [
        '<div class="wide"><table><thead><tr><th></th><th></th><th class="number">measured</th>'
        '<th class="number">target</th><th></th></tr></thead><tbody>'
    ]
    group = ''
    for check in checks:
        met = check.record.met
        begins, group = check.group != group, check.group
        mark = {
            True: '<td class="good">met</td>',
            False: '<td class="bad">missed</td>',
            None: f'<td>{html.escape(check.mark).replace(" ", "&nbsp;")}</td>',
        }[met]
        kind = ' '.join(
            name for name, holds in (('stated', met is None), ('begins', begins)) if holds
        )
        rows.append(
            f'<tr class="{kind}"><th>{html.escape(group) if begins else ""}</th>'
            f'<td>{html.escape(check.what)}</td>'
            f'<td class="number">{html.escape(check.value_text)}</td>'
            f'<td class="number">{html.escape(check.target_text)}</td>{mark}</tr>'
        )
    return [
        *rows,
        '</tbody></table></div>',
        '<p class="soft">Grey lines are stated without a target. Stamp time says which sample '
        'was the first to be right; received adds waiting, inference and transport.</p>',
    ]


def _wrong(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    items = ''.join(f'<li>{html.escape(text)}</li>' for text in texts[:20])
    return [f'<p><b>Untrue labels</b> (first 20 of {len(texts)}):</p><ul>{items}</ul>']


def _publications(report: Report) -> list[str]:
    return [
        '<h2>Who was there, and what the node said</h2>',
        plot(
            report.publications,
            'Upper half of each row: every message that the sensor published; red '
            'while one picture is repeated. Lower half: the state that the node reported. Shaded: '
            'the plan. Below: the modality of the heartbeat and every output received.',
        ),
    ]


def _rates_and_ages(report: Report) -> list[str]:
    titles = ('rig file', 'published', 'node says', 'stamp to sent', 'median age', 'largest age')
    heads = ('', *titles, 'allowed', 'served again')
    return [
        '<h2>Rates and ages</h2>',
        '<p>The sensors run at their own rates. A sample takes the stamp of its sweep and of each '
        'camera the nearest image; one whose successor is not due yet serves again. Its age '
        'is the stamp of the output minus its own, as the label says it.</p>',
        table(heads, [_sensor_row(sensor) for sensor in report.sensors]),
        '<p class="soft">While nothing failed. Stamp to sent: median. Served again: share of the '
        'outputs whose image an output before them held too.</p>',
        plot(
            report.ages,
            'The ages in the labels of all outputs of the run. Shaded: what a label may say. '
            'Lines: medians while nothing failed.',
        ),
    ]


def _sensor_row(sensor: SensorMeasure) -> tuple[str, ...]:
    ages = sensor.healthy_ages
    median = f'{np.median(ages):.0f} ms' if len(ages) else ''
    largest = f'{ages.max():.0f} ms' if len(ages) else ''
    return (
        html.escape(sensor.name),
        f'{sensor.nominal_hz:.1f} Hz',
        f'{sensor.published_hz:.1f} Hz',
        f'{sensor.reported_hz:.1f} Hz',
        f'{sensor.way:.1f} ms',
        median,
        largest,
        f'{sensor.least:.0f} to {sensor.greatest:.0f} ms',
        f'{100 * sensor.again:.0f} %',
    )


def _delays(report: Report) -> list[str]:
    return [
        '<h2>How long it took</h2>',
        plot(
            report.delays,
            'Noticed: the first output with the right label (with all sensors dead: '
            'the first status NONE). Recovered: from the first message of every revived sensor to '
            'the first output made from all of them.',
        ),
    ]


def _panels(report: Report) -> list[str]:
    return ['<h2>Five moments</h2>', *(figure(picture) for picture in report.panels)]


def _maps(report: Report) -> list[str]:
    parts = [
        '<h2>One instant, three sets of sensors</h2>',
        '<p>The same frame of the drive through the same network: with everything, without '
        'cameras, without LiDAR. Map colours as in the panels above, boxes in class '
        'colours, truth in thin white.</p>',
        '<div class="four">',
        *(figure(picture) for picture in report.same_moment),
        '</div>',
    ]
    if report.live_maps:
        parts += [
            '<p>And as the node published its maps during the run, above the truth of the '
            'same stamp:</p>',
            '<div class="three">',
            *(f'<div>{figure(found)}{figure(truth)}</div>' for found, truth in report.live_maps),
            '</div>',
        ]
    return parts


def _boxes(report: Report) -> list[str]:
    return [
        '<h2>Boxes against truth</h2>',
        '<div class="two">',
        *(figure(picture) for picture in report.boxes),
        '</div>',
        plot(
            report.quality,
            'All outputs of the run against the truth of their stamps. AP '
            "is nuScenes' (mean over four distances), averaged over the classes that "
            'occur; the rows cover different stretches of one short drive, so they show '
            'that every branch works, not how they compare: `metabev evaluate` does.',
        ),
    ]


def _latency(report: Report) -> list[str]:
    return [
        '<h2>Latency</h2>',
        plot(
            report.latency,
            'From the stamp of a sample to its publication, every output of the run. '
            'Without the LiDAR a sample first waits until the sweep is overdue.',
        ),
    ]


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """The pictures as files too, for a look without a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        cv2.imwrite(
            str(folder / f'{picture.name}.png'), cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
        )
