"""The figures of a run, as rows of tables."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from metabev_ros.drawing import STATE_COLOURS
from metabev_ros.lab.report.gathering import RunFindings, mean_iou, paired_outputs
from metabev_ros.lab.report.moments import Moment
from metabev_ros.lab.report.quality import Count, count_pairs
from metabev_ros.lab.report.recording import Recording
from metabev_ros.lab.report.timeline import segments
from metabev_ros.pages.parts import css, pill, table
from metabev_ros.structures import Modality, SensorState

Row = tuple[str, ...]


def sentence(recording: Recording) -> str:
    """A run in one line."""
    made = Counter(output.modality.name for output in recording.outputs)
    kinds = ', '.join(f'{count} {name}' for name, count in made.most_common()) or 'none'
    return (
        f'{len(recording.outputs)} outputs in {recording.duration:.1f} s '
        f'({output_rate(recording):.1f} a second): {kinds}. '
        f'{len(recording.sensor_names)} sensors. Model {model_of(recording)}.'
    )


def model_of(recording: Recording) -> str:
    """The model as the node named it."""
    return recording.statuses[-1].model


def output_rate(recording: Recording) -> float:
    """Outputs a second, from the first to the last one."""
    walls = [output.wall_ns for output in recording.outputs]
    return (len(walls) - 1) * 1e9 / (walls[-1] - walls[0]) if _is_long(walls) else 0.0


def _is_long(walls: Sequence[int]) -> bool:
    return len(walls) > 1 and walls[-1] > walls[0]


def latency_table(recording: Recording) -> str:
    """Times from the stamp of a sample to its publication, per modality."""
    rows: list[Row] = []
    for modality in sorted(Modality, reverse=True):
        times = latencies(recording, modality)
        if len(times):
            rows.append((pill(modality), str(len(times)), *_spread(times)))
    return table(('made from', 'outputs', 'median', '95 of 100 within', 'largest'), rows)


def stage_table(recording: Recording) -> str:
    """Times that the stages of the pipeline took."""
    stages: dict[str, list[float]] = {}
    for status in recording.labels:
        for name, seconds in status.stages.items():
            if math.isfinite(seconds):
                stages.setdefault(name, []).append(1e3 * seconds)
    rows = [(html.escape(name), *_spread(np.array(times))) for name, times in stages.items()]
    return table(('stage', 'median', '95 of 100 within', 'largest'), rows)


def latencies(recording: Recording, modality: Modality | None = None) -> np.ndarray:
    """(N,) milliseconds of the outputs of a modality; None: of all."""
    times = [
        1e3 * status.latency_s
        for status in recording.labels
        if (modality is None or status.modality is modality) and math.isfinite(status.latency_s)
    ]
    return np.array(times)


def _spread(times: np.ndarray) -> tuple[str, str, str]:
    values = np.median(times), np.percentile(times, 95), times.max()
    median, most, largest = (f'{value:.1f} ms' for value in values)
    return median, most, largest


def sensor_table(recording: Recording) -> str:
    """Per sensor the time in its states, its share of the outputs, rates and ages."""
    rows = [_sensor_row(recording, name) for name in recording.sensor_names]
    heads = ('sensor', 'states over the run', 'in outputs', 'rate', 'median age', 'largest age')
    return table(heads, rows, first_number=2)


def _sensor_row(recording: Recording, name: str) -> Row:
    reports = [s for status in recording.statuses for s in status.sensors if s.name == name]
    ages = [o.ages_ns[name] / 1e6 for o in recording.outputs if name in o.ages_ns]
    rates = [report.rate_hz for report in reports if math.isfinite(report.rate_hz)]
    share = len(ages) / len(recording.outputs) if recording.outputs else 0.0
    return (
        html.escape(name),
        _bar(state_shares(recording, name)),
        f'{100 * share:.0f} %',
        f'{np.median(rates):.1f} Hz' if rates else '-',
        f'{np.median(ages):.0f} ms' if ages else '-',
        f'{max(ages):.0f} ms' if ages else '-',
    )


def state_shares(recording: Recording, name: str) -> dict[SensorState, float]:
    """State -> share of the run's time, by the heartbeats."""
    beats = recording.beats or recording.labels
    times = [recording.seconds(status.wall_ns) for status in beats]
    states = [next((s.state for s in b.sensors if s.name == name), None) for b in beats]
    spent: dict[SensorState, float] = {}
    for begin, end, state in segments(times, states):
        if state is not None:
            spent[state] = spent.get(state, 0.0) + end - begin
    total = sum(spent.values())
    return {state: seconds / total for state, seconds in spent.items()} if total > 0 else {}


