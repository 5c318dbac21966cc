"""ONNX Runtime: the embedded default, on the CPU or on what else is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from metabev_ros.backends.cuda_driver import Context, Driver
from metabev_ros.backends.onnx_bytes import refuse_external_data
from metabev_ros.backends.protocol import Arrays
from metabev_ros.backends.providers import Provider, check_session, require_provider
from metabev_ros.config import ModelConfig
from metabev_ros.contract import load_contract
from metabev_ros.errors import BackendError, MissingDependencyError
from metabev_ros.files import read_checked
from metabev_ros.graph_specs import FUSION_OF, GRAPHS, graph_inputs, output_names
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.score_calibration import ScoreCalibration
from metabev_ros.structures import Modality

# Adding and normalising in one kernel takes a CPU twice as long as one after the other.
SLOW_FUSIONS = ['SkipLayerNormFusion']
_MAPS = {'camera_encoder': 'camera_bev', 'lidar_encoder': 'lidar_bev'}


class OnnxRuntimeBackend:
    """Runs the five graphs of a model folder.

    Args:
        folder: model folder with contract.json and *.onnx.
        threads: intra-op threads of every graph. Graphs run one after the other (encoders side
            by side with half of the threads each took as long, docs/engines.md). Spinning is off
            because several sessions that spin fight for the same cores.
        provider: what computes; there is no fallback to another one.

    Raises:
        ContractError: if a graph does not fit the contract.
        MissingDependencyError: without onnxruntime, or if it lacks the provider.
        BackendError: if the provider cannot be used.
    """

    name = 'onnxruntime'

    def __init__(self, folder: Path, threads: int, provider: Provider = Provider.CPU) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependencyError(
                'backend onnxruntime', 'the package onnxruntime', 'none', 'pip install onnxruntime'
            ) from error
        require_provider(provider, cast('list[str]', onnxruntime.get_available_providers()))
        self._gpu = _gpu_of(provider)
        self._free_before = 0 if self._gpu is None else self._gpu.free_memory()
        self.contract = load_contract(folder)
        self.provider, self.device = provider.value, provider.device
        self._outputs = output_names(self.contract.config)
        self._sessions = {
            graph: _session(
                onnxruntime,
                read_checked(Path(folder) / f'{graph}.onnx', self.contract.digest_of(graph)),
                threads,
                provider,
                graph,
            )
            for graph in GRAPHS
        }
        # On a GPU the maps between encoders and fusion stay there; on a CPU binding gains nothing.
        self._bindings: dict[str, Any] | None = None
        if self.device != 'cpu':
            maps = {spec.name: spec for spec in graph_inputs(self.contract.config)['fusion_fused']}
            self._maps = {
                name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    spec.fixed_shape, np.dtype(spec.dtype), self.device, 0
                )
                for name, spec in maps.items()
            }
            self._bindings = {graph: self._bind(graph) for graph in GRAPHS}

    def _bind(self, graph: str) -> Any:
        """The graph with its BEV maps bound; the other inputs and outputs change every sample."""
        binding = self._sessions[graph].io_binding()
        if graph in _MAPS:
            binding.bind_ortvalue_output(_MAPS[graph], self._maps[_MAPS[graph]])
            return binding
        for node in self._sessions[graph].get_inputs():
            binding.bind_ortvalue_input(node.name, self._maps[node.name])
        return binding

    @property
    def precision(self) -> str:
        """Arithmetic of the graphs."""
        return self.contract.precision

    @property
    def gpu_memory(self) -> int:
        """Bytes of GPU memory taken since loading began, by whoever; 0 without a GPU."""
        if self._gpu is None:
            return 0
        return max(0, self._free_before - self._gpu.free_memory())

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model."""
        return self.contract.config

    @property
    def model_hash(self) -> str:
        """SHA-256 (first 16 hex digits) of the model."""
        return self.contract.hash

    @property
    def score_calibration(self) -> ScoreCalibration | None:
        """See `Backend.score_calibration`."""
        return self.contract.score_calibration

    @property
    def measured_errors(self) -> MeasuredErrors | None:
        """See `Backend.measured_errors`."""
        return self.contract.measured_errors

    def run(self, camera: Arrays | None, lidar: Arrays | None) -> Arrays:
        """See `Backend.run`."""
        modality = Modality.from_presence(camera is not None, lidar is not None)
        if modality is Modality.NONE:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        if self._bindings is None:
            return self.fuse(
                None if camera is None else self.encode_camera(camera),
                None if lidar is None else self.encode_lidar(lidar),
            )
        if camera is not None:
            self._run_bound('camera_encoder', self._bindings, camera)
        if lidar is not None:
            self._run_bound('lidar_encoder', self._bindings, lidar)
        fusion = FUSION_OF[modality]
        for name in self._outputs:  # anew: a bound output would be overwritten by the next sample
            self._bindings[fusion].bind_output(name, 'cpu')
        self._run_bound(fusion, self._bindings, {})
        values = self._bindings[fusion].get_outputs()
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}

    def encode_camera(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_camera`."""
        return self._run('camera_encoder', inputs)[0]

    def encode_lidar(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_lidar`."""
        return self._run('lidar_encoder', inputs)[0]

    def fuse(self, camera_bev: np.ndarray | None, lidar_bev: np.ndarray | None) -> Arrays:
        """See `Backend.fuse`."""
        modality = Modality.from_presence(camera_bev is not None, lidar_bev is not None)
        if modality is Modality.NONE:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        maps = {
            name: bev
            for name, bev in (('camera_bev', camera_bev), ('lidar_bev', lidar_bev))
            if bev is not None
        }
        return dict(zip(self._outputs, self._run(FUSION_OF[modality], maps), strict=True))

    def _run(self, graph: str, inputs: Arrays) -> list[np.ndarray]:
        try:
            return self._sessions[graph].run(None, inputs)
        except Exception as error:  # onnxruntime raises many types
            raise BackendError(graph, 'a successful run', str(error)[:200]) from error

    def _run_bound(self, graph: str, bindings: dict[str, Any], inputs: Arrays) -> None:
        binding = bindings[graph]
        try:
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            self._sessions[graph].run_with_iobinding(binding)
        except Exception as error:  # onnxruntime raises many types
            raise BackendError(graph, 'a successful run', str(error)[:200]) from error


def _gpu_of(provider: Provider) -> Context | None:
    """The GPU that the provider computes on; None for a CPU.

    Raises:
        BackendError: if there is none.
    """
    if provider.device == 'cpu':
        return None
    try:
        return Context(Driver())
    except BackendError as error:
        raise BackendError(
            f'provider {provider.value}', error.expected, error.got, provider.remedy
        ) from error


def _session(
    onnxruntime: Any, content: bytes, threads: int, provider: Provider, graph: str
) -> Any:
    """A session of one graph, on the provider and on nothing else."""
    refuse_external_data(content, f'{graph}.onnx')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.add_session_config_entry('session.record_ep_graph_assignment_info', '1')
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=[provider.runtime_name],
            enable_fallback=0,
            disabled_optimizers=SLOW_FUSIONS,
        )
    except Exception as error:  # onnxruntime raises many types
        raise BackendError(
            f'{graph}.onnx',
            f'a graph ONNX Runtime can load on {provider.value}',
            str(error)[:200],
            provider.remedy,
        ) from error
    check_session(session, provider, graph)
    return session
