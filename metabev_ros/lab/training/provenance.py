"""Data that weights were made from, and its licences: they go where the weights go.

`training.json` names the data of a run (`data`) and of the weights that it started from
(`data_before`), and of theirs; `MODEL_CARD.md` says the same to people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from metabev_ros.config.yaml import from_plain
from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.files import write_text
from metabev_ros.lab.datasets.sources.frame import SourceInfo
from metabev_ros.lab.simulation.worlds import STREETS_NAME, World
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.data import RecordSet
from metabev_ros.lab.training.sampling import sample_shares

STATE, CARD = 'training.json', 'MODEL_CARD.md'


@dataclass(frozen=True)
class DataUsed:
    """One source of records that weights learnt from.

    Attributes:
        name ... notes: as in `SourceInfo`.
        records, scenes: how many.
        share: of the samples.
        shown: class -> number of records that show it.
    """

    name: str
    licence: str
    is_commercial: bool
    attribution: str
    notes: tuple[str, ...]
    records: int
    scenes: int
    share: float
    shown: Mapping[str, int]

    @classmethod
    def of(cls, sets: Sequence[RecordSet], config: TrainingConfig) -> tuple[DataUsed, ...]:
        """The data of a run."""
        return tuple(
            cls._of_source(records.info, records, float(share))
            for records, share in zip(sets, sample_shares(sets, config), strict=True)
        )

    @classmethod
    def _of_source(cls, info: SourceInfo, records: RecordSet, share: float) -> DataUsed:
        shown: dict[str, int] = {}
        for entry in records.entries:
            for name in entry.classes:
                shown[name] = shown.get(name, 0) + 1
        return cls(
            info.name,
            info.licence,
            info.is_commercial,
            info.attribution,
            info.notes,
            len(records),
            len(records.scenes),
            round(share, 4),
            shown,
        )

    @classmethod
    def read(cls, plain: Any, where: str) -> DataUsed:
        """One source as `training.json` has it.

        Raises:
            ConfigError
        """
        try:
            values = {**plain, 'notes': tuple(plain['notes']), 'shown': dict(plain['shown'])}
            used = cls(**values)
            texts = (used.name, used.licence, used.attribution, *used.notes)
            if not all(isinstance(text, str) for text in texts):
                raise TypeError('texts expected')
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(where, 'a source of data', f'{error}', 'mend the file') from error
        return used

    def plain(self) -> dict[str, Any]:
        """As `training.json` has it."""
        return dataclasses.asdict(self)


def require_same_data(
    found: tuple[DataUsed, ...], begun: tuple[DataUsed, ...]
) -> tuple[DataUsed, ...]:
    """The data of a run that goes on: what it began with, or it would not repeat.

    Args:
        begun: empty where it has not begun.

    Raises:
        ConfigError
    """
    if begun and found != begun:
        raise ConfigError(
            'data',
            f'the records that this run began with: {_listed(begun)}',
            _listed(found),
            'use another run folder; training.init takes the weights of this one',
        )
    return found


def _listed(data: Sequence[DataUsed]) -> str:
    return ', '.join(f'{used.records} of {used.name} ({used.share:.0%})' for used in data)


def data_behind(weights: Sequence[Path]) -> tuple[DataUsed, ...]:
    """Data that known weights were made from, all that was before them included.

    Args:
        weights: files beside which `training.json` may lie.

    Raises:
        ConfigError: where that file cannot be read: a licence must not get lost in silence.
    """
    found: dict[str, DataUsed] = {}
    for path in weights:
        if (used := _converted(path)) is not None:
            found.setdefault(used.name, used)
    for folder in dict.fromkeys(path.parent for path in weights):
        state = read_state(folder)
        for plain in (*state.get('data', ()), *state.get('data_before', ())):
            used = DataUsed.read(plain, str(folder / STATE))
            found.setdefault(used.name, used)
    return tuple(found.values())


def world_behind(weights: Path) -> World:
    """The simulated world that weights learnt from; of boxes where they say of no other.

    Raises:
        ConfigError: as `data_behind`.
    """
    names = [used.name for used in data_behind([weights])]
    return World.STREETS if any(STREETS_NAME in name for name in names) else World.BOXES


def _converted(weights: Path) -> DataUsed | None:
    """Data that published weights learnt from, which `metabev convert` wrote into their file.

    Raises:
        ConfigError: where the file cannot be read, or what it says of its data.
    """
    try:
        with safe_open(weights, 'numpy') as file:
            metadata: Mapping[str, str] = file.metadata() or {}
        if 'data' not in metadata:
            return None
        plain: Any = json.loads(metadata['data'])
        name = f'{plain["name"]}, by published weights ({metadata["source"]})'
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            str(weights), 'weights that say their data', str(error), 'convert them again'
        ) from error
    unknown = {'notes': (), 'records': 0, 'scenes': 0, 'share': 0.0, 'shown': {}}
    return DataUsed.read({**unknown, **plain, 'name': name}, str(weights))


def read_state(folder: Path) -> dict[str, Any]:
    """The content of `training.json`; empty where there is none.

    Raises:
        ConfigError: where it is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return {}
    try:
        state = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(state, dict):
            raise ValueError('no mapping')
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), 'what the trainer wrote', str(error)) from error
    return state


