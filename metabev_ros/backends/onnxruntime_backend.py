"""ONNX Runtime: the embedded default on a CPU."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from metabev_ros.contract import FUSION_OF, GRAPHS, OUTPUTS, load_contract, read_checked
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

    def run(self, camera: dict[str, np.ndarray] | None, lidar: dict[str, np.ndarray] | None
            ) -> dict[str, np.ndarray]:
        """Encode what is there, then fuse with the graph of that branch.

        Args:
            camera, lidar: inputs by tensor name as the contract lists them; None = absent, and
                its encoder does not run.

        Returns:
            `heatmap`, `boxes`, `map_logits` float32.

        Raises:
            BackendError: if nothing is present or the runtime fails.
        """
        maps = {}
        if camera is not None:
            maps['camera_bev'] = self._run('camera_encoder', camera)[0]
        if lidar is not None:
            maps['lidar_bev'] = self._run('lidar_encoder', lidar)[0]
        modality = Modality.from_presence(camera is not None, lidar is not None)
        if modality is Modality.NONE:
            raise BackendError('run', 'camera or LiDAR inputs', 'neither')
        return dict(zip(OUTPUTS, self._run(FUSION_OF[modality], maps), strict=True))

    def _run(self, graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            return self._sessions[graph].run(None, inputs)
        except Exception as error:  # onnxruntime raises many types
            raise BackendError(graph, 'a successful run', str(error)[:200]) from error
