"""What `system_ablations.py` trains: metabev_nano, each system switched on, a control for each.

All start from the shipped pre-trained weights. What a system cannot take from them starts at
random: a whole backbone, head or FFN, which would lose any short comparison against a trained one.
So each system has a control: metabev_nano in which the parts that the system replaces are random
too. Systems against controls compare systems; against `base` they compare head starts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors import safe_open

from metabev_ros.config import (
    CameraBackbone,
    CameraNeck,
    HorNetConfig,
    HorNetSize,
    Mixing,
    ModelConfig,
    load_config,
)
from metabev_ros.lab.training.config import TrainingConfig
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig
from metabev_ros.lab.training.warm_start import InitConfig
from metabev_ros.network.metabev import MetaBev
from metabev_ros.resources import resource_path

PRETRAINED = 'models/metabev_nano_pretrained/weights.safetensors'
BATCH = ('fused', 'camera', 'lidar')
ENCODERS = ('camera_encoder', 'lidar_encoder')


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        model: the network.
        control: name of the variant that it compares with.
        start_of: the network that the pre-trained weights must also fit; what it lacks is left
            out. Controls name their system's, others None.
        frozen: what does not learn. Encoders learn only where the camera's is what differs.
        recipe: training fields that belong to the system.
    """

    model: ModelConfig
    control: str = 'base'
    start_of: ModelConfig | None = None
    frozen: tuple[str, ...] = ENCODERS
    recipe: dict = field(default_factory=dict)


def variants() -> dict[str, Variant]:
    """By name, in the order of the table."""
    base, learning = ModelConfig(), ('lidar_encoder',)
    hornet = replace(
        base,
        camera=replace(
            base.camera,
            backbone=CameraBackbone.HORNET,
            hornet=HorNetConfig(HorNetSize.NANO, Mixing.LOCAL),
            neck=CameraNeck.LSS_FPN,
        ),
    )
    horfpn = replace(hornet, camera=replace(hornet.camera, horfpn=Mixing.LOCAL))
    neck = replace(base, head=replace(base.head, horfpn=Mixing.LOCAL))
    adamv, itsa, detr = (
        load_config(ModelConfig, resource_path(f'config/models/{name}.yaml'))
        for name in ('metabev_nano_adamv', 'metabev_nano_itsa', 'metabev_nano_plain_detr')
    )
    gated = {'clip_norm': 5.0}  # products of features have long-tailed gradients
    return {
        'base': Variant(base),
        'itsa': Variant(itsa, recipe={'interaction_offset_rate': 3.0}),
        'adamv_control': Variant(base, start_of=adamv),
        'adamv': Variant(adamv, 'adamv_control'),
        'plain_detr_control': Variant(base, start_of=detr),
        'plain_detr': Variant(detr, 'plain_detr_control', recipe={'box_weight': 1.0}),
        'horfpn_bev_control': Variant(base, start_of=neck),
        'horfpn_bev': Variant(neck, 'horfpn_bev_control', recipe=gated),
        'hornet_control': Variant(base, start_of=hornet, frozen=learning),
        'hornet': Variant(hornet, 'hornet_control', frozen=learning, recipe=gated),
        'hornet_horfpn': Variant(horfpn, 'hornet_control', frozen=learning, recipe=gated),
    }


def shared_names(models: list[ModelConfig], path: Path | str = PRETRAINED) -> tuple[str, ...]:
    """Tensors of a file that all networks have, in equal shapes."""
    with safe_open(path, 'pt') as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    for model in models:
        own = {name: tuple(value.shape) for name, value in MetaBev(model).state_dict().items()}
        shapes = {name: shape for name, shape in shapes.items() if own.get(name) == shape}
    return tuple(sorted(shapes))


def build_run(name: str, seed: int, steps: int, data: tuple[DataSource, ...]) -> RunConfig:
    """The training of one row with one seed: the seed draws samples, their order and new parts.

    Args:
        steps: of the optimiser, with a sample of each modality.
    """
    variant = variants()[name]
    models = [m for m in (variant.model, variant.start_of) if m is not None]
    training = TrainingConfig(
        steps=steps,
        warmup_steps=steps // 8,
        decay_steps=steps // 2,
        learning_rate=1.2e-3,
        ema_decay=0.95,
        batch=BATCH,
        seed=seed,
        threads=1,
        checkpoint_every=20,
        init=InitConfig(PRETRAINED, shared_names(models)),
        frozen=variant.frozen,
    )
    model = dataclasses.replace(variant.model, name=f'ablation_{name}')
    return RunConfig(model, replace(training, **variant.recipe), data)
