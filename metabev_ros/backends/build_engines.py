"""`metabev build-engines`: the TensorRT variant of a model -> engines in the cache of this user.

Build, run and compare, then install: until the last step the engines that were there stay.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from metabev_ros.backends.cuda_driver import Driver
from metabev_ros.backends.engine_builder import build_engine
from metabev_ros.backends.engine_files import EngineState, EngineStore, FoundEngine
from metabev_ros.backends.engine_manifest import EngineIdentity, EngineManifest, ParityProof
from metabev_ros.backends.engine_parity import TOLERANCE, check_engines
from metabev_ros.backends.engine_request import EngineOutcome, EngineReport, EngineRequest, Stale
from metabev_ros.backends.onnx_bytes import refuse_external_data
from metabev_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from metabev_ros.backends.profiles import graph_profile
from metabev_ros.backends.protocol import NetworkInputs
from metabev_ros.backends.tensorrt_backend import TensorRtBackend, engine_identity
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.config import ModelConfig
from metabev_ros.contract import Contract, load_contract
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.files import read_checked
from metabev_ros.graph_specs import GRAPHS, graph_inputs, graph_outputs
from metabev_ros.graph_variants import GraphForm, variant_folder

Progress: TypeAlias = Callable[[str, str, int, int], None]  # graph, phase, steps done, steps


@dataclass(frozen=True)
class _Candidate:
    engine: bytes
    manifest: EngineManifest
    report: EngineReport


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
    contract = _variant_contract(folder, request)
    store = EngineStore(contract.config.name, request.cache)
    job = _Job(request, folder, contract, library, driver, store)
    candidates: list[_Candidate] = []
    for graph in GRAPHS:
        candidates.append(job.candidate(graph, progress))
        if request.build_only and candidates[-1].report.was_built:
            store.install(candidates[-1].engine, candidates[-1].manifest)
    errors = (
        {}
        if request.build_only or driver is None  # no driver: `_driver` saw that it is build only
        else job.prove_and_install(candidates, driver, inputs_of(contract.config))
    )
    reports = tuple(candidate.report for candidate in candidates)
    return EngineOutcome(contract.config.name, request, store.folder, reports, errors)


def _variant_contract(folder: Path, request: EngineRequest) -> Contract:
    """Read the contract of the variant that is asked for.

    Raises:
        ContractError: if it is another variant's.
    """
    contract = load_contract(folder)
    for name, wanted, there in (
        ('form', GraphForm.TENSORRT.value, contract.form.value),
        ('precision', request.precision.value, contract.precision),
    ):
        if wanted != there:
            raise ContractError(
                f'{folder}/contract.json: {name}', wanted, there, 'export this variant again'
            )
    return contract


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


@dataclass(frozen=True)
class _Job:
    """A request, with all that its steps work on.

    Attributes:
        folder: of the variant's graphs.
        driver: None on a machine without a GPU.
    """

    request: EngineRequest
    folder: Path
    contract: Contract
    library: TensorRtLibrary
    driver: Driver | None
    store: EngineStore

    def candidate(self, graph: str, progress: Progress | None) -> _Candidate:
        """Take the engine of a graph from the cache, or build it.

        Raises:
            ContractError: if the one in the cache is stale, and those are to be refused.
        """
        identity = engine_identity(self.contract, graph, self.library, self.driver)
        found = self.store.find(identity)
        if found.state is EngineState.STALE and self.request.stale is Stale.REFUSE:
            self.store.load(identity)  # raises with what differs
        return self._kept(found) or self._built(identity, progress)

    def _kept(self, found: FoundEngine) -> _Candidate | None:
        """Take a current engine of the same profile, unless it is to be built anew."""
        manifest, engine = found.manifest, found.engine
        if manifest is None or engine is None or self.request.force:
            return None
        graph = manifest.identity.graph
        if manifest.profile != self._plain_profile(graph):
            return None
        report = EngineReport(graph, False, 0.0, 0.0, manifest.engine_bytes)
        return _Candidate(engine, manifest, report)

    def _built(self, identity: EngineIdentity, progress: Progress | None) -> _Candidate:
        graph, config = identity.graph, self.contract.config
        content = read_checked(self.folder / f'{graph}.onnx', identity.onnx_sha256)
        refuse_external_data(content, f'{graph}.onnx')
        times = _timing_key(identity)
        built = build_engine(
            self.library,
            content,
            graph,
            (graph_inputs(config)[graph], graph_outputs(config)[graph]),
            graph_profile(config, graph, self.request.limits),
            self.store.timing_cache(times),
            None if progress is None else functools.partial(progress, graph),
        )
        if built.timing_cache:
            self.store.keep_timing_cache(times, built.timing_cache)
        size = len(built.plan)
        digest = hashlib.sha256(built.plan).hexdigest()
        return _Candidate(
            built.plan,
            EngineManifest(identity, digest, size, self._plain_profile(graph), None),
            EngineReport(graph, True, built.parse_seconds, built.build_seconds, size),
        )

    def _plain_profile(self, graph: str) -> dict[str, list[list[int]]]:
        profile = graph_profile(self.contract.config, graph, self.request.limits)
        return {name: [list(shape) for shape in shapes] for name, shapes in profile.items()}

    def prove_and_install(
        self, candidates: list[_Candidate], driver: Driver, all_inputs: Iterable[NetworkInputs]
    ) -> dict[str, dict[str, float]]:
        """Run all engines beside ONNX Runtime; install none if one is off.

        Returns:
            graph -> tensor -> largest error as a share of its range.

        Raises:
            ContractError: naming the tensor that is off.
        """
        plans = {candidate.report.graph: candidate.engine for candidate in candidates}
        backend = TensorRtBackend(self.contract, plans, self.library, driver)
        inputs = (
            pair
            for pair in all_inputs
            if pair[0] is None or len(pair[0]['images']) <= self.request.limits.cameras
        )
        tolerance = TOLERANCE[self.request.precision]
        errors = check_engines(OnnxRuntimeBackend(self.folder, 2), backend, inputs, tolerance)
        for candidate in candidates:
            graph = candidate.report.graph
            proof = ParityProof(driver.gpu.name, tolerance, errors[graph])
            self.store.install(candidate.engine, replace(candidate.manifest, parity=proof))
        return errors


def _timing_key(identity: EngineIdentity) -> str:
    """Return the name of the timing cache for this builder and GPU."""
    parts = (
        identity.flavour,
        identity.tensorrt_version,
        identity.gpu,
        identity.compute_capability,
    )
    return hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]
