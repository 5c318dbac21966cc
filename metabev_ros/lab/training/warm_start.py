"""Start from known weights, and parts that do not learn: staged training.

The paper starts switched-modality training from the full-modality model, and multi-task training
from the detection model (section 4.1); both are `InitConfig`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from metabev_ros.errors import ConfigError


@dataclass(frozen=True)
class InitConfig:
    """Weights to start from.

    Attributes:
        path: safetensors file with the names of `MetaBev.state_dict()`.
        prefixes: parts to take, e.g. `camera_encoder`; each must be wholly in the file, with the
            shapes of the network. Empty: everything; the names must be the same on both sides.
        also: other parts from other files, after this one.
    """

    path: str
    prefixes: tuple[str, ...] = ()
    also: tuple[InitConfig, ...] = ()

    @property
    def files(self) -> tuple[InitConfig, ...]:
        """This one and all that come after it."""
        return (self, *(file for other in self.also for file in other.files))


def initialise(network: nn.Module, config: InitConfig) -> int:
    """Copy the weights that the configuration claims.

    Returns:
        the number of tensors taken.

    Raises:
        ConfigError: if a file cannot be read, a prefix names nothing, or names or shapes of a
            claimed part differ between file and network. Nothing is copied then.
    """
    found = [claimed_weights(network, file) for file in config.files]
    for weights in found:
        network.load_state_dict(weights, strict=False)
    return sum(len(weights) for weights in found)


def claimed_weights(network: nn.Module, config: InitConfig) -> dict[str, Tensor]:
    """Tensors that one file gives to a network, of the network's names and shapes.

    Raises:
        ConfigError: as `initialise`.
    """
    try:
        stored = load_file(config.path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            'training.init.path',
            'a readable safetensors file',
            f'{config.path}: {error}',
            'check the path',
        ) from error
    own = network.state_dict()
    for prefix in config.prefixes:
        if not _under(own, (prefix,)):
            raise ConfigError('training.init.prefixes', 'parts of the network', prefix)
    ours, theirs = _under(own, config.prefixes), _under(stored, config.prefixes)
    missing, unknown = sorted(ours - theirs), sorted(theirs - ours)
    if missing or unknown:
        raise ConfigError(
            f'training.init: {Path(config.path).name}',
            f'exactly the names of {list(config.prefixes) or "the network"}',
            f'missing {missing[:5]} ({len(missing)}), unknown {unknown[:5]} ({len(unknown)})',
            'claim the parts that are in the file with init.prefixes',
        )
    for name in ours:
        if stored[name].shape != own[name].shape:
            raise ConfigError(
                f'training.init: {name}',
                str(tuple(own[name].shape)),
                str(tuple(stored[name].shape)),
            )
    return {name: stored[name] for name in ours}


def freeze(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Take parts out of the training: no gradient; `train_unfrozen` keeps their norms fixed.

    Raises:
        ConfigError: if a prefix names no module of the network, or nothing is left to learn.
    """
    for prefix in prefixes:
        _module(network, prefix).requires_grad_(False)
    if not any(p.requires_grad for p in network.parameters()):
        raise ConfigError('training.frozen', 'some part left to learn', str(list(prefixes)))


def train_unfrozen(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Training mode, but for the frozen parts: their batch norms use and keep what they know."""
    network.train()
    for prefix in prefixes:
        _module(network, prefix).eval()


def _module(network: nn.Module, prefix: str) -> nn.Module:
    try:
        if not prefix:
            raise AttributeError('an empty name')
        return network.get_submodule(prefix)
    except AttributeError as error:
        raise ConfigError(
            'training.frozen', 'names of modules, e.g. camera_encoder', repr(prefix)
        ) from error


def _under(names: Iterable[str], prefixes: tuple[str, ...]) -> set[str]:
    """The names that a prefix covers; all of them without prefixes."""
    if not prefixes:
        return set(names)
    return {
        name
        for name in names
        if any(name == prefix or name.startswith(f'{prefix}.') for prefix in prefixes)
    }
