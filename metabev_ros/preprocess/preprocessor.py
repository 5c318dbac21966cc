"""Sample -> network inputs: the one preprocessor of node, replay, training, export and tests."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import LidarEncoder, ModelConfig, ViewTransform
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.errors import assert_never
from metabev_ros.preprocess.fine_pillars import build_fine_pillars
from metabev_ros.preprocess.images import fit_image
from metabev_ros.preprocess.lift_splat import BuildTables, LiftSplatTables
from metabev_ros.preprocess.neighbours import build_tables
from metabev_ros.preprocess.pillars import build_pillars
from metabev_ros.preprocess.pull import PullTables
from metabev_ros.preprocess.voxels import build_voxels
from metabev_ros.structures import CameraCalibration, CameraImage, Sample, Sweep


def view_tables(config: ModelConfig) -> LiftSplatTables | PullTables:
    """The tables of the view transform that the configuration names."""
    match config.camera.view_transform:
        case ViewTransform.LIFT_SPLAT:
            return LiftSplatTables(config.camera, config.splat_grid)
        case ViewTransform.PULL:
            return PullTables(config.camera, config.splat_grid)
        case _:
            assert_never(config.camera.view_transform)


class Preprocessor:
    """Turns what is present in a sample into arrays; what is absent gives None.

    Args:
        execution: what runs the sparse LiDAR encoder (`build_lidar_encoder`).
        tables: gives the tables of the view transform; None builds them on the calling thread.
    """

    def __init__(
        self,
        config: ModelConfig,
        execution: SparseExecution = SparseExecution.TABLES,
        tables: BuildTables | None = None,
    ) -> None:
        self._config, self._execution = config, execution
        self._tables = view_tables(config) if tables is None else tables

    def prepare_image(
        self, pixels: np.ndarray, calibration: CameraCalibration
    ) -> tuple[np.ndarray, CameraCalibration]:
        """`fit_image` to the network's input; called when an image arrives."""
        return fit_image(
            pixels, calibration, self._config.camera.height, self._config.camera.width
        )

    def camera_inputs(self, images: list[CameraImage]) -> dict[str, np.ndarray]:
        """`images` (N, H, W, 3) uint8 of the views that are present, and their tables."""
        tables = self._tables([image.calibration for image in images])
        return {'images': np.stack([image.pixels for image in images]), **tables}

    def lidar_inputs(self, sweep: Sweep) -> dict[str, np.ndarray]:
        """Inputs of the LiDAR encoder.

        `pillars` and `pillar_table`; or `voxel_features` and the tables of the neighbours; or,
        for spconv, `voxel_features` and `voxel_coords`.
        """
        config = self._config
        match config.lidar.encoder:
            case LidarEncoder.PILLAR:
                return build_pillars(sweep, config.lidar, config.pillar_grid)
            case LidarEncoder.SPARSE:
                return self._voxel_inputs(sweep)
            case LidarEncoder.FINE_PILLAR:
                return build_fine_pillars(sweep, config.lidar, config.pillar_grid)
            case _:
                assert_never(config.lidar.encoder)

    def _voxel_inputs(self, sweep: Sweep) -> dict[str, np.ndarray]:
        voxels = build_voxels(sweep, self._config.lidar, self._config.voxel_grid)
        match self._execution:
            case SparseExecution.TABLES:
                tables = build_tables(voxels['voxel_coords'], self._config)
                return {'voxel_features': voxels['voxel_features'], **tables}
            case SparseExecution.SPCONV:
                return voxels
            case _:
                assert_never(self._execution)

    def __call__(
        self, sample: Sample
    ) -> tuple[dict[str, np.ndarray] | None, dict[str, np.ndarray] | None]:
        """(camera inputs or None, LiDAR inputs or None) of the sample's modality."""
        images = [image for image in sample.cameras.values() if image is not None]
        camera = self.camera_inputs(images) if sample.modality.has_camera else None
        sweep = sample.sweep if sample.modality.has_lidar else None
        return camera, None if sweep is None else self.lidar_inputs(sweep)
