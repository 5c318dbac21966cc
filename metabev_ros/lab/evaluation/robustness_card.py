"""The robustness card of a model: what it keeps when sensors fail, as a small file beside it.

A card is read from files of others too. What was not measured is absent from it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.files import write_text
from metabev_ros.lab.datasets.corruptions import CLEAN, Failure, Setting
from metabev_ros.lab.evaluation.model_results import SETTING_OF, ModelResults
from metabev_ros.lab.evaluation.score import FIGURES

CARD = 'robustness_card.json'
FORMAT = 1
MAX_BYTES = 1_000_000
RETAINED = {'nds_retention': 'nds', 'map_retention': 'map', 'miou_retention': 'miou'}
FIGURE_NAMES = (*FIGURES, *RETAINED)
# Names that are easier to remember than the ids of the suite.
ALIASES = {
    'clean': CLEAN.id,
    'lidar_missing': Setting(Failure.MISSING_LIDAR, 1).id,
    'camera_missing': Setting(Failure.MISSING_CAMERA, 1).id,
}
LABEL, WORST = 'label', 'worst'
_ID = re.compile(r'[\w.+/-]{1,200}')
_MAX_TEXT, _MAX_RETENTION = 4000, 1e6


@dataclass(frozen=True)
class RobustnessCard:
    """Figures that a model keeps under failures.

    Attributes:
        name: of the model in tables.
        model, model_hash, backend: what was measured.
        data: the test set in words; cards compare only where it is the same.
        n: samples of it.
        settings: setting id -> figure of FIGURE_NAMES -> value. ECE of `clean.0` is that with all
            sensors, of `ml.1` with cameras only, of `mc.1` with LiDARs only.
        label_seconds: failure of a what-if -> seconds until the label was right, None: never.
        rig: sensors of that what-if.
        seed: of the first world of the test set.
        commit, date: of the measurement.
    """

    name: str
    model: str
    model_hash: str
    backend: str
    data: str
    n: int
    settings: Mapping[str, Mapping[str, float]]
    label_seconds: Mapping[str, float | None] = field(default_factory=dict[str, 'float | None'])
    rig: tuple[str, ...] = ()
    seed: int | None = None
    commit: str = ''
    date: str = ''

    def __post_init__(self) -> None:
        for name in ('name', 'model', 'model_hash', 'backend', 'data', 'commit', 'date'):
            _require(name, _is_text(getattr(self, name)), 'a text', getattr(self, name))
        _require('name', bool(self.name), 'a name', self.name)
        _require('n', _is_count(self.n) and self.n > 0, 'a number of samples', self.n)
        is_seed = self.seed is None or _is_count(self.seed)
        _require('seed', is_seed, 'a whole number, 0 or more', self.seed)
        _require('rig', all(map(_is_text, self.rig)), 'names of sensors', self.rig)
        _require('settings', bool(self.settings), 'at least one setting', 'none')
        for setting, figures in self.settings.items():
            _require(f'settings.{setting}', bool(_ID.fullmatch(setting)), 'an id', setting)
            for figure, value in figures.items():
                _check_figure(f'settings.{setting}.{figure}', figure, value)
        for failure, seconds in self.label_seconds.items():
            where = f'label_seconds.{failure}'
            _require(where, bool(_ID.fullmatch(failure)), 'an id', failure)
            holds = seconds is None or (_is_number(seconds) and seconds >= 0)
            _require(where, holds, 'seconds, 0 or more', seconds)

    @classmethod
    def make(
        cls, results: ModelResults, what_if: Mapping[str, Any] | None = None
    ) -> RobustnessCard:
        """From the results of an evaluation.

        Args:
            results: of one model.
            what_if: what `read_what_if` gave, of the same model.
        """
        clean = results.figures.get(CLEAN.id, {})
        settings: dict[str, dict[str, float]] = {}
        for setting, figures in results.figures.items():
            known = {n: v for n, v in figures.items() if v is not None and n in FIGURES}
            for kept, figure in RETAINED.items():
                whole = clean.get(figure)
                if figure in known and whole:
                    known[kept] = known[figure] / whole
            settings[setting] = known
        times, rig = ({}, ()) if what_if is None else (what_if['label_seconds'], what_if['rig'])
        return cls(
            results.name,
            results.model,
            results.model_hash,
            results.backend,
            results.source,
            results.samples,
            settings,
            times,
            rig,
            results.seed,
            results.commit,
            results.date,
        )

    def figure(self, name: str) -> float | None:
        """A figure by its dotted name; None where it was not measured.

        'lidar_missing.nds_retention', 'ml.1.nds', 'label.kill.CAM_FRONT' (seconds, infinite where
        the label was never right) or 'label.worst'.

        Raises:
            ConfigError: for a name that no card can have.
        """
        start, _, rest = name.partition('.')
        if start == LABEL and rest:
            seconds = {k: math.inf if v is None else v for k, v in self.label_seconds.items()}
            return max(seconds.values(), default=None) if rest == WORST else seconds.get(rest)
        setting, _, figure = name.rpartition('.')
        setting = ALIASES.get(setting, setting)
        if setting not in SETTING_OF or figure not in FIGURE_NAMES:
            raise ConfigError(
                clean_text(name),
                f'SETTING.FIGURE: a setting of {[*ALIASES, *SETTING_OF][:8]} ..., a figure of '
                f'{list(FIGURE_NAMES)}; or {LABEL}.FAILURE or {LABEL}.{WORST}',
                'another name',
                'the ids of all settings stand in docs/results/robustness_degrees.md',
            )
        return self.settings.get(setting, {}).get(figure)

    def save(self, path: Path) -> None:
        """Write JSON; atomic."""
        plain = {'format': FORMAT} | {
            name: value for name, value in vars(self).items() if value not in (None, '', (), {})
        }
        write_text(path, json.dumps(plain, indent=1, allow_nan=False) + '\n')

    @classmethod
    def load(cls, path: Path) -> RobustnessCard:
        """The inverse of `save`.

        Raises:
            ConfigError: for a file that is no card, or a damaged one.
        """
        plain = read_object(path, 'a robustness card (`metabev card` writes one)')
        own = {name: value for name, value in plain.items() if name != 'format'}
        if isinstance(own.get('rig'), list):
            own['rig'] = tuple(own['rig'])
        is_table = _is_object(own.get('settings')) and all(
            map(_is_object, own['settings'].values())
        )
        if not is_table or not _is_object(own.get('label_seconds', {})) or not isinstance(
            own.get('rig', ()), tuple
        ):  # fmt: skip
            raise ConfigError(f'{path}', 'a card with `settings`', 'another object')
        try:
            return cls(**own)
        except (TypeError, ConfigError) as error:
            raise ConfigError(
                f'{path}', 'a sound robustness card', clean_text(error, 300), 'write it anew'
            ) from error


def read_object(path: Path, expected: str) -> dict[str, Any]:
    """A JSON object of this format, of bounded size.

    Raises:
        ConfigError
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f'more than {MAX_BYTES} bytes')
        plain = json.loads(path.read_text(encoding='utf-8'), parse_constant=_refuse)
    except OSError as error:
        got = str(error.strerror)
        raise ConfigError(f'{path}', expected, got, 'check the path') from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{path}', expected, clean_text(error, 200)) from error
    given = plain.get('format') if _is_object(plain) else None
    if given != FORMAT:
        got = 'no `format`' if given is None else f'format {clean_text(given)}'
        raise ConfigError(f'{path}', f'{expected}, format {FORMAT}', got)
    return plain


