"""List of the models that this package brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metabev_ros.config import ModelConfig, load_config
from metabev_ros.contract import load_contract
from metabev_ros.resources import DEFAULT_MODEL, resource_path


@dataclass(frozen=True)
class ModelEntry:
    """One folder of `models/`.

    Attributes:
        name: what `--model` and the parameter `model` take.
        network: how cameras and LiDAR are fused.
        image_size: width x height of the network's images.
        sweeps: of the LiDAR that the network takes at once.
        backends: runtimes that it can run on as it is.
        is_calibrated: scores say how often they are right.
        size: bytes of its files.
    """

    name: str
    network: str
    image_size: str
    sweeps: int
    backends: tuple[str, ...]
    is_calibrated: bool
    size: int
    is_default: bool


def shipped_models() -> tuple[ModelEntry, ...]:
    """The models of this package, by name.

    Raises:
        ConfigError, ContractError: where one is damaged.
    """
    folder = resource_path('models')
    return tuple(_entry(path.parent) for path in sorted(folder.glob('*/config.yaml')))


def _entry(folder: Path) -> ModelEntry:
    config = load_config(ModelConfig, folder / 'config.yaml')
    has_graphs = (folder / 'contract.json').is_file()
    calibration = load_contract(folder).score_calibration if has_graphs else None
    return ModelEntry(
        folder.name,
        config.decoder.fuser.value,
        f'{config.camera.width}x{config.camera.height}',
        config.lidar.sweeps,
        ('onnxruntime', 'torch') if has_graphs else ('torch',),
        calibration is not None,
        sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()),
        folder.name == Path(DEFAULT_MODEL).name,
    )
