"""Pictures of recorded figures: docs/results/*.json and the log of a training."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from figures import style
from metabev_ros.lab.evaluation.records import ResultRecord, read_records


def _values(file: str) -> dict[str, float]:
    """Id -> value of a result file."""
    return {record.id: record.value for record in read_records(style.RESULTS / file)}


# --------------------------------------------------------------------------- training ablations
SCORES = {'nds': 'NDS', 'miou': 'mIoU'}
VARIANTS = {
    'no_switching': 'all sensors only',
    'thirds': 'a third each',
    'per_iteration': 'one draw a batch',
    'no_curriculum': 'no curriculum',
    'moe_hard': 'HM2oE',
    'moe_routed': 'RM2oE',
    'points_8': '8 points',
    'layers_1_1': '1 cross + 1 self layer',
    'layers_2_0': '2 + 0 layers',
    'layers_3_1': '3 + 1 layers',
}
SETTINGS = {
    'clean.0': 'clean',
    'lf.120': 'LiDAR field',
    'mo.1': 'objects',
    'br.4': '4 beams',
    'vd.6': 'black',
    'vn.6': 'noise',
    'oo.1': 'occlusion',
    'mc.1': 'no camera',
    'ml.1': 'no LiDAR',
}
FULL_COLOUR = 0.05  # a change that has the darkest colour


def _changes(values: dict[str, float], score: str) -> np.ndarray:
    """(variants, settings): each value less that of `base`."""

    def row(variant: str) -> np.ndarray:
        place = f'robustness.abl_{variant}'
        return np.array([values[f'{place}.{setting}.{score}'] for setting in SETTINGS])

    return np.stack([row(variant) - row('base') for variant in VARIANTS])


def draw_training_ablations(path: Path) -> None:
    """Gain or loss of each variant of the training beside `base`."""
    values = _values('robustness.json')
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout='constrained')
    for axes, (score, title) in zip(panels, SCORES.items(), strict=True):
        table = _changes(values, score)
        axes.imshow(table, cmap='RdBu', vmin=-FULL_COLOUR, vmax=FULL_COLOUR, aspect='auto')
        for (row, column), value in np.ndenumerate(table):
            dark = abs(value) > 0.7 * FULL_COLOUR
            axes.text(
                column,
                row,
                f'{value * 1000:+.0f}',
                ha='center',
                va='center',
                fontsize=style.SMALL,
                color='white' if dark else 'black',
            )
        axes.set_xticks(range(len(SETTINGS)), SETTINGS.values(), rotation=40, ha='right')
        axes.set_yticks(range(len(VARIANTS)), VARIANTS.values())
        axes.set_title(f'{title}, thousandths more (blue) or less (red) than base')
    style.save(figure, path)


# ---------------------------------------------------------------------------------- reliability
SOURCES = ('one_camera', 'all_cameras', 'lidar')
BOUNDED = {
    'f1.death_to_first_right_label_worst': 'death to the first right label',
    'f1.death_to_first_right_label_worst_of_this_rig': 'the same, beside what the rig can do',
    'f1.death_to_stamp_of_first_right_label_worst': 'death to the stamp of that label',
    'f1.missing_message_to_first_right_label_worst': 'missing message to the first right label',
    'f5.return_to_use_worst': 'return of a sensor to its use',
    'f6.growth_of_the_largest_memory': 'hostile messages: memory',
    'f6.dds_growth_of_memory': 'hostile messages over DDS: memory',
    'f8.memory_growth': 'a day at 10 Hz: memory',
    'f8.memory_slope_95_percent_bound': 'a day at 10 Hz: memory an hour',
    'f8.live.memory_growth': 'an hour of the real node: memory',
    'f8.live.memory_slope_95_percent_bound': 'an hour of the real node: memory an hour',
    'f11.start_to_first_output_without_load_median': 'start to the first output',
    'f12.signal_to_end_worst': 'signal to the end of the process',
    'f13.growth_of_age_from_first_to_second_half': 'overload: growth of the age',
    'f13.longest_time_without_heartbeat': 'overload: longest time without a heartbeat',
    'f13.outputs_until_latency_is_back': 'overload: outputs until the latency is back',
    'f16.checks_p99': 'checks of content, 99th percentile',
    'f17.lines_per_second_of_failing_inference': 'log lines while inference fails',
    'f17.lines_per_second_of_the_loudest_sensor': 'log lines of the loudest sensor',
    'commit.minutes_of_rows': 'tests of the fault matrix, a commit',
    'nightly.minutes': 'tests of a night',
}


def _draw_bounds(axes: Axes, records: list[ResultRecord]) -> None:
    """Value over bound; a bound of zero is met by nothing else."""
    found = {record.id: record for record in records}
    bounded = [
        (found[name], float(target.split()[1]))
        for name in BOUNDED
        if (target := found[name].target) is not None
    ]
    shares = [max(0.0, record.value / bound) for record, bound in bounded]
    colours = [style.NEUTRAL if record.met else style.BAD for record, _ in bounded]
    axes.barh(range(len(bounded)), shares, color=colours)
    for line, ((record, bound), share) in enumerate(zip(bounded, shares, strict=True)):
        text = f'{record.value:.3g} of {bound:g} {record.unit}'
        axes.annotate(text, (max(share, 1) + 0.03, line), va='center', fontsize=style.SMALL)
    axes.axvline(1, color='black', linewidth=0.8)
    style.name_lines(axes, [BOUNDED[record.id] for record, _ in bounded])
    axes.set(xlim=(0, 1.9), xlabel='share of the bound')
    axes.set_title('figures with an upper bound', loc='left')


def _draw_faults(axes: Axes, value: dict[str, float]) -> None:
    """Worst delay from the first harmed message of a fault to an output that says so."""
    faults = list(
        dict.fromkeys(name.split('.')[2] for name in value if name.endswith('.worst_delay'))
    )
    sensors = {'camera': (-0.2, style.CAMERA), 'lidar': (0.2, style.LIDAR)}
    for line, fault in enumerate(faults):
        for sensor, (shift, colour) in sensors.items():
            delay = value.get(f'reliability.{sensor}.{fault}.worst_delay')
            if delay is not None:
                axes.plot(delay, line + shift, 'o', color=colour, markersize=5)
    style.name_lines(axes, [fault.replace('_', ' ') for fault in faults])
    axes.set(xlim=(-5, 105), xlabel='ms, clock made up; the latency of the pipeline comes on top')
    axes.set_title('longest time to the output that says so', loc='left')
    axes.grid(axis='x')
    marks = [style.mark(colour) for _, colour in sensors.values()]
    axes.legend(marks, ['a camera', 'the LiDAR'], loc='lower right')


def _draw_deaths(axes: Axes, value: dict[str, float]) -> None:
    """The real node: median and worst of each kind of source."""
    for line, source in enumerate(SOURCES):
        place = f'f1.live.{source}.missing_message_to_output'
        median, worst = value[f'{place}_p50'], value[f'{place}_worst']
        axes.plot([median, worst], [line, line], color=style.NEUTRAL, linewidth=3)
        axes.plot(median, line, 'o', color='black', markersize=5)
    style.name_lines(axes, [f'{source.replace("_", " ")} dead' for source in SOURCES])
    axes.set(xlim=(0, None), xlabel='ms from the first missing message, median to worst')
    axes.set_title('real node, two cores: arrival of the first right output', loc='left')
    axes.grid(axis='x')


def draw_reliability(path: Path) -> None:
    """Each figure beside its bound; how soon faults are noticed and deaths answered."""
    records = read_records(style.RESULTS / 'reliability.json')
    value = {record.id: record.value for record in records}
    figure, axes = plt.subplot_mosaic(
        [['bounds', 'faults'], ['bounds', 'deaths']],
        figsize=(13, 7),
        height_ratios=(3, 1),
        layout='constrained',
    )
    _draw_bounds(axes['bounds'], records)
    _draw_faults(axes['faults'], value)
    _draw_deaths(axes['deaths'], value)
    style.save(figure, path)


# ------------------------------------------------------------------------------ training curves
TERMS = {
    'heatmap': 'heatmap (focal)',
    'boxes': 'boxes (L1)',
    'map_focal': 'map (focal)',
    'map_dice': 'map (Dice)',
    'depth': 'depth (cross-entropy)',
}
WINDOW = 25  # steps of the running median


def draw_training_curves(log: Path, path: Path) -> None:
    """The loss terms of a run, from its log.jsonl."""
    lines = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    by_step = {line['step']: line for line in lines}  # a resumed run repeats some steps
    steps = np.array(sorted(by_step))
    figure, panels = plt.subplots(1, len(TERMS), figsize=(15, 2.8), layout='constrained')
    for axes, (name, title) in zip(panels, TERMS.items(), strict=True):
        values = np.array([by_step[step][name] for step in steps])
        smooth = [np.median(values[max(0, i - WINDOW) : i + WINDOW]) for i in range(len(values))]
        axes.plot(steps, values, color=style.FAINT, linewidth=0.6)
        axes.plot(steps, smooth, color=style.CAMERA, linewidth=1.6)
        axes.set(title=title, xlabel='step', ylim=(0, np.percentile(values, 98)))
        axes.grid()
    style.save(figure, path)
