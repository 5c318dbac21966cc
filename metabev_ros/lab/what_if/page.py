"""The page: one HTML file that holds its pictures and reads well on a phone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from metabev_ros.drawing import BevView, draw_bev
from metabev_ros.lab.what_if.failures import FailureKind
from metabev_ros.lab.what_if.looks import Scene
from metabev_ros.lab.what_if.losses import REACHES_M, Share
from metabev_ros.lab.what_if.report import Outcome, Report, counted, plural
from metabev_ros.lab.what_if.run import Answer
from metabev_ros.pages.parts import Picture, figure
from metabev_ros.pages.style import STYLE
from metabev_ros.structures import ModelInfo

VIEW = BevView(520, 520, 52.0)
OPEN, PICTURES = 10, 3  # outcomes that are shown without a click, and with a picture
MORE_STYLE = """
body { padding: 28px 16px 64px; max-width: 900px; }
h1 { font-size: 26px; } h2 { margin-top: 40px; }
ol.loss { list-style: none; margin: 10px 0; padding: 0; }
ol.loss li { border-bottom: 1px solid var(--line); padding: 10px 0; }
ol.loss b { display: block; font-weight: 600; overflow-wrap: anywhere; }
.bar { background: var(--line); height: 8px; border-radius: 4px; margin: 6px 0; }
.bar i { display: block; height: 8px; border-radius: 4px; background: var(--bad); }
.say { font-size: 19px; margin: 10px 0; max-width: none; overflow-wrap: anywhere; }
details { margin: 4px 0; font-size: 14px; } summary { color: var(--soft); cursor: pointer; }
.wide { overflow-x: auto; } .wide th, .wide td { padding-right: 10px; }
tbody th { white-space: normal; overflow-wrap: anywhere; font-size: 12px; }
.wide tbody th { border-bottom: 1px solid var(--line); }
@media (max-width: 480px) { dl { grid-template-columns: 1fr; } dt { margin-top: 6px; } }
"""


def page(answer: Answer) -> str:
    """The whole text of the page."""
    report = answer.report
    parts = [
        '<!doctype html>',
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>What if: {html.escape(report.bag)}</title>',
        f'<style>{STYLE}{MORE_STYLE}</style></head><body>',
        '<h1>What if a sensor fails?</h1>',
        f'<p class="soft">{html.escape(report.bag)}, {counted(len(report.stamps_ns), "moment")}, '
        f'{html.escape(_held_to(report))}</p>',
        *(f'<p class="say">{html.escape(text)}</p>' for text in report.headlines),
        *_matrix(report),
        *_ranking(report.outcomes),
        *_pictures(answer),
        *_facts(report),
        '</body></html>',
    ]
    return '\n'.join(parts) + '\n'


def _held_to(report: Report) -> str:
    return f'held to {report.labels}' if report.labels else 'held to the run with all sensors'


# ---------------------------------------------------------------------------------- overview
def _matrix(report: Report) -> list[str]:
    """Lost share of all boxes by sensor and kind."""
    single = {
        (o.failure.sensors[0], o.failure.kind): o
        for o in report.outcomes
        if len(o.failure.sensors) == 1
    }
    kinds = [kind for kind in FailureKind if any(k is kind for _, k in single)]
    sensors = list(dict.fromkeys(name for name, _ in single))
    if not kinds:
        return []
    heads = ''.join(f'<th class="number">{kind.value}</th>' for kind in kinds)
    rows = [
        f'<tr><th>{html.escape(name)}</th>'
        + ''.join(_cell(single.get((name, kind))) for kind in kinds)
        + '</tr>'
        for name in sensors
    ]
    return [
        '<h2>Boxes lost</h2>',
        '<div class="wide"><table><thead><tr><th></th>',
        heads,
        '</tr></thead><tbody>',
        *rows,
        '</tbody></table></div>',
        '<p class="soft">Of all boxes that all sensors together show. Minus: more boxes were '
        'found than before. Kill: nothing comes. Delay: it comes late. Freeze: the same again '
        'and again. Blind: black pictures, empty sweeps.</p>',
    ]


def _cell(outcome: Outcome | None) -> str:
    text = '' if outcome is None else _percent(outcome.all_boxes().lost)
    return f'<td class="number">{text or "&ndash;"}</td>'


# ----------------------------------------------------------------------------------- ranking
def _ranking(outcomes: Sequence[Outcome]) -> list[str]:
    items = [_item(outcome) for outcome in outcomes]
    rest = items[OPEN:]
    parts = [
        '<h2>What costs most</h2>',
        f'<ol class="loss">{"".join(items[:OPEN])}</ol>',
    ]
    if rest:
        parts.append(
            f'<details><summary>{len(rest)} more</summary>'
            f'<ol class="loss">{"".join(rest)}</ol></details>'
        )
    return parts


def _item(outcome: Outcome) -> str:
    lost = outcome.all_boxes().lost
    width = 0 if math.isnan(lost) else 100 * min(max(lost, 0.0), 1.0)
    return (
        f'<li><b>{html.escape(outcome.sentence())}</b>'
        f'<div class="bar"><i style="width:{width:.1f}%"></i></div>'
        f'<div class="meta">{html.escape("; ".join(_in_short(outcome)))}</div>'
        f'{_details(outcome)}</li>'
    )


def _in_short(outcome: Outcome) -> list[str]:
    """Facts of one failure, one a piece."""
    boxes, area = outcome.all_boxes(), outcome.all_area
    facts = [
        f'boxes {boxes.before:.0f} → {boxes.after:.0f}',
        f'map {_percent(area.lost) or "–"} lost',
    ]
    titles = {'nds': 'NDS', 'map': 'mAP', 'miou': 'mIoU'}
    facts += [
        f'{titles[name]} {share.before:.3f} → {share.after:.3f}'
        for name, share in outcome.figures.items()
        if not math.isnan(share.before + share.after)
    ]
    facts.append(outcome.label_words())
    made = ', '.join(f'{count} {name}' for name, count in outcome.branches.items())
    return [*facts, f'made from: {made}']


def _details(outcome: Outcome) -> str:
    heads = ''.join(f'<th class="number">{reach:g} m</th>' for reach in REACHES_M)
    rows = [
        f'<tr><th>{html.escape(plural(name))}</th>'
        + ''.join(f'<td class="number">{_left(share)}</td>' for share in shares)
        + '</tr>'
        for name, shares in outcome.boxes.items()
    ]
    areas = [
        f'<tr><th>{html.escape(name.replace("_", " "))}</th>'
        f'<td class="number">{share.before:.0f} m² → {share.after:.0f} m²</td></tr>'
        for name, share in outcome.area.items()
    ]
    states = '; '.join(f'{name}: {state}' for name, state in outcome.states.items())
    return (
        '<details><summary>classes, ranges, map</summary><div class="wide">'
        f'<table><thead><tr><th>within</th>{heads}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table>'
        f'<table><tbody>{"".join(areas)}</tbody></table></div>'
        f'<p class="soft">Boxes where nothing had to be found: {outcome.extra.before:.0f} → '
        f'{outcome.extra.after:.0f}. Last state: {html.escape(states)}.</p></details>'
    )


def _left(share: Share) -> str:
    return f'{share.before:.0f} → {share.after:.0f}' if share.before else '&ndash;'


def _percent(share: float) -> str:
    return '' if math.isnan(share) else f'{100 * share:.0f} %'


# ---------------------------------------------------------------------------- pictures, facts
def _pictures(answer: Answer) -> list[str]:
    report = answer.report
    seen = [o for o in report.outcomes if o.failure.id in answer.scenes]
    dearest = {o.failure.sensors: o for o in reversed(seen)}  # one picture for the same sensors
    shown = [o for o in seen if dearest[o.failure.sensors] is o][:PICTURES]
    model = report.model
    pictures = [
        Picture('all', 'All sensors.', _draw(answer.base, model)),
        *(
            Picture(
                o.failure.id,
                f'If {o.failure.words}.',
                _draw(answer.scenes[o.failure.id], model),
            )
            for o in shown
        ),
    ]
    outlines = 'the labels' if report.labels else 'what all sensors show'
    return [
        '<h2>One moment</h2>',
        f'<p class="soft">The one with most boxes. Forward is up, thin white outlines are '
        f'{outlines}.</p>',
        '<div class="two">',
        *(figure(picture) for picture in pictures),
        '</div>',
    ]


def _draw(scene: Scene, model: ModelInfo) -> np.ndarray:
    return draw_bev(
        VIEW,
        scene.layers,
        model.map_grid,
        boxes=scene.boxes,
        labels=scene.labels,
        scores=scene.scores,
        truth=scene.truth,
        class_names=model.detection_classes,
        map_classes=model.map_classes,
    )


def _facts(report: Report) -> list[str]:
    rows = ''.join(
        f'<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>' for name, text in report.facts
    )
    lines = [f'{name}: {why}' for name, why in report.not_tried.items()]
    left = ''.join(f'<li>{html.escape(text)}</li>' for text in [*lines, *report.notes])
    return [
        '<h2>What was looked at</h2>',
        f'<dl>{rows}</dl>',
        *([f'<p class="soft">Not tried, and notes:</p><ul>{left}</ul>'] if left else []),
        '<p class="soft">One bag is one bag: what is rare in it says little. Each sentence '
        'names the class of which most is lost, if ten boxes of it or more were there. '
        'The faults are those of <code>metabev inject'
        '</code>, the perception is that of <code>metabev replay</code>.</p>',
    ]
