"""The bands that the shipped weights have to stay in: NDS and mIoU of a small frozen set a world.

A set is made anew from its seeds, so a figure moves only when weights, graphs, pre- or
postprocessing, metrics or the renderer change. The band reaches from what was measured less a
margin up to 1. The margin is how far the figure of such a set lies below itself when other drives
are drawn (the lower end of the 95 % interval of a bootstrap over drives): a change inside of it
could be one of the drives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.samples import LabelledSample, restrict_to
from metabev_ros.lab.evaluation.bootstrap import LEVEL, resampled_figures
from metabev_ros.lab.evaluation.held_out import HeldOutDrives
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.run import MODALITIES
from metabev_ros.lab.evaluation.score import Score
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

TOPIC = 'accuracy_band'
FROZEN_SETS = {  # drives that serve for nothing else
    world: HeldOutDrives(12, 2, 970_000, spacing_s=2.0, world=world) for world in World
}
UNITS = {'nds': 'NDS', 'miou': 'mIoU'}


@dataclass(frozen=True)
class Band:
    """Limits of a figure.

    Attributes:
        value: as measured.
        low: its least value.
    """

    value: float
    low: float

    def holds(self, figure: float) -> bool:
        """Tell whether a figure lies in the band."""
        return self.low <= figure <= 1.0


Scores = dict[Modality, list[Score]]  # one score a drive


def frozen_drives(world: World, pipeline: Pipeline) -> list[list[LabelledSample]]:
    """The samples of every drive of a set, rendered for a model's images and sweeps."""
    drives = FROZEN_SETS[world]
    return [list(drives.samples(drive, pipeline)) for drive in drives.all_drives]


def frozen_scores(
    pipeline: Pipeline,
    drives: Iterable[Iterable[LabelledSample]],
    modalities: tuple[Modality, ...] = MODALITIES,
) -> Scores:
    """Scores of every drive, once per modality."""
    scores: Scores = {modality: [] for modality in modalities}
    for drive in drives:
        here = {modality: Score() for modality in modalities}
        for labelled in drive:
            run = SharedRuns(pipeline)
            for modality, score in here.items():
                score.add(*run(restrict_to(labelled.sample, modality)), labelled.truth)
        for modality, score in here.items():
            scores[modality].append(score)
    return scores


def figures(drives: Iterable[Score]) -> dict[str, float]:
    """NDS and mIoU over all drives."""
    found = Score.merged(drives).result().figures
    return {name: found[name] for name in UNITS}


def band_records(world: World, scores: Scores, command: str) -> list[ResultRecord]:
    """Measured figures and the lower ends of their bands, for docs/results."""
    tail = 100 * (1 - LEVEL) / 2
    records: list[ResultRecord] = []
    for modality, drives in scores.items():
        drawn, measured = resampled_figures(drives), figures(drives)
        count = sum(drive.detection.counts().samples for drive in drives)
        for name, unit in UNITS.items():
            value, start = measured[name], _id(world, modality, name)
            margin = max(0.0, value - float(np.nanpercentile(drawn[name], tail)))
            for end, figure in (('', value), ('.margin', margin), ('.low', value - margin)):
                records.append(make_record(start + end, round(figure, 5), unit, command, count))
    return records


def read_bands(world: World, records: Iterable[ResultRecord]) -> dict[tuple[Modality, str], Band]:
    """(modality, figure) -> band.

    Raises:
        ConfigError: where one is missing.
    """
    values = {record.id: record.value for record in records}
    bands: dict[tuple[Modality, str], Band] = {}
    for modality in MODALITIES:
        for name in UNITS:
            start = _id(world, modality, name)
            if start not in values or f'{start}.low' not in values:
                raise ConfigError(
                    TOPIC, f'{start} and its low end', 'none', 'run benchmark/accuracy_band.py'
                )
            bands[modality, name] = Band(values[start], values[f'{start}.low'])
    return bands


def _id(world: World, modality: Modality, figure: str) -> str:
    return f'{TOPIC}.{world.value}.{modality.name.lower()}.{figure}'


def outside(scores: Scores, bands: Mapping[tuple[Modality, str], Band]) -> dict[str, str]:
    """Figures that left their band -> in words where they are and should be."""
    found: dict[str, str] = {}
    for modality, drives in scores.items():
        for name, figure in figures(drives).items():
            band = bands[modality, name]
            if not band.holds(figure):
                found[f'{modality.name} {name}'] = f'{figure:.4f}, not {band.low:.4f}..1'
    return found
