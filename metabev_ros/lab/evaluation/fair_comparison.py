"""Scores of contestants that were trained alike, and the words that they allow.

A lead counts where its 95 % interval over drives and seeds leaves out zero; any other difference
is none. With one seed nothing is said of a contestant: another seed might turn it round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.corruptions import CLEAN, HEADLINE, IMAGES, Setting
from metabev_ros.lab.evaluation.bootstrap import Interval
from metabev_ros.lab.evaluation.seed_bootstrap import SeedDraws, seed_interval

NAMES = {'nds': 'NDS', 'map': 'mAP', 'miou': 'mIoU'}
CLAIMED = ('nds', 'miou')
VERDICTS = {1: 'ahead', 0: 'none', -1: 'behind'}
# Means over a family of settings, with its words: one interval for the whole family.
FAMILIES: dict[str, tuple[str, tuple[Setting, ...]]] = {
    'headline': ('the eight failures', HEADLINE),
    'images': ('the twelve image corruptions', IMAGES),
}


@dataclass(frozen=True)
class Arm:
    """One contestant as it was trained in one regime."""

    contestant: str
    regime: str


@dataclass(frozen=True, eq=False)
class LayerFigures:
    """IoU of every layer of the map, without a failure.

    Attributes:
        drives: layer -> number of drives that have it at all.
        figures: (arm, layer) -> IoU.
    """

    drives: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[tuple[Arm, str], SeedDraws] = field(default_factory=dict)

    def lead(self, arm: Arm, reference: str, layers: Sequence[str]) -> Interval:
        """Mean lead over the reference of the same regime in some layers, with its interval."""
        other = Arm(reference, arm.regime)
        return _mean_interval([self.figures[arm, x].minus(self.figures[other, x]) for x in layers])

    def shared(self, drives: int) -> tuple[str, ...]:
        """Layers that at least half of so many drives have: no single drive decides them."""
        return tuple(layer for layer, some in self.drives.items() if 2 * some >= drives)


def _mean_interval(leads: Sequence[SeedDraws]) -> Interval:
    """Interval of the mean of leads that share drives and seeds, draw by draw."""
    return seed_interval(
        SeedDraws(
            np.mean([lead.values for lead in leads], 0), np.mean([lead.draws for lead in leads], 0)
        )
    )


@dataclass(frozen=True, eq=False)
class FairResults:
    """All figures of a comparison.

    Attributes:
        contestants: names, the reference among them.
        reference: that the others are held against.
        regimes: name -> words.
        settings: that were scored.
        figures: (arm, setting id, name of NAMES) -> figure.
        samples, drives, seeds: how many.
        notes: lines on how it was done.
        costs: contestant -> title -> text, e.g. parameters.
        left_out: id of each setting that the samples cannot show -> the reason.
        layers: the map, layer by layer.
    """

    contestants: tuple[str, ...]
    reference: str
    regimes: Mapping[str, str]
    settings: tuple[Setting, ...]
    figures: Mapping[tuple[Arm, str, str], SeedDraws]
    samples: int
    drives: int
    seeds: int
    notes: tuple[str, ...] = ()
    costs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    layers: LayerFigures = field(default_factory=LayerFigures)

    @property
    def others(self) -> tuple[str, ...]:
        """Contestants that are held against the reference."""
        return tuple(name for name in self.contestants if name != self.reference)

    def figure(self, arm: Arm, setting: Setting, name: str) -> SeedDraws:
        """One figure.

        Raises:
            ConfigError: if it was not scored.
        """
        try:
            return self.figures[arm, setting.id, name]
        except KeyError:
            raise ConfigError(
                'comparison', f'{name} under {setting.id} of {arm}', 'none', 'score it first'
            ) from None

    def kept(self, arm: Arm, setting: Setting, name: str) -> SeedDraws:
        """Share of the clean figure that is kept under a setting."""
        return self.figure(arm, setting, name).over(self.figure(arm, CLEAN, name))

    def lead(self, arm: Arm, setting: Setting, name: str) -> Interval:
        """Lead over the reference of the same regime, with its paired interval."""
        other = Arm(self.reference, arm.regime)
        return seed_interval(
            self.figure(arm, setting, name).minus(self.figure(other, setting, name))
        )

    def mean_lead(self, arm: Arm, settings: Iterable[Setting], name: str) -> Interval:
        """Mean lead over some settings: they share drives and seeds, draw by draw."""
        other = Arm(self.reference, arm.regime)
        return _mean_interval(
            [self.figure(arm, s, name).minus(self.figure(other, s, name)) for s in settings]
        )

    def scored(self, settings: Iterable[Setting]) -> tuple[Setting, ...]:
        """Those of some settings that were scored."""
        return tuple(setting for setting in settings if setting in self.settings)


def claim(results: FairResults, contestant: str, regime: str) -> str:
    """The sentences that a document may say of a contestant in a regime.

    Raises:
        ConfigError: if a figure is missing.
    """
    arm, other = Arm(contestant, regime), results.reference
    if results.seeds < 2:
        return (
            f'`{contestant}` and `{other}` ({results.regimes[regime]}) were trained with one seed '
            'each: no difference may be claimed.'
        )
    parts = [_compared(results, arm, 'without a failure', (CLEAN,))]
    for words, family in FAMILIES.values():
        settings = results.scored(family)
        if settings:
            some = words if len(settings) == len(family) else f'{len(settings)} of {words}'
            parts.append(_compared(results, arm, f'under {some}', settings))
    return (
        f'{results.regimes[regime]}, {results.seeds} seeds, {results.samples} samples of '
        f'{results.drives} drives a setting, `{contestant}` beside `{other}`: '
        f'{"; ".join(parts)}.'
    )


def _compared(results: FairResults, arm: Arm, where: str, settings: Sequence[Setting]) -> str:
    texts: list[str] = []
    for name in CLAIMED:
        lead = results.mean_lead(arm, settings, name)
        verdict = {1: 'ahead', -1: 'behind', 0: 'no difference'}[lead.sign]
        text = f'{verdict} in {NAMES[name]} ({interval_text(lead)})'
        if len(settings) > 1:
            signs = [results.lead(arm, setting, name).sign for setting in settings]
            text = (
                f'{verdict} in mean {NAMES[name]} ({interval_text(lead)}; ahead in '
                f'{signs.count(1)}, behind in {signs.count(-1)}, none in {signs.count(0)})'
            )
        texts.append(text)
    return f'{where} {" and ".join(texts)}'


def interval_text(interval: Interval) -> str:
    """'+0.012, +0.004 to +0.020'."""
    return f'{interval.value:+.3f}, {interval.low:+.3f} to {interval.high:+.3f}'


def load_figures(paths: Mapping[tuple[Arm, int], Path]) -> dict[tuple[Arm, str, str], SeedDraws]:
    """Figures of all arms from the files of their trainings.

    Args:
        paths: (arm, seed) -> npz with `<setting>/<figure>`: the value, then one of every draw.
    """
    found: dict[tuple[Arm, str, str], list[np.ndarray]] = {}
    for (arm, _), path in sorted(paths.items(), key=lambda item: item[0][1]):
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                setting, _, figure = name.partition('/')
                if figure in NAMES:
                    found.setdefault((arm, setting, figure), []).append(file[name])
    return {
        key: SeedDraws(np.array([r[0] for r in rows]), np.array([r[1:] for r in rows]))
        for key, rows in found.items()
    }
