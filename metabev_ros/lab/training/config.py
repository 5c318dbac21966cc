"""Everything that one training run is told (besides its network and its data)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from metabev_ros.config.sparse import SparseExecution
from metabev_ros.config.yaml import require
from metabev_ros.errors import assert_never
from metabev_ros.lab.training.adamv import SelectionConfig
from metabev_ros.lab.training.augmentation import AugmentationConfig
from metabev_ros.lab.training.curriculum import CurriculumConfig
from metabev_ros.lab.training.pasting import PasteConfig
from metabev_ros.lab.training.schedule import (
    Schedule,
    constant_factor,
    cyclic_beta,
    cyclic_factor,
)
from metabev_ros.lab.training.warm_start import InitConfig

MODALITY_NAMES = ('fused', 'camera', 'lidar')


class Device(enum.Enum):
    """Device to train on; the one that is asked for must be there."""

    CPU = 'cpu'
    CUDA = 'cuda'


class Precision(enum.Enum):
    """Arithmetic of the network; losses and the splat are always fp32. FP16 scales gradients."""

    FP32 = 'fp32'
    BF16 = 'bf16'
    FP16 = 'fp16'


class Sampling(enum.Enum):
    """Order of the records: shuffled epochs, or class-balanced ones (CBGS)."""

    UNIFORM = 'uniform'
    CBGS = 'cbgs'


class ModalityDraw(enum.Enum):
    """Rule for the modality that a sample is trained with (switched-modality training).

    MIXED: `batch` says it for every slot. PER_SAMPLE: each slot is drawn. PER_ITERATION: one
    draw for the whole batch (the paper: "in each training iteration"); every step then normalises
    one modality, while the running statistics of neck and heads are those of the mixture. OFF:
    fused only, the vanilla model. With the convolutional fuser an absent map is filled with
    zeros, so PER_SAMPLE with 50/25/25 is CMT's masked-modal training of the baseline; CMT fills
    the sensor's data with zeros instead of its BEV map, which costs the encoder a pass over
    nothing.
    """

    MIXED = 'mixed'
    PER_SAMPLE = 'per_sample'
    PER_ITERATION = 'per_iteration'
    OFF = 'off'


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. The defaults are nano's; the paper's are in metabev_base.yaml.

    Attributes:
        steps: optimiser steps in all.
        schedule: of the learning rate; `learning_rate` is its highest value.
        warmup_steps, decay_steps: of the constant schedule.
        rise: share of the steps in which a cyclic schedule goes up.
        weight_decay: AdamW's; decay_norms: also of norms and biases.
        clip_norm: largest gradient norm.
        ema_decay: of the averaged weights that are shipped.
        batch: modality of every sample of the batch (of all processes together); other draws
            than `mixed` take its length alone.
        draw: how a sample's modality is found; modality_shares: probabilities of fused, camera,
            LiDAR (the paper: a third each; UniBEV: 0.5, 0.25, 0.25).
        sampling: order of the records.
        detection_weight, map_weight: of the two tasks (the paper: 10 and 1); 0 leaves the task's
            loss out. Experts of both tasks run all the same, as they do in use: a network for
            one task has `decoder.ffn: mlp` (the paper's Algorithm 2).
        depth_weight, box_weight, focal_weight, dice_weight: of the loss terms; the heatmap's is 1.
        auxiliary_weight: of the heads on each modality's own BEV map; 0: there are none.
        either_way: share of the heading's loss that takes both directions as one (centre heads):
            where scenes are turned at will, headings are not learnt without it.
        direction_weight: of the loss that tells a heading from its opposite (centre heads).
        balance_weight: of the load-balancing term of routed experts.
        importance_weight, load_weight: of AdaMV-MoE's balancing terms.
        interaction_offset_rate: learning rate of the sampling offsets of task interaction over
            that of everything else; they do not decay. (Scaling their gradients, as the paper
            does under SGD, changes nothing under AdamW.)
        expert_selection: AdaMV-MoE's, by validation losses.
        fixed_norms: batch norms use and keep the statistics they started with.
        recompute: gradient checkpointing of image backbone and decoder layers: less memory, a
            third more time.
        paste: GT-paste; None: none.
        execution: runner of the sparse LiDAR encoder; spconv learns on a GPU only.
        threads: torch threads of a CPU run; loaders: processes that prepare samples.
        checkpoint_every: steps between checkpoints.
        tensorboard: write curves, and every `picture_every` steps (0: never) pictures.
        init: weights to start a new run from.
        frozen: parts that do not learn.
    """

    steps: int = 3000
    schedule: Schedule = Schedule.CONSTANT
    warmup_steps: int = 150
    decay_steps: int = 900
    rise: float = 0.4
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    decay_norms: bool = True
    clip_norm: float = 10.0
    ema_decay: float = 0.998
    batch: tuple[str, ...] = ('fused', 'fused', 'camera', 'camera', 'lidar')
    draw: ModalityDraw = ModalityDraw.MIXED
    modality_shares: tuple[float, ...] = (0.5, 0.25, 0.25)
    sampling: Sampling = Sampling.UNIFORM
    detection_weight: float = 1.0
    map_weight: float = 1.0
    depth_weight: float = 0.3
    box_weight: float = 0.5
    focal_weight: float = 8.0
    dice_weight: float = 3.0
    auxiliary_weight: float = 0.0
    either_way: float = 0.0
    direction_weight: float = 0.0
    balance_weight: float = 0.01
    importance_weight: float = 0.005
    load_weight: float = 0.005
    interaction_offset_rate: float = 1.0
    seed: int = 0
    device: Device = Device.CPU
    precision: Precision = Precision.BF16
    fixed_norms: bool = False
    recompute: bool = False
    threads: int = 2
    loaders: int = 1
    checkpoint_every: int = 100
    tensorboard: bool = False
    picture_every: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    expert_selection: SelectionConfig = field(default_factory=SelectionConfig)
    init: InitConfig | None = None
    paste: PasteConfig | None = None
    execution: SparseExecution = SparseExecution.TABLES
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_numbers()
        require(
            bool(self.batch) and set(self.batch) <= set(MODALITY_NAMES),
            'training.batch',
            f'a list of {sorted(MODALITY_NAMES)}',
            self.batch,
        )
        require(
            len(self.modality_shares) == 3
            and min(self.modality_shares) >= 0
            and abs(sum(self.modality_shares) - 1) < 1e-6,
            'training.modality_shares',
            'probabilities of fused, camera, lidar with sum 1',
            self.modality_shares,
        )
        require(
            self.schedule is not Schedule.CONSTANT
            or self.warmup_steps + self.decay_steps <= self.steps,
            'training.steps',
            'at least warmup_steps + decay_steps',
            self.steps,
        )
        require(bool(self.tasks), 'training.detection_weight', 'a task with a weight', 'none')
        require(
            self.precision is not Precision.FP16 or self.device is Device.CUDA,
            'training.precision',
            'fp32 or bf16 on a CPU',
            self.precision.value,
        )

        require(
            self.execution is SparseExecution.TABLES
            or self.device is Device.CUDA
            or ('lidar_encoder' in self.frozen and self.threads == 1),
            'training.execution',
            'tables on a CPU, where spconv has no backward pass (with one thread it can run a '
            'lidar_encoder that is frozen)',
            self.execution.value,
        )

    def _check_numbers(self) -> None:
        require(0 < self.rise < 1, 'training.rise', 'between 0 and 1', self.rise)
        require(0 <= self.ema_decay < 1, 'training.ema_decay', '[0, 1)', self.ema_decay)
        require(
            0 <= self.either_way < 1 or (self.either_way == 1 and self.direction_weight > 0),
            'training.either_way',
            '[0, 1), or 1 with a direction_weight',
            self.either_way,
        )
        for name in (
            'steps',
            'threads',
            'loaders',
            'checkpoint_every',
            'learning_rate',
            'clip_norm',
            'interaction_offset_rate',
        ):
            require(
                getattr(self, name) > 0,
                f'training.{name}',
                'a positive number',
                getattr(self, name),
            )
        weights = [name for name in self.__dataclass_fields__ if name.endswith('_weight')]
        for name in (*weights, 'picture_every'):
            require(
                getattr(self, name) >= 0, f'training.{name}', 'at least 0', getattr(self, name)
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that are learned: detection, map, or both."""
        weights = {'detection': self.detection_weight, 'map': self.map_weight}
        return tuple(task for task, weight in weights.items() if weight > 0)

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        steps = self.steps
        match self.schedule:
            case Schedule.CONSTANT:
                factor = constant_factor(step, steps, self.warmup_steps, self.decay_steps)
            case Schedule.CYCLIC_COSINE:
                factor = cyclic_factor(step, steps, self.rise, cosine=True)
            case Schedule.CYCLIC_LINEAR:
                factor = cyclic_factor(step, steps, self.rise, cosine=False)
            case _:
                assert_never(self.schedule)
        return self.learning_rate * factor

    def beta1(self, step: int) -> float:
        """AdamW's first momentum at a step."""
        match self.schedule:
            case Schedule.CONSTANT:
                return 0.9
            case Schedule.CYCLIC_COSINE:
                return cyclic_beta(step, self.steps, self.rise, cosine=True)
            case Schedule.CYCLIC_LINEAR:
                return cyclic_beta(step, self.steps, self.rise, cosine=False)
            case _:
                assert_never(self.schedule)