def read_what_if(path: Path, model_hash: str) -> dict[str, Any]:
    """Times to the right label, and the rig, of a file of `metabev what-if --json`.

    A sensor that is late and still used bears its age in the label: it has no such time.

    Raises:
        ConfigError: for another file, or one of another model.
    """
    plain = read_object(path, 'a file of `metabev what-if --json`')
    if plain.get('model_hash') != model_hash:
        got = clean_text(plain.get('model_hash'))
        raise ConfigError(f'{path}', f'a what-if of the model {model_hash}', f'one of {got}')
    try:
        times = {
            str(one['id']): one['seconds_to_label']
            for one in plain['outcomes']
            if one['kind'] != 'delay' or one['seconds_to_label'] is not None
        }
        return {'label_seconds': times, 'rig': tuple(map(str, plain['sensors']))}
    except (TypeError, LookupError) as error:
        got = f'no {error}' if isinstance(error, KeyError) else clean_text(error)
        remedy = 'make it anew with metabev what-if --json'
        raise ConfigError(f'{path}', 'outcomes and sensors of a what-if', got, remedy) from error


def _check_figure(where: str, figure: str, value: Any) -> None:
    _require(where, figure in FIGURE_NAMES, f'a figure of {list(FIGURE_NAMES)}', figure)
    most = _MAX_RETENTION if figure in RETAINED else 1
    _require(where, _is_number(value) and 0 <= value <= most, f'0..{most:g}', value)


def _require(name: str, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ConfigError(f'robustness card: {clean_text(name)}', expected, clean_text(got))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _refuse(constant: str) -> float:
    raise ValueError(f'{constant} is no figure')
