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

from metabev_ros.errors import BackendError
from metabev_ros.lab.demo.pictures import Picture
from metabev_ros.lab.demo.targets import Check

JPEG_QUALITY = 84
STYLE = """
:root { --ink: #22262c; --soft: #5b6470; --line: #e2e5e9; --good: #1f7a43; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 48px 24px 96px; background: #fff;
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 56px 0 4px; letter-spacing: -.005em; }
p { margin: 6px 0 14px; max-width: 76ch; }
p.soft, figcaption, .meta { color: var(--soft); font-size: 14px; }
.verdict { display: inline-block; font-weight: 600; padding: 3px 12px; border-radius: 14px;
  margin: 6px 0 10px; color: #fff; background: var(--good); }
.verdict.bad { background: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 10px 0 6px; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { border-bottom: 1px solid var(--line); padding: 6px 14px 6px 0; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.good { color: var(--good); font-weight: 600; } td.bad { color: var(--bad); font-weight: 600; }
tr.stated td { color: var(--soft); }
tbody th { border-bottom: 0; color: var(--ink); white-space: nowrap; }
tr.begins > * { border-top: 1px solid #aeb4bc; }
tbody tr:first-child > * { border-top: 0; }
figure { margin: 18px 0 22px; } figcaption { margin-top: 6px; }
img, video { width: 100%; height: auto; display: block; border-radius: 4px; }
img.plot { border-radius: 0; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; }
.three { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; }
.four { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.two figure, .three figure, .four figure { margin: 10px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; }
@media (max-width: 760px) { .two, .three, .four { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True)
class Report:
    """Everything the report shows.

    Attributes:
        facts: (name, text) of how it was made.
        wrong_labels: one text each; empty when all is well.
        live_maps: (published, truth) pairs.
    """

    headline: str
    checks: Sequence[Check]
    wrong_labels: Sequence[str]
    video: Path | None
    timeline: str
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
        '<figcaption>Every 0.1 s of the drive: the cameras as published (hatched: nothing '
        'came), the sensor states as the node reported them, and the map and boxes it '
        'published for that instant. Thin white outlines are the truth. Above: what the '
        'output was made from.</figcaption></figure>',
    ]


def _timeline(report: Report) -> list[str]:
    return [
        '<h2>Who was there, and what the node said</h2>',
        _plot(
            report.timeline,
            'Upper half of each row: every message that the sensor published; red '
            'while one picture is repeated. Lower half: the state that the node reported. Shaded: '
            'the plan. Below: the modality of the heartbeat and every output received.',
        ),
    ]


def _delays(report: Report) -> list[str]:
    return [
        '<h2>How long it took</h2>',
        _plot(
            report.delays,
            'Noticed: the first output with the right label (with all sensors dead: '
            'the first status NONE). Recovered: from the first message of every revived sensor to '
            'the first output made from all of them.',
        ),
    ]


def _panels(report: Report) -> list[str]:
    return ['<h2>Five moments</h2>', *(_figure(picture) for picture in report.panels)]


def _maps(report: Report) -> list[str]:
    parts = [
        '<h2>One instant, three sets of sensors</h2>',
        '<p>The same frame of the drive through the same network: with everything, without '
        'cameras, without LiDAR. Map colours as in the panels above, boxes in class '
        'colours, truth in thin white.</p>',
        '<div class="four">',
        *(_figure(picture) for picture in report.same_moment),
        '</div>',
    ]
    if report.live_maps:
        parts += [
            '<p>And as the node published its maps during the run, above the truth of the '
            'same stamp:</p>',
            '<div class="three">',
            *(f'<div>{_figure(found)}{_figure(truth)}</div>' for found, truth in report.live_maps),
            '</div>',
        ]
    return parts


def _boxes(report: Report) -> list[str]:
    return [
        '<h2>Boxes against truth</h2>',
        '<div class="two">',
        *(_figure(picture) for picture in report.boxes),
        '</div>',
        _plot(
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
        _plot(
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


def _plot(svg: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img class="plot" alt="{html.escape(caption)}" '
        f'src="data:image/svg+xml;base64,{data}">'
        f'<figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _figure(picture: Picture) -> str:
    caption = html.escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{_jpeg(picture.pixels)}">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def _jpeg(pixels: np.ndarray) -> str:
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise BackendError(
            'demo report', 'a picture that OpenCV can encode', f'shape {pixels.shape}'
        )
    return base64.b64encode(data.tobytes()).decode()


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """The pictures as files too, for a look without a browser."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        cv2.imwrite(
            str(folder / f'{picture.name}.png'), cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR)
        )
