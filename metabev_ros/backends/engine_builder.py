"""One graph -> one engine, with what TensorRT 10.3, 11 and TensorRT-RTX have in common.

Always strongly typed: the precision stands in the ONNX types, so no builder flag decides it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from metabev_ros.backends.profiles import Shape
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.errors import BackendError, ContractError
from metabev_ros.graph_specs import GraphSpecs


@dataclass(frozen=True)
class BuiltEngine:
    """Result of a build.

    Attributes:
        plan: the serialised engine.
        timing_cache: kernel times to keep for the next build; empty if there are none.
        parse_seconds, build_seconds: wall time.
    """

    plan: bytes
    timing_cache: bytes
    parse_seconds: float
    build_seconds: float


def build_engine(
    library: TensorRtLibrary,
    content: bytes,
    graph: str,
    specs: GraphSpecs,
    profile: dict[str, tuple[Shape, Shape, Shape]],
    timing_cache: bytes = b'',
    progress: Callable[[str, int, int], None] | None = None,
) -> BuiltEngine:
    """Parse and build.

    Args:
        content: the ONNX file, checked by the caller.
        specs: inputs and outputs as the contract lists them.
        profile: see `profiles.graph_profile`.
        progress: called with (phase, steps done, steps).

    Raises:
        ContractError: if the parser refuses the graph or it has other tensors than the contract.
        BackendError: if the build fails; the message holds TensorRT's own.
    """
    trt = library.trt
    library.messages.clear()
    start = perf_counter()
    builder = library.make('Builder')
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, library.logger)  # kept until the build is over
    _parse(parser, library, content, graph)
    _check_tensors(network, graph, specs)
    parsed = perf_counter()
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is fp32: TF32 keeps 10 bits of 23
    if progress is not None:
        config.progress_monitor = _progress_monitor(trt, progress)
    # TensorRT-RTX times nothing. A cache of another GPU or version is not taken.
    times = None if library.flavour is Flavour.RTX else config.create_timing_cache(timing_cache)
    has_times = times is not None and config.set_timing_cache(times, False)
    if profile:
        shapes = builder.create_optimization_profile()
        for name, (smallest, typical, largest) in profile.items():
            shapes.set_shape(name, smallest, typical, largest)
        config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(
            f'engine of {graph}',
            'a build',
            library.last_messages(),
            'out of memory: a smaller --headroom or --cameras; else see docs/engines.md',
        )
    kept = bytes(config.get_timing_cache().serialize()) if has_times else b''
    return BuiltEngine(bytes(plan), kept, parsed - start, perf_counter() - parsed)


def _parse(parser: Any, library: TensorRtLibrary, content: bytes, graph: str) -> None:
    """Fill the parser's network from an ONNX file.

    Raises:
        ContractError: with the first error of the parser.
    """
    if not parser.parse(content):
        first = parser.get_error(0) if parser.num_errors else library.last_messages()
        raise ContractError(
            f'{graph}.onnx',
            f'a graph that {library.flavour.value} {library.version} can parse',
            ' '.join(str(first).split())[:400],
            'export the model again for TensorRT',
        )


def _check_tensors(network: Any, graph: str, specs: GraphSpecs) -> None:
    """The parsed network has the contract's tensors, in any order."""
    found = [network.get_input(i) for i in range(network.num_inputs)]
    found += [network.get_output(i) for i in range(network.num_outputs)]
    actual = {tensor.name: tuple(tensor.shape) for tensor in found}
    expected = {
        spec.name: tuple(-1 if size is None else size for size in spec.shape)
        for side in specs
        for spec in side
    }
    if actual != expected:
        names = sorted(
            name
            for name in actual.keys() | expected.keys()
            if actual.get(name) != expected.get(name)
        )
        raise ContractError(
            f'{graph}.onnx',
            ', '.join(f'{n} {expected.get(n, "absent")}' for n in names),
            ', '.join(f'{n} {actual.get(n, "absent")}' for n in names),
            'export the model again',
        )


def _progress_monitor(trt: Any, progress: Callable[[str, int, int], None]) -> Any:
    class Monitor(trt.IProgressMonitor):
        """TensorRT's phases nest; the innermost that moves is shown."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 demands it without super()
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self.steps.get(phase_name, step + 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()