def _bar(shares: dict[SensorState, float]) -> str:
    parts = ''.join(
        f'<i style="width:{100 * share:.1f}%;background:{css(STATE_COLOURS[state])}" '
        f'title="{state.name} {100 * share:.0f} %"></i>'
        for state, share in sorted(shares.items())
    )
    words = ', '.join(
        f'{state.name} {100 * share:.0f} %' for state, share in sorted(shares.items()) if share
    )
    return f'<div class="bar">{parts}</div><span class="meta">{words}</span>'


def quality_table(found: RunFindings) -> str:
    """Scores against truth per set of sensors."""
    rows = [
        (html.escape(q.title), str(q.samples), f'{q.mean_ap:.2f}', f'{q.mean_iou:.2f}')
        for q in found.qualities
    ]
    heads = ('made from', 'outputs', 'boxes: mean AP', 'map: mean IoU')
    return table(heads, rows)


def worst_list(moments: Sequence[Moment]) -> str:
    """The worst moments, each with a button that leads there."""
    rows = [
        (
            f'<button data-seek="{moment.seconds:.2f}">{moment.seconds:.1f} s</button>',
            html.escape(moment.title),
            html.escape(moment.why),
        )
        for moment in moments
    ]
    return table(('when', 'what', 'how much'), rows, first_number=9)


# --------------------------------------------------------------------------------- two runs
def comparison_table(one: RunFindings, other: RunFindings) -> str:
    """The same figures of two runs side by side."""
    a, b = _key_figures(one), _key_figures(other)
    rows = [(name, a[name], b[name]) for name in a]
    return table(('', *(html.escape(f.recording.name) for f in (one, other))), rows)


def _key_figures(found: RunFindings) -> dict[str, str]:
    recording = found.recording
    made = Counter(output.modality.name for output in recording.outputs)
    times, ages = latencies(recording), [a for o in recording.outputs for a in o.ages_ns.values()]
    gaps = np.diff(np.array([o.wall_ns for o in recording.outputs], np.int64)) / 1e6
    counts = found.counts.values()
    true = sum(count.found + count.missed for count in counts)
    return {
        'outputs': f'{len(recording.outputs)}',
        'outputs a second': f'{output_rate(recording):.1f}',
        **{m.name: str(made[m.name]) for m in sorted(Modality, reverse=True) if m},
        'longest time between two outputs': f'{gaps.max():.0f} ms' if len(gaps) else '-',
        'latency, median': f'{np.median(times):.1f} ms' if len(times) else '-',
        'latency, 95 of 100 within': f'{np.percentile(times, 95):.1f} ms' if len(times) else '-',
        'oldest data in an output': f'{max(ages) / 1e6:.0f} ms' if ages else '-',
        'samples replaced by newer ones': str(recording.statuses[-1].dropped),
        'true objects found': f'{sum(c.found for c in counts)} of {true}' if true else '-',
        'boxes without an object': str(sum(c.wrong for c in counts)) if true else '-',
    }


def differences(one: RunFindings, other: RunFindings) -> tuple[str, list[Moment]]:
    """Agreement of two runs in outputs of the same stamp, and the moments of least of it."""
    rows: list[tuple[int, Count]] = []
    shares: list[float] = []
    for a, b in paired_outputs(one.recording.outputs, other.recording.outputs):
        if a in one.seen and b in other.seen:
            mine, theirs = one.seen[a], other.seen[b]
            count = count_pairs(
                (mine.boxes, mine.labels, mine.scores), (theirs.boxes, theirs.labels)
            )
            rows.append((a, count))
            share = mean_iou(mine, theirs)
            shares += [] if share is None else [share]
    if not rows:
        return '<p>The two runs have no outputs of the same stamps.</p>', []
    same, only_mine, only_theirs = (
        sum(getattr(count, part) for _, count in rows) for part in ('found', 'wrong', 'missed')
    )
    text = (
        f'<p>{len(rows)} outputs of the same stamps are in both films. {same} boxes are in both '
        f'(one class, centres within 2 m), {only_mine} only in the first run, '
        f'{only_theirs} only in the second. '
        + (f'Their maps share {np.mean(shares):.0%} of their cells (mean IoU).' if shares else '')
        + '</p>'
    )
    worst = sorted(rows, key=lambda row: -(row[1].wrong + row[1].missed))[:3]
    moments = [
        Moment(
            one.recording.seconds(one.recording.outputs[index].wall_ns),
            'Most boxes that differ',
            f'{count.wrong} only in the first run, {count.missed} only in the second',
            index,
        )
        for index, count in worst
        if count.wrong + count.missed
    ]
    return text, moments
