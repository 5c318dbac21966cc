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
from metabev_ros.config.gnconv import require_gate_channels
from metabev_ros.config.heads import HeadConfig
from metabev_ros.config.interaction import TaskInteractionConfig
from metabev_ros.config.yaml import require, to_plain
from metabev_ros.geometry import NUSCENES_MAP_GRID, BevGrid
from metabev_ros.structures import DETECTION_CLASSES, MAP_CLASSES


@dataclass(frozen=True)
class ModelConfig:
    """One network.

    Attributes:
        bev_grid: grid of the detection maps and of both modality BEV maps.
        map_grid: grid of the map output.
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
        cell = self.bev_grid.cell
        if self.lidar.encoder is LidarEncoder.PILLAR:
            require(
                abs(cell / self.lidar.pillar - 2) < 1e-6,
                'model.lidar.pillar',
                f'half the BEV cell ({cell / 2} m)',
                self.lidar.pillar,
            )
        ratio = self.head.neck.query_cells
        require(
            abs(self.decoder.cell / cell - ratio) < 1e-6,
            'model.decoder.cell',
            f'{ratio} x the BEV cell with neck {self.head.neck.value} ({cell * ratio} m)',
            self.decoder.cell,
        )
        self._require_neck_channels()
        require(
            self.head.groups == () or sum(self.head.groups, ()) == self.detection_classes,
            'model.head.groups',
            f'the classes in order: {list(self.detection_classes)}',
            self.head.groups,
        )
        if self.head.plain_detr is not None:
            self.head.plain_detr.check_fit(
                self.head.det_channels, self.head.proposals, self.bev_grid
            )
            require(
                set(self.detection_classes) <= set(MEAN_SIZES),
                'model.detection_classes',
                f'classes of known mean size: {sorted(MEAN_SIZES)}',
                self.detection_classes,
            )

    def _require_neck_channels(self) -> None:
        """Every gnConv of the BEV neck splits its channels."""
        neck, c_out = self.head.neck, self.head.neck_channels
        if neck.query_cells == 2:
            require_gate_channels(neck, 'model.decoder.channels', self.decoder.channels)
        # SECOND's finest stage has a quarter of the channels.
        require_gate_channels(
            neck, 'model.head.neck_channels', c_out, 1 if neck.query_cells == 2 else 4
        )
        if self.task_interaction is not None:
            self.task_interaction.check_fit(self.head.neck_channels, self.bev_grid)

    @property
    def pillar_grid(self) -> BevGrid:
        return self.bev_grid.with_cell(self.lidar.pillar)

    @property
    def voxel_grid(self) -> BevGrid:
        """The sparse encoder halves it three times down to `bev_grid`."""
        return self.bev_grid.with_cell(self.bev_grid.cell / 8)

    @property
    def splat_grid(self) -> BevGrid:
        """Where lift-splat sums."""
        return self.bev_grid.with_cell(self.bev_grid.cell / self.camera.splat_factor)

    @property
    def query_grid(self) -> BevGrid:
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
