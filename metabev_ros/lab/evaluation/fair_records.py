"""Records of a fair comparison: docs/results/*.json, from which a page is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from metabev_ros.lab.datasets.corruptions import Setting
from metabev_ros.lab.evaluation.bootstrap import Interval
from metabev_ros.lab.evaluation.fair_comparison import (
    CLAIMED,
    FAMILIES,
    NAMES,
    Arm,
    FairResults,
)
from metabev_ros.lab.evaluation.records import ResultRecord, make_record


def fair_records(results: FairResults, topic: str, command: str) -> list[ResultRecord]:
    """One record a figure: the mean over the seeds, their spread, what is kept, every lead.

    Ids: `<topic>.<regime>.<contestant>.<setting>.<figure>`, there also `<figure>_spread` (standard
    deviation of the seeds) and `<figure>_kept` (share of the own clean figure), and
    `<topic>.<regime>.lead.<contestant>.<setting or family>.<figure>` with `_low` and `_high`.
    Layers of the map: `<topic>.<regime>.<contestant>.layer.<layer>.iou`, `<topic>.<regime>.lead.
    <contestant>.layer.<layer or shared>.iou` with its ends, `<topic>.layer.<layer>.drives`.
    Undefined figures have no record.

    Args:
        topic: the beginning of the ids.
        command: what measured it.
    """
    origin = make_record(topic, 0.0, '', command, results.samples)  # asks for the commit once
    return [
        replace(origin, id=f'{topic}.{name}', value=value, unit=unit)
        for name, value, unit in _figures(results)
        if value == value
    ]


def _figures(results: FairResults) -> Iterator[tuple[str, float, str]]:
    """(id without topic, value, unit) of every record."""
    for layer, drives in results.layers.drives.items():
        yield f'layer.{layer}.drives', drives, 'drives'
    for regime in results.regimes:
        for contestant in results.contestants:
            arm = Arm(contestant, regime)
            for setting in results.settings:
                yield from _scores(results, arm, setting)
            for layer in results.layers.drives:
                figure = results.layers.figures[arm, layer]
                yield (
                    f'{regime}.{contestant}.layer.{layer}.iou',
                    float(figure.values.mean()),
                    'IoU',
                )
            if contestant != results.reference:
                yield from _leads(results, arm)


def _scores(results: FairResults, arm: Arm, setting: Setting) -> Iterator[tuple[str, float, str]]:
    for name, unit in NAMES.items():
        figure = results.figure(arm, setting, name)
        stem = f'{arm.regime}.{arm.contestant}.{setting.id}.{name}'
        yield stem, float(figure.values.mean()), unit
        yield f'{stem}_spread', figure.spread, unit
        kept = results.kept(arm, setting, name)
        yield f'{stem}_kept', float(kept.values.mean()), f'of clean {unit}'


def _leads(results: FairResults, arm: Arm) -> Iterator[tuple[str, float, str]]:
    groups: dict[str, Sequence[Setting]] = {s.id: (s,) for s in results.settings}
    groups |= {name: results.scored(family) for name, (_, family) in FAMILIES.items()}
    for group, settings in groups.items():
        for name in CLAIMED:
            if settings:
                stem = f'{arm.regime}.lead.{arm.contestant}.{group}.{name}'
                yield from _ends(stem, results.mean_lead(arm, settings, name), NAMES[name])
    layers = results.layers
    parts = {layer: (layer,) for layer in layers.drives} | {
        'shared': layers.shared(results.drives)
    }
    for part, some in parts.items():
        if some:
            stem = f'{arm.regime}.lead.{arm.contestant}.layer.{part}.iou'
            yield from _ends(stem, layers.lead(arm, results.reference, some), 'IoU')


def _ends(stem: str, lead: Interval, unit: str) -> Iterator[tuple[str, float, str]]:
    yield stem, lead.value, unit
    yield f'{stem}_low', lead.low, unit
    yield f'{stem}_high', lead.high, unit
