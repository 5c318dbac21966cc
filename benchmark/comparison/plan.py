"""What a comparison is told: contestants, regimes, seeds, one start, one recipe, one test set.

Everything that decides what a network sees belongs to the comparison, not to a contestant: its
records and their order, modalities, augmentation and failures are functions of the regime and the
seed. A contestant may change what comes after the encoders, and nothing before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metabev_ros.config import ModelConfig, from_plain, to_plain
from metabev_ros.config.yaml import require
from metabev_ros.lab.datasets.corruptions import Setting, SettingGroup
from metabev_ros.lab.evaluation.held_out import TEST_FIRST_SEED
from metabev_ros.lab.evaluation.model_results import SETTING_OF
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.warm_start import InitConfig

SWEEP_SEED = 9_001  # trainings that choose a learning rate; never one of the comparison
# Of a training, what a contestant may have of its own: nothing that an input depends on.
OWN_TRAINING = ('weight_decay', 'decay_norms', 'clip_norm', 'balance_weight', 'warmup_steps')
# Parts of a model that decide what its inputs are.
INPUT_PARTS = ('bev_grid', 'map_grid', 'camera', 'lidar', 'detection_classes', 'map_classes')


@dataclass(frozen=True)
class Contestant:
    """One network.

    Attributes:
        changes: of the comparison's model, e.g. {decoder: {fuser: conv}}.
        training: of its optimiser, see OWN_TRAINING; the table names what is here.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name('contestants.name', self.name)
        own = sorted(set(self.training) - set(OWN_TRAINING))
        require(not own, f'contestants.{self.name}.training', f'{list(OWN_TRAINING)}', own)


@dataclass(frozen=True)
class Regime:
    """One way of training, the same for all contestants.

    Attributes:
        words: for the table, e.g. 'zero-shot: no failure is seen in training'.
        training: changes of the comparison's training.
    """

    name: str
    words: str
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name('regimes.name', self.name)


@dataclass(frozen=True)
class Start:
    """Weights that all contestants begin with.

    Attributes:
        weights: a safetensors file.
        parts: that are taken from it; everything else starts new.
    """

    weights: str
    parts: tuple[str, ...] = ('camera_encoder', 'lidar_encoder')


@dataclass(frozen=True)
class RateSweep:
    """Short trainings of every contestant that choose its learning rate: equal care.

    Attributes:
        rates: to try.
        regime: of these trainings.
        steps, warmup_steps, decay_steps: of these trainings.
        drives, per_drive: worlds from CHOICE_FIRST_SEED on; records: folders in their place.
        settings: that are scored; the best mean of NDS and mIoU wins.
    """

    rates: tuple[float, ...]
    regime: str
    steps: int
    warmup_steps: int
    decay_steps: int
    drives: int = 4
    per_drive: int = 10
    records: tuple[str, ...] = ()
    settings: tuple[str, ...] = ('clean.0', 'mc.1', 'ml.1')

    def __post_init__(self) -> None:
        require(len(self.rates) >= 1, 'sweep.rates', 'at least one', self.rates)
        for name in self.settings:
            setting_of(name)


@dataclass(frozen=True)
class Scoring:
    """What is scored at the end.

    Attributes:
        drives, per_drive, first_seed: held-out synthetic worlds.
        records: folders of held-out records in place of the worlds.
        settings: ids ('lf.120'), and names of groups ('headline', 'images').
        resamples: draws of drives.
        backend: 'onnxruntime' exports every model first and is about twice as fast as 'torch'.
    """

    drives: int = 20
    per_drive: int = 20
    first_seed: int = TEST_FIRST_SEED
    records: tuple[str, ...] = ()
    settings: tuple[str, ...] = ('headline', 'images')
    resamples: int = 500
    backend: str = 'onnxruntime'

    def __post_init__(self) -> None:
        require(
            self.backend in ('onnxruntime', 'torch'),
            'scoring.backend',
            'onnxruntime or torch',
            self.backend,
        )
        require(self.resamples >= 100, 'scoring.resamples', 'at least 100', self.resamples)
        require(bool(self.chosen), 'scoring.settings', 'at least one', 'none')

    @property
    def chosen(self) -> tuple[Setting, ...]:
        """The settings, the clean one first and each once."""
        found: dict[str, Setting] = {s.id: s for s in SettingGroup.CLEAN.settings}
        groups = {group.value: group.settings for group in SettingGroup}
        for name in self.settings:
            for setting in groups.get(name) or (setting_of(name),):
                found.setdefault(setting.id, setting)
        return tuple(found.values())


