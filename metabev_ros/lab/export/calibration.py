"""Samples on which int8 ranges are measured, and others on which the result is checked.

Either synthetic drives of seeds that neither training (100 000 on), parity (800 000 on) nor
scoring (900 000 on) uses, or a bag of the vehicle the model is for, which is better for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import ModelConfig, RigConfig, SensingConfig
from metabev_ros.errors import ConfigError, SensorDataError, assert_never
from metabev_ros.lab.datasets.samples import SyntheticSamples
from metabev_ros.lab.datasets.synthetic import DriveConfig
from metabev_ros.lab.simulation.worlds import World
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.image_reader import ImageSize
from metabev_ros.structures import Modality, Sample

FIRST_SEED = 600_000
DRIVES, CHECKED_DRIVES = 16, 8
BAG_SAMPLES = 48
BAG_SPACING_NS = 500_000_000  # neighbours of a tenth of a second show the same again
Inputs = tuple[dict, dict]  # camera, LiDAR: as `Preprocessor` gives them


@dataclass(frozen=True)
class CalibrationSet:
    """Network inputs with all sensors present.

    Attributes:
        measured: ranges come from these.
        checked: and are judged on these.
        source: in words, for the contract.
    """

    measured: tuple[Inputs, ...]
    checked: tuple[Inputs, ...]
    source: str


def synthetic_set(
    config: ModelConfig,
    world: World = World.BOXES,
    drives: int = DRIVES,
    checked: int = CHECKED_DRIVES,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationSet:
    """One instant each of rendered drives.

    Args:
        progress: called with (samples done, samples in all).
    """
    preprocessor, seeds = Preprocessor(config), range(FIRST_SEED, FIRST_SEED + drives + checked)
    inputs = []
    for sample in _rendered(config, world, tuple(seeds), preprocessor):
        inputs.append(preprocessor(sample))
        if progress is not None:
            progress(len(inputs), len(seeds))
    return CalibrationSet(
        tuple(inputs[:drives]),
        tuple(inputs[drives:]),
        f'synthetic drives through {world.value}, seeds {seeds[0]}..{seeds[drives - 1]}',
    )


def _rendered(
    config: ModelConfig, world: World, seeds: tuple[int, ...], preprocessor: Preprocessor
) -> Iterator[Sample]:
    sweeps = config.lidar.sweeps
    match world:
        case World.BOXES:
            drive, image = DriveConfig(frames=sweeps), preprocessor.prepare_image
            for labelled in SyntheticSamples(
                seeds, 1, drive, image, first=sweeps - 1, sweeps=sweeps
            ):
                yield labelled.sample
        case World.STREETS:
            # Only here: these imports take as long as all others of the command line together.
            from metabev_ros.lab.simulation.records import FIRST, drive_of

            for seed in seeds:
                street = drive_of(seed, FIRST + 1.0, config, str(seed))
                yield street.record(0, FIRST, cameras=True).sample
        case _:
            assert_never(world)


def bag_set(
    bag: Path, rig: RigConfig, config: ModelConfig, most: int = BAG_SAMPLES
) -> CalibrationSet:
    """Samples of a bag that have cameras and LiDAR, half a second apart; every third is checked.

    Raises:
        SensorDataError: if the bag cannot be read.
        ConfigError: if it gives fewer than three such samples.
    """
    preprocessor = Preprocessor(config)
    inputs, last_ns = [], None
    for sample in _bag_samples(bag, rig, config):
        is_new = last_ns is None or abs(sample.stamp_ns - last_ns) >= BAG_SPACING_NS
        if sample.modality is Modality.FUSED and is_new:
            inputs.append(preprocessor(sample))
            last_ns = sample.stamp_ns
        if len(inputs) == most:
            break
    if len(inputs) < 3:
        raise ConfigError(
            f'calibration bag {bag}',
            f'at least 3 samples with cameras and LiDAR, {BAG_SPACING_NS * 1e-9:g} s apart',
            str(len(inputs)),
            'record a longer drive, or give the --rig of this vehicle',
        )
    return CalibrationSet(
        tuple(pair for i, pair in enumerate(inputs) if i % 3),
        tuple(inputs[::3]),
        f'bag {Path(bag).name}',
    )


def _bag_samples(bag: Path, rig: RigConfig, config: ModelConfig) -> Iterator[Sample]:
    """The node's own samples of a bag."""
    camera = config.camera
    front_end = SensorFrontEnd(
        rig,
        SensingConfig(),
        Preprocessor(config).prepare_image,
        ImageSize(camera.height, camera.width),
        config.lidar.sweeps,
    )
    expected = {topic.lstrip('/'): kind for topic, kind in front_end.subscriptions().items()}
    for message in BagReader(bag):
        if expected.get(message.topic.lstrip('/')) != message.msgtype:
            continue
        try:
            content = wire.deserialize(message.cdr, message.msgtype)
        except SensorDataError:
            continue  # the front end would drop it too
        yield from front_end.push(message.topic, content, message.log_time_ns)
