"""One network: everything that changes its graph or its meaning.

The defaults are `metabev_nano`; `config/models/metabev_base.yaml` is the paper's network.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from metabev_ros.config.class_sizes import MEAN_SIZES
from metabev_ros.config.decoder import DecoderConfig
from metabev_ros.config.encoders import CameraBranchConfig, LidarBranchConfig, LidarEncoder
from metabev_ros.config.heads import BevNeckKind, HeadConfig
from metabev_ros.config.hornet import require_gate_channels
from metabev_ros.config.interaction import TaskInteractionConfig
from metabev_ros.config.yaml import require, to_plain
from metabev_ros.errors import ConfigError, assert_never
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid
from metabev_ros.structures import DETECTION_CLASSES, DRIVABLE_CLASS, MAP_CLASSES


@dataclass(frozen=True)
class ModelConfig:
    """One network.

    Attributes:
        bev_grid: grid of the detection maps and of both modality BEV maps.
        map_grid: grid of the map output.
        detection_classes: names of `class_sizes.MEAN_SIZES`, in the order of the labels.
        map_classes: names of the map's layers, in their order; 'drivable_area' among them.
        task_interaction: attention between the tasks' maps before the heads; None: none.
    """

    name: str = 'metabev_nano'
    bev_grid: BevGrid = BevGrid(-51.2, 51.2, -51.2, 51.2, 0.8)
    map_grid: BevGrid = NUSCENES_MAP_GRID
    camera: CameraBranchConfig = field(default_factory=CameraBranchConfig)
    lidar: LidarBranchConfig = field(default_factory=LidarBranchConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    detection_classes: tuple[str, ...] = DETECTION_CLASSES
    map_classes: tuple[str, ...] = MAP_CLASSES
    task_interaction: TaskInteractionConfig | None = None

    def __post_init__(self) -> None:
        self._require_known_classes()
        self._require_fitting_grids()
        self._require_neck_channels()
        if self.head.plain_detr is not None:
            self.head.plain_detr.check_fit(
                self.head.det_channels, self.head.proposals, self.bev_grid
            )
        if self.task_interaction is not None:
            self.task_interaction.check_fit(self.head.neck_channels, self.bev_grid)

    def _require_known_classes(self) -> None:
        """Stop unless the package knows all classes and has the one whose layer it publishes."""
        unknown = [name for name in self.detection_classes if name not in MEAN_SIZES]
        if unknown:
            raise ConfigError(
                'model.detection_classes',
                f'classes of known mean size: {sorted(MEAN_SIZES)}',
                str(unknown),
                'add their mean length, width and height to MEAN_SIZES in '
                'metabev_ros/config/class_sizes.py',
            )
        require(
            DRIVABLE_CLASS in self.map_classes,
            'model.map_classes',
            f'{DRIVABLE_CLASS!r} among them: the output grid of drivable area is its layer',
            self.map_classes,
        )
        require(
            self.head.groups == () or sum(self.head.groups, ()) == self.detection_classes,
            'model.head.groups',
            f'the classes in order: {list(self.detection_classes)}',
            self.head.groups,
        )

    def _require_fitting_grids(self) -> None:
        """Stop unless pillars and query cells are the parts of a BEV cell that they must be."""
        cell = self.bev_grid.cell
        match self.lidar.encoder:
            case LidarEncoder.PILLAR:
                require(
                    abs(cell / self.lidar.pillar - 2) < 1e-6,
                    'model.lidar.pillar',
                    f'half the BEV cell ({cell / 2} m)',
                    self.lidar.pillar,
                )
            case LidarEncoder.FINE_PILLAR:
                require(
                    abs(cell / self.lidar.pillar - 4) < 1e-6,
                    'model.lidar.pillar',
                    f'a quarter of the BEV cell ({cell / 4} m)',
                    self.lidar.pillar,
                )
            case LidarEncoder.SPARSE:
                pass  # its voxels follow from the BEV cell: `voxel_grid`
            case _:
                assert_never(self.lidar.encoder)
        ratio = self.head.neck.query_cells
        require(
            abs(self.decoder.cell / cell - ratio) < 1e-6,
            'model.decoder.cell',
            f'{ratio} x the BEV cell with neck {self.head.neck.value} ({cell * ratio} m)',
            self.decoder.cell,
        )

        require(
            self.decoder.value_stride <= ratio,
            'model.decoder.value_stride',
            f'at most the BEV cells of a query cell ({ratio})',
            self.decoder.value_stride,
        )

    def _require_neck_channels(self) -> None:
        """Stop unless every gnConv of the BEV neck can split its channels."""
        mixing, channels = self.head.horfpn, self.head.neck_channels
        match self.head.neck:
            case BevNeckKind.NANO:
                require_gate_channels(mixing, 'model.decoder.channels', self.decoder.channels)
                require_gate_channels(mixing, 'model.head.neck_channels', channels)
            case BevNeckKind.SECOND:  # its finest stage has a quarter of the channels
                require_gate_channels(mixing, 'model.head.neck_channels', channels, share=4)
            case _:
                assert_never(self.head.neck)

    @property
    def pillar_grid(self) -> BevGrid:
        """Grid of the pillars."""
        return self.bev_grid.with_cell(self.lidar.pillar)

    @property
    def voxel_grid(self) -> BevGrid:
        """The sparse encoder halves it three times down to `bev_grid`."""
        return self.bev_grid.with_cell(self.bev_grid.cell / 8)

    @property
    def splat_grid(self) -> BevGrid:
        """Grid in which lift-splat sums."""
        return self.bev_grid.with_cell(self.bev_grid.cell / self.camera.splat_factor)

    @property
    def query_grid(self) -> BevGrid:
        """Grid of the decoder's queries."""
        return self.bev_grid.with_cell(self.decoder.cell)

    @property
    def detection_groups(self) -> tuple[tuple[str, ...], ...]:
        """Classes that share box channels."""
        return self.head.groups or (self.detection_classes,)

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of this configuration."""
        text = json.dumps(to_plain(self), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()
