"""Tensors of every graph of a model: names, dtypes and shapes, made from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from metabev_ros.config import DetectionHead, LidarEncoder, ModelConfig, ViewTransform
from metabev_ros.config.sparse import (
    SPARSE_STAGES,
    SPARSE_STEPS,
    SUBMANIFOLD_OFFSETS,
    sparse_shapes,
)
from metabev_ros.errors import ContractError, assert_never
from metabev_ros.structures import Modality

ENCODERS = ('camera_encoder', 'lidar_encoder')
FUSION_OF = {
    Modality.FUSED: 'fusion_fused',
    Modality.CAMERA: 'fusion_camera',
    Modality.LIDAR: 'fusion_lidar',
}
GRAPHS = (*ENCODERS, *FUSION_OF.values())


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: a `None` in the shape is free; `axes` says what each axis is."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    axes: str

    @property
    def fixed_shape(self) -> tuple[int, ...]:
        """The shape of a tensor whose axes are all fixed.

        Raises:
            ContractError: if one is free.
        """
        sizes = tuple(size for size in self.shape if size is not None)
        if len(sizes) != len(self.shape):
            raise ContractError(f'tensor {self.name}', 'a fixed shape', str(self.shape))
        return sizes


GraphSpecs: TypeAlias = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]  # inputs, outputs


def graph_inputs(config: ModelConfig) -> dict[str, tuple[TensorSpec, ...]]:
    """Input tensors of every graph, in order."""
    camera, lidar, (rows, columns) = config.camera, config.lidar, config.bev_grid.shape
    camera_bev = TensorSpec(
        'camera_bev', 'float32', (1, camera.bev_channels, rows, columns), 'B C Y X'
    )
    lidar_bev = TensorSpec(
        'lidar_bev', 'float32', (1, lidar.bev_channels, rows, columns), 'B C Y X'
    )
    return {
        'camera_encoder': _camera_inputs(config),
        'lidar_encoder': _lidar_inputs(config),
        'fusion_fused': (camera_bev, lidar_bev),
        'fusion_camera': (camera_bev,),
        'fusion_lidar': (lidar_bev,),
    }


def _camera_inputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """Input tensors of the view transform that the configuration names."""
    camera, (rows, columns) = config.camera, config.splat_grid.shape
    images = TensorSpec('images', 'uint8', (None, camera.height, camera.width, 3), 'N H W RGB')
    match camera.view_transform:
        case ViewTransform.LIFT_SPLAT:
            return (
                images,
                TensorSpec('depth_table', 'int32', (None, camera.splat_row), 'row entry'),
                TensorSpec('pixel_table', 'int32', (None, camera.splat_row), 'row entry'),
                TensorSpec('cell_table', 'int32', (None, None), 'active-cell row'),
                TensorSpec('grid_table', 'int32', (rows * columns,), 'YX'),
            )
        case ViewTransform.PULL:
            shape = rows * columns, camera.pull_views * camera.pull_heights
            return (
                images,
                TensorSpec('depth_table', 'int32', shape, 'YX entry'),
                TensorSpec('pixel_table', 'int32', shape, 'YX entry'),
            )
        case _:
            assert_never(camera.view_transform)


def _lidar_inputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """Input tensors of the LiDAR encoder that the configuration names."""
    match config.lidar.encoder:
        case LidarEncoder.PILLAR:
            return _pillar_inputs(config)
        case LidarEncoder.SPARSE:
            return _voxel_inputs(config)
        case LidarEncoder.FINE_PILLAR:
            return _fine_pillar_inputs(config)
        case _:
            assert_never(config.lidar.encoder)


def _pillar_inputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    lidar, (rows, columns) = config.lidar, config.pillar_grid.shape
    shape = None, lidar.points_per_pillar, lidar.pillar_features
    return (
        TensorSpec('pillars', 'float32', shape, 'V S F'),
        TensorSpec('pillar_table', 'int32', (rows * columns,), 'YX'),
    )


def _fine_pillar_inputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    lidar, (rows, columns) = config.lidar, config.bev_grid.shape
    return (
        TensorSpec('points', 'float32', (None, lidar.point_features), 'P F'),
        TensorSpec('point_table', 'int32', (None, lidar.points_per_pillar), 'V slot'),
        TensorSpec('fine_table', 'int32', (None, 4), 'cell child'),
        TensorSpec('fine_neighbours', 'int32', (None, 9), 'cell offset'),
        TensorSpec('coarse_table', 'int32', (None, 4), 'cell child'),
        TensorSpec('coarse_neighbours', 'int32', (None, 9), 'cell offset'),
        TensorSpec('bev_table', 'int32', (rows * columns,), 'YX'),
    )


def _voxel_inputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    features = config.lidar.voxel_features
    specs = [TensorSpec('voxel_features', 'float32', (None, features), 'V F')]
    for stage, step in zip(SPARSE_STAGES, SPARSE_STEPS, strict=True):
        specs += [
            TensorSpec(stage, 'int32', (None, SUBMANIFOLD_OFFSETS), 'V offset'),
            TensorSpec(step.name, 'int32', (None, step.offsets), 'V offset'),
        ]
    depth, rows, columns = sparse_shapes(config)[-1]
    return (*specs, TensorSpec('voxel_table', 'int32', (depth * rows * columns,), 'ZYX'))


def output_names(config: ModelConfig) -> tuple[str, ...]:
    """Names of the fusion graphs' outputs, in order."""
    return tuple(spec.name for spec in _fusion_outputs(config))


def _fusion_outputs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    rows, columns = config.bev_grid.shape
    classes, proposals = len(config.detection_classes), config.head.proposals
    map_logits = TensorSpec(
        'map_logits',
        'float32',
        (1, len(config.map_classes), *config.map_grid.shape),
        'B L Ym Xm, logits',
    )
    boxes = TensorSpec('boxes', 'float32', (1, 10, proposals), 'B C P')
    logits = TensorSpec('class_logits', 'float32', (1, classes, proposals), 'B K P, logits')
    match config.head.detection:
        case DetectionHead.CENTER:
            channels = 10 * len(config.detection_groups)
            return (
                TensorSpec('heatmap', 'float32', (1, classes, rows, columns), 'B K Y X, logits'),
                TensorSpec('boxes', 'float32', (1, channels, rows, columns), 'B C Y X'),
                map_logits,
            )
        case DetectionHead.TRANSFUSION:
            scores = TensorSpec('query_scores', 'float32', (1, classes, proposals), 'B K P')
            return boxes, logits, scores, map_logits
        case DetectionHead.PLAIN_DETR:
            return boxes, logits, map_logits
        case _:
            assert_never(config.head.detection)


def graph_outputs(config: ModelConfig) -> dict[str, tuple[TensorSpec, ...]]:
    """Output tensors of every graph, in order."""
    camera_bev, lidar_bev = graph_inputs(config)['fusion_fused']
    return {
        'camera_encoder': (camera_bev,),
        'lidar_encoder': (lidar_bev,),
        **{name: _fusion_outputs(config) for name in FUSION_OF.values()},
    }
