"""Checkpoint in, safetensors with our names out: strict in both directions."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from metabev_ros.config import ModelConfig
from metabev_ros.errors import ContractError
from metabev_ros.files import sha256_of, write_bytes
from metabev_ros.lab.conversion.checkpoint import read_checkpoint
from metabev_ros.lab.conversion.rules import Part, Rule, SourceRules
from metabev_ros.lab.conversion.sources import Source, build_rules, data_of
from metabev_ros.network.metabev import MetaBev

# Counts batches for a momentum that is not set anywhere here; old checkpoints lack it.
OPTIONAL = re.compile(r'.*\.num_batches_tracked')
NAMED = 12  # keys that an error lists of each kind


@dataclass
class Conversion:
    """Outcome of a conversion.

    Attributes:
        tensors: our keys.
        filled: part -> its source keys, for every part that the checkpoint has.
        absent: parts that it has no key of.
        skipped: part -> source keys left out because the caller said so.
        ignored: reason -> source keys left out knowingly.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    filled: dict[str, list[str]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    ignored: dict[str, list[str]] = field(default_factory=dict)


def convert_state(
    state: Mapping[str, Tensor],
    rules: SourceRules,
    shapes: Mapping[str, tuple[int, ...]],
    where: str,
    skip: Iterable[str] = (),
) -> Conversion:
    """Map every key of a state dict.

    Args:
        state: theirs.
        rules: of their project.
        shapes: of all our tensors, by name.
        where: names the checkpoint in errors.
        skip: names of parts to leave out.

    Raises:
        ContractError: naming every key that no rule knows, that has no place in our network or
            not its shape there, and every key of ours that a part leaves empty.
    """
    skip = _checked_parts(skip, rules)
    result, unknown, misfits = Conversion(), [], []
    for key in state:
        part, rule = _rule_of(key, rules)
        if part is not None and part.name in skip:
            result.skipped.setdefault(part.name, []).append(key)
        elif part is not None and rule is not None:
            result.filled.setdefault(part.name, []).append(key)
            misfits += _place(key, rule, state, shapes, result.tensors)
        elif (reason := _reason(key, rules)) is not None:
            result.ignored.setdefault(reason, []).append(key)
        else:
            unknown.append(key)
    result.absent = [
        part.name
        for part in rules.parts
        if part.name not in result.filled and part.name not in result.skipped
    ]
    _refuse(where, unknown, misfits, _missing(rules, result, shapes))
    return result


def _checked_parts(skip: Iterable[str], rules: SourceRules) -> frozenset[str]:
    names = [part.name for part in rules.parts]
    unknown = sorted(set(skip) - set(names))
    if unknown:
        raise ContractError('skipped parts', f'some of {names}', str(unknown))
    return frozenset(skip)


def _rule_of(key: str, rules: SourceRules) -> tuple[Part, Rule] | tuple[None, None]:
    for part in rules.parts:
        for rule in part.rules:
            if rule.match(key):
                return part, rule
    return None, None


def _reason(key: str, rules: SourceRules) -> str | None:
    return next((i.reason for i in rules.ignored if re.fullmatch(i.source, key)), None)


def _place(
    key: str,
    rule: Rule,
    state: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    tensors: dict[str, Tensor],
) -> list[str]:
    """Convert one tensor into `tensors`; gives what is wrong with it."""
    match = rule.match(key)
    assert match is not None  # the caller chose the rule by it
    others = [match.expand(template) for template in rule.also]
    lacking = [other for other in others if other not in state]
    if lacking:
        return [f'{key} (needs {lacking[0]})']
    tensor = state[key]
    try:
        if rule.change is not None:
            tensor = rule.change(tensor, *(state[other] for other in others))
    except (RuntimeError, IndexError) as error:
        return [f'{key} (shape {list(state[key].shape)}: {str(error).splitlines()[0]})']
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    for target in (match.expand(template) for template in (rule.target, *rule.copies)):
        if target not in shapes:
            return [f'{key} (would be {target}, which the configuration does not have)']
        if target in tensors:
            return [f'{key} (a second {target})']
        if tuple(tensor.shape) != shapes[target]:
            return [
                f'{key} (shape {list(state[key].shape)} gives {list(tensor.shape)}, '
                f'{target} is {list(shapes[target])})'
            ]
        tensors[target] = tensor.clone().contiguous()
    return []


def _missing(
    rules: SourceRules, result: Conversion, shapes: Mapping[str, tuple[int, ...]]
) -> list[str]:
    missing = []
    for part in rules.parts:
        if part.name in result.skipped or (part.name in result.absent and not part.required):
            continue
        missing += [
            f'{key} ({part.name})'
            for key in shapes
            if key not in result.tensors
            and re.fullmatch(part.targets, key)
            and not OPTIONAL.fullmatch(key)
        ]
    return missing


def _refuse(where: str, unknown: list[str], misfits: list[str], missing: list[str]) -> None:
    problems = [
        f'{len(keys)} {kind}: {", ".join(keys[:NAMED])}' + (' ...' if len(keys) > NAMED else '')
        for kind, keys in (
            ('keys that no rule knows', unknown),
            ('keys that do not fit', misfits),
            ('of our keys left empty', missing),
        )
        if keys
    ]
    if problems:
        raise ContractError(
            where,
            'keys and shapes of this source and configuration, no more and no less',
            '; '.join(problems),
            'choose the source and the configuration that belong to the '
            'checkpoint, or skip a part',
        )


@functools.lru_cache(maxsize=8)  # building a large network takes seconds
def network_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the network's state dict."""
    return {name: tuple(tensor.shape) for name, tensor in MetaBev(config).state_dict().items()}


def convert_checkpoint(
    path: Path, source: Source, config: ModelConfig, out: Path, skip: Iterable[str] = ()
) -> Conversion:
    """Read `path`, convert, write `out` (safetensors; only what the checkpoint fills).

    Raises:
        ContractError: nothing is written then.
    """
    state = read_checkpoint(path)
    result = convert_state(
        state, build_rules(source, config), network_shapes(config), str(path), skip
    )
    origin = {
        'source': source.value,
        'checkpoint_sha256': sha256_of(path),
        'config_sha256': config.hash,
        'parts': ', '.join(result.filled),
        'data': json.dumps(dataclasses.asdict(data_of(source))),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, save(result.tensors, origin))
    return result
