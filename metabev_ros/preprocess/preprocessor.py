"""Sample -> network inputs: the one preprocessor of node, replay, training, export and tests."""
from __future__ import annotations

import numpy as np

from metabev_ros.config import LidarEncoder, ModelConfig
from metabev_ros.config.sparse import SparseExecution
from metabev_ros.preprocess.images import fit_image
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.preprocess.neighbours import build_tables
from metabev_ros.preprocess.pillars import build_pillars
from metabev_ros.preprocess.voxels import build_voxels
from metabev_ros.structures import CameraCalibration, CameraImage, Sample, Sweep


class Preprocessor:
    """Turns what is present in a sample into arrays; what is absent gives None.

    Args:
        execution: what runs the sparse LiDAR encoder (`build_lidar_encoder`).
    """

    def __init__(self, config: ModelConfig,
                 execution: SparseExecution = SparseExecution.TABLES) -> None:
        self._config, self._execution = config, execution
        self._tables = LiftSplatTables(config.camera, config.splat_grid)

    def prepare_image(self, pixels: np.ndarray, calibration: CameraCalibration
                      ) -> tuple[np.ndarray, CameraCalibration]:
        """`fit_image` to the network's input; called when an image arrives."""
        return fit_image(pixels, calibration, self._config.camera.height,
                         self._config.camera.width)

    def camera_inputs(self, images: list[CameraImage]) -> dict[str, np.ndarray]:
        """`images` (N, H, W, 3) uint8 of the views that are present, and their tables."""
        return {'images': np.stack([image.pixels for image in images]),
                **self._tables([image.calibration for image in images])}

    def lidar_inputs(self, sweep: Sweep) -> dict[str, np.ndarray]:
        """What the LiDAR encoder takes.

        `pillars` and `pillar_table`; or `voxel_features` and the tables of the neighbours; or,
        for spconv, `voxel_features` and `voxel_coords`.
        """
        config = self._config
        if config.lidar.encoder is LidarEncoder.PILLAR:
            return build_pillars(sweep, config.lidar, config.pillar_grid)
        voxels = build_voxels(sweep, config.lidar, config.voxel_grid)
        if self._execution is SparseExecution.SPCONV:
            return voxels
        return {'voxel_features': voxels['voxel_features'],
                **build_tables(voxels['voxel_coords'], config)}

    def __call__(self, sample: Sample) -> tuple[dict | None, dict | None]:
        """(camera inputs or None, LiDAR inputs or None) of the sample's modality."""
        images = [image for image in sample.cameras.values() if image is not None]
        camera = self.camera_inputs(images) if sample.modality.has_camera else None
        lidar = self.lidar_inputs(sample.sweep) if sample.modality.has_lidar else None
        return camera, lidar
