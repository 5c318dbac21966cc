"""The ways to run a model that `gpu_check.py` compares; all take and give NumPy arrays."""

from __future__ import annotations

import contextlib
import enum
import time
from pathlib import Path

import numpy as np
import torch

from metabev_ros.backends import BackendKind, build_backend
from metabev_ros.backends.build_engines import build_engines
from metabev_ros.backends.engine_request import EngineRequest
from metabev_ros.backends.tensorrt_library import Flavour
from metabev_ros.backends.torch_backend import load_network
from metabev_ros.errors import BackendError
from metabev_ros.graph_specs import graph_inputs, output_names
from metabev_ros.graph_variants import GraphForm, GraphPrecision
from metabev_ros.lab.export.forms import written_for
from metabev_ros.lab.export.parity import parity_inputs

Arrays = dict[str, np.ndarray]


class Candidate(enum.Enum):
    """What is measured; the first is what the others are compared with."""

    TORCH_FP32 = 'torch_fp32'
    TORCH_FP16 = 'torch_fp16'
    TORCH_COMPILE_FP16 = 'torch_compile_fp16'
    ONNXRUNTIME_FP32 = 'onnxruntime_fp32'
    ONNXRUNTIME_FP16 = 'onnxruntime_fp16'
    TENSORRT_FP32 = 'tensorrt_fp32'
    TENSORRT_FP16 = 'tensorrt_fp16'
    TENSORRT_RTX_FP32 = 'tensorrt_rtx_fp32'
    TENSORRT_RTX_FP16 = 'tensorrt_rtx_fp16'


class TorchRunner:
    """The network itself on a device.

    Args:
        half: autocast to float16, as one would train and run it; else float32 without TF32.
        compiled: through torch.compile, in the operators that TensorRT gets: none of them has a
            shape that depends on data.
    """

    def __init__(self, folder: Path, device: str, half: bool, compiled: bool) -> None:
        network, self.config = load_network(folder)
        network = written_for(network, GraphForm.TENSORRT) if compiled else network
        self.network = network.eval().to(device)
        self._device, self._half = device, half
        self._lidar_names = [spec.name for spec in graph_inputs(self.config)['lidar_encoder']]
        if compiled:
            for part in (network.camera_encoder, network.lidar_encoder):
                part.compile(dynamic=True)
            network.fusion.compile()

    @torch.inference_mode()
    def run(self, camera: Arrays | None, lidar: Arrays | None) -> Arrays:
        """See `OnnxRuntimeBackend.run`; copies to and from the device are part of it."""
        with self._arithmetic():
            outputs = self.network.fusion(self.maps(camera, lidar)).named()
        return {name: outputs[name].float().cpu().numpy() for name in output_names(self.config)}

    def maps(self, camera: Arrays | None, lidar: Arrays | None) -> dict[str, torch.Tensor]:
        """BEV maps of what is there, on the device."""
        maps = {}
        if camera is not None:
            tables = self._to_device(camera)
            maps['camera'] = self.network.camera_encoder(tables.pop('images'), tables)[0]
        if lidar is not None:
            tensors = self._to_device(lidar)
            maps['lidar'] = self.network.lidar_encoder(*map(tensors.get, self._lidar_names))
        return maps

    def _to_device(self, arrays: Arrays) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()}

    def _arithmetic(self):
        if not self._half:
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self._device).type, torch.float16)

    @torch.inference_mode()
    def fusion_seconds(self, camera: Arrays, lidar: Arrays, runs: int) -> tuple[float, float]:
        """Median seconds of the fusion: launched kernel by kernel, replayed as a CUDA graph.

        Raises:
            RuntimeError: if the fusion cannot be captured.
        """
        with self._arithmetic():
            maps = self.maps(camera, lidar)
            aside = torch.cuda.Stream()
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self.network.fusion(maps)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.network.fusion(maps)
            return tuple(
                _median_seconds(run, runs)
                for run in (lambda: self.network.fusion(maps), graph.replay)
            )


def _median_seconds(run, runs: int) -> float:
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def build_candidate(candidate: Candidate, folder: Path, device: str, engines: Path):
    """Something with `run(camera, lidar)`.

    Args:
        folder: model folder with weights and graphs; TensorRT's variants lie below it.
        device: 'cuda' or 'cpu'; TensorRT has no CPU.
        engines: where engines are kept; missing ones are built, compared and installed.

    Raises:
        MetaBevError: why this one cannot run here.
    """
    runtime, _, precision = candidate.value.rpartition('_')
    if runtime.startswith('torch'):
        return TorchRunner(folder, device, precision == 'fp16', runtime == 'torch_compile')
    if runtime == BackendKind.ONNXRUNTIME.value:
        return build_backend(
            runtime,
            folder,
            torch.get_num_threads(),
            precision,
            'cuda' if device == 'cuda' else 'cpu',
        )
    if device != 'cuda':
        raise BackendError(candidate.value, 'device cuda', device, 'leave it out')
    from metabev_ros.backends.tensorrt_backend import TensorRtBackend

    chosen = GraphPrecision(precision), Flavour(runtime)
    build_engines(EngineRequest(folder, *chosen, cache=engines), parity_inputs)
    return TensorRtBackend.load(folder, *chosen, engines)
