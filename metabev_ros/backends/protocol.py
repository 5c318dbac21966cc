"""The face of every backend, and the arrays that pass through it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.score_calibration import ScoreCalibration

Arrays: TypeAlias = dict[str, np.ndarray]  # tensor name -> array, names as in the contract
NetworkInputs: TypeAlias = tuple[Arrays | None, Arrays | None]  # camera, LiDAR; None = absent


class Backend(Protocol):
    """A loaded model on one runtime and one device; one thread at a time.

    `run` is `encode_camera`, `encode_lidar` and `fuse` in one. Evaluation calls the three itself,
    because under many settings one of the sensors did not change.

    Attributes:
        config: of the loaded model.
        model_hash: first 16 hex digits of the SHA-256 of what was loaded.
        name, device, precision: the runtime, its device and its arithmetic.
        provider: the part of the runtime that computes ('cpu', 'cuda', ...).
        gpu_memory: bytes taken on the GPU, 0 without one.
        score_calibration: which the postprocessor applies; None: there is none.
        measured_errors: of the boxes; None: nobody measured.
    """

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model."""
        ...

    @property
    def model_hash(self) -> str:
        """SHA-256 (first 16 hex digits) of the model."""
        ...

    @property
    def name(self) -> str:
        """Name of the runtime."""
        ...

    @property
    def device(self) -> str:
        """Device that computes."""
        ...

    @property
    def precision(self) -> str:
        """Arithmetic of the graphs."""
        ...

    @property
    def provider(self) -> str:
        """Part of the runtime that computes."""
        ...

    @property
    def gpu_memory(self) -> int:
        """Bytes that the model took on the GPU; 0 without one."""
        ...

    @property
    def score_calibration(self) -> ScoreCalibration | None:
        """Calibration of the scores; None without one."""
        ...

    @property
    def measured_errors(self) -> MeasuredErrors | None:
        """Errors of the boxes; None where nobody measured."""
        ...

    def run(self, camera: Arrays | None, lidar: Arrays | None) -> Arrays:
        """Encode what is there, then fuse with the graph of that branch.

        Args:
            camera, lidar: inputs by tensor name as the contract lists them; None = absent, and
                its encoder does not run.

        Returns:
            the arrays of `graph_specs.output_names`, float32.

        Raises:
            BackendError: if nothing is present or the runtime fails.
        """
        ...

    def encode_camera(self, inputs: Arrays) -> np.ndarray:
        """(1, C, Y, X) float32 BEV map of the views that are present."""
        ...

    def encode_lidar(self, inputs: Arrays) -> np.ndarray:
        """(1, C, Y, X) float32 BEV map of the sweep."""
        ...

    def fuse(self, camera_bev: np.ndarray | None, lidar_bev: np.ndarray | None) -> Arrays:
        """Outputs from the maps that are there, as `run`.

        Raises:
            BackendError: if neither is there or the runtime fails.
        """
        ...
