"""ONNX Runtime: the embedded default on a CPU."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.contract import FUSION_OF, GRAPHS, load_contract, output_names, read_checked
from metabev_ros.errors import BackendError, MissingDependencyError
from metabev_ros.structures import Modality


class OnnxRuntimeBackend:
    """Runs the five graphs of a model folder on the CPU.

    Args:
        folder: model folder with contract.json and *.onnx.
        threads: intra-op threads of every graph. Graphs run one after the other; spinning is off
            because several sessions that spin fight for the same cores.

    Raises:
        ContractError: if a graph does not fit the contract.
        MissingDependencyError: without onnxruntime.
    """

    name, device = 'onnxruntime', 'cpu'

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingDependencyError('backend onnxruntime', 'the package onnxruntime', 'none',
                                         'pip install onnxruntime') from error
        self.contract = load_contract(folder)
        self._outputs = output_names(self.contract.config)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        options.log_severity_level = 3
        self._sessions = {}
        for graph in GRAPHS:
            file = f'{graph}.onnx'
            content = read_checked(Path(folder) / file, self.contract.digests[file])
            try:
                self._sessions[graph] = onnxruntime.InferenceSession(
                    content, options, providers=['CPUExecutionProvider'])
            except Exception as error:  # onnxruntime raises many types
                raise BackendError(file, 'a graph ONNX Runtime can load', str(error)[:200],
                                   'export the model again') from error

    @property
    def precision(self) -> str:
        return self.contract.precision

    @property
    def config(self) -> ModelConfig:
        return self.contract.config

    @property
    def model_hash(self) -> str:
        return self.contract.hash

    def run(self, camera: dict[str, np.ndarray] | None, lidar: dict[str, np.ndarray] | None
            ) -> dict[str, np.ndarray]:
        """Encode what is there, then fuse with the graph of that branch.

        Args:
            camera, lidar: inputs by tensor name as the contract lists them; None = absent, and
                its encoder does not run.

        Returns:
            the arrays of `contract.output_names`, float32.

        Raises:
            BackendError: if nothing is present or the runtime fails.
        """
        camera_bev = None if camera is None else self.encode_camera(camera)
        lidar_bev = None if lidar is None else self.encode_lidar(lidar)
        return self.fuse(camera_bev, lidar_bev)

    def encode_camera(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """(1, C, Y, X) float32 BEV map of the views that are present."""
        return self._run('camera_encoder', inputs)[0]

    def encode_lidar(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """(1, C, Y, X) float32 BEV map of the sweep."""
        return self._run('lidar_encoder', inputs)[0]

    def fuse(self, camera_bev: np.ndarray | None, lidar_bev: np.ndarray | None
             ) -> dict[str, np.ndarray]:
        """Outputs from the maps that are there, as `run`.

        Raises:
            BackendError: if neither is there or the runtime fails.
        """
        modality = Modality.from_presence(camera_bev is not None, lidar_bev is not None)
        if modality is Modality.NONE:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        maps = {name: bev for name, bev in (('camera_bev', camera_bev), ('lidar_bev', lidar_bev))
                if bev is not None}
        return dict(zip(self._outputs, self._run(FUSION_OF[modality], maps), strict=True))

    def _run(self, graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self._sessions[graph].run(None, inputs)
        except Exception as error:  # onnxruntime raises many types
            raise BackendError(graph, 'a successful run', str(error)[:200]) from error
