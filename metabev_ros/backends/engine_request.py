"""Order for the engines of a model, and the report on what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.backends.profiles import ProfileLimits
from metabev_ros.backends.tensorrt_library import Flavour
from metabev_ros.config.yaml import require
from metabev_ros.graph_variants import GraphPrecision


class Stale(enum.Enum):
    """Treatment of an engine that was built for something else than what is here now."""

    REBUILD = 'rebuild'
    REFUSE = 'refuse'


def parse_stale(name: str) -> Stale:
    """'rebuild' or 'refuse'.

    Raises:
        ConfigError: for anything else.
    """
    require(
        name in (item.value for item in Stale),
        'stale',
        f'one of {[item.value for item in Stale]}',
        repr(name),
    )
    return Stale(name)


@dataclass(frozen=True)
class EngineRequest:
    """Engines to build, and the way to build them.

    Attributes:
        model: model folder; its variant for TensorRT and `precision` is built.
        build_only: neither run nor compare. Such an engine is refused by the backend until this
            command compared it on the GPU that is to run it.
        stale: what to do with engines that were built for something else.
        force: build also what is current.
        cache: folder of all engines; None: the user's cache folder.
    """

    model: Path
    precision: GraphPrecision
    flavour: Flavour
    build_only: bool = False
    stale: Stale = Stale.REBUILD
    force: bool = False
    limits: ProfileLimits = ProfileLimits()
    cache: Path | None = None


@dataclass(frozen=True)
class EngineReport:
    """Result for one graph; seconds are 0 for an engine that was kept."""

    graph: str
    was_built: bool
    parse_seconds: float
    build_seconds: float
    engine_bytes: int


@dataclass(frozen=True)
class EngineOutcome:
    """Result of `build_engines`.

    Attributes:
        model: its name. folder: where the engines lie.
        errors: graph -> tensor -> largest error as a share of its range; empty if only built.
    """

    model: str
    request: EngineRequest
    folder: Path
    reports: tuple[EngineReport, ...]
    errors: dict[str, dict[str, float]]

    def lines(self) -> list[str]:
        """For the terminal."""
        lines = [
            f'{r.graph}: '
            + (f'built in {r.build_seconds:.1f} s' if r.was_built else 'kept')
            + f', {r.engine_bytes / 1e6:.1f} MB'
            for r in self.reports
        ]
        lines += [
            f'parity {graph} {tensor}: {error:.1e} of its range'
            for graph, tensors in self.errors.items()
            for tensor, error in tensors.items()
        ]
        return [
            *lines,
            f'engines in {self.folder}'
            + (
                '; only built: not used until this command compared them on their GPU'
                if self.request.build_only
                else ''
            ),
        ]

    def figures(self) -> list[tuple[str, float, str]]:
        """(id, value, unit) for docs/results."""
        prefix = f'{self.request.flavour.value}.{self.model}.{self.request.precision.value}'
        figures: list[tuple[str, float, str]] = []
        for report in self.reports:
            if report.was_built:
                start = f'{prefix}.{report.graph}'
                figures += [
                    (f'{start}.parse', report.parse_seconds, 's'),
                    (f'{start}.build', report.build_seconds, 's'),
                    (f'{start}.size', report.engine_bytes / 1e6, 'MB'),
                ]
        figures += [
            (f'{prefix}.{graph}.parity.{tensor}', error, 'of range')
            for graph, tensors in self.errors.items()
            for tensor, error in tensors.items()
        ]
        return figures