def recipe_of(folder: Path, kept: Sequence[str]) -> TrainingConfig:
    """Some fields of the training that made a model; defaults for the others.

    Raises:
        ConfigError: where `training.json` is damaged.
    """
    config = read_state(folder).get('config', {})
    if not isinstance(config, dict):
        raise ConfigError(str(folder / STATE), 'a mapping config', type(config).__name__)
    plain = {name: config[name] for name in kept if name in config}
    return from_plain(TrainingConfig, plain, STATE)


def write_card(folder: Path, name: str, state: Mapping[str, Any]) -> None:
    """Write what people have to know about the weights of a run.

    Args:
        name: of the model.
        state: content of `training.json`.
    """
    data = [DataUsed.read(plain, STATE) for plain in state['data']]
    before = [DataUsed.read(plain, STATE) for plain in state['data_before']]
    config = state['config']
    lines = [
        f'# {_plain(name)}',
        '',
        _use(data, before),
        '',
        _start(config.get('init'), before),
        '',
        '| data | records | drives | share of samples | licence | attribution |',
        '|---|---|---|---|---|---|',
        *(_row(used) for used in data),
        '',
        *_notes([*data, *before]),
        f'{state["step"]} steps, {state["samples"]} samples, learning rate '
        f'{config["learning_rate"]:g}, seed {config["seed"]}; the weights are an exponential '
        'average. All settings are in `training.json`.',
        '',
        'Records that show a class:',
        '',
        *_counts(data),
        '',
        'How good it is is not known before `metabev evaluate --data` on records that it has not '
        'seen.',
    ]
    write_text(folder / CARD, '\n'.join(lines) + '\n')


def _use(data: Sequence[DataUsed], before: Sequence[DataUsed]) -> str:
    """The sentence that comes first: may the weights be used commercially?"""
    bound = [used for used in (*data, *before) if not used.is_commercial]
    if not bound:
        licences = sorted({_plain(used.licence) for used in (*data, *before)})
        return f'Trained on data that allows commercial use ({", ".join(licences)}).'
    named = '; '.join(
        dict.fromkeys(f'{_plain(used.name)}: {_plain(used.licence)}' for used in bound)
    )
    return (
        '**Non-commercial. These weights learnt from data that must not be used commercially '
        f'({named}); neither may they, nor what is made from them.**'
    )


def _start(init: Mapping[str, Any] | None, before: Sequence[DataUsed]) -> str:
    if init is None:
        return 'Started from random weights.'
    known = ', '.join(
        f'{_plain(used.name)} ({_plain(used.licence)}; {_plain(used.attribution)})'
        for used in before
    )
    behind = f'They learnt from {known}.' if known else 'Nothing says what they learnt from.'
    parts = [Path(part['path']) for part in (init, *init.get('also', ()))]
    paths = ', '.join(f'`{_plain(Path(*path.parts[-2:]))}`' for path in parts)
    return f'Started from {paths}. {behind}'


def _row(used: DataUsed) -> str:
    cells = (
        _plain(used.name),
        str(used.records),
        str(used.scenes),
        f'{used.share:.0%}',
        _plain(used.licence),
        _plain(used.attribution),
    )
    return f'| {" | ".join(cells)} |'


def _notes(data: Sequence[DataUsed]) -> list[str]:
    notes = dict.fromkeys(f'- {_plain(u.name)}: {_plain(n)}' for u in data for n in u.notes)
    return [*notes, ''] if notes else []


def _counts(data: Sequence[DataUsed]) -> list[str]:
    total: dict[str, int] = {}
    for used in data:
        for name, count in used.shown.items():
            total[name] = total.get(name, 0) + int(count)
    ordered = sorted(total.items(), key=lambda item: -item[1])
    return [f'- {_plain(name)}: {count}' for name, count in ordered] or ['- none']


def _plain(text: object) -> str:
    """Foreign text that cannot break a line or a table."""
    return clean_text(text, 500).replace('|', '/')
