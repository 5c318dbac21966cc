"""Rules that turn keys of a source into ours, their parts, and keys left out knowingly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rule:
    r"""Rule for one kind of key: `source` becomes `target`.

    Attributes:
        source: regular expression over the whole key.
        target: template with \1, \2 ... of the groups.
        change: tensor(s) -> tensor in our layout.
        also: templates of further source keys, whose tensors `change` gets after the first.
        copies: templates of further targets that get the same tensor.
    """

    source: str
    target: str
    change: Callable[..., Tensor] | None = None
    also: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    def match(self, key: str) -> re.Match | None:
        """Match a whole key; None if the rule is not for it."""
        return re.fullmatch(self.source, key)


@dataclass(frozen=True)
class Part:
    """Rules that belong together: none of their keys is there, or all.

    Attributes:
        targets: regular expression of our keys that the part must fill.
        required: a checkpoint of this source without it is not one.
    """

    name: str
    targets: str
    rules: tuple[Rule, ...]
    required: bool = False


@dataclass(frozen=True)
class Ignored:
    """Keys that are left out knowingly."""

    source: str
    reason: str


@dataclass(frozen=True)
class SourceRules:
    """All of one source."""

    parts: tuple[Part, ...]
    ignored: tuple[Ignored, ...] = ()


# Batch norm's tensors, layer norm's and a linear layer's, as a group.
NORM = '(weight|bias|running_mean|running_var|num_batches_tracked)'
AFFINE = '(weight|bias)'
STATISTICS = '(running_mean|running_var|num_batches_tracked)'


def convolution_and_norm(
    source: str,
    target: str,
    change: Callable[[Tensor], Tensor] | None = None,
    names: tuple[str, str] = ('conv', 'bn'),
) -> tuple[Rule, ...]:
    """A convolution without bias and its batch norm -> `target` 0 and 1."""
    conv, norm = names
    return (
        Rule(rf'{source}{conv}\.weight', f'{target}0.weight', change),
        Rule(rf'{source}{norm}\.{NORM}', rf'{target}1.\g<{groups(source) + 1}>'),
    )


def groups(pattern: str) -> int:
    """Capturing groups of a pattern that escapes no parenthesis."""
    return pattern.count('(') - pattern.count('(?:')
