"""The report: one HTML file that holds its pictures, plots and film."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metabev_ros.lab.demo.page import STYLE, figure, plot
from metabev_ros.lab.demo.pictures import Picture
from metabev_ros.lab.demo.sensors import SensorMeasure
from metabev_ros.lab.demo.targets import Check


@dataclass(frozen=True)
class Report:
    """Everything the report shows.

    Attributes:
        facts: (name, text) of how it was made.
        wrong_labels: one text each; empty when all is well.
        live_maps: (published, truth) pairs.
        sensors: rates and ages; `ages` is their plot.
    """

    headline: str
    checks: Sequence[Check]
    wrong_labels: Sequence[str]
    video: Path | None
    timeline: str
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
        '<!doctype html>',
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>MetaBEV: sensors die, the node goes on</title><style>{STYLE}</style>',
        '</head><body>',
        *_head(report),
        *_film(report),
        *_timeline(report),
        *_rates_and_ages(report),
        *_delays(report),
        *_panels(report),
        *_maps(report),
        *_boxes(report),
        *_latency(report),
        *_facts(report),
        '</body></html>',
    ]
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    part.write_text('\n'.join(parts) + '\n', encoding='utf-8')
    os.replace(part, path)


def _head(report: Report) -> list[str]:
    targets = [check for check in report.checks if check.record.target]
    met = sum(bool(check.record.met) for check in targets)
    verdict = (
        f'<span class="verdict">{met} of {len(targets)} targets met</span>'
        if report.is_met
        else f'<span class="verdict bad">{len(targets) - met} of {len(targets)} targets '
        'missed</span>'
    )
    return [
        '<h1>Sensors die, the node goes on</h1>',
        f'<p>{html.escape(report.headline)}</p>',
        verdict,
        *_table(report.checks),
        *_wrong(report.wrong_labels),
    ]


def _table(checks: Sequence[Check]) -> list[str]:
    rows = [
        '<table><thead><tr><th></th><th></th><th class="number">measured</th>'
        '<th class="number">target</th><th></th></tr></thead><tbody>'
    ]
    group = ''
    for check in checks:
        met = check.record.met
        begins, group = check.group != group, check.group
        mark = {
            True: '<td class="good">met</td>',
            False: '<td class="bad">missed</td>',
            None: '<td></td>',
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
        '</tbody></table>',
        '<p class="soft">Grey lines are stated without a target. Stamp time says which sample '
        'was the first to be right; received adds waiting, inference and transport.</p>',
    ]


def _wrong(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    items = ''.join(f'<li>{html.escape(text)}</li>' for text in texts[:20])
    return [f'<p><b>Untrue labels</b> (first 20 of {len(texts)}):</p><ul>{items}</ul>']


def _film(report: Report) -> list[str]:
    if report.video is None:
        return []
    data = base64.b64encode(report.video.read_bytes()).decode()
    return [
        '<h2>The whole run</h2>',
        '<figure><video controls muted loop playsinline '
        f'src="data:video/mp4;base64,{data}"></video>',
        '<figcaption>Every 0.1 s of the drive the newest output: the images and the sweep that '
        'it was made from (of other sensors the newest that they published; hatched: nothing '
        'came), the sensor states as the node reported them, and the map and boxes it '
        'published. Thin white outlines are the truth at its stamp.</figcaption></figure>',
    ]


def _timeline(report: Report) -> list[str]:
    return [
        '<h2>Who was there, and what the node said</h2>',
        plot(
            report.timeline,
            'Upper half of each row: every message that the sensor published; red '
            'while one picture is repeated. Lower half: the state that the node reported. Shaded: '
            'the plan. Below: the modality of the heartbeat and every output received.',
        ),
    ]


def _rates_and_ages(report: Report) -> list[str]:
    titles = ('rig file', 'published', 'node says', 'stamp to sent', 'median age', 'largest age')
    heads = ''.join(f'<th class="number">{title}</th>' for title in titles)
    rows = [
        f'<table><thead><tr><th></th>{heads}<th class="number">allowed</th>'
        '<th class="number">served again</th></tr></thead><tbody>',
        *(_sensor_row(sensor) for sensor in report.sensors),
        '</tbody></table>',
    ]
    return [
        '<h2>Rates and ages</h2>',
        '<p>The sensors run at their own rates. A sample takes the stamp of its sweep and of each '
        'camera the nearest image; one whose successor is not due yet serves again. Its age '
        'is the stamp of the output minus its own, as the label says it.</p>',
        *rows,
        '<p class="soft">While nothing failed. Stamp to sent: median. Served again: share of the '
        'outputs whose image an output before them held too.</p>',
        plot(
            report.ages,
            'The ages in the labels of all outputs of the run. Shaded: what a label may say. '
            'Lines: medians while nothing failed.',
        ),
    ]


def _sensor_row(sensor: SensorMeasure) -> str:
    ages = sensor.healthy_ages
    median = f'{np.median(ages):.0f} ms' if len(ages) else ''
    largest = f'{ages.max():.0f} ms' if len(ages) else ''
    cells = (
        f'{sensor.nominal_hz:.1f} Hz',
        f'{sensor.published_hz:.1f} Hz',
        f'{sensor.reported_hz:.1f} Hz',
        f'{sensor.way:.1f} ms',
        median,
        largest,
        f'{sensor.least:.0f} to {sensor.greatest:.0f} ms',
        f'{100 * sensor.again:.0f} %',
    )
    numbers = ''.join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><th>{html.escape(sensor.name)}</th>{numbers}</tr>'


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


def _facts(report: Report) -> list[str]:
    rows = ''.join(
        f'<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>' for name, text in report.facts
    )
    return ['<h2>How this was made</h2>', f'<dl>{rows}</dl>']


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """The pictures as files too, for a look without a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        cv2.imwrite(
            str(folder / f'{picture.name}.png'), cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
        )
