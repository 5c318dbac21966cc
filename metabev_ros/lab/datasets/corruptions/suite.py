"""A setting applied to a labelled sample.

Where: on the `Sample`, whose images are already at the network's input size. Zeros and noise are
the same at either stage (the paper does not say); masks and fog are made at that size.

Seeds: all randomness of a sample comes from (failure, seed), not from the degree or the model.
Every model sees the same corruption in every process, and a higher degree fails a superset of
what a lower one fails (views, objects, sensors).
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import inverse_rigid, rigid_transform, transform_points
from metabev_ros.lab.datasets.corruptions import camera, lidar
from metabev_ros.lab.datasets.corruptions.images import ImageKind, corrupt_image
from metabev_ros.lab.datasets.corruptions.lidar import BeamChoice
from metabev_ros.lab.datasets.corruptions.settings import Failure, Setting
from metabev_ros.lab.datasets.samples import LabelledSample, restrict_to, without_sensors
from metabev_ros.structures import CameraImage, Modality, Sample, Sweep

FROZEN_MS = 500
SHIFT_M = 0.03  # translation that goes with a wrong rotation, metres along a random direction


def corrupt(labelled: LabelledSample, setting: Setting, seed: int) -> Sample:
    """The sample as it is under this failure; arrays that do not change are shared, not copied.

    A view that is black, noisy, frozen or covered stays in the sample and is fed to the network.
    MISSING_CAMERA, MISSING_LIDAR and INDEPENDENT take sensors out of it: the modality changes,
    and may become NONE.

    Args:
        seed: of the sample, the same for all settings and models.

    Raises:
        ConfigError: if the setting needs earlier frames and the sample has none.
    """
    sample = labelled.sample
    if setting.is_harmless:
        return sample
    rng = _generator(setting.failure, seed)
    if setting.failure is Failure.SEVERAL:
        for part in COMBINED[int(setting.degree)]:
            sample = corrupt(dataclasses.replace(labelled, sample=sample), part, seed)
        return sample
    return _APPLY[setting.failure](labelled, setting, rng)


def _generator(failure: Failure, seed: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(failure.value.encode()), seed])


# Each part draws by its own failure's generator.
COMBINED = {
    1: (
        Setting(Failure.VIEW_DROP, 2),
        Setting(Failure.LIMITED_FIELD, 120),
        Setting(Failure.BEAM_REDUCTION, 8, BeamChoice.BEVFUSION),
    ),
    2: (Setting(Failure.VIEW_NOISE, 3), Setting(Failure.POINT_LOSS, 0.8)),
    3: (Setting(Failure.FROZEN_VIEWS, 1), Setting(Failure.FOG, 100)),
    4: (
        Setting(Failure.OCCLUSION, 1),
        Setting(Failure.NIGHT, 0.25),
        Setting(Failure.BEAM_REDUCTION, 16, BeamChoice.BEVFUSION),
    ),
}

Rng: TypeAlias = np.random.Generator


def _with_points(sample: Sample, points: np.ndarray) -> Sample:
    return dataclasses.replace(sample, sweep=dataclasses.replace(_sweep(sample), points=points))


def _sweep(sample: Sample) -> Sweep:
    if sample.sweep is None:
        raise ConfigError('corruption of the LiDAR', 'a sample with a sweep', 'none')
    return sample.sweep


def _with_pixels(sample: Sample, pixels: dict[str, np.ndarray]) -> Sample:
    """New pixels for some views."""
    return dataclasses.replace(
        sample,
        cameras={
            name: image
            if image is None or name not in pixels
            else dataclasses.replace(image, pixels=pixels[name])
            for name, image in sample.cameras.items()
        },
    )


def _present(sample: Sample) -> dict[str, CameraImage]:
    return {name: image for name, image in sample.cameras.items() if image is not None}


def _chosen_views(sample: Sample, count: float, rng: np.random.Generator) -> list[str]:
    """The first `count` of a random order: more views hit a superset."""
    names = list(_present(sample))
    return [names[i] for i in rng.permutation(len(names))[: int(count)]]


def _seen_from_lidar(
    labelled: LabelledSample, fail: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The failed points; directions and distances are those that the LiDAR sees."""
    points, place = _sweep(labelled.sample).points, labelled.lidar_from_points
    if place is None:
        return fail(points)
    return _moved(fail(_moved(points, place)), inverse_rigid(place))


