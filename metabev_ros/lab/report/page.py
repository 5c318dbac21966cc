"""The page of a run, or of two: film first, then the timeline that moves it, then the rest."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.drawing import BevView, draw_bev, draw_map
from metabev_ros.lab.report import figures
from metabev_ros.lab.report.gathering import RunFindings
from metabev_ros.lab.report.moments import Moment
from metabev_ros.lab.report.panel import (
    Instant,
    draw_ground,
    draw_images,
    draw_instant,
    visible_truth,
)
from metabev_ros.lab.report.player import Film, film_part, player_part
from metabev_ros.lab.report.timeline import TimelineRun, timeline
from metabev_ros.pages.ground import HALF_LENGTH
from metabev_ros.pages.parts import (
    Picture,
    document,
    facts,
    figure,
    picture_legend,
    state_legend,
)
from metabev_ros.pages.states import plain_status

SQUARE = BevView(480, 480, HALF_LENGTH)
SMALL = BevView(300, 300, HALF_LENGTH)


@dataclass(frozen=True)
class Page:
    """The ingredients of a page.

    Attributes:
        runs: one, or two to be compared.
        films: of each run, as the page has them.
        facts: (name, text) of how it was made.
    """

    runs: Sequence[RunFindings]
    films: Sequence[Film]
    facts: Sequence[tuple[str, str]]


def make_page(page: Page) -> str:
    """The whole file."""
    first, names = page.runs[0], [html.escape(run.recording.name) for run in page.runs]
    poster = _poster(first)
    shown = [_timeline_run(run, len(page.runs) > 1) for run in page.runs]
    lines, cursors = timeline(shown, first.times.seconds(poster))
    has_truth = any(run.truth_topic for run in page.runs)
    apart, differing = figures.differences(*page.runs) if len(page.runs) > 1 else ('', [])
    parts = [
        f'<h1>{" against ".join(names)}</h1>',
        *(_sentence(run, len(page.runs) > 1) for run in page.runs),
        '<div id="film">',
        film_part(page.films, _film_words(has_truth)),
        '</div>',
        picture_legend(has_truth),
        '<h2>Timeline</h2>',
        '<p class="soft">Click anywhere in it: the film, the sensors and the pictures below go '
        'to that moment.</p>',
        lines,
        state_legend(),
        '<h2>The sensors at this moment</h2>',
        *_states(page.runs),
        *_worst([*differing, *first.worst]),
        *_compared(page.runs, apart),
        '<h2>Cameras and ground, large</h2>',
        *_stills(page.runs),
        *(part for run in page.runs for part in _run_parts(run, len(page.runs) > 1)),
        '<h2>How this was made</h2>',
        facts(page.facts),
        player_part(first.times, [_moments(run) for run in page.runs], cursors, poster),
    ]
    return document(' against '.join(run.recording.name for run in page.runs), parts)


def _sentence(run: RunFindings, with_name: bool) -> str:
    name = f'<b>{html.escape(run.recording.name)}</b>: ' if with_name else ''
    return f'<p>{name}{html.escape(figures.sentence(run.recording))}</p>'


def poster_of(found: RunFindings) -> np.ndarray | None:
    """The run at its best, for the film before it plays."""
    from metabev_ros.lab.report.film import VIDEO_LAYOUT

    return None if found.best is None else draw_instant(found.best[1], VIDEO_LAYOUT)


def _poster(found: RunFindings) -> int:
    """The picture of the film that the poster shows."""
    if found.best is None:
        return 0
    output = found.recording.outputs[found.best[0]]
    return found.times.number(found.recording.seconds(output.wall_ns))


def _film_words(has_truth: bool) -> str:
    truth = ' Thin white outlines are the truth.' if has_truth else ''
    return (
        'The newest output of every moment: the images and the points that it was made from '
        '(hatched: not in it), the sensors as the node reported them, and the map and the boxes '
        f'that it published.{truth}'
    )


def _timeline_run(run: RunFindings, with_title: bool) -> TimelineRun:
    recording = run.recording
    return TimelineRun(
        recording.name if with_title else '',
        recording.zero_ns,
        recording.duration,
        recording.sensor_names,
        recording.statuses,
        recording.outputs,
    )


def _moments(run: RunFindings) -> dict[str, object]:
    """The states beside the pictures of the film; those that repeat are there once."""
    statuses: list[dict] = []
    numbers: dict[int, int] = {}
    at: list[int] = []
    for status in run.shown:
        if status is None:
            at.append(-1)
            continue
        if id(status) not in numbers:
            numbers[id(status)] = len(statuses)
            statuses.append(plain_status(status))
        at.append(numbers[id(status)])
    return {'statuses': statuses, 'at': at}


def _states(runs: Sequence[RunFindings]) -> list[str]:
    return [
        (f'<h3>{html.escape(run.recording.name)}</h3>' if len(runs) > 1 else '')
        + f'<div id="state{number}"></div>'
        for number, run in enumerate(runs)
    ]


def _worst(moments: Sequence[Moment]) -> list[str]:
    if not moments:
        return ['<h2>Worst moments</h2>', '<p>None stands out.</p>']
    return [
        '<h2>Worst moments</h2>',
        '<p class="soft">A click goes there.</p>',
        figures.worst_list(moments),
    ]


def _compared(runs: Sequence[RunFindings], apart: str) -> list[str]:
    if len(runs) < 2:
        return []
    return ['<h2>Compared</h2>', figures.comparison_table(*runs), apart]


def _stills(runs: Sequence[RunFindings]) -> list[str]:
    """Blocks of which the one nearest to the moment is shown."""
    parts: list[str] = []
    times = sorted(
        {
            round(run.recording.seconds(run.recording.outputs[index].wall_ns), 3)
            for run in runs
            for index in run.stills
        }
    )
    for number, seconds in enumerate(times):
        hidden = ' hidden' if number else ''
        parts.append(f'<div class="still" data-t="{seconds}"{hidden}>')
        for run in runs:
            parts += _still(run, seconds, len(runs) > 1)
        parts.append('</div>')
    return parts or ['<p>There is no output to be shown.</p>']


def _still(run: RunFindings, seconds: float, with_name: bool) -> list[str]:
    """The still of a run that is nearest to a time."""
    if not run.stills:
        return []
    outputs = run.recording.outputs

    def apart(index: int) -> float:
        return abs(run.recording.seconds(outputs[index].wall_ns) - seconds)

    index = min(run.stills, key=apart)
    instant, name = run.stills[index], html.escape(run.recording.name) if with_name else ''
    at = run.recording.seconds(outputs[index].wall_ns)
    title = f'{name} at {at:.1f} s, {instant.modality.name}'.strip()
    return [f'<h3>{title}</h3>', *still_pictures(instant, f'still_{index}')]


def still_pictures(instant: Instant, name: str) -> list[str]:
    """The cameras with their boxes, and the ground from above."""
    cameras = [
        figure(Picture(f'{name}_{camera}', camera, picture))
        for camera, picture in draw_images(instant, with_text=True).items()
        if picture is not None
    ]
    missing = [camera for camera, image in instant.images.items() if image is None]
    parts = [f'<div class="three">{"".join(cameras)}</div>'] if cameras else []
    if missing:
        parts.append(f'<p class="soft">Without an image: {html.escape(", ".join(missing))}.</p>')
    ground = [
        Picture(f'{name}_ground', 'Boxes, points and map.', draw_ground(instant, SQUARE)),
        Picture(
            f'{name}_boxes', 'Boxes without the map.', draw_ground(instant, SQUARE, with_map=False)
        ),
    ]
    if instant.truth is not None:
        truth = draw_bev(
            SQUARE,
            instant.truth.map_layers.astype(np.float32),
            truth=visible_truth(instant.truth),
        )
        ground.append(Picture(f'{name}_truth', 'The truth.', truth))
    return [*parts, f'<div class="three">{"".join(figure(p) for p in ground)}</div>']


def _run_parts(run: RunFindings, with_name: bool) -> list[str]:
    """Latencies, sensors, map layers and scores of one run."""
    of = f' of {html.escape(run.recording.name)}' if with_name else ''
    parts = [
        f'<h2>Latencies{of}</h2>',
        '<p class="soft">From the stamp of a sample to its publication; in a replay that is the '
        'time for which the recording made it wait. Below: what each stage computed.</p>',
        figures.latency_table(run.recording),
        figures.stage_table(run.recording),
        f'<h2>Sensors{of}</h2>',
        '<p class="soft">States as the heartbeats reported them; ages as the labels of the '
        'outputs say them.</p>',
        figures.sensor_table(run.recording),
    ]
    if run.best is not None:
        parts += [f'<h2>Map layers{of}</h2>', *_layers(run, run.best[1])]
    if run.qualities:
        parts += [
            f'<h2>Against the truth{of}</h2>',
            figures.quality_table(run),
            '<p class="soft">Over the outputs in the film. AP is nuScenes&#39; (mean over four '
            'distances), averaged over the classes that occur; one drive is too short to say how '
            'good a network is: metabev evaluate does.</p>',
        ]
    return parts


def _layers(run: RunFindings, instant: Instant) -> list[str]:
    """Every layer of the map by itself, with the truth beside it where there is one."""
    frame = instant.frame
    if frame is None or frame.map_probabilities is None:
        return ['<p>There is no map in the bag.</p>']
    grid, names = frame.map_grid, frame.map_classes
    truth = None if instant.truth is None else instant.truth.map_layers.astype(np.float32)
    has_truth = truth is not None and truth.shape == frame.map_probabilities.shape
    pictures: list[str] = []
    for number, name in enumerate(names):
        one = slice(number, number + 1)
        drawn = draw_map(SMALL, frame.map_probabilities[one], grid, (name,))
        caption = name.replace('_', ' ')
        if truth is not None and has_truth:
            drawn = np.concatenate([drawn, draw_map(SMALL, truth[one], grid, (name,))], axis=1)
            caption += ': as published, and the truth'
        pictures.append(figure(Picture(f'layer_{name}', caption, drawn)))
    at = run.recording.seconds(run.recording.outputs[_index_of(run)].wall_ns)
    return [f'<p class="soft">At {at:.1f} s.</p><div class="three">{"".join(pictures)}</div>']


def _index_of(run: RunFindings) -> int:
    return 0 if run.best is None else run.best[0]


def save_page(path: Path, text: str) -> None:
    """Write the file; it appears under its name when complete."""
    from metabev_ros.files import write_bytes

    write_bytes(path, text.encode())
