"""TensorRT: five engines on one GPU, encoders side by side, no allocation per sample."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np

from metabev_ros.backends.cuda_driver import Buffer, Context, Driver
from metabev_ros.backends.engine_files import BUILD, EngineStore
from metabev_ros.backends.engine_manifest import ANY_GPU, EngineIdentity
from metabev_ros.backends.protocol import Arrays
from metabev_ros.backends.tensorrt_engine import Engine, OutputTensor
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.config import ModelConfig
from metabev_ros.contract import Contract, load_contract
from metabev_ros.errors import BackendError, ContractError, assert_never
from metabev_ros.graph_specs import ENCODERS, FUSION_OF, GRAPHS, graph_inputs, graph_outputs
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.score_calibration import ScoreCalibration
from metabev_ros.structures import Modality

_BEV_OF = {'camera_encoder': 'camera_bev', 'lidar_encoder': 'lidar_bev'}


class TensorRtBackend:
    """Runs the five engines; same inputs and outputs as the other backends.

    Each encoder has a stream of its own and the fusion a third one that waits for their events.
    BEV maps stay on the GPU between them. The fusion graphs have fixed shapes and are replayed as
    CUDA graphs where TensorRT allows it. All memory is taken here, for the largest shapes of the
    profiles; a call copies into page-locked buffers and returns copies out of them. One thread at
    a time.

    Args:
        contract: of the variant that the engines were built from.
        plans: graph -> engine bytes whose SHA-256 was checked.
        library, driver: TensorRT and the CUDA driver.

    Attributes:
        gpu_memory: bytes taken on the GPU: buffers, activations, weights (size of the engines).
        cuda_graphs: names of the graphs that are replayed as CUDA graphs.

    Raises:
        ContractError: if an engine does not fit.
        BackendError: if the GPU has no room or the first run fails.
    """

    provider = 'cuda'

    def __init__(
        self, contract: Contract, plans: dict[str, bytes], library: TensorRtLibrary, driver: Driver
    ) -> None:
        self.contract = contract
        self.name, self.device = library.flavour.value, driver.gpu.name
        self._gpu = Context(driver)
        self._engines: dict[str, Engine] = {}
        weakref.finalize(self, _release, self._engines, self._gpu)
        self._buffers: dict[str, Buffer] = {}
        inputs, outputs = graph_inputs(contract.config), graph_outputs(contract.config)
        for graph in GRAPHS:
            self._engines[graph] = Engine(
                library,
                self._gpu,
                graph,
                plans[graph],
                (inputs[graph], outputs[graph]),
                self._buffers,
            )
        self.gpu_memory = (
            sum(buffer.size for buffer in self._buffers.values())
            + sum(engine.activation_bytes for engine in self._engines.values())
            + sum(map(len, plans.values()))
        )
        self._streams = {name: self._gpu.stream() for name in (*ENCODERS, 'fusion')}
        self._done = {name: self._gpu.event() for name in ENCODERS}
        self._captured: dict[str, int] = {}
        self._warm_up()

    @classmethod
    def load(
        cls, model: Path, precision: GraphPrecision, flavour: Flavour, cache: Path | None = None
    ) -> TensorRtBackend:
        """The engines of a model folder, from the cache of this user.

        Raises:
            BackendError: without driver, GPU or a supported version.
            ContractError: if an engine is missing, stale, tampered with or was never compared
                with ONNX Runtime on this GPU.
            MissingDependencyError: without TensorRT.
        """
        driver, library = Driver(), TensorRtLibrary.load(flavour)
        contract = load_contract(variant_folder(model, GraphForm.TENSORRT, precision))
        store = EngineStore(contract.config.name, cache)
        plans: dict[str, bytes] = {}
        for graph in GRAPHS:
            found = store.load(engine_identity(contract, graph, library, driver))
            parity = found.manifest.parity
            if parity is None or parity.gpu != driver.gpu.name:
                raise ContractError(
                    f'engine of {graph}',
                    f'one that was compared with ONNX Runtime on {driver.gpu.name}',
                    'one that was only built'
                    if parity is None
                    else f'a comparison on {parity.gpu}',
                    BUILD,
                )
            plans[graph] = found.engine
        return cls(contract, plans, library, driver)

    @property
    def precision(self) -> str:
        """Arithmetic of the graphs."""
        return self.contract.precision

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

    @property
    def cuda_graphs(self) -> tuple[str, ...]:
        """Graphs that run as captured CUDA graphs."""
        return tuple(self._captured)

    def run(self, camera: Arrays | None, lidar: Arrays | None) -> Arrays:
        """See `Backend.run`; the encoders overlap."""
        modality = Modality.from_presence(camera is not None, lidar is not None)
        if modality is Modality.NONE:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        present = {
            graph: arrays
            for graph, arrays in zip(ENCODERS, (camera, lidar), strict=True)
            if arrays is not None
        }
        for graph, arrays in present.items():
            self._engines[graph].check_inputs(arrays)
        self._start_call()
        for graph, arrays in present.items():
            self._encode(graph, arrays)
            self._gpu.record(self._done[graph], self._streams[graph])
            self._gpu.wait(self._done[graph], self._streams['fusion'])
        return self._fuse(FUSION_OF[modality])

    def encode_camera(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_camera`."""
        return self._encode_alone('camera_encoder', inputs)

    def encode_lidar(self, inputs: Arrays) -> np.ndarray:
        """See `Backend.encode_lidar`."""
        return self._encode_alone('lidar_encoder', inputs)

    def fuse(self, camera_bev: np.ndarray | None, lidar_bev: np.ndarray | None) -> Arrays:
        """See `Backend.fuse`."""
        modality = Modality.from_presence(camera_bev is not None, lidar_bev is not None)
        if modality is Modality.NONE:
            raise BackendError('fuse', 'a camera or LiDAR BEV map', 'neither')
        maps = {
            name: bev
            for name, bev in (('camera_bev', camera_bev), ('lidar_bev', lidar_bev))
            if bev is not None
        }
        graph = FUSION_OF[modality]
        self._engines[graph].check_inputs(maps)
        self._start_call()
        self._upload(maps, self._streams['fusion'])
        return self._fuse(graph)

    def _start_call(self) -> None:
        """A call that failed may have left copies in flight: they end before the next begins."""
        self._gpu.make_current()
        for stream in self._streams.values():
            self._gpu.synchronise(stream)

    def _encode(self, graph: str, arrays: Arrays) -> None:
        stream, engine = self._streams[graph], self._engines[graph]
        self._upload(arrays, stream)
        engine.set_shapes(arrays)
        engine.enqueue(stream)

    def _encode_alone(self, graph: str, arrays: Arrays) -> np.ndarray:
        self._engines[graph].check_inputs(arrays)
        self._start_call()
        self._encode(graph, arrays)
        name = _BEV_OF[graph]
        return self._download({name: self._engines[graph].outputs[name]}, self._streams[graph])[
            name
        ]

    def _fuse(self, graph: str) -> Arrays:
        stream = self._streams['fusion']
        if graph in self._captured:
            self._gpu.launch(self._captured[graph], stream)
        else:
            self._engines[graph].enqueue(stream)
        return self._download(self._engines[graph].outputs, stream)

    def _upload(self, arrays: Arrays, stream: int) -> None:
        for name, array in arrays.items():
            buffer = self._buffers[name]
            np.copyto(buffer.host[: array.nbytes].view(array.dtype).reshape(array.shape), array)
            self._gpu.upload(buffer, array.nbytes, stream)

    def _download(self, outputs: dict[str, OutputTensor], stream: int) -> Arrays:
        """Copies, because callers keep them and the buffers are used again."""
        for name in outputs:
            self._gpu.download(self._buffers[name], self._buffers[name].size, stream)
        self._gpu.synchronise(stream)
        return {
            name: self._buffers[name].host.view(dtype).reshape(shape).copy()
            for name, (shape, dtype) in outputs.items()
        }

    def _warm_up(self) -> None:
        """Every engine once, so that lazy initialisation is over; then record CUDA graphs."""
        for graph in ENCODERS:
            self._encode_alone(graph, self._engines[graph].smallest_inputs())
        stream = self._streams['fusion']
        for graph in FUSION_OF.values():
            engine = self._engines[graph]
            self._fuse(graph)
            if engine.can_be_captured(stream):
                self._captured[graph] = self._gpu.capture(
                    stream, lambda engine=engine: engine.enqueue(stream)
                )


def _release(engines: dict[str, Engine], gpu: Context) -> None:
    """Engines first: they still hold memory of the context."""
    engines.clear()
    gpu.close()


def engine_identity(
    contract: Contract, graph: str, library: TensorRtLibrary, driver: Driver | None
) -> EngineIdentity:
    """Return the identity that an engine of this graph must have on this machine.

    Args:
        driver: None on a machine without a GPU; enough for TensorRT-RTX, whose engines are not
            bound to one.

    Raises:
        BackendError: without a driver where the flavour needs one.
    """
    match library.flavour:
        case Flavour.RTX:
            gpu = capability = ANY_GPU
        case Flavour.TENSORRT:
            if driver is None:
                raise BackendError(
                    'engines',
                    f'a GPU, because {library.flavour.value} builds for the one it runs on',
                    'none',
                    'build on the target, or use --flavour tensorrt_rtx',
                )
            gpu, capability = driver.gpu.name, driver.gpu.compute_capability
        case _:
            assert_never(library.flavour)
    return EngineIdentity(
        graph,
        contract.digest_of(graph),
        contract.precision,
        gpu,
        capability,
        library.flavour.value,
        library.version,
        contract.graphs_hash,
    )