def _moved(points: np.ndarray, target_from_source: np.ndarray) -> np.ndarray:
    moved = points.copy()
    moved[:, :3] = transform_points(target_from_source, points[:, :3].astype(np.float64))
    return moved


def _limited_field(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    points = _seen_from_lidar(labelled, lambda p: lidar.limit_field(p, setting.degree / 2))
    return _with_points(labelled.sample, points)


def _missing_objects(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    sweep = _sweep(labelled.sample)
    return _with_points(
        labelled.sample,
        lidar.remove_objects(
            sweep.points, sweep.ego_from_lidar, labelled.truth.boxes, setting.degree, rng
        ),
    )


def _beam_reduction(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    variant = setting.variant
    assert isinstance(variant, BeamChoice)  # `Setting` checks it
    return _with_points(
        labelled.sample,
        _seen_from_lidar(labelled, lambda p: lidar.reduce_beams(p, int(setting.degree), variant)),
    )


def _point_loss(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    return _with_points(
        labelled.sample, lidar.drop_points(_sweep(labelled.sample).points, setting.degree, rng)
    )


def _view_drop(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    sample = labelled.sample
    return _with_pixels(
        sample,
        {
            name: camera.zero_view(_present(sample)[name].pixels)
            for name in _chosen_views(sample, setting.degree, rng)
        },
    )


def _view_noise(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    sample = labelled.sample
    return _with_pixels(
        sample,
        {
            name: camera.noise_view(_present(sample)[name].pixels, rng)
            for name in _chosen_views(sample, setting.degree, rng)
        },
    )


def _occlusion(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """Every view gets one of the 16 masks, as in the cited toolkit."""
    return _with_pixels(
        labelled.sample,
        {
            name: camera.occlude(
                image.pixels, camera.obstacle_mask(int(rng.integers(camera.MASKS)))
            )
            for name, image in _present(labelled.sample).items()
        },
    )


def _frozen_views(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """Old pixels under a new stamp and calibration: nothing tells that they are old."""
    old = _present(_earlier(labelled, FROZEN_MS))
    return _with_pixels(
        labelled.sample,
        {name: old[name].pixels for name in _chosen_views(labelled.sample, setting.degree, rng)},
    )


def _time_skew(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """All images are older than their stamps say, so their poses are not compensated either."""
    old = _present(_earlier(labelled, int(setting.degree)))
    return _with_pixels(
        labelled.sample, {name: old[name].pixels for name in _present(labelled.sample)}
    )


def _earlier(labelled: LabelledSample, milliseconds: int) -> Sample:
    if labelled.earlier is None:
        raise ConfigError(
            'corrupt',
            'a sample that can give earlier frames',
            labelled.source,
            'see SyntheticSamples.first',
        )
    return labelled.earlier(milliseconds)


def _miscalibration(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """Every camera is turned about an axis of its own by the degree and moved by SHIFT_M."""
    cameras = {}
    for name, image in _present(labelled.sample).items():
        axis, shift = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        wrong = rigid_transform(_rotation(axis, np.deg2rad(setting.degree)), SHIFT_M * shift)
        calibration = dataclasses.replace(
            image.calibration, ego_from_camera=image.calibration.ego_from_camera @ wrong
        )
        cameras[name] = dataclasses.replace(image, calibration=calibration)
    return dataclasses.replace(labelled.sample, cameras={**labelled.sample.cameras, **cameras})


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) by Rodrigues' formula; `axis` is a unit vector."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _fog(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    sample = labelled.sample
    pixels = {}
    for name, image in _present(sample).items():
        depth = labelled.truth.depth.get(name)
        if depth is not None:
            depth = fitted_depth(depth, *image.pixels.shape[:2])
        pixels[name] = camera.fog(image.pixels, setting.degree, depth)
    sample = _with_pixels(sample, pixels)
    if sample.sweep is None:
        return sample
    points = _seen_from_lidar(labelled, lambda p: lidar.fog(p, setting.degree, rng))
    return _with_points(sample, points)


def fitted_depth(depth: np.ndarray, height: int, width: int) -> np.ndarray:
    """A rendered depth image at the network's input size: scaled to cover, bottom centre kept.

    The crop of preprocess.images.fit_image for an image without distortion; nearest pixel,
    because a mean over an edge or over the sky (inf) is no depth.
    """
    rows, columns = depth.shape
    scale = max(width / columns, height / rows)
    top = round(rows * scale) - height
    left = (round(columns * scale) - width) // 2
    v = np.clip(np.rint((np.arange(height) + top + 0.5) / scale - 0.5), 0, rows - 1).astype(int)
    u = np.clip(np.rint((np.arange(width) + left + 0.5) / scale - 0.5), 0, columns - 1)
    return depth[v[:, None], u.astype(int)[None]]


def _night(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """Cameras only: a LiDAR brings its own light."""
    return _with_pixels(
        labelled.sample,
        {
            name: camera.night(image.pixels, setting.degree, rng)
            for name, image in _present(labelled.sample).items()
        },
    )


def _independent(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    sensors = labelled.sample.sensors
    lost = rng.random(len(sensors)) < setting.degree
    return without_sensors(
        labelled.sample,
        [report.name for report, is_lost in zip(sensors, lost, strict=True) if is_lost],
    )


def _lost_sector(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """A wider hole about the same direction holds the narrower one."""
    kept, centre = 180 - setting.degree / 2, rng.uniform(-180, 180)
    return _with_points(
        labelled.sample, _seen_from_lidar(labelled, lambda p: lidar.limit_field(p, kept, centre))
    )


def _absent_views(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    views = _chosen_views(labelled.sample, setting.degree, rng)
    return without_sensors(labelled.sample, views)


def _image(labelled: LabelledSample, setting: Setting, rng: Rng) -> Sample:
    """All views, each with a draw of its own."""
    kind = setting.variant
    assert isinstance(kind, ImageKind)  # `Setting` checks it
    return _with_pixels(
        labelled.sample,
        {
            name: corrupt_image(kind, image.pixels, int(setting.degree), rng)
            for name, image in _present(labelled.sample).items()
        },
    )


_APPLY = {
    Failure.LIMITED_FIELD: _limited_field,
    Failure.MISSING_OBJECTS: _missing_objects,
    Failure.BEAM_REDUCTION: _beam_reduction,
    Failure.VIEW_DROP: _view_drop,
    Failure.VIEW_NOISE: _view_noise,
    Failure.OCCLUSION: _occlusion,
    Failure.MISSING_CAMERA: lambda labelled, *_: restrict_to(labelled.sample, Modality.LIDAR),
    Failure.MISSING_LIDAR: lambda labelled, *_: restrict_to(labelled.sample, Modality.CAMERA),
    Failure.FROZEN_VIEWS: _frozen_views,
    Failure.MISCALIBRATION: _miscalibration,
    Failure.TIME_SKEW: _time_skew,
    Failure.FOG: _fog,
    Failure.NIGHT: _night,
    Failure.POINT_LOSS: _point_loss,
    Failure.INDEPENDENT: _independent,
    Failure.LOST_SECTOR: _lost_sector,
    Failure.ABSENT_VIEWS: _absent_views,
    Failure.IMAGE: _image,
}