@dataclass(frozen=True)
class Comparison:
    """The content of `config/comparison/*.yaml`.

    Attributes:
        model: that the contestants change.
        reference: contestant that the others are held against.
        training: of all trainings; regimes change it.
        data: records to learn from.
        sweep: None: `training.learning_rate` serves all.
    """

    contestants: tuple[Contestant, ...]
    reference: str
    regimes: tuple[Regime, ...]
    seeds: tuple[int, ...]
    start: Start
    data: tuple[DataSource, ...]
    model: ModelConfig = field(default_factory=ModelConfig)
    training: dict[str, Any] = field(default_factory=dict)
    sweep: RateSweep | None = None
    scoring: Scoring = field(default_factory=Scoring)

    def __post_init__(self) -> None:
        names = [contestant.name for contestant in self.contestants]
        for where, found in (
            ('contestants', names),
            ('regimes', [regime.name for regime in self.regimes]),
            ('seeds', list(self.seeds)),
        ):
            require(bool(found) and len(set(found)) == len(found), where, 'distinct ones', found)
        require(self.reference in names, 'reference', f'one of {names}', self.reference)
        require(SWEEP_SEED not in self.seeds, 'seeds', f'others than {SWEEP_SEED}', SWEEP_SEED)
        if self.sweep is not None:
            self.regime(self.sweep.regime)
        for contestant in self.contestants:
            self._require_same_inputs(contestant)
            for regime in self.regimes:
                self.training_of(contestant, regime, self.seeds[0])

    def _require_same_inputs(self, contestant: Contestant) -> None:
        found, model = self.model_of(contestant), self.model
        differing = [part for part in INPUT_PARTS if getattr(found, part) != getattr(model, part)]
        require(
            not differing,
            f'contestants.{contestant.name}.changes',
            'changes behind the encoders',
            f'others of {differing}',
        )

    def regime(self, name: str) -> Regime:
        """One of the regimes.

        Raises:
            ConfigError: for another name.
        """
        named = {regime.name: regime for regime in self.regimes}
        require(name in named, 'regime', f'one of {sorted(named)}', name)
        return named[name]

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parts that do not learn, in any training."""
        return self.training_of(self.contestants[0], self.regimes[0], self.seeds[0]).frozen

    @property
    def shares_encoders(self) -> bool:
        """Tell whether all models end with the encoders that they began with."""
        encoders = {'camera_encoder', 'lidar_encoder'}
        return encoders <= set(self.frozen) and encoders <= set(self.start.parts)

    def model_of(self, contestant: Contestant) -> ModelConfig:
        """The contestant's network."""
        changes = {'name': f'fair_{contestant.name}', **contestant.changes}
        plain = merged(to_plain(self.model), changes)
        return from_plain(ModelConfig, plain, f'contestants.{contestant.name}.changes')

    def training_of(
        self,
        contestant: Contestant,
        regime: Regime,
        seed: int,
        rate: float | None = None,
        start: Path | None = None,
    ) -> TrainingConfig:
        """One training.

        Args:
            rate: learning rate; None: the comparison's.
            start: whole weights to begin with; None: none are named yet.
        """
        plain = merged(merged(self.training, regime.training), contestant.training)
        plain['seed'] = seed
        if rate is not None:
            plain['learning_rate'] = rate
        training = from_plain(TrainingConfig, plain, f'regimes.{regime.name}.training')
        require(training.init is None, 'training.init', 'none: see start', training.init)
        if start is None:
            return training
        return replace(training, init=InitConfig(str(start)))

    def run_of(
        self, contestant: Contestant, regime: Regime, seed: int, rate: float | None, start: Path
    ) -> RunConfig:
        """One training with its network and its records."""
        training = self.training_of(contestant, regime, seed, rate, start)
        return RunConfig(self.model_of(contestant), training, self.data)


def setting_of(name: str) -> Setting:
    """The setting of an id.

    Raises:
        ConfigError: for an unknown one.
    """
    require(name in SETTING_OF, 'settings', 'ids of settings, e.g. lf.120', name)
    return SETTING_OF[name]


def require_name(where: str, name: str) -> None:
    """Refuse a name that is no plain file name.

    Raises:
        ConfigError
    """
    fits = bool(name) and all(c.isascii() and (c.isalnum() or c == '_') for c in name)
    require(fits, where, 'ASCII letters, digits and _', repr(name))


def merged(plain: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A new tree: mappings are merged, anything else is replaced."""
    result = dict(plain)
    for name, value in changes.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            value = merged(before, value)
        result[name] = value
    return result
