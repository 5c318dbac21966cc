"""`metabev build-engines`: the TensorRT variant of a model -> engines in the cache of this user.

Build, run and compare, then install: until the last step the engines that were there stay.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from metabev_ros.backends.cuda_driver import Driver
from metabev_ros.backends.engine_builder import build_engine
from metabev_ros.backends.engine_files import EngineState, EngineStore, FoundEngine
from metabev_ros.backends.engine_manifest import EngineIdentity, EngineManifest, ParityProof
from metabev_ros.backends.engine_parity import TOLERANCE, check_engines
from metabev_ros.backends.onnx_bytes import refuse_external_data
from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.profiles import ProfileLimits, graph_profile
from metabev_ros.backends.protocol import NetworkInputs
from metabev_ros.backends.tensorrt_backend import TensorRtBackend, engine_identity
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.config import ModelConfig
from metabev_ros.config.yaml import require
from metabev_ros.contract import (
    Contract,
    GraphForm,
    GraphPrecision,
    load_contract,
    read_checked,
    variant_folder,
)
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.graph_specs import GRAPHS, graph_inputs, graph_outputs

Progress: TypeAlias = Callable[[str, str, int, int], None]  # graph, phase, steps done, steps


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
class _Candidate:
    engine: bytes
    manifest: EngineManifest
    report: EngineReport


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


def build_engines(
    request: EngineRequest,
    inputs_of: Callable[[ModelConfig], Iterable[NetworkInputs]],
    progress: Progress | None = None,
) -> EngineOutcome:
    """Make the engines of a model current.

    Args:
        inputs_of: what engines and ONNX Runtime are compared on, (camera, lidar) as
            `Preprocessor` gives them; called where an engine is compared.
        progress: called with (graph, phase, steps done, steps).

    Raises:
        ContractError: if a graph, an engine in the cache or the comparison is refused.
        BackendError: if there is no driver or GPU where one is needed, or a build fails.
        MissingDependencyError: without TensorRT.
    """
    library = TensorRtLibrary.load(request.flavour)
    driver = _driver(request)
    folder = variant_folder(request.model, GraphForm.TENSORRT, request.precision)
    contract = load_contract(folder)
    for name, wanted, there in (
        ('form', GraphForm.TENSORRT.value, contract.form.value),
        ('precision', request.precision.value, contract.precision),
    ):
        if wanted != there:
            raise ContractError(
                f'{folder}/contract.json: {name}', wanted, there, 'export this variant again'
            )
    store = EngineStore(contract.config.name, request.cache)
    candidates: list[_Candidate] = []
    for graph in GRAPHS:
        identity = engine_identity(contract, graph, library, driver)
        found = store.find(identity)
        if found.state is EngineState.STALE and request.stale is Stale.REFUSE:
            store.load(identity)  # raises with what differs
        candidates.append(
            _kept(found, request, contract)
            or _build(request, folder, contract, identity, library, store, progress)
        )
        if request.build_only and candidates[-1].report.was_built:
            store.install(candidates[-1].engine, candidates[-1].manifest)
    errors = (
        {}
        if request.build_only or driver is None  # no driver: `_driver` saw that it is build only
        else _prove_and_install(
            request,
            folder,
            contract,
            candidates,
            library,
            driver,
            store,
            inputs_of(contract.config),
        )
    )
    return EngineOutcome(
        contract.config.name,
        request,
        store.folder,
        tuple(candidate.report for candidate in candidates),
        errors,
    )


def _driver(request: EngineRequest) -> Driver | None:
    """The CUDA driver; None where TensorRT-RTX is only to build on a machine without a GPU."""
    try:
        return Driver()
    except BackendError as error:
        if request.build_only and request.flavour is Flavour.RTX:
            return None
        raise BackendError(
            error.where,
            error.expected,
            error.got,
            'engines are built and compared on the GPU that runs them; without '
            'one only: --flavour tensorrt_rtx --build-only',
        ) from error


def _kept(found: FoundEngine, request: EngineRequest, contract: Contract) -> _Candidate | None:
    """A current engine of the same profile, unless it is to be built anew."""
    manifest, engine = found.manifest, found.engine
    if manifest is None or engine is None or request.force:
        return None
    if manifest.profile != _plain_profile(contract, manifest.identity.graph, request.limits):
        return None
    return _Candidate(
        engine,
        manifest,
        EngineReport(manifest.identity.graph, False, 0.0, 0.0, manifest.engine_bytes),
    )


def _build(
    request: EngineRequest,
    folder: Path,
    contract: Contract,
    identity: EngineIdentity,
    library: TensorRtLibrary,
    store: EngineStore,
    progress: Progress | None,
) -> _Candidate:
    graph, config = identity.graph, contract.config
    content = read_checked(folder / f'{graph}.onnx', identity.onnx_sha256)
    refuse_external_data(content, f'{graph}.onnx')
    times = hashlib.sha256(
        '|'.join(
            (
                identity.flavour,
                identity.tensorrt_version,
                identity.gpu,
                identity.compute_capability,
            )
        ).encode()
    ).hexdigest()[:16]
    built = build_engine(
        library,
        content,
        graph,
        (graph_inputs(config)[graph], graph_outputs(config)[graph]),
        graph_profile(config, graph, request.limits),
        store.timing_cache(times),
        None if progress is None else functools.partial(progress, graph),
    )
    if built.timing_cache:
        store.keep_timing_cache(times, built.timing_cache)
    manifest = EngineManifest(
        identity,
        hashlib.sha256(built.plan).hexdigest(),
        len(built.plan),
        _plain_profile(contract, graph, request.limits),
        None,
    )
    return _Candidate(
        built.plan,
        manifest,
        EngineReport(graph, True, built.parse_seconds, built.build_seconds, len(built.plan)),
    )


def _plain_profile(
    contract: Contract, graph: str, limits: ProfileLimits
) -> dict[str, list[list[int]]]:
    return {
        name: [list(shape) for shape in shapes]
        for name, shapes in graph_profile(contract.config, graph, limits).items()
    }


def _prove_and_install(
    request: EngineRequest,
    folder: Path,
    contract: Contract,
    candidates: list[_Candidate],
    library: TensorRtLibrary,
    driver: Driver,
    store: EngineStore,
    all_inputs: Iterable[NetworkInputs],
) -> dict[str, dict[str, float]]:
    """Run all engines beside ONNX Runtime; install none if one is off."""
    plans = {candidate.report.graph: candidate.engine for candidate in candidates}
    backend = TensorRtBackend(contract, plans, library, driver)
    inputs = (
        pair
        for pair in all_inputs
        if pair[0] is None or len(pair[0]['images']) <= request.limits.cameras
    )
    tolerance = TOLERANCE[request.precision]
    errors = check_engines(OnnxRuntimeBackend(folder, 2), backend, inputs, tolerance)
    for candidate in candidates:
        manifest = candidate.manifest
        proof = ParityProof(driver.gpu.name, tolerance, errors[manifest.identity.graph])
        store.install(
            candidate.engine,
            EngineManifest(
                manifest.identity,
                manifest.engine_sha256,
                manifest.engine_bytes,
                manifest.profile,
                proof,
            ),
        )
    return errors
